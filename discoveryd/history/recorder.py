"""Turns what was seen of peers into stays, events and watches of a store. For one thread.

Every method that writes belongs into a batch of the store. What it remembers of the store is thrown away, and read
again, after a batch that failed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from discoveryd.history.store import NodeFacts, Store
from discoveryd.history.tally import Ended
from discoveryd.protocol.table.journal import Sighting
from discoveryd.protocol.table.row import Key

UNWRITTEN = 30_000
"""Milliseconds without a batch that was kept that count as an absence."""
SLEPT = 2.0
"""Seconds of suspend between two looks that count as an absence."""
_KEPT: Final = frozenset(("joined", "recovered", "restarted", "down", "left", "updated", "clone"))
"""Events that are kept one by one."""


class Clocks(NamedTuple):
    """The time, in seconds: since the machine started, on the wall, and since it started without suspend."""

    booted: float
    wall: float
    awake: float

    def slept_since(self, before: Clocks) -> bool:
        """Return whether the machine was suspended in between."""
        return (self.booted - before.booted) - (self.awake - before.awake) > SLEPT


def clocks() -> Clocks:
    """Return the time by the clocks of the machine."""
    return Clocks(time.clock_gettime(time.CLOCK_BOOTTIME), time.time(), time.monotonic())


class Recorder:
    """Writes into a store.

    Args:
        store: open; with a timeline that has begun, this run goes on in it.
        now: the time by three clocks.
    """

    def __init__(self, store: Store, now: Clocks) -> None:
        self._store = store
        self._line = store.timeline
        self._before, self._looked = now, 0
        self._watch: int | None = None
        self._open: dict[Key, int] = {}
        self._nodes: dict[str, tuple[int, NodeFacts]] = {}

    def begin(self) -> None:
        """Begin this run: what went on in the run before ended when that was last there."""
        self._looked = self._line.begin(self._store.last_moment(), self._before.booted, self._before.wall)
        self._store.begin_run(*self._line.runs[-1])
        self._watch = self._store.begin_watch(self._looked)

    def read_again(self, clocks: Clocks) -> None:
        """Take over what the store has of this run, after a batch that failed; a long time unwritten is an absence."""
        self._nodes.clear()
        self._open = {(id, boot): number for number, id, boot in self._store.open_stays()}
        self._watch = self._store.open_watch()
        now, last = self.moment(clocks), self._store.last_moment()
        if self._watch is not None and last is not None and now - last > UNWRITTEN:
            self._store.extend_watch(self._watch, last, "unwritten")
            self._watch = self._store.begin_watch(now)

    def moment(self, clocks: Clocks) -> int:
        """Return the moment of a time."""
        return self._line.now(clocks.booted)

    @property
    def is_watching(self) -> bool:
        """Whether this node can tell at present: it is not cut off."""
        return self._watch is not None

    # --- our own time ---------------------------------------------------------------------------

    def look(self, clocks: Clocks, heard: float | None) -> int:
        """Note that this node is there, and return the present moment.

        Args:
            clocks: the time.
            heard: when any peer was heard last, if this node is cut off since then; None while it is not.
        """
        now = self.moment(clocks)
        if self._line.set_wall(clocks.booted, clocks.wall):
            self._store.set_ahead(*self._line.runs[-1])
        if self._watch is not None and clocks.slept_since(self._before):
            self._store.extend_watch(self._watch, self._looked, "suspended")
            self._watch = self._store.begin_watch(now)
        if self._watch is not None and heard is not None:
            self._store.extend_watch(self._watch, min(now, self._line.now(heard)), "isolated")
            self._watch = None
        elif self._watch is None and heard is None:
            self._watch = self._store.begin_watch(now)
        elif self._watch is not None:
            self._store.extend_watch(self._watch, now)
        self._before, self._looked = clocks, now
        return now

    def stop(self, booted: float) -> None:
        """Note that this node stops, and cannot tell how the stays end that go on."""
        now = self._line.now(booted)
        if self._watch is not None:
            self._store.extend_watch(self._watch, now, "stopped")
        self._store.end_all(now, "this node was stopped")
        self._open.clear()

    # --- peers ----------------------------------------------------------------------------------

    def take(self, seen: Iterable[Sighting]) -> None:
        """Keep what was seen, in its order."""
        for one in seen:
            key, n, is_event = (one.id, one.boot), self._keep(one), one.kind in _KEPT
            if one.former and one.kind == "restarted":
                self._end((one.id, one.former), one.former_heard, "restarted", one.reason)
            if one.kind in ("down", "left"):
                self._end(key, one.heard, "left" if one.kind == "left" else "down", one.reason)
            elif key not in self._open:
                is_event = self._begin(one, n) and is_event
            if is_event:
                self._store.add_event(self._line.now(one.at), n, one.kind, one.reason, one.address, one.link)

    def _begin(self, one: Sighting, n: int) -> bool:
        """Begin a stay; return whether that is an event: not if this node alone was away."""
        boot, ended = self._store.last_stay(n)
        since = self._line.now(one.since)
        self._open[one.id, one.boot] = self._store.begin_stay(n, one.boot, since, one.address, one.link)
        if (boot, ended) == (one.boot, "unknown"):
            return False
        if one.kind == "proved":  # what it said before might have been forged, and was not noted
            came = "first HELLO" if not boot else "heard again" if boot == one.boot else "back with a new boot"
            where = one.link or "a routed path"
            self._store.add_event(since, n, "joined", f"{came} on {where}", one.address, one.link)
        return True

    def differing(self, there: set[Key]) -> tuple[set[Key], set[Key]]:
        """Return the rows that are up without a stay, and those with a stay that are not up."""
        return there - self._open.keys(), self._open.keys() - there

    def end_lost(self, gone: Iterable[tuple[Key, float | None]]) -> None:
        """End stays without an end: each when its peer was heard last, None where that is not known."""
        for key, heard in gone:
            self._end(key, heard, "down" if heard is not None else "unknown", "its end was not seen")

    def forget(self, id: str, n: int) -> None:
        """Forget all of a peer; if it is up, a new stay begins with the next comparison."""
        self._store.forget(n)
        self._nodes.pop(id, None)
        self._open = {key: number for key, number in self._open.items() if key[0] != id}

    def pruned(self) -> None:
        """Note that peers may have been forgotten."""
        self._nodes.clear()

    def _end(self, key: Key, heard: float | None, ended: Ended, reason: str) -> None:
        number = self._open.pop(key, None)
        if number is not None:
            self._store.end_stay(number, self._looked if heard is None else self._line.now(heard), ended, reason)

    def _keep(self, one: Sighting) -> int:
        known = self._nodes.get(one.id)
        record = one.record
        if record is None:
            facts = NodeFacts(one.id, None, one.address, one.link, "{}", "[]")
            facts = known[1]._replace(address=one.address, link=one.link) if known else facts
        else:
            services = [service.to_json() for service in record.services]
            facts = NodeFacts(
                one.id, record.name, one.address, one.link, json.dumps(dict(record.tags)), json.dumps(services)
            )
        if known is None or known[1] != facts:
            known = self._nodes[one.id] = (self._store.keep_node(facts, self._line.now(one.since)), facts)
        return known[0]
