"""Text for a terminal: aligned columns, ages, colours. Whatever came from a peer is escaped here."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

ELLIPSIS = "\u2026"
NARROWEST = 6
"""Columns keep this width before the fixed ones, addresses above all, must give way too."""
BARE = "(bare)"

_GAP = "  "
_COLOURS = {"up": "32", "suspect": "33", "down": "31", "left": "2", "clone": "35"}


class Screen:
    """Where text goes.

    Args:
        width: columns, None where nobody looks (a pipe): then nothing is shortened.
        colour: whether escape sequences are understood and wanted.
    """

    def __init__(self, width: int | None = None, *, colour: bool = False) -> None:
        self.width = width
        self.colour = colour

    def paint(self, state: str, text: str) -> str:
        """Colour text as its state asks for."""
        code = _COLOURS.get(state)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


def screen_of(stream: TextIO | None, environ: Mapping[str, str]) -> Screen:
    """Look at what a stream is connected to; None is one that was closed (``>&-``)."""
    if stream is None or not stream.isatty():
        return Screen()
    # not shutil.get_terminal_size: its import costs as much as starting Python
    columns = environ.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdecimal() else 0
    if not width:
        try:
            width = os.get_terminal_size(stream.fileno()).columns
        except OSError:
            width = 80
    colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Screen(width or 80, colour=colour)


def printable(text: str) -> str:
    """Escape what could move the cursor, change colours or lie about order."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def width_of(text: str) -> int:
    """Count the terminal columns a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415  seldom needed, costs a millisecond

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def shortened(text: str, width: int) -> str:
    """Cut text to a width, with an ellipsis in place of what is missing."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) >= width:
        text = text[: min(len(text) - 1, width - 1)]
    return text + ELLIPSIS


def age(seconds: float) -> str:
    """Write an age for people: ``0.3s``, ``12s``, ``4m``, ``2h``, ``3d``."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for unit, size, limit in (("s", 1, 60), ("m", 60, 60), ("h", 3600, 48)):
        if seconds < size * limit:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 86400)}d"


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], screen: Screen, flexible: Sequence[str] = ()
) -> str:
    """Align rows under their heads.

    Where the screen is too narrow the widest of the `flexible` columns is shortened first, and the
    others only when these can give no more. A column ``STATE`` is coloured.
    """
    lines = [list(heads), *([printable(cell) or "-" for cell in row] for row in rows)]
    columns = [[width_of(line[index]) for line in lines] for index in range(len(heads))]
    widths = [max(column) for column in columns]
    if screen.width is not None:
        _fit(widths, [head in flexible for head in heads], screen.width)
    state = heads.index("STATE") if "STATE" in heads else -1
    head, *body = lines
    shown = [_line(head, widths, screen, -1), *(_line(line, widths, screen, state) for line in body)]
    return "\n".join(shown)


def _fit(widths: list[int], flexible: Sequence[bool], room: int) -> None:
    room -= len(_GAP) * (len(widths) - 1)
    for may_shrink in (flexible, [True] * len(widths)):
        floor = NARROWEST if may_shrink is flexible else 3
        while sum(widths) > room:
            index = max(range(len(widths)), key=lambda one: widths[one] if may_shrink[one] else -1)
            if not may_shrink[index] or widths[index] <= floor:
                break
            widths[index] -= 1


def _line(cells: Sequence[str], widths: Sequence[int], screen: Screen, state: int) -> str:
    shown = [shortened(cell, width) for cell, width in zip(cells, widths, strict=True)]
    padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(shown, widths, strict=True)]
    padded[-1] = shown[-1]
    if state >= 0:
        word = "clone" if "clone" in cells[state] else cells[state]
        padded[state] = screen.paint(word, padded[state])
    return _GAP.join(padded).rstrip(" ")


def peers_table(
    peers: Sequence[Mapping[str, Any]], screen: Screen, *, wide: bool = False, keyed: bool = False
) -> str:
    """Lay out peers, one per row, sorted by name.

    Id and boot are shown when asked for, and when without them two rows could not be told apart; the key that
    each is heard with, where there are keys (`keyed`) or one of them seals.
    """
    keyed = keyed or any(peer["key"] for peer in peers)
    names = [name_of(peer) for peer in peers if peer["kind"] != "bare"]
    wide = wide or len(set(names)) < len(names) or any(peer["clone"] for peer in peers)
    heads = ["NAME", "STATE", "ADDRESS", "LINK", "SERVICES", "TAGS", "HEARD"]
    rows = []
    for peer in sorted(peers, key=lambda one: (name_of(one).lower(), one["address"], one["boot"])):
        services = ",".join(service_of(service) for service in peer["services"])
        tags = ",".join(f"{key}={value}" for key, value in peer["tags"].items())
        state = peer["state"] + ("(clone)" if peer["clone"] else "")
        row = [name_of(peer), state, peer["address"], peer["link"], services, tags, age(peer["last_heard_s"])]
        row += [peer["key"] or ""] if keyed else []
        rows.append([*row, peer["id"], peer["boot"]] if wide else row)
    heads += ["KEY"] if keyed else []
    heads += ["ID", "BOOT"] if wide else []
    return table(heads, rows, screen, flexible=("NAME", "SERVICES", "TAGS", "ID"))


def column(peers: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Give one of ``commands.COLUMNS`` of the peers, sorted, each value once; without a name a peer goes by its id."""
    found: set[str] = set()
    for peer in peers:
        if name == "service":
            found.update(service["name"] for service in peer["services"])
        elif name == "tag":
            found.update(f"{key}={value}" for key, value in peer["tags"].items())
        else:
            found.add(peer[name] or peer["id"])
    return sorted(map(printable, found))


def name_of(peer: Mapping[str, Any]) -> str:
    """Give what a person calls a peer: its name, its id until that is known; bare ones have neither."""
    if peer["kind"] == "bare":
        return BARE
    return str(peer["name"] or peer["id"])


def service_of(service: Mapping[str, Any]) -> str:
    """Write a service: ``http:80``, ``dns:53/udp``, ``backup`` (where a port means nothing)."""
    port = f":{service['port']}" if service["port"] else ""
    proto = "" if service["proto"] == "tcp" else f"/{service['proto']}"
    return f"{service['name']}{port}{proto}"
