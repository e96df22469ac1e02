"""``discoveryctl``: ask the daemon of this machine what it knows.

A command imports only what it needs, so that its answer appears at once.
"""

import os
import sys

from discoveryd.cli.ctl_commands import PROGRAM, Options, parse
from discoveryd.cli.parse import UsageError, run_command
from discoveryd.errors import DaemonUnreachable, QueryError

FINE, NOTHING, USAGE, NO_DAEMON, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit codes, as in ``discoveryctl --help``."""

_CODES = dict.fromkeys(("not_found", "site_unreachable", "timeout"), NOTHING) | dict.fromkeys(
    ("bad_request", "bad_argument", "unknown_op", "denied", "refused", "ambiguous", "too_long", "off"), USAGE
)


def main(argv: list[str] | None = None) -> int:
    """Run ``discoveryctl`` and return its exit code."""
    try:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # names are Unicode, terminals not always
        try:
            code = _run(sys.argv[1:] if argv is None else argv)
        except KeyboardInterrupt:
            code = INTERRUPTED
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is still buffered: Python would complain of it at exit
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
            return FINE
        return _say(f"cannot write the output: {error.strerror}", NOTHING)
    return code


def _run(argv: list[str]) -> int:
    try:
        options = parse(argv, os.environ)
        try:
            return run_command(PROGRAM, options)
        except QueryError as error:
            return _failed(error, options)
    except UsageError as error:
        return _say(f"{error}\nTry 'discoveryctl --help'.", USAGE)


def _failed(error: QueryError, options: Options) -> int:
    """Report a failure: in words on stderr, and with ``--json`` as an object on stdout too."""
    from discoveryd.query.formats import printable  # noqa: PLC0415

    if options.json:
        import json  # noqa: PLC0415

        problems = {"problems": list(error.problems)} if error.problems else {}
        print(json.dumps({"ok": False, "error": {"code": error.code, "message": error.message, **problems}}))
    faults = error.problems if error.code != "ambiguous" else ()  # the message names the peers in a sentence
    text = "\n  ".join(map(printable, faults or (error.message,)))
    if error.code == "refused":
        text = f"refused, and nothing has changed:\n  {text}"
    if isinstance(error, DaemonUnreachable):
        text += (
            "\nIs it running? Start it with 'discoveryd run', or 'systemctl start discoveryd';"
            "\nif it listens elsewhere, give --address HOST:PORT or set DISCOVERYCTL_ADDRESS."
        )
    return _say(text, _CODES.get(error.code, NO_DAEMON))


def _say(text: str, code: int) -> int:
    print(f"discoveryctl: {text}", file=sys.stderr)
    return code
