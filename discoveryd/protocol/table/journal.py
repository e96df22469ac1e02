"""A journal: what became of peers that proved to be there, as it happened, for a reader that comes by later.

It differs from the events: no change is damped or held back, each has its time, and unproven rows are passed over, so
that what is forged in plain leaves no trace. It is bounded; where it was full a reader compares with the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from discoveryd.protocol.table.peer import LIVE, EventKind

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Key, Row
    from discoveryd.protocol.wire.record import Record

MOST = 10_000
"""Notes that wait for the reader: as many events as a subscriber may be behind."""

SightingKind = EventKind | Literal["proved", "there"]
"""Also: the row answered its first PING; it is there, no more."""
_OPENING: Final = frozenset(("joined", "recovered", "restarted", "down", "left"))
"""Events that begin or end a time in which a peer is up."""


class Sighting(NamedTuple):
    """What was seen of a row. Times are those of the engine's clock.

    Attributes:
        kind: what happened.
        reason: a clause for people.
        at: when.
        id: of the node.
        boot: of the row.
        record: what the node says of itself, None while not known.
        address: its best one.
        link: the interface, empty for a routed path.
        since: since when it has been up.
        heard: when it was heard last.
        former: the boot that this one replaced while that was up; else empty.
        former_heard: when that was heard last.
    """

    kind: SightingKind
    reason: str
    at: float
    id: str
    boot: str
    record: Record | None
    address: str
    link: str
    since: float
    heard: float
    former: str
    former_heard: float


def sighting(kind: SightingKind, reason: str, row: Row, now: float) -> Sighting:
    """Return a row as it is seen now."""
    path = row.paths.best(now)
    link = path.source.link.name if path.source.link else ""
    former, heard = row.took_over if kind in ("restarted", "proved") else ("", 0.0)
    return Sighting(
        kind, reason, now, row.id, row.boot, row.record, path.address, link, row.beats_from, row.last_heard, former,
        heard,
    )  # fmt: skip


class Journal:
    """Notes what became of the rows of a table, once there is a reader. Called with the lock of its owner held.

    Attributes:
        lost: notes that found no room since the last `take`.
        wake: called when the first note waits, None while there is no reader and nothing is noted.
    """

    def __init__(self) -> None:
        self._notes: list[Sighting] = []
        self.lost = 0
        self.wake: Callable[[], None] | None = None

    def changed(self, kind: EventKind, reason: str, row: Row, now: float) -> None:
        """Note a change of a row that begins or ends its being up, also where no event of it is told."""
        if self.wake is not None and row.proved and kind in _OPENING and row.kind == "node":
            self._note(sighting(kind, reason, row, now))

    def told(self, kind: EventKind, reason: str, row: Row, now: float) -> None:
        """Note an event that is told of a peer that goes on, perhaps as another."""
        if self.wake is not None and row.proved and kind in ("updated", "clone") and row.kind == "node":
            self._note(sighting(kind, reason, row, now))

    def proved(self, row: Row, now: float) -> None:
        """Note that a row answered its first PING."""
        if self.wake is not None and row.state in LIVE and not row.is_replaced:
            self._note(sighting("proved", "answered its first PING", row, now))

    def take(self) -> tuple[list[Sighting], int]:
        """Return the notes since the last call, in their order, and how many found no room."""
        notes, lost = self._notes, self.lost
        self._notes, self.lost = [], 0
        return notes, lost

    def _note(self, seen: Sighting) -> None:
        if len(self._notes) >= MOST:
            self.lost += 1
            return
        self._notes.append(seen)
        if len(self._notes) == 1 and self.wake is not None:
            self.wake()


def remembered(rows: dict[Key, Row]) -> set[Key]:
    """Return id and boot of the rows that are up and proved to be there."""
    return {
        key for key, row in rows.items()
        if row.proved and row.state in LIVE and not row.is_replaced and row.kind == "node"
    }  # fmt: skip
