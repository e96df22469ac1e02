"""The standard streams: what output is connected to, peers in the format that the options ask for, and notes."""

from __future__ import annotations

import os
import sys

from discoveryd.query.formats import column, printable, reply
from discoveryd.query.formats.table import Screen, peers_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from discoveryd.cli.ctl_commands import Options


def standard_screen() -> Screen:
    """Return the screen that standard output is connected to."""
    if sys.stdout is None or not sys.stdout.isatty():  # None: it was closed (``>&-``)
        return Screen()
    # not shutil.get_terminal_size: its import costs as much as starting Python
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdecimal() else 0
    if not width:
        try:
            width = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            width = 80
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Screen(width or 80, colour=colour)


def note(text: str) -> None:
    """Print a line for a person, on standard error."""
    print(f"discoveryctl: {printable(text)}", file=sys.stderr, flush=True)


def peers_text(peers: Sequence[Mapping[str, Any]], options: Options, *, keyed: bool = False) -> str:
    """Return peers in the format that the options ask for: ``--json``, ``--only`` and ``--wide`` count.

    Args:
        peers: at least one.
        options: of the command.
        keyed: whether the daemon has keys.
    """
    if options.json:
        return reply(peers)
    if options.only:
        return column(peers, options.only)
    return peers_table(peers, standard_screen(), wide=options.wide, keyed=keyed)
