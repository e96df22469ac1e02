"""The event log: one event for each change of a row, few for a peer that flaps.

A peer has a budget of events: a few at once, then one in `EVENT_GAP` seconds. While it is used up, changes are damped:
only counted, and the row is *suppressed*. What the changes come to is announced as soon as the budget allows, or never
if in the end nothing has changed. So a program that follows the events knows the same as one that asks for the list, a
little later for a peer that flaps. In the same way the absence of a peer that is given time (`Grace`) is suppressed
until that is over; if the peer is back by then, it was never away.

Each call returns its events, in their order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from discoveryd.protocol.table.changes import changes_between, told
from discoveryd.protocol.table.grace import Grace
from discoveryd.protocol.table.journal import Journal
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE, UNANNOUNCED, Announced, Event, EventKind, Peer

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Key, Row

EVENT_BURST = 10
EVENT_GAP = 5.0
"""Events of one peer at once, and seconds per event of a peer that goes on to flap."""
CHANGING = ("updated", "restarted")
"""Kinds of events of a peer that goes on, perhaps as another."""
EVENTS_SPARED = 5
"""Events of the burst that doubts (suspect and back, new addresses) leave to comings and goings."""


def allows(row: Row, now: float, spared: int = 0, events: int = 1) -> bool:
    """Return whether an event is allowed now that leaves so many to others; if so, take it from the budget.

    A refusal changes nothing, not by a rounding either: however often a peer is heard, its event has one moment.
    """
    if now < opens(row, spared):
        return False
    row.pace_full = max(row.pace_full, now) + events * EVENT_GAP
    return True


def opens(row: Row, spared: int = 0) -> float:
    """Return the time from which on an event is allowed that leaves so many to others."""
    return row.pace_full - (EVENT_BURST - 1 - spared) * EVENT_GAP


class Suppressed:
    """A row with changes that are not announced yet.

    Attributes:
        current: the row as it was last counted.
        changes: how many there were since the last event.
        opens: the time from which on an event is allowed.
        reason: of the last change, where it waits for a grace to end; else empty.
    """

    __slots__ = ("changes", "current", "opens", "reason", "row")

    def __init__(self, row: Row, current: Announced, until: float = -NEVER, reason: str = "") -> None:
        self.row = row
        self.current = current
        self.changes = 1
        self.opens = until if reason else opens(row, _spared(row.announced, current))
        self.reason = reason


def net_events(announced: Announced, current: Announced) -> tuple[EventKind, ...]:
    """Return the events that lead from what was announced of a row to what it is.

    There are two where a new boot came and went meanwhile: the announced boot must be taken away first.
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
    """Numbers the events of one table, and suppresses those of a peer that flaps.

    Attributes:
        seq: number of the last event.
        counts: events there were, by kind.
        suppressed: rows with changes that are not announced yet.
        grace: the absences that wait.
        journal: of all changes, also those that are suppressed.
    """

    def __init__(self) -> None:
        self.journal = Journal()
        self.seq = 0
        self.counts: Counter[EventKind] = Counter()
        self.suppressed: dict[Key, Suppressed] = {}
        self.grace = Grace()
        self._next_due = NEVER  # never later than the first that opens

    def emit(self, kind: EventKind, reason: str, row: Row, now: float) -> list[Event]:
        """Return the event of a change that the row has noted, or nothing while the peer flaps."""
        self.journal.changed(kind, reason, row, now)
        if row.key in self.suppressed:
            suppressed = self.suppressed[row.key]
            suppressed.reason = suppressed.reason and reason
            return self._release(suppressed, now)
        current = _current(row, now)
        if row.state != "up" and (until := self.grace.until(row)) > now:
            self._suppress(Suppressed(row, current, until, reason))
        elif allows(row, now, _spared(row.announced, current)):
            return [self._publish(kind, reason, row, current, now)]
        else:
            self._suppress(Suppressed(row, current))
        return []

    def emit_if_changed(self, row: Row, now: float) -> list[Event]:
        """Return an event if the record, the addresses, the key, or a one-way path changed since the last event."""
        if row.key in self.suppressed:
            return self._release(self.suppressed[row.key], now)
        announced, current = row.announced, _current(row, now)
        if announced[3:] == current[3:]:
            return []
        return self.emit("updated", _difference(announced, current), row, now)

    def catch_up(self, now: float) -> list[Event]:
        """Return the events of suppressed rows that are allowed again."""
        due = [suppressed for suppressed in self.suppressed.values() if now >= suppressed.opens]
        events = [event for suppressed in due for event in self._release(suppressed, now)]
        self._next_due = min((suppressed.opens for suppressed in self.suppressed.values()), default=NEVER)
        return events

    def look_again(self) -> None:
        """Let `catch_up` look at all that waits: more or less grace is given than before."""
        for suppressed in self.suppressed.values():
            suppressed.opens = -NEVER
        self._next_due = -NEVER

    def withheld(self, now: float) -> list[Peer]:
        """Return the peers that are gone, which no event has told yet, as the events so far tell them."""
        return [
            replace(suppressed.row.peer(now), state=told)
            for suppressed in self.suppressed.values()
            if (told := suppressed.row.announced.state) in LIVE and suppressed.row.state_at(now) not in LIVE
        ]

    def next_due(self) -> float:
        """Return the time at which `catch_up` has something to do: never too late, sometimes too early."""
        return self._next_due if self.suppressed else NEVER

    def settle(self, row: Row, now: float) -> list[Event]:
        """Return at once what is suppressed of a row that is about to be forgotten."""
        suppressed = self.suppressed.get(row.key)
        return [] if suppressed is None else self._release(suppressed, now, at_once=True)

    def hand_over(self, former: Row, row: Row) -> None:
        """Let a row continue another: what was announced of it, and its budget of events."""
        row.pace_full = former.pace_full
        row.announced, former.announced = former.announced, UNANNOUNCED
        suppressed = self.suppressed.pop(former.key, None)
        if suppressed is not None:
            suppressed.row = row
            self._suppress(suppressed)

    def hand_back(self, row: Row, boots: list[Row]) -> None:
        """Return to a row what was announced of it and handed over to another boot; its budget is its own again."""
        row.pace_full = -NEVER
        for other in boots:
            if other is not row and other.announced.boot == row.boot:
                row.announced, other.announced = other.announced, UNANNOUNCED

    def _suppress(self, suppressed: Suppressed) -> None:
        self.suppressed[suppressed.row.key] = suppressed
        self._next_due = min(self._next_due, suppressed.opens)

    def _release(self, suppressed: Suppressed, now: float, *, at_once: bool = False) -> list[Event]:
        row = suppressed.row
        if row.state != "up" and not at_once and (until := self.grace.until(row)) > now:
            suppressed.opens = until
            self._next_due = min(self._next_due, until)
            return []
        current = _current(row, now)
        suppressed.changes += current != suppressed.current
        suppressed.current = current
        kinds = net_events(row.announced, current)
        spared = _spared(row.announced, current)
        if kinds and not at_once and not allows(row, now, spared, len(kinds)):
            suppressed.opens = opens(row, spared)
            self._next_due = min(self._next_due, suppressed.opens)
            return []
        del self.suppressed[row.key]
        reason = suppressed.reason or f"after {suppressed.changes} changes in short succession"
        if suppressed.reason and row.state != "up":
            reason += "; its grace is over"
        return [self._publish(kind, reason, row, current, now) for kind in kinds]

    def _publish(self, kind: EventKind, reason: str, row: Row, current: Announced, now: float) -> Event:
        self.seq += 1
        self.counts[kind] += 1
        former = row.announced.boot if row.announced.boot != current.boot else ""
        changes = changes_between(row.announced, current) if kind in CHANGING else ()
        row.announced = current
        self.journal.told(kind, reason, row, now)
        return Event(kind=kind, seq=self.seq, peer=row.peer(now), reason=reason, former=former, changes=changes)


def _difference(announced: Announced, current: Announced) -> str:
    if current.digest != announced.digest:
        if not announced.digest:
            return "record received"
        return told(changes_between(announced, current)) or "record changed"  # by a key of a later version
    if current.addresses != announced.addresses:
        return f"addresses {', '.join(announced.addresses)} -> {', '.join(current.addresses)}"
    if current.sealed_with != announced.sealed_with:
        return f"sealed with key {current.sealed_with}" if current.sealed_with else "no longer sealed"
    if current.unheard != announced.unheard:
        return "its HELLOs do not arrive, it answers PINGs" if current.unheard else "its HELLOs arrive again"
    if current.shared != announced.shared:
        return "another live node has its address" if current.shared else "its address is its own again"
    return "it does not hear us" if current.deaf else "it hears us"


def _spared(announced: Announced, current: Announced) -> int:
    """Return how much of the budget an event must leave, so that doubts do not keep an end from being announced."""
    if announced.state not in LIVE:
        return 0
    if current.state not in LIVE:
        return int(announced.boot != current.boot)  # `net_events` takes two
    return EVENTS_SPARED if announced[1:3] == current[1:3] else 0


def _current(row: Row, now: float) -> Announced:
    fresh = row.paths.fresh(now)
    digest = row.record.digest if row.record else ""
    addresses = tuple(dict.fromkeys(path.address for path in fresh))
    is_deaf = fresh[0].two_way is False
    return Announced(
        row.state, row.boot, row.clone, digest, addresses, is_deaf, row.sealed_with, row.unheard, row.shared, row.record
    )
