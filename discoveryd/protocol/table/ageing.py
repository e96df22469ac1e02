"""What time does to the rows of a table: silence, proofs of absence, ends, and when each of them is due."""

from collections.abc import Iterable

from discoveryd.errors import WireError
from discoveryd.protocol.link import Source
from discoveryd.protocol.table.liveness import (
    ASSUMED_LOSS,
    JITTER,
    MUTE_PINGS,
    NEVER,
    P_DEAF,
    misses,
    probes_needed,
)
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import KINDS, LIVE, Event, EventKind
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.rows import Rows
from discoveryd.protocol.table.shared_addresses import SharedAddresses
from discoveryd.protocol.table.standing import Farewell, holds_until, life
from discoveryd.protocol.table.states import Cause
from discoveryd.protocol.wire.messages import Hello

DEAF_PINGS = 3
"""PINGs in a row without an answer, at least, after which a peer whose HELLOs arrive does not hear us."""

FEW = 256
"""Rows that are looked through in less time than a thread takes to be woken."""


class AgeingRows(Rows):
    """Rows that fall silent, are given up, end and are forgotten; each call returns its events.

    Attributes:
        steady: the paths on which a steady HELLO is expected, by all of it but its seq, and by its source. An entry is
            valid as long as `Path.stamp` is that of its row: until then that HELLO changes nothing but when the peer
            was heard. There is one entry for a path at most.
        blind_until: no peer is judged by silence before that moment.
    """

    def __init__(self, *, limit: int = 4096, remember: float = 3600.0, own_id: str = "") -> None:
        super().__init__(limit=limit, remember=remember, own_id=own_id)
        self.steady: dict[tuple[bytes, Source], Path] = {}
        self.blind_until = -NEVER
        self.shared = SharedAddresses(self.by_key, self.event_log)
        self._next_expiry = NEVER  # never later than the first row to expire
        self._owed: list[Event] = []  # happened before a call that raises: returned by the next

    @property
    def seq(self) -> int:
        """Number of the last event."""
        return self.event_log.seq

    @property
    def event_counts(self) -> dict[EventKind, int]:
        """Count the events there were, by kind."""
        return {kind: self.event_log.counts[kind] for kind in KINDS}

    def shared_addresses(self, now: float) -> dict[tuple[str, str], list[Row]]:
        """Return the rows that share an address, by address and link."""
        return self.shared.found(now)

    # --- what is due --------------------------------------------------------------------------------

    def next_expiry(self) -> float:
        """Return the time at which `expire` has something to do: never too late, sometimes too early."""
        return min(self._next_expiry, self.shared.due, self.event_log.next_due())

    def expire(self, now: float, clock: float | None = None) -> tuple[Event, ...]:
        """Do what is due: silent rows become suspect, then down, then are forgotten; silent paths are forgotten.

        Args:
            now: until when all that arrived was heard; silence after that is not judged.
            clock: the time, if it is later: `next_expiry` is then by what was heard meanwhile, and past only if
                a row may be due.
        """
        return self._with_owed(self._due(now, now if clock is None else clock))

    def look_ahead(self, now: float, until: float) -> None:
        """Find `next_expiry` anew where it comes before `until`: most rows were heard since, and nothing is due then.

        That costs less than to be woken for it, unless there are many rows.
        """
        is_early = now < self._next_expiry < until and self.blind_until == -NEVER
        if is_early and len(self.by_key) <= FEW:
            self._next_expiry = min([self._ends(row, now) for row in self.by_key.values()], default=NEVER)

    def mistrust(self, until: float) -> None:
        """Judge no peer before that moment, for what arrived until then may be lost, or yet to be given.

        At that moment each row that would be suspect or down is suspect, for one grace period. There is one for each
        silence: pauses in a row keep no row alive.
        """
        self.blind_until = max(self.blind_until, until)
        self._next_expiry = min(self._next_expiry, until)

    def _due(self, now: float, clock: float) -> list[Event]:
        events: list[Event] = []
        if clock >= self._next_expiry and now >= self.blind_until:
            if self.blind_until > -NEVER:
                self.blind_until, self._next_expiry = -NEVER, now
                for row in [row for row in self.by_key.values() if row.excuse(now)]:
                    events += self._turn(row, "slept", "we were asleep, so its silence means little", now)
            events += self._tidy(now)
        if clock >= self.shared.due:
            events += self.shared.judge(now, clock)
        if self.event_log.suppressed and now >= self.event_log.next_due():
            events += self.event_log.catch_up(now)
        return events

    def _with_owed(self, events: Iterable[Event]) -> tuple[Event, ...]:
        owed, self._owed = self._owed, []
        return (*owed, *events)

    def _tidy(self, now: float) -> list[Event]:
        rows = self.by_key.values()
        deadlines = [
            # what `Row.deadline` does, for nearly all of them; the paths of a row with several have to be judged
            row.last_heard + row.patience if row.state == "up" and not row.several and not row.is_replaced
            else now if row.several else self._ends(row, now)
            for row in rows
        ]  # fmt: skip
        due = [row for row, deadline in zip(rows, deadlines, strict=True) if now >= deadline]
        next_expiry = min([deadline for deadline in deadlines if deadline > now], default=NEVER)
        # in the order in which they fell silent
        events = [event for row in sorted(due, key=lambda row: row.expires) for event in self._judge(row, now)]
        later = [self._ends(row, now) for row in due if row.key in self.by_key]
        self._next_expiry = min([next_expiry, *later])
        return events

    def _ends(self, row: Row, now: float) -> float:
        """Return the time at which something is due for a row; one that is given time is not forgotten meanwhile."""
        due = row.deadline(now, self.remember)
        return due if row.state in LIVE or not row.proved else max(due, self.event_log.grace.until(row))

    def _judge(self, row: Row, now: float) -> list[Event]:
        """Do what is due for one row; after a long pause that is several things."""
        events: list[Event] = []
        if row.is_shown and now >= row.expires:
            events += self._turn(row, "expired", f"not heard for its ttl of {row.ttl:g} s", now)
        if row.state not in LIVE or (row.is_replaced and now >= row.expires):
            return events + self._remove(row, now) if now >= self._ends(row, now) else events
        if row.several:
            for path in row.paths:
                if now >= path.expires:
                    self._drop_path(path)
                elif now >= path.stale_at():
                    row.changed()  # the next HELLO on this path changes which one is the best
            row.paths.consider(now)
        if row.is_replaced:
            return []
        if row.state == "up" and now >= row.suspect_at():
            missed = misses(now - row.last_heard, row.interval or row.ttl)
            return self._turn(row, "overdue", f"{missed} HELLOs missed", now)
        return self.event_log.emit_if_changed(row, now)

    def set_interval(self, interval: float) -> None:
        """Take our interval, by which is judged how long something holds that is not proved: at once where it grew."""
        former, self.interval = self.interval, interval
        for row in self.by_key.values() if interval > former else ():
            if row.interval is not None and row.life < row.ttl:
                row.hold_for(life(row, interval))
                row.has_new_ttl()
                row.changed()

    # --- proofs of absence --------------------------------------------------------------------------

    def unanswered(self, row: Row, path: Path, now: float) -> tuple[Event, ...]:
        """Count a PING without an answer; after several a peer whose HELLOs arrive does not hear us."""
        path.unanswered += 1
        enough = probes_needed(path.loss, P_DEAF)
        if path.loss is None and path.unanswered >= MUTE_PINGS and self._hears_well(path, now):
            enough = MUTE_PINGS
        if enough and path.unanswered >= max(DEAF_PINGS, enough) and row.state == "up" and path.two_way is not False:
            path.two_way = False
            row.changed()
            row.paths.consider(now)
            return self._with_owed(self.event_log.emit_if_changed(row, now))
        return ()

    def _hears_well(self, path: Path, now: float) -> bool:
        """Return whether HELLOs come by a path now, and no more of them are lost on its link than is assumed of it."""
        beside = (other for row in self.rows(now) for other in row.paths if other.link == path.link)
        is_heard = now < path.last_heard + (path.row.interval or path.row.ttl) * (1 + JITTER)
        return is_heard and all((other.loss or 0.0) <= ASSUMED_LOSS for other in beside)

    def refused(self, row: Row, reason: str, now: float, *, is_certain: bool = False) -> tuple[Event, ...]:
        """Process the word of its machine that no peer is there: the end of a suspect; else it is remembered.

        With `is_certain` it is the end of a row that is up, too.
        """
        row.refused = now
        row.changed()  # the next HELLO shows that the word is worth nothing
        return self.give_up(row, reason, now, is_certain=is_certain)

    def give_up(self, row: Row, reason: str, now: float, *, is_certain: bool = False) -> tuple[Event, ...]:
        """Let a suspect row end before its ttl, on evidence."""
        self._owed += self._due(now, now)
        if not (row.state == "suspect" or (is_certain and row.state == "up")) or row.is_replaced:
            return self._with_owed(())
        if row.leaving:
            return self._with_owed(self._turn(row, "goodbye", f"{row.farewell.text}; {reason}", now))
        return self._with_owed(self._turn(row, "disproved", reason, now))

    def turn_away(self, since: float, now: float) -> tuple[Event, ...]:
        """Remove the rows that came since then and never answered a PING: the forged ones of a flood."""
        events: list[Event] = []
        for row in list(self.by_key.values()):
            if row.state in LIVE and row.is_stranger(since):
                if not row.is_replaced:
                    events += self._turn(row, "displaced", "came with a flood, and answered no PING", now)
                events += self._remove(row, now)  # its silence says nothing of us
        return self._with_owed(events)

    # --- goodbyes -----------------------------------------------------------------------------------

    def _goodbye(self, row: Row | None, hello: Hello, now: float) -> list[Event]:
        """Let a peer leave. The goodbye of a boot that is not live changes nothing."""
        if row is None or row.state not in LIVE:
            return []
        row.farewell = Farewell(max(row.seq, hello.seq), hello.goodbye_reason)
        if row.is_replaced:
            return self._remove(row, now)
        if row.sealed_with or now >= row.doubted_until:
            return self._turn(row, "goodbye", row.farewell.text, now)
        if row.leaving:
            return []
        # forged: the last one was, so this one is a reason to ask, no more
        return self._turn(row, "doubted", "said goodbye, which was not its own not long ago: it is asked", now)

    def _stale(self, row: Row) -> WireError:
        """Return the refusal of an old HELLO of a row that is gone; a plain row is asked whether it really is."""
        if not row.sealed_with:
            self.leavers[row.key] = row
        return WireError("stale", "not newer than the last one of a peer, or a boot, that is gone")

    # --- changes of state ---------------------------------------------------------------------------

    def _turn(self, row: Row, cause: Cause, reason: str, now: float) -> list[Event]:
        """Let a row become suspect, down or left; return the events of that."""
        is_known = row.state == "suspect" and cause == "slept"
        self._change(row, cause, now)
        if row.state == "suspect":
            return [] if is_known else self.event_log.emit("suspect", reason, row, now)
        kind: EventKind = "left" if row.state == "left" else "down"
        return self.event_log.emit(kind, reason, row, now) + self.settle(row.id, now)

    def _change(self, row: Row, cause: Cause, now: float) -> None:
        """Let a row change its state, and file it by its new one."""
        row.become(cause, now)
        if row.state == "suspect":
            if row.kind == "node":  # a bare peer answers nothing
                self.suspects[row.key] = row
            return
        self.suspects.pop(row.key, None)
        if row.state == "up":
            self.leavers.pop(row.key, None)
            self._gone.pop(row.key, None)
        else:
            self._gone[row.key] = row
            if row.state == "left" and not row.sealed_with:
                self.leavers[row.key] = row
        self.shared.came_or_went(row, row.last_heard)
        self._next_expiry = min(self._next_expiry, row.deadline(now, self.remember))

    def _remove(self, row: Row, now: float) -> list[Event]:
        """Forget a row; return what was not yet announced of it."""
        events = self.event_log.settle(row, now)
        for path in row.paths:
            self._expect_nothing(path)
            self.shared.remove(path)
        self._forget(row)
        if row.kind == "node" and (row.is_replaced or row.state == "left"):
            self.end(row, now, holds_until(row, now, self.interval))
        return events

    def forget(self, id: str, now: float) -> tuple[Event, ...]:
        """Forget the rows of a node that are gone, before their time."""
        self._owed += self._due(now, now)
        gone = [row for row in self.by_key.values() if row.id == id and row.state not in LIVE]
        return self._with_owed([event for row in gone for event in self._remove(row, now)])

    def _drop_path(self, path: Path) -> None:
        self._expect_nothing(path)
        self.shared.remove(path)
        path.row.paths.drop(path)

    def _expect_nothing(self, path: Path) -> None:
        if path.expected is not None:
            del self.steady[path.expected]
            path.expected = None
