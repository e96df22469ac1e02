"""The standard streams: what output is connected to, the format of peers that the options ask for, and notes."""

from __future__ import annotations

import os
import sys

from discoveryd.query.formats import printable
from discoveryd.query.formats.table import Screen, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from discoveryd.ctl.options import Options
    from discoveryd.query.formats import Format


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


def print_line(line: bytes) -> None:
    """Print a line of JSON that the daemon sent."""
    from discoveryd.query.formats.scripts import printable_json  # noqa: PLC0415 - with ``--json`` only

    print(printable_json(line), flush=True)


def format_of(options: Options, *, keyed: bool = False) -> Format:
    """Return the writer that the options ask for.

    Args:
        options: ``--json``, ``--only`` and ``--wide`` count.
        keyed: whether the daemon has keys.
    """
    if options.json:
        from discoveryd.query.formats.scripts import JsonReply  # noqa: PLC0415 - its own output only

        return JsonReply()
    if options.only:
        from discoveryd.query.formats.scripts import Column  # noqa: PLC0415 - as above

        return Column(options.only)
    return Table(standard_screen(), wide=options.wide, keyed=keyed)
