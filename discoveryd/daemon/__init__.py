"""``discoveryd``: the command that runs, starts, stops and checks the daemon."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from importlib import import_module

from discoveryd.daemon.arguments import parser
from discoveryd.errors import ConfigError

OK, FAILED, USAGE, NOT_RUNNING = 0, 1, 2, 3

_HOMES = {
    "run": "daemon.serve",
    "start": "daemon.detached",
    "stop": "daemon.detached",
    "status": "daemon.report",
    "check": "daemon.report",
    "reset-id": "daemon.report",
    "version": "daemon.report",
    "keygen": "keys",
    "install": "install",
    "uninstall": "install",
    "demo": "demo",
    "simulate": "simulate",
    "manual": "manual",
    "completion": "completion",
}
"""Command to the module whose function of that name (or `main`) is the command: only that one is loaded."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    _occupy_standard_streams()
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    arguments = parser().parse_args(words)
    try:
        return _run(arguments)
    except ConfigError as error:
        for problem in error.problems:
            say(problem)
        return USAGE
    except KeyboardInterrupt:
        return 130


def _occupy_standard_streams() -> None:
    """Open /dev/null in the place of each standard stream that is closed: a socket there would be written into."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def say(text: str) -> None:
    """Tell a person, on standard error."""
    print(f"discoveryd: {text}", file=sys.stderr)  # noqa: T201 - this is what a person reads


def _run(arguments: Namespace) -> int:
    module = import_module(f"discoveryd.{_HOMES[arguments.command]}")
    run = getattr(module, arguments.command.replace("-", "_"), None) or module.main
    code: int = run(arguments)
    return code
