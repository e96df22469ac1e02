"""A table for people: aligned columns, ages, colours; and the text tools that other output for people uses too."""

from __future__ import annotations

from discoveryd.query.formats import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ELLIPSIS = "\u2026"
NARROWEST = 6
"""The width that a shortened column keeps: less says nothing."""
PIPED = 40
"""In a pipe, the widest cell that other rows are padded to: one row with many tags does not pad the others."""
BARE = "(bare)"

_GAP = "  "
_COLOURS = {"up": "32", "suspect": "33", "unknown": "33", "down": "31", "left": "2", "clone": "35"}


class Screen:
    """The place that text goes to.

    Args:
        width: columns; None for a pipe or a file, for which nothing is shortened.
        colour: whether escape sequences are understood and wanted.
    """

    def __init__(self, width: int | None = None, *, colour: bool = False) -> None:
        self.width = width
        self.colour = colour

    def paint(self, state: str, text: str) -> str:
        """Return the text in the colour of a state."""
        code = _COLOURS.get(state)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


def width_of(text: str) -> int:
    """Return the number of terminal columns that a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415  seldom needed, costs a millisecond

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def shortened(text: str, width: int, *, middle: bool = False) -> str:
    """Return text cut to a width, with an ellipsis in place of its end or of its middle."""
    if width_of(text) <= width:
        return text
    tail = _first(text[::-1], (width - 1) // 2)[::-1] if middle else ""
    return _first(text, width - 1 - width_of(tail)) + ELLIPSIS + tail


def folded(head: str, text: str, width: int | None, indent: int) -> list[str]:
    """Return text broken into lines, between words, or within a word that is wider than a line.

    Args:
        head: the beginning of the first line, never broken.
        text: the rest.
        width: columns of a line; None for one line of any length.
        indent: columns that further lines leave free.
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
    """Return as much of the beginning as fits into a width."""
    part = text[:width]  # a character takes a column or more, but for marks that are put on others
    while width_of(part) > width:
        part = part[:-1]
    return part


def age(seconds: float) -> str:
    """Return an age for people: ``0.3s``, ``12s``, ``4m``, ``2h``, ``3d``."""
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
    has_heads: bool = True,
) -> str:
    """Return rows aligned under their heads, which may be left out. A column ``STATE`` is coloured.

    On a narrow screen the widest of the `flexible` columns is shortened first; then the `spare` columns are left out,
    in their order; then the first column is shortened, and at last all others. A long cell loses its middle; in a
    flexible column, which holds lists or sentences, its end.

    For a pipe nothing is shortened, and a cell of unusual width moves only what follows it in its row.
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
            state = "suspect" if cell.endswith("(one-way)") else "clone" if cell.endswith(")") else cell
            cells.append(screen.paint(state, padded) if number and head == "STATE" else padded)
        shown.append(_GAP.join(cells).rstrip(" "))
    return "\n".join(shown if has_heads else shown[1:])


def _fitting(
    heads: Sequence[str], widths: list[int], room: int, flexible: Sequence[str], spare: Sequence[str]
) -> list[int]:
    """Return the widths in which columns fit; 0 for a column that is left out."""
    first = [head in flexible for head in heads]
    for left_out in range(len(spare) + 1):
        kept = [0 if head in spare[:left_out] else width for head, width in zip(heads, widths, strict=True)]
        if _shrink(kept, first, room, NARROWEST):
            return kept
    if not _shrink(kept, [index == 0 for index in range(len(heads))], room, NARROWEST):
        _shrink(kept, [True] * len(heads), room, 3)
    return kept


def _shrink(widths: list[int], may_shrink: Sequence[bool], room: int, floor: int) -> bool:
    """Shorten the widest of some columns until all fit, and return whether they do."""
    room -= len(_GAP) * (sum(map(bool, widths)) - 1)
    while sum(widths) > room:
        index = max(range(len(widths)), key=lambda one: widths[one] if may_shrink[one] else -1)
        if not may_shrink[index] or widths[index] <= floor:
            return False
        widths[index] -= 1
    return True


def peers_table(
    peers: Sequence[Mapping[str, Any]],
    screen: Screen,
    *,
    wide: bool = False,
    keyed: bool = False,
    own: Mapping[str, Any] | None = None,
    sort: str = "",
    has_heads: bool = True,
) -> str:
    """Return the heads, and a line for each peer, sorted by name.

    Id and boot are shown when asked for, and when without them two rows could not be told apart; the key that
    each is heard with, where there are keys or one of the peers seals. On a screen a peer that does not hear this node
    is marked, and the wide table has round trip, loss and the time since a peer is up.

    Args:
        peers: at least one, or `own`.
        screen: where the text goes.
        wide: always show id and boot.
        keyed: always show the key.
        own: this node, which is marked.
        sort: by what, a word that ``--sort`` knows; empty for the name.
        has_heads: whether the heads are shown.
    """
    names = [name_of(peer) for peer in peers if peer["kind"] != "bare"]
    hidden = set() if wide and screen.width is not None else {"RTT", "LOSS", "UP SINCE"}
    if not (wide or len(set(names)) < len(names) or any(peer["clone"] for peer in peers)):
        hidden |= {"ID", "BOOT"}
    if not (keyed or any(peer["key"] for peer in peers)):
        hidden.add("KEY")
    everyone = [*peers, *([own] if own else [])]
    if not any(peer.get("site") for peer in everyone):
        hidden |= {"SITE", "VOUCHED", "VIA"}
    elif not wide:
        hidden.add("VIA")
    rows = [_cells(peer, screen, is_self=peer is own) for peer in in_order(everyone, sort)]
    heads = [head for head in rows[0] if head not in hidden]
    # what was asked for, or tells rows apart, says more than what a peer offers
    spare = ("TAGS", "SERVICES", "LINK", "KEY", "VIA", "HEARD", "VOUCHED", "LOSS", "UP SINCE", "RTT", "BOOT", "ID")
    lines = [[row[head] for head in heads] for row in rows]
    return table(heads, lines, screen, flexible=("SERVICES", "TAGS"), spare=spare, has_heads=has_heads)


def in_order(peers: Sequence[Mapping[str, Any]], sort: str = "") -> list[Mapping[str, Any]]:
    """Return peers by name, or by what ``--sort`` says, the least first; what is not known comes last."""
    found = sorted(peers, key=lambda peer: (name_of(peer).lower(), peer["address"], peer["boot"]))
    if sort in ("", "name"):
        return found
    if sort == "address":
        return sorted(found, key=lambda peer: _by_number(peer["address"]))
    key = {"heard": "last_heard_s", "since": "first_seen_s", "rtt": "rtt_ms"}.get(sort, sort)
    return sorted(found, key=lambda peer: (peer[key] is None, peer[key]) if peer[key] is not None else (True,))


def _by_number(address: str) -> tuple[bool, list[int], str]:
    """Return what orders addresses: 10.0.0.9 comes before 10.0.0.10, and IPv4 before IPv6."""
    parts = address.split(".")
    is_ipv4 = all(part.isascii() and part.isdecimal() and len(part) <= 3 for part in parts)
    return not is_ipv4, [int(part) for part in parts] if is_ipv4 else [], address


def _cells(peer: Mapping[str, Any], screen: Screen, *, is_self: bool) -> dict[str, str]:
    loss, is_screen = peer["loss"], screen.width is not None
    return {
        "NAME": f"{name_of(peer)} *" if is_self else name_of(peer),
        "SITE": peer.get("site") or "",
        "STATE": peer["state"] + _marks(peer, with_one_way=is_screen),
        "ADDRESS": peer["address"],
        "LINK": peer["link"],
        "SERVICES": ",".join(service_of(service) for service in peer["services"]),
        "TAGS": ",".join(f"{key}={value}" for key, value in peer["tags"].items()),
        "RTT": "" if peer["rtt_ms"] is None else f"{peer['rtt_ms']:.2f}ms",
        "LOSS": "" if loss is None else f"{loss:.0%}",
        "UP SINCE": age(peer["first_seen_s"]) if peer["state"] in ("up", "suspect") else "",
        "HEARD": "" if is_self else age(peer["last_heard_s"]),
        "VOUCHED": age(peer["vouched_s"]) if peer.get("vouched_s") is not None else "",
        "VIA": peer.get("via") or "",
        "KEY": peer["key"] or "",
        "ID": peer["id"],
        "BOOT": peer["boot"],
    }


def _marks(peer: Mapping[str, Any], *, with_one_way: bool) -> str:
    """Return what is wrong with a peer, behind its state; an earlier daemon does not report shared addresses."""
    marks = (
        ("clone", peer["clone"]),
        ("shared", peer.get("shares_address")),
        ("one-way", with_one_way and peer["two_way"] is False),
    )
    found = ",".join(mark for mark, is_so in marks if is_so)
    return f"({found})" if found else ""


def farewell(peer: Mapping[str, Any]) -> str:
    """Return what a peer that left did: it said goodbye, perhaps with a reason."""
    reason = peer.get("goodbye_reason") or "stop"
    return "said goodbye" if reason == "stop" else f"said goodbye ({printable(reason)})"


def name_of(peer: Mapping[str, Any]) -> str:
    """Return what a person calls a peer: its name, or its id until the name is known; a bare peer has neither."""
    if peer["kind"] == "bare":
        return BARE
    return str(peer["name"] or peer["id"])


def service_of(service: Mapping[str, Any]) -> str:
    """Return the text of a service: ``http:80``, ``dns:53/udp``, ``backup`` (where a port means nothing)."""
    port = f":{service['port']}" if service["port"] else ""
    proto = "" if service["proto"] == "tcp" else f"/{service['proto']}"
    return f"{service['name']}{port}{proto}"
