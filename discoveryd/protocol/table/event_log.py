"""What is told of the rows of a table: one event for each change, few for a peer that flaps.

A peer has a budget of events (`Pace`). While it is used up, changes are only counted; what they come to
is told as soon as the budget allows, or never if in the end nothing has changed. So whoever follows the
events knows the same as whoever asks for the list, a little later for a peer that flaps.
"""

from __future__ import annotations

from collections import Counter

from discoveryd.protocol.table.events import Event, EventKind
from discoveryd.protocol.table.liveness import EVENTS_SPARED, Pace
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import NEVER, UNANNOUNCED, Announced, Key, Row


class Suppressed:
    """A row of which something is to be told later.

    Attributes:
        current: what is so, as far as it was counted.
        changes: since the last event.
        opens: when it may be told.
    """

    __slots__ = ("changes", "current", "opens", "row")

    def __init__(self, row: Row, current: Announced, changes: int) -> None:
        self.row = row
        self.current = current
        self.changes = changes
        self.opens = row.pace.opens(_spared(row.announced, current))


def net_events(announced: Announced, current: Announced) -> tuple[EventKind, ...]:
    """Say which events lead from what was told of a row to what is true.

    Two only where a new boot came and went since: the one that was told of must be taken away first.
    """
    was_live, is_live, same_boot = announced.state in LIVE, current.state in LIVE, announced.boot == current.boot
    if not was_live:
        if not is_live:
            return ()
        return ("recovered",) if announced.state and same_boot else ("joined",)
    if current.state == "down" or current.state == "left":  # noqa: PLR1714 - mypy narrows no other form
        return (current.state,) if same_boot else ("restarted", current.state)
    if not same_boot:
        return ("restarted",)
    if announced.state != current.state:
        return ("suspect",) if current.state == "suspect" else ("recovered",)
    if current.clone and not announced.clone:
        return ("clone",)
    return ("updated",) if announced != current else ()


class EventLog:
    """Numbers the events of one table, and holds back those of a peer that flaps."""

    def __init__(self) -> None:
        self.seq = 0
        self.counts: Counter[EventKind] = Counter()
        self._events: list[Event] = []
        self._suppressed: dict[Key, Suppressed] = {}

    @property
    def suppressed_count(self) -> int:
        """Of how many rows something is still to be told."""
        return len(self._suppressed)

    def take(self) -> tuple[Event, ...]:
        """Give the events since the last call, in their order."""
        if not self._events:
            return ()
        events, self._events = self._events, []
        return tuple(events)

    def is_suppressed(self, row: Row) -> bool:
        """Whether something is still to be told of a row."""
        return row.key in self._suppressed

    def emit(self, kind: EventKind, reason: str, row: Row, now: float) -> None:
        """Tell of a change, or of what it comes to later, if the peer flaps."""
        row.changed()
        if row.key in self._suppressed:
            self._count(row, now)
            return
        current = _current(row, now)
        if row.pace.allows(now, _spared(row.announced, current)):
            self._publish(kind, reason, row, current, now)
        else:
            self._suppressed[row.key] = Suppressed(row, current, 1)

    def emit_if_changed(self, row: Row, now: float) -> None:
        """Tell of a new record, new addresses, or that one of us does not hear the other, if that is so since last."""
        if self._suppressed and row.key in self._suppressed:
            self._count(row, now)
            return
        if _is_plainly_announced(row):
            return
        announced, current = row.announced, _current(row, now)
        if announced[3:] == current[3:]:
            return
        if current.digest != announced.digest:
            reason = "record changed" if announced.digest else "record received"
        elif current.addresses != announced.addresses:
            reason = f"addresses {', '.join(announced.addresses)} -> {', '.join(current.addresses)}"
        elif current.sealed_with != announced.sealed_with:
            reason = f"sealed with key {current.sealed_with}" if current.sealed_with else "no longer sealed"
        elif current.unheard != announced.unheard:
            reason = "its HELLOs do not arrive, it answers PINGs" if current.unheard else "its HELLOs arrive again"
        elif current.shared != announced.shared:
            reason = "another live node has its address" if current.shared else "its address is its own again"
        else:
            reason = "it does not hear us" if current.deaf else "it hears us"
        self.emit("updated", reason, row, now)

    def catch_up(self, now: float) -> None:
        """Tell what is held back of peers that may be told of again."""
        for suppressed in [one for one in self._suppressed.values() if now >= one.opens]:
            self._release(suppressed, now)

    def next_due(self) -> float:
        """Say when `catch_up` has something to do."""
        return min(suppressed.opens for suppressed in self._suppressed.values()) if self._suppressed else NEVER

    def settle(self, row: Row, now: float) -> None:
        """Tell what is held back of a row that will be forgotten."""
        suppressed = self._suppressed.get(row.key)
        if suppressed is not None:
            self._release(suppressed, now, at_once=True)

    def hand_over(self, former: Row, row: Row) -> None:
        """Let a row continue another: what was told of that one, and how fast it may be told of."""
        row.pace = former.pace
        row.announced, former.announced = former.announced, UNANNOUNCED
        suppressed = self._suppressed.pop(former.key, None)
        if suppressed is not None:
            self._suppressed[row.key] = Suppressed(row, suppressed.current, suppressed.changes)

    def hand_back(self, row: Row, boots: list[Row]) -> None:
        """Let a row have back what was told of it and handed over to another; from now on its events are its own."""
        row.pace = Pace()
        for one in boots:
            if one is not row and one.announced.boot == row.boot:
                row.announced, one.announced = one.announced, UNANNOUNCED

    def _count(self, row: Row, now: float) -> None:
        """See what has become of a row of which something is held back."""
        suppressed, current = self._suppressed[row.key], _current(row, now)
        suppressed.changes += current != suppressed.current
        suppressed.current = current
        self._release(suppressed, now)

    def _release(self, suppressed: Suppressed, now: float, *, at_once: bool = False) -> None:
        row = suppressed.row
        current = _current(row, now)
        kinds = net_events(row.announced, current)
        spared = _spared(row.announced, current)
        if kinds and not at_once and not row.pace.allows(now, spared, len(kinds)):
            suppressed.opens = row.pace.opens(spared)
            return
        del self._suppressed[row.key]
        for kind in kinds:
            self._publish(kind, f"after {suppressed.changes} changes in short succession", row, current, now)

    def _publish(self, kind: EventKind, reason: str, row: Row, current: Announced, now: float) -> None:
        self.seq += 1
        self.counts[kind] += 1
        former = row.announced.boot if row.announced.boot != current.boot else ""
        row.announced = current
        self._events.append(Event(kind=kind, seq=self.seq, peer=row.peer(now), reason=reason, former=former))


def _spared(announced: Announced, current: Announced) -> int:
    """Say how much of its budget an event must leave: to doubt a peer must not keep its end from being told."""
    if announced.state not in LIVE:
        return 0
    if current.state not in LIVE:
        return int(announced.boot != current.boot)  # `net_events` takes two
    return EVENTS_SPARED if announced[1:3] == current[1:3] else 0


def _is_plainly_announced(row: Row) -> bool:
    """Whether nothing is new, as far as that is quick to see: `emit_if_changed` is called for each datagram."""
    if row.several:
        return False
    [path] = row.paths.values()
    announced = row.announced
    digest = row.record.digest if row.record else ""
    return (
        announced.digest == digest
        and announced.addresses == (path.address,)
        and announced.deaf is (path.two_way is False)
        and announced.sealed_with == row.sealed_with
        and announced.unheard is row.unheard
        and announced.shared is row.shared
    )


def _current(row: Row, now: float) -> Announced:
    fresh = row.fresh(now)
    digest = row.record.digest if row.record else ""
    addresses = tuple(dict.fromkeys(path.address for path in fresh))
    is_deaf = fresh[0].two_way is False
    return Announced(
        row.state, row.boot, row.clone, digest, addresses, is_deaf, row.sealed_with, row.unheard, row.shared
    )
