"""How long `discoveryctl list` takes a person, from start to end of the process.

The script that pip installs asks the installed daemon (on loopback alone, with made-up peers) that lists 3
peers, and one that lists 100; so does the script that `discoveryd install` makes for the machine. The
output goes to a pipe. Floor: a bare `python -c pass` of the same environment. They take turns, so that
whatever else the machine does meets each alike.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter

from fleet import NODE, Fleet, free_port
from installation import installed, plain
from machine import Figure, parser, report
from mirror import PATIENCE, Mirror, connect, follow

SIZES = (3, 100)


@contextmanager
def daemon(scripts: Path, size: int) -> Iterator[str]:
    """Run a daemon that lists so many peers; gives the address of its query socket."""
    udp, tcp = free_port(), free_port()
    settings = {
        "DISCOVERYD_HELLO__LOOPBACK": NODE,
        "DISCOVERYD_HELLO__PORT": str(udp),
        "DISCOVERYD_QUERY__LISTEN": f"127.0.0.1:{tcp}",
    }
    process = subprocess.Popen(
        [scripts / "discoveryd", "run"], env={**plain(), **settings}, stderr=subprocess.DEVNULL
    )
    try:
        with closing(Mirror(("127.0.0.1", tcp))) as mirror, closing(Fleet(size, udp)) as fleet:
            connect(mirror)

            def heard(seconds: float) -> int:
                follow([mirror], seconds)
                return len(mirror.names - {None})

            fleet.introduce(heard)
        yield f"127.0.0.1:{tcp}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def timed(argv: list[str], expected_lines: int) -> float:
    """Run a command to its end; seconds, and a check of what it printed."""
    begun = perf_counter()
    done = subprocess.run(argv, env=plain(), capture_output=True, text=True, check=True)
    seconds = perf_counter() - begun
    if len(done.stdout.splitlines()) != expected_lines:
        raise SystemExit(f"{argv[0]} did not print {expected_lines} lines:\n{done.stdout}{done.stderr}")
    return seconds


def launcher(python: str, path: Path) -> str:
    """Make the script that `discoveryd install` makes; its path."""
    code = "import sys; from discoveryd.install.launcher import launcher as l; sys.stdout.buffer.write(l(sys.argv[1]))"
    argv = [python, "-c", code, str(Path(python).parent)]
    path.write_bytes(subprocess.run(argv, env=plain(), stdout=subprocess.PIPE, check=True).stdout)
    path.chmod(0o755)
    return str(path)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, runs=41, environment=True).parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as directory,
        installed(options.python) as scripts,
        daemon(scripts, SIZES[0]) as few,
        daemon(scripts, SIZES[1]) as many,
    ):
        python, ctl = str(scripts / "python"), str(scripts / "discoveryctl")
        of_machine = launcher(python, Path(directory, "discoveryctl"))
        commands = {
            "python": ([python, "-c", "pass"], 0),
            "few": ([ctl, "--address", few, "list"], SIZES[0] + 1),
            "many": ([ctl, "--address", many, "list"], SIZES[1] + 1),
            "machine": ([of_machine, "--address", few, "list"], SIZES[0] + 1),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.runs + 1):
            for name, (argv, lines) in commands.items():
                times[name].append(timed(argv, lines) * 1000)
    times = {name: samples[1:] for name, samples in times.items()}  # the first fills the page cache
    floor = Figure(what="`python -c pass`", unit="ms", samples=times["python"])
    figures = [
        Figure(
            what=f"`discoveryctl list`, {what}",
            unit="ms",
            samples=times[name],
            floor=floor,
            most_of_floor=most,
        )
        for name, what, most in (
            ("few", f"{SIZES[0]} peers", 1.3),
            ("many", f"{SIZES[1]} peers", 1.6),
            ("machine", f"{SIZES[0]} peers, after `discoveryd install`", 1.1),
        )
    ]
    report(figures, as_json=options.json)


if __name__ == "__main__":
    main()
