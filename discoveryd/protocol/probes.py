"""PINGs of others, and PONGs to ours: from a peer, from a boot that was challenged, or from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from discoveryd.errors import WireError
from discoveryd.protocol.challenges import Challenge
from discoveryd.protocol.histogram import RTT_BOUNDS, Histogram
from discoveryd.protocol.ipv6 import heard_by
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import NOTHING, Answer, Claim, Handlers, Incoming, Outcome
from discoveryd.protocol.prober import AwaitedPong
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import Event
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.wire.messages import ANYONE, Ping, Pong, Will, mark

if TYPE_CHECKING:
    from discoveryd.protocol.reception import Reception

WAKE_LATE = 1.0
"""Seconds that the engine may be called late before it takes it that the machine was asleep, not busy."""
UNHEARD_HELLOS = 8
"""HELLOs of ours that a peer did not hear which has just come: by chance once in 15,000 times where 30 % are lost.
After fewer of them its word that it does not hear us says nothing."""


class Probes:
    """Answers PINGs, and hears PONGs.

    Args:
        rooms: of the engine.
        clock: tells the present moment where datagrams are given later than they arrived.

    Attributes:
        rtts: round trips in seconds, one for each PONG.
    """

    def __init__(self, rooms: Reception, clock: Callable[[], float] | None) -> None:
        self.rtts = Histogram(RTT_BOUNDS)
        self._rooms = rooms
        self._clock = clock

    def handlers(self) -> Handlers:
        """Return what hears each kind of message."""
        return {Ping: self.hear_ping, Pong: self.hear_pong, Will: self.hear_will}

    def hear_ping(self, ping: Ping, incoming: Incoming, now: float) -> Outcome:
        """Answer a PING; of a boot that sealed it, and has not proved to live, once and for this boot alone."""
        source = incoming.source
        self._rooms.rate_limits.check_sender(ping.realm, ping.boot, source, now, ping.id)
        self._check_sealed(ping, incoming, now)
        return self.answer_ping(ping, source, now, incoming.size)

    def answer_ping(self, ping: Ping, source: Source, now: float, size: int = 0) -> Outcome:
        """Answer a PING of so many bytes that is for this node."""
        outbox, key = self._rooms.outbox, (ping.id, ping.boot)
        if ping.to not in (ANYONE, outbox.boot, mark(outbox.id, outbox.boot)):
            raise WireError("unexpected", "a PING for another node, or another run of this one")
        row = self._rooms.table.get(*key)
        path = None if row is None else row.paths.of(source)
        if path is not None and path.answered_at > -NEVER and outbox.reaches(source):
            refusal = self._rooms.rate_limits.pong_refusal(source, ping.boot, now)
        else:
            refusal = self._rooms.rate_limits.refusal(source, now)
        if refusal:
            dropped = self._rooms.rate_limits.drop(refusal, source, now)
            return replace(dropped, sends=tuple(self._rooms.challenges.ask_beyond(Claim(source, key, size), now)))
        self._rooms.understood["ping"] += 1
        if path is not None:
            self._rooms.prober.in_turn.is_asked(path, now)
        if source.link is None and not outbox.reaches(source):
            self._rooms.introductions.candidates.knock(key, source, now)
        heard = -NEVER if row is None else heard_by(row, path, source)
        silence = None if heard == -NEVER else max(0.0, now - heard)
        held = 0.0 if self._clock is None else self._clock() - now
        return Outcome(sends=(outbox.pong(ping.nonce, silence, source, held),))

    def hear_pong(self, pong: Pong, incoming: Incoming, now: float) -> Outcome:
        """Take a PONG to a PING of any kind.

        Raises:
            WireError: as `RateLimits.check_sender`; ``unproven``; ``unexpected``: it answers no PING of ours.
        """
        source = incoming.source
        self._rooms.rate_limits.check_sender(pong.realm, pong.boot, source, now)
        self._check_sealed(pong, incoming, now)
        awaited = self._rooms.prober.answer(pong, source)
        if awaited is not None:
            return self._hear_peer(pong, awaited, source, now)
        challenge = self._rooms.challenges.answer(pong.boot, source.address, pong.nonce, now)
        if challenge is not None:
            return self._hear_proof(pong, challenge, source, now)
        return self._hear_seed(pong, source, now)

    def hear_will(self, will: Will, incoming: Incoming, now: float) -> Outcome:
        """Take a will: a reason to PING the peer, if it is listed at that address, and no more.

        Raises:
            WireError: as `RateLimits.check_sender`; ``unproven``.
        """
        source = incoming.source
        self._rooms.rate_limits.check_sender(will.realm, will.boot, source, now, will.id)
        if not incoming.is_known:
            raise WireError("unproven", "a will of a boot that has not proved to live")
        self._rooms.understood["will"] += 1
        row = self._rooms.table.get(will.id, will.boot)
        if row is not None and row.paths.of(source) is not None:
            wills = self._rooms.prober.wills
            wills.hear(row, now)
            return Outcome(sends=tuple(wills.poll(now)))
        return NOTHING

    def _check_sealed(self, probe: Ping | Pong, incoming: Incoming, now: float) -> None:
        """Refuse a recording, sealed by a boot that has not proved to live; take a PONG to a challenge as that proof.

        Only the node that answers knows the nonce of a PONG; that a PING is for us its seal says, or the PING itself.

        Raises:
            WireError: ``unproven``, ``replayed``.
        """
        opened, source, outbox = incoming.opened, incoming.source, self._rooms.outbox
        if incoming.is_known or opened is None or outbox.sealing is None:
            return
        if opened.is_to_all or (isinstance(probe, Ping) and probe.to != outbox.boot):
            raise WireError("unproven", "a probe that is not for this node alone")
        if isinstance(probe, Ping):
            outbox.sealing.windows.take_question(opened)
            return
        if source.link is None and self._rooms.challenges.move(opened.boot, source.address, probe.nonce):
            outbox.aliases.admit(source.address)
        if self._rooms.challenges.waits_for(opened.boot, source.address, probe.nonce):
            outbox.sealing.prove(opened, now)

    def _hear_peer(self, pong: Pong, awaited: AwaitedPong, source: Source, now: float) -> Outcome:
        path, row = awaited.path, awaited.path.row
        if source.link is None and path.source.link is None and source.address != path.address:
            if self._rooms.outbox.reaches(path.source):
                self._rooms.outbox.aliases.admit(source.address, path.address)
            source = path.source  # the path that was asked works, wherever its end answers from
        if source.address == path.address or path.address in self._rooms.outbox.seeds.addresses:
            self._rooms.outbox.credit.prove(source.address, now)
        self._begin_anew(row, source)
        events, rtt, hears_us_s = self._take(row, pong, source, awaited.at, now)
        if not awaited.wanted:
            return Outcome(events=events) if events else NOTHING
        answer = Answer(nonce=pong.nonce, rtt=rtt, hears_us_s=hears_us_s, peer=row.peer(now))
        return Outcome(events=events, answers=(answer,))

    def _hear_proof(self, pong: Pong, challenge: Challenge, source: Source, now: float) -> Outcome:
        """Turn to a boot that has just proved to live: list what it said, or ask for a HELLO, and tell it of us."""
        outbox, rooms = self._rooms.outbox, self._rooms
        outbox.credit.prove(source.address, now)
        self._begin_anew(rooms.table.by_key.get(challenge.key), source)
        if source.link is None:
            outbox.aliases.admit(source.address)
        rooms.introductions.candidates.met_at(source.address, now)
        if challenge.hello is not None and challenge.source is not None:
            self._rooms.understood["pong"] += 1
            hello = replace(challenge.hello, solicit=challenge.solicits)
            return rooms.enter(hello, Claim(challenge.source, challenge.key), now, proved=True)
        row = self._rooms.table.get(*challenge.key)
        row = row if row is not None and row.paths.of(source) else None
        events, *_ = self._take(row, pong, source, challenge.asked, now)
        if row is not None:
            self._rooms.prober.in_turn.watch(row, now)
        is_listed = row is not None and not source.key
        sends = rooms.request_record(row, source, now) if row is not None and is_listed else []
        if challenge.solicits:  # it has waited its turn where it was asked before
            sends += rooms.answer(Claim(source), now, is_prompt=is_listed)
        if not is_listed and self._rooms.answers.may_request(now):
            sends.append(self._rooms.answers.request(source, now))
        return Outcome(sends=tuple(sends), events=events)

    def _begin_anew(self, row: Row | None, source: Source) -> None:
        """Forget how often a source solicited, where a boot answers for the first time."""
        if row is None or not row.proved:
            self._rooms.rate_limits.records.refill(source.address)

    def _hear_seed(self, pong: Pong, source: Source, now: float) -> Outcome:
        """Take a PONG from a seed that was asked which of its addresses it speaks from."""
        asked = None if source.link else self._rooms.outbox.aliases.answer(pong.nonce, source.address, now)
        if asked is None:
            raise WireError("unexpected", "a PONG to no PING of ours")
        self._rooms.outbox.credit.prove(source.address, now)
        self._take(None, pong, source, asked, now)
        for row in self._rooms.table.of_boot(pong.boot):  # the PING named no node: several ids may claim that boot
            if row.paths.of(source):
                self._rooms.prober.in_turn.watch(row, now)
        return NOTHING

    def _take(
        self, row: Row | None, pong: Pong, source: Source, asked: float, now: float
    ) -> tuple[tuple[Event, ...], float, float | None]:
        """Count a PONG, and enter in the table what it says of its path.

        Returns:
            events, the round trip, and how many seconds ago the sender heard us, None for never.
        """
        if row is not None and row.sealed_with and not source.key:
            raise WireError("downgrade", f"{row.id} seals, and this is plain")
        self._rooms.understood["pong"] += 1
        outbox = self._rooms.outbox
        now = max(now, asked)  # as far as clocks can be compared
        held = pong.held_us / 1e6
        if held >= now - asked:  # it does not fit into the time until the answer came
            held = 0.0
        rtt = now - asked - held
        self.rtts.observe(rtt)
        hears_us_s = None if pong.heard_ms is None else pong.heard_ms / 1000
        if row is None:
            return (), rtt, hears_us_s
        ttl = outbox.ttl(outbox.pace) * outbox.link_state(source).every
        two_way: bool | None = hears_us_s is not None and hears_us_s < ttl
        if not two_way and asked < self._rooms.beacon.greeted_at + WAKE_LATE:
            two_way = None  # no peer could hear us before that
        if not two_way and asked < row.beats_from + UNHEARD_HELLOS * self._rooms.outbox.pace:
            two_way = None  # it has just come (back), and chance may have taken all that we sent since
        answered = self._rooms.table.answered(row, source, rtt, hears_us_s, two_way=two_way, now=now, held=held)
        return answered, rtt, hears_us_s
