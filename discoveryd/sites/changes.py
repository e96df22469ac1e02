"""What is told of a peer of another site, by what was shown of it before and what is shown now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import NamedTuple

from discoveryd.protocol.wills import DIED
from discoveryd.sites.values import SiteEventKind

Shown = tuple[str, str, str]
"""State of a peer, its text, and why it is gone: the reason of its goodbye, `DIED`, or empty where nothing says so."""
NOWHERE: Shown = ("", "", "")

REASONS: Mapping[SiteEventKind, str] = {
    "joined": "its site lists it", "updated": "its site tells something else of it",
    "restarted": "its site lists a new boot", "down": "its site found it down", "left": "it said goodbye to its site",
    "unknown": "no gateway of its site lists it any more",
}  # fmt: skip


def reason_of(kind: SiteEventKind, shown: Shown) -> str:
    """Return the reason of an event."""
    why = shown[2]
    if kind == "left" and why not in ("", "stop"):
        return f"{REASONS[kind]}: {why}"
    return DIED if kind == "down" and why == DIED else REASONS[kind]


def kind_of(before: Shown, after: Shown, *, is_restart: bool) -> SiteEventKind | None:
    """Return the kind of the event, None for none: a boot that was replaced is not told to be gone."""
    if after[:2] == before[:2]:
        return None
    match after[0]:
        case "up":
            return "updated" if before[0] == "up" else "restarted" if is_restart else "joined"
        case "left" | "down" | "unknown":
            return after[0]
        case _:
            return None


class Told(NamedTuple):
    """What is to be told of a peer.

    Attributes:
        kind: of the event.
        key: of the peer.
        shown: what is shown of it now.
        former: the boot that it replaces, where it restarted; else empty.
    """

    kind: SiteEventKind
    key: str
    shown: Shown
    former: str


class Untold(dict[str, Shown]):
    """Peers that changed since they were told of: key -> what was shown then."""

    def __init__(self) -> None:
        super().__init__()
        self._replaced: dict[str, str] = {}

    def replace(self, key: str) -> None:
        """Note that another boot took the place of this boot of a node."""
        id, _, boot = key.partition(" ")
        self._replaced[id] = boot

    def take(self, most: int, shown: Callable[[str], Shown]) -> list[Told]:
        """Return what is to be told, at most so many."""
        found: list[Told] = []
        while self and len(found) < most:
            for key in list(islice(self, most - len(found))):
                before, after = self.pop(key), shown(key)
                former = self._replaced.get(key.partition(" ")[0], "")
                kind = kind_of(before, after, is_restart=bool(former))
                if kind is not None:
                    found.append(Told(kind, key, after, former if kind == "restarted" else ""))
        if not self:
            self._replaced.clear()
        return found
