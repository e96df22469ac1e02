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
from discoveryd.protocol.table.row import NEVER, UNTOLD, Key, Row, Told


class Held:
    """A row of which something is to be told later.

    Attributes:
        true: what is so, as far as it was counted.
        changes: since the last event.
        opens: when it may be told.
    """

    __slots__ = ("changes", "opens", "row", "true")

    def __init__(self, row: Row, true: Told, changes: int) -> None:
        self.row = row
        self.true = true
        self.changes = changes
        self.opens = row.pace.opens(_spared(row.told, true))


def net_events(told: Told, true: Told) -> tuple[EventKind, ...]:
    """Say which events lead from what was told of a row to what is true.

    Two only where a new boot came and went since: the one that was told of must be taken away first.
    """
    was_live, is_live, same_boot = told.state in LIVE, true.state in LIVE, told.boot == true.boot
    if not was_live:
        if not is_live:
            return ()
        return ("recovered",) if told.state and same_boot else ("joined",)
    if true.state == "down" or true.state == "left":  # noqa: PLR1714 - mypy narrows no other form
        return (true.state,) if same_boot else ("restarted", true.state)
    if not same_boot:
        return ("restarted",)
    if told.state != true.state:
        return ("suspect",) if true.state == "suspect" else ("recovered",)
    if true.clone and not told.clone:
        return ("clone",)
    return ("updated",) if told != true else ()


class News:
    """Numbers the events of one table, and holds back those of a peer that flaps."""

    def __init__(self) -> None:
        self.seq = 0
        self.counts: Counter[EventKind] = Counter()
        self._events: list[Event] = []
        self._held: dict[Key, Held] = {}

    @property
    def holds(self) -> int:
        """Of how many rows something is still to be told."""
        return len(self._held)

    def take(self) -> tuple[Event, ...]:
        """Give the events since the last call, in their order."""
        if not self._events:
            return ()
        events, self._events = self._events, []
        return tuple(events)

    def is_held(self, row: Row) -> bool:
        """Whether something is still to be told of a row."""
        return row.key in self._held

    def say(self, kind: EventKind, reason: str, row: Row, now: float) -> None:
        """Tell of a change, or of what it comes to later, if the peer flaps."""
        row.changed()
        if row.key in self._held:
            self._count(row, now)
            return
        true = _true(row, now)
        if row.pace.allows(now, _spared(row.told, true)):
            self._publish(kind, reason, row, true, now)
        else:
            self._held[row.key] = Held(row, true, 1)

    def tell(self, row: Row, now: float) -> None:
        """Tell of a new record, new addresses, or that one of us does not hear the other, if that is so since last."""
        if self._held and row.key in self._held:
            self._count(row, now)
            return
        if _is_plainly_told(row):
            return
        told, true = row.told, _true(row, now)
        if told[3:] == true[3:]:
            return
        if true.digest != told.digest:
            reason = "record changed" if told.digest else "record received"
        elif true.addresses != told.addresses:
            reason = f"addresses {', '.join(told.addresses)} -> {', '.join(true.addresses)}"
        elif true.sealed_with != told.sealed_with:
            reason = f"sealed with key {true.sealed_with}" if true.sealed_with else "no longer sealed"
        elif true.unheard != told.unheard:
            reason = "its HELLOs do not arrive, it answers PINGs" if true.unheard else "its HELLOs arrive again"
        elif true.shared != told.shared:
            reason = "another live node has its address" if true.shared else "its address is its own again"
        else:
            reason = "it does not hear us" if true.deaf else "it hears us"
        self.say("updated", reason, row, now)

    def catch_up(self, now: float) -> None:
        """Tell what is held back of peers that may be told of again."""
        for held in [one for one in self._held.values() if now >= one.opens]:
            self._release(held, now)

    def next_due(self) -> float:
        """Say when `catch_up` has something to do."""
        return min(held.opens for held in self._held.values()) if self._held else NEVER

    def settle(self, row: Row, now: float) -> None:
        """Tell what is held back of a row that will be forgotten."""
        held = self._held.get(row.key)
        if held is not None:
            self._release(held, now, at_once=True)

    def hand_over(self, former: Row, row: Row) -> None:
        """Let a row continue another: what was told of that one, and how fast it may be told of."""
        row.pace = former.pace
        row.told, former.told = former.told, UNTOLD
        held = self._held.pop(former.key, None)
        if held is not None:
            self._held[row.key] = Held(row, held.true, held.changes)

    def hand_back(self, row: Row, namesakes: list[Row]) -> None:
        """Let a row have back what was told of it and handed over to another; from now on its events are its own."""
        row.pace = Pace()
        for one in namesakes:
            if one is not row and one.told.boot == row.boot:
                row.told, one.told = one.told, UNTOLD

    def _count(self, row: Row, now: float) -> None:
        """See what has become of a row of which something is held back."""
        held, true = self._held[row.key], _true(row, now)
        held.changes += true != held.true
        held.true = true
        self._release(held, now)

    def _release(self, held: Held, now: float, *, at_once: bool = False) -> None:
        row = held.row
        true = _true(row, now)
        kinds = net_events(row.told, true)
        spared = _spared(row.told, true)
        if kinds and not at_once and not row.pace.allows(now, spared, len(kinds)):
            held.opens = row.pace.opens(spared)
            return
        del self._held[row.key]
        for kind in kinds:
            self._publish(kind, f"after {held.changes} changes in short succession", row, true, now)

    def _publish(self, kind: EventKind, reason: str, row: Row, true: Told, now: float) -> None:
        self.seq += 1
        self.counts[kind] += 1
        former = row.told.boot if row.told.boot != true.boot else ""
        row.told = true
        self._events.append(Event(kind=kind, seq=self.seq, peer=row.peer(now), reason=reason, former=former))


def _spared(told: Told, true: Told) -> int:
    """Say how much of its budget an event must leave: to doubt a peer must not keep its end from being told."""
    if told.state not in LIVE:
        return 0
    if true.state not in LIVE:
        return int(told.boot != true.boot)  # `net_events` takes two
    return EVENTS_SPARED if told[1:3] == true[1:3] else 0


def _is_plainly_told(row: Row) -> bool:
    """Whether nothing is new, as far as that is quick to see: `tell` is called for each datagram."""
    if row.several:
        return False
    [way] = row.ways.values()
    told = row.told
    digest = row.record.digest if row.record else ""
    return (
        told.digest == digest
        and told.addresses == (way.address,)
        and told.deaf is (way.two_way is False)
        and told.sealed_with == row.sealed_with
        and told.unheard is row.unheard
        and told.shared is row.shared
    )


def _true(row: Row, now: float) -> Told:
    fresh = row.fresh(now)
    digest = row.record.digest if row.record else ""
    addresses = tuple(dict.fromkeys(way.address for way in fresh))
    is_deaf = fresh[0].two_way is False
    return Told(row.state, row.boot, row.clone, digest, addresses, is_deaf, row.sealed_with, row.unheard, row.shared)
