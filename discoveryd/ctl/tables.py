"""Text for a terminal: aligned columns, ages, colours. Whatever came from a peer is escaped here."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

ELLIPSIS = "\u2026"
NARROWEST = 6
"""Columns that may be shortened keep this width: less says nothing."""
PIPED = 40
"""Columns that a cell may take of all rows where nobody looks: one row with many tags does not pad the others."""
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


def printable_json(line: bytes) -> str:
    """Return a line of JSON as it came, or, where a terminal would obey something in it, written anew in ASCII."""
    text = line.decode("utf-8", "replace")
    if text.isprintable():
        return text
    import json  # noqa: PLC0415  seldom needed

    return json.dumps(json.loads(line), separators=(",", ":"))


def width_of(text: str) -> int:
    """Count the terminal columns a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415  seldom needed, costs a millisecond

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def shortened(text: str, width: int, *, middle: bool = False) -> str:
    """Cut text to a width, with an ellipsis in place of its end or of its middle."""
    if width_of(text) <= width:
        return text
    tail = _last(text, (width - 1) // 2) if middle else ""
    return _first(text, width - 1 - width_of(tail)) + ELLIPSIS + tail


def folded(head: str, text: str, width: int | None, indent: int) -> list[str]:
    """Break text into lines, between words, or within a word that is wider than a line.

    Args:
        head: begins the first line.
        text: what may be broken.
        width: columns of a line; None for one line without an end.
        indent: columns that the other lines leave free.
    """
    if width is None:
        return [head + text]
    width = max(width, indent + NARROWEST)
    lines, line, gap = [], head, ""
    for word in text.split(" "):
        if width_of(line + gap + word) > width and line.strip():
            lines.append(line)
            line, gap = " " * indent, ""
        if not (word or line.strip()):
            continue
        left = word
        while width_of(line + left) > width and not gap:
            piece = _first(left, width - indent)
            lines.append(line + piece)
            line, left = " " * indent, left[len(piece) :]
        line, gap = line + gap + left, " "
    return [one.rstrip(" ") for one in (*lines, line)]


def _first(text: str, width: int) -> str:
    """Give as much of the beginning as fits into a width."""
    part = text[:width]  # a character takes a column or more, but for marks that are put on others
    while width_of(part) > width:
        part = part[:-1]
    return part


def _last(text: str, width: int) -> str:
    """Give as much of the end as fits into a width."""
    part = text[max(len(text) - width, 0) :]
    while width_of(part) > width:
        part = part[1:]
    return part


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
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    screen: Screen,
    *,
    flexible: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> str:
    """Align rows under their heads. A column ``STATE`` is coloured.

    Where the screen is too narrow the widest of the `flexible` columns is shortened first; then the `spare` ones
    are left out, in their order; then the first is shortened, and at last all others. What is long loses its middle,
    but for flexible columns, which are lists or sentences.

    Where nobody looks nothing is shortened, and a cell of unusual width moves only what follows it in its row.
    """
    lines = [list(heads), *([printable(cell) or "-" for cell in row] for row in rows)]
    columns = [[width_of(line[index]) for line in lines] for index in range(len(heads))]
    if screen.width is None:
        widths = [max(width for width in column if width <= PIPED or width == column[0]) for column in columns]
    else:
        widths = _fitting(heads, [max(column) for column in columns], screen.width, flexible, spare)
    shown = []
    for number, line in enumerate(lines):
        cells = []
        for head, cell, width in zip(heads, line, widths, strict=True):
            if not width:
                continue
            text = cell if screen.width is None else shortened(cell, width, middle=head not in flexible)
            padded = text + " " * (width - width_of(text))
            state = "clone" if cell.endswith(")") else cell
            cells.append(screen.paint(state, padded) if number and head == "STATE" else padded)
        shown.append(_GAP.join(cells).rstrip(" "))
    return "\n".join(shown)


def _fitting(
    heads: Sequence[str], widths: list[int], room: int, flexible: Sequence[str], spare: Sequence[str]
) -> list[int]:
    """Give the widths in which columns fit; 0 for one that is left out."""
    first = [head in flexible for head in heads]
    for left_out in range(len(spare) + 1):
        kept = [0 if head in spare[:left_out] else width for head, width in zip(heads, widths, strict=True)]
        if _shrink(kept, first, room, NARROWEST):
            return kept
    if not _shrink(kept, [index == 0 for index in range(len(heads))], room, NARROWEST):
        _shrink(kept, [True] * len(heads), room, 3)
    return kept


def _shrink(widths: list[int], may_shrink: Sequence[bool], room: int, floor: int) -> bool:
    """Take from the widest of some columns until all fit; whether they do."""
    room -= len(_GAP) * (sum(map(bool, widths)) - 1)
    while sum(widths) > room:
        index = max(range(len(widths)), key=lambda one: widths[one] if may_shrink[one] else -1)
        if not may_shrink[index] or widths[index] <= floor:
            return False
        widths[index] -= 1
    return True


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
        state = peer["state"] + _marks(peer)
        row = [name_of(peer), state, peer["address"], peer["link"], services, tags, age(peer["last_heard_s"])]
        row += [peer["key"] or ""] if keyed else []
        rows.append([*row, peer["id"], peer["boot"]] if wide else row)
    heads += ["KEY"] if keyed else []
    heads += ["ID", "BOOT"] if wide else []
    # asked for, or needed to tell rows apart: then these say more than what a peer offers
    spare = ("TAGS", "SERVICES", "LINK", "KEY", "HEARD", "BOOT", "ID")
    return table(heads, rows, screen, flexible=("SERVICES", "TAGS"), spare=spare)


def _marks(peer: Mapping[str, Any]) -> str:
    """Return what is wrong with the identity of a peer; a daemon of an earlier version tells of no shared address."""
    marks = ("clone", peer["clone"]), ("shared", peer.get("shares_address"))
    found = ",".join(mark for mark, is_so in marks if is_so)
    return f"({found})" if found else ""


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
