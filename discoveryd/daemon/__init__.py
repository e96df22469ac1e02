"""``discoveryd``: the command that runs, starts, stops and checks the daemon."""

import os
import sys

from discoveryd.cli.daemon_commands import PROGRAM
from discoveryd.cli.parse import Arguments, UsageError, parse, run_command
from discoveryd.errors import ConfigError

OK, FAILED, USAGE, NOT_RUNNING = 0, 1, 2, 3


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _occupy_standard_streams()
    try:
        code = run_command(PROGRAM, parse(PROGRAM, sys.argv[1:] if argv is None else argv))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is still buffered: Python would complain of it at exit
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return OK
    except UsageError as error:
        say(f"{error}\nTry 'discoveryd --help'.")
        return USAGE
    except ConfigError as error:
        for problem in error.problems:
            say(problem)
        return USAGE
    except KeyboardInterrupt:
        return 130
    return code


def version(_: Arguments) -> int:
    """Print the version, with the commit where it is known; stands here so that it waits for nothing else."""
    from discoveryd.files import commit  # noqa: PLC0415 - may ask git

    print(f"discoveryd {commit.version()}")  # noqa: T201 - this is what was asked for
    return OK


def _occupy_standard_streams() -> None:
    """Open /dev/null in the place of each standard stream that is closed: a socket there would be written into."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def say(text: str) -> None:
    """Print a line for a person, on standard error."""
    print(f"discoveryd: {text}", file=sys.stderr)  # noqa: T201 - this is what a person reads
