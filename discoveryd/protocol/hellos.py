"""HELLOs of others: listed, challenged or refused, and what follows from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.admission import Admission
from discoveryd.protocol.answers import Answers
from discoveryd.protocol.challenges import Challenges
from discoveryd.protocol.incoming import Claim, Incoming
from discoveryd.protocol.limited_broadcast import is_elsewhere
from discoveryd.protocol.link import Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import NOTHING, Outcome, Send
from discoveryd.protocol.prober import Prober
from discoveryd.protocol.rate_limits import RateLimits
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.messages import BareHello, Hello


@dataclass(slots=True, kw_only=True, eq=False)
class Hellos:
    """Hears HELLOs for the table.

    Attributes:
        beats: heartbeats that others broadcast, as far as they were heard here.
    """

    outbox: Outbox
    table: PeerTable
    rate_limits: RateLimits
    admission: Admission
    challenges: Challenges
    answers: Answers
    prober: Prober
    received: Counter[str]
    beats: int = 0

    def hear_bare(self, _: BareHello, incoming: Incoming, now: float) -> Outcome:
        """List the sender of a bare HELLO, which is known by its address alone."""
        source = incoming.source
        if not self.admission.is_foreign(source):
            raise WireError("own-echo", "a bare HELLO from this machine")
        self.admission.admit((source.address, ""), source, now)
        events = self.table.heard_bare(source, self.outbox.parameters.bare_ttl, now)
        self.received["bare"] += 1
        return Outcome(events=events)

    def hear(self, hello: Hello, incoming: Incoming, now: float) -> Outcome:
        """List the sender of a HELLO, or challenge it first."""
        source = incoming.source
        self.admission.check_sender(hello.realm, hello.boot, source, now, hello.id)
        claim = Claim(source, (hello.id, hello.boot), incoming.size, hello.solicit)
        try:
            self.admission.admit(claim.key, source, now, is_known=incoming.is_known)
            return self.enter(hello, claim, now)
        except Unproven as error:
            dropped = self.admission.drop(error, source)
            sends = self.challenges.hear(hello, claim, now, is_flood=self.admission.flooded_since is not None)
            self.beats += bool(sends)
            return replace(dropped, sends=tuple(sends))

    def enter(self, hello: Hello, claim: Claim, now: float, *, proved: bool = False) -> Outcome:
        """Enter a HELLO in the table; with `proved` its sender has answered a challenge."""
        is_aside = self._is_heard_elsewhere(hello, claim, now)
        events = () if is_aside else self.table.heard(hello, claim.source, now, proved=proved)
        self.received["hello"] += 1
        if is_aside:
            return NOTHING
        return Outcome(sends=tuple(self._follow_up(hello, events, claim, now)), events=events)

    def _is_heard_elsewhere(self, hello: Hello, claim: Claim, now: float) -> bool:
        """Note what a HELLO tells of the broadcasts on its link; return whether that is all it tells."""
        link, address = claim.source.link, claim.source.address
        if link is None:
            return False
        limited = self.outbox.limited
        if hello.solicit and not claim.source.unicast:
            limited.doubts(link, address, now)
        row = self.table.get(*claim.key)
        if row is None or hello.goodbye or not is_elsewhere(row, claim.source, now):
            return False
        limited.set_aside(link, address, now)
        return True

    def _follow_up(self, hello: Hello, events: tuple[Event, ...], claim: Claim, now: float) -> list[Send]:
        """Send what a HELLO calls for."""
        sends: list[Send] = []
        row = self.table.get(*claim.key)
        if row is not None and row.state in LIVE:
            self.beats += row.last_hello == now and not claim.source.unicast
            sends += self.request_record(row, claim.source, now)
            if hello.solicit:
                sends += self.answer(claim, now)
            self.prober.watch(row, now)
        sends += self.challenges.ask_beyond(claim, now)
        if any(event.kind == "restarted" for event in events):
            for rival in self.table.replaced_boots(hello.id):  # an answer of the older boot proves a clone
                if self.rate_limits.questions.allows(rival.paths.best(now).address, now):
                    sends += self.prober.ping(rival, now)[1]
        return sends

    def request_record(self, row: Row, source: Source, now: float) -> list[Send]:
        """Solicit the record that a digest stands for, at most once an interval; of many, one after the other.

        Where that is refused, the record comes by itself with the next full HELLO.
        """
        is_asked = now < row.asked + self.outbox.parameters.interval
        if self.table.has_digest(row) or is_asked or not self.answers.may_request(now):
            return []
        row.asked = now
        return [] if self.admission.refusal(source, now) else [self.answers.request(source, now)]

    def request(self, source: Source, now: float) -> list[Send]:
        """Ask the sender of a PONG for a HELLO; of many, one after the other."""
        return [self.answers.request(source, now)] if self.answers.may_request(now) else []

    def answer(self, claim: Claim, now: float, *, is_prompt: bool = False) -> list[Send]:
        """Answer a solicit with the full HELLO, `is_prompt` where it has waited its turn.

        A sender that did not prove to be there gets no more bytes than it sent.
        """
        source, outbox = claim.source, self.outbox
        if source.key or outbox.credit.is_proven(source.address, now):
            claim = claim._replace(size=NEVER)
        if self.answers.joins(claim):
            return []
        refusal = self.rate_limits.record_refusal(source, now, is_ours=outbox.is_ours(source))
        if refusal:  # the HELLO itself was welcome
            self.rate_limits.drops.count(refusal.reason, outbox.link_state(source).name)
            return []
        return self.answers.answer_now(source) if is_prompt else self.answers.answer(claim, now)
