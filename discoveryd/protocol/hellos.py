"""HELLOs of others: listed, challenged or refused, and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.incoming import Claim, Incoming
from discoveryd.protocol.limited_broadcast import is_elsewhere
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import NOTHING, Outcome, Send
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.wire.messages import BareHello, Hello

if TYPE_CHECKING:
    from discoveryd.protocol.reception import Reception


class Hellos:
    """Hears HELLOs for the table.

    Args:
        rooms: of the engine.
    """

    def __init__(self, rooms: Reception) -> None:
        self._rooms = rooms

    def hear_bare(self, _: BareHello, incoming: Incoming, now: float) -> Outcome:
        """List the sender of a bare HELLO, which is known by its address alone."""
        source = incoming.source
        if not self._rooms.outbox.is_foreign(source):
            raise WireError("own-echo", "a bare HELLO from this machine")
        self._rooms.rate_limits.admit((source.address, ""), source, now)
        events = self._rooms.table.heard_bare(source, self._rooms.outbox.parameters.bare_ttl, now)
        self._rooms.understood["bare"] += 1
        return Outcome(events=events)

    def hear(self, hello: Hello, incoming: Incoming, now: float) -> Outcome:
        """List the sender of a HELLO, or challenge it first."""
        source = incoming.source
        self._rooms.rate_limits.check_sender(hello.realm, hello.boot, source, now, hello.id)
        claim = Claim(source, (hello.id, hello.boot), incoming.size, hello.solicit)
        try:
            self._rooms.rate_limits.admit(claim.key, source, now, is_known=incoming.is_known)
            return self.enter(hello, claim, now)
        except Unproven as error:
            is_flood = self._rooms.rate_limits.flooded_since is not None
            dropped = self._rooms.rate_limits.drop(error, source)
            sends = self._rooms.challenges.hear(hello, claim, now, is_flood=is_flood)
            self._rooms.hello_rate.beats += bool(sends)
            return replace(dropped, sends=tuple(sends))

    def enter(self, hello: Hello, claim: Claim, now: float, *, proved: bool = False) -> Outcome:
        """Enter a HELLO in the table; with `proved` its sender has answered a challenge."""
        is_aside = self._is_heard_elsewhere(hello, claim, now)
        events = () if is_aside else self._rooms.table.heard(hello, claim.source, now, proved=proved)
        self._rooms.understood["hello"] += 1
        if is_aside:
            return NOTHING
        return Outcome(sends=tuple(self._follow_up(hello, events, claim, now)), events=events)

    def _is_heard_elsewhere(self, hello: Hello, claim: Claim, now: float) -> bool:
        """Note what a HELLO tells of the broadcasts on its link; return whether that is all it tells."""
        link, address = claim.source.link, claim.source.address
        if link is None:
            return False
        limited = self._rooms.outbox.limited
        if hello.solicit and not claim.source.unicast:
            limited.doubts(link, address, now)
        row = self._rooms.table.get(*claim.key)
        if row is None or hello.goodbye or not is_elsewhere(row, claim.source, now):
            return False
        limited.set_aside(link, address, now)
        return True

    def _follow_up(self, hello: Hello, events: tuple[Event, ...], claim: Claim, now: float) -> list[Send]:
        """Send what a HELLO calls for."""
        sends: list[Send] = []
        row = self._rooms.table.get(*claim.key)
        if row is not None and row.state in LIVE:
            self._rooms.hello_rate.beats += row.last_hello == now and not claim.source.unicast
            sends += self.request_record(row, claim.source, now)
            if hello.solicit:
                sends += self.answer(claim, now)
            self._rooms.prober.watch(row, now)
        sends += self._rooms.challenges.ask_beyond(claim, now)
        if any(event.kind == "restarted" for event in events):
            for rival in self._rooms.table.boots.replaced(hello.id):  # an answer of the older boot proves a clone
                if self._rooms.rate_limits.questions.allows(rival.paths.best(now).address, now):
                    sends += self._rooms.prober.ping(rival, now)[1]
        return sends

    def request_record(self, row: Row, source: Source, now: float) -> list[Send]:
        """Solicit the record that a digest stands for, at most once an interval; of many, one after the other.

        Where that is refused, the record comes by itself with the next full HELLO.
        """
        is_asked = now < row.asked + self._rooms.outbox.parameters.interval
        if self._rooms.table.has_digest(row) or is_asked or not self._rooms.answers.may_request(now):
            return []
        row.asked = now
        return [] if self._rooms.rate_limits.refusal(source, now) else [self._rooms.answers.request(source, now)]

    def answer(self, claim: Claim, now: float, *, is_prompt: bool = False) -> list[Send]:
        """Answer a solicit with the full HELLO, `is_prompt` where it has waited its turn.

        A sender that did not prove to be there gets no more bytes than it sent.
        """
        source = claim.source
        if source.key or self._rooms.outbox.credit.is_proven(source.address, now):
            claim = claim._replace(size=NEVER)
        if self._rooms.answers.joins(claim):
            return []
        if not self._rooms.rate_limits.takes_solicit(source, now):
            return []
        if is_prompt:
            return [self._rooms.outbox.unicast(self._rooms.outbox.hello(full=True).encode(), source)]
        return self._rooms.answers.answer(claim, now)
