"""The rooms of the engine, and how a datagram goes through them.

The steady HELLO of a listed peer needs a look at the table alone. Of all others the source is limited (`rate_limits`),
sealed ones are opened (`sealed.channel`), and a HELLO is heard here, a PING or a PONG in `probes`; a boot that is
unknown is asked first (`challenges`).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random, SystemRandom

from discoveryd import __version__
from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.answers import Answers
from discoveryd.protocol.beacon import Beacon
from discoveryd.protocol.challenges import Challenges
from discoveryd.protocol.inquiries import Inquirer
from discoveryd.protocol.introductions import Introductions
from discoveryd.protocol.ipv6 import is_served
from discoveryd.protocol.isolation import Isolation
from discoveryd.protocol.limited_broadcast import LimitedBroadcast, is_elsewhere
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.messages.exchange import Exchange
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import NOTHING, Claim, Handlers, Incoming, Outcome, Send
from discoveryd.protocol.own_boot import OwnBoot
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.prober import Prober
from discoveryd.protocol.probes import WAKE_LATE, Probes
from discoveryd.protocol.rate_limits import RateLimits
from discoveryd.protocol.routed import RoutedPeers
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE, Event
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.standing import NEAR
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import QUIET, SEALED, BareHello, Hello
from discoveryd.protocol.wire.record import Record


class Reception:
    """What the engine consists of: each room is built once from those it needs, and hears what is for it.

    Args:
        parameters, record: how it speaks, and what it says of itself.
        node_id: stable id, 1 to 32 of ``A-Z a-z 0-9 . _ -``; drawn from `random` if empty.
        random: where boot id, jitter and nonces come from: the system, but for a run that is to repeat to the bit.
        keyring: keys, and what to do with them.
        process: tells processes apart (``os.getpid``): what was forked off must not seal.
        clock: tells the present moment where datagrams are given later than they arrived: a PONG says how long its
            PING lay here.

    Attributes:
        heard_until: the moment up to which every datagram that arrived was given, None for now.
        table: the peers.
        outbox: writes what is sent, and knows this node, its links and keys; `credit`, `limited` and `sent` are its.
        rate_limits: refuses what does not count or is too much; `drops` are its.
        challenges: asks unknown boots first.
        answers: sends our record to nodes that solicit it.
        beacon: sends HELLOs to all; `hello_rate`, of those that are heard, is its.
        prober: PINGs peers.
        doubles: hears what comes under our own boot from elsewhere.
        rtts: round trips in seconds, one for each PONG.
        handlers, others: kind of message -> what hears it; link -> further addresses of ours.
        understood: datagrams heard, by kind, but the HELLOs that took the fast path.
        messages: sends messages, and takes those of others.
        inquiries: asks why a node is not heard, and answers that.
        beyond: knows which nodes beyond our links are greeted; `introductions` finds others there.
    """

    def __init__(
        self, parameters: Parameters | None = None, record: Record | None = None, *, node_id: str = "",
        random: Random | None = None, keyring: Keyring = NO_KEYS, process: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] | None = None,
    ) -> None:  # fmt: skip
        parameters, record = parameters or Parameters(), record or Record(name="node")
        self.limited = LimitedBroadcast(lambda now: self.table.rows(now, gone=True))
        self.outbox = outbox = Outbox(parameters, record, random or SystemRandom(), node_id, self.limited)
        self.id = outbox.id
        limits = parameters.limits
        self.table = table = PeerTable(limit=limits.peers, remember=limits.remember, own_id=self.id)
        self.credit, self.sent = outbox.credit, outbox.sent
        self.rate_limits = RateLimits(outbox, table)
        self.drops = self.rate_limits.drops
        self.challenges = Challenges(outbox, rate=limits.answers)
        self.answers = Answers(outbox, table.live_count, self.challenges.ask_first)
        self.beyond = RoutedPeers(outbox, table)
        self.beacon = Beacon(outbox, self.answers, table.speaking, self.beyond)
        self.hello_rate = self.beacon.hello_rate
        self.prober, self._isolation = Prober(table, outbox), Isolation(table)
        self._polled: float | None = None
        self.understood: Counter[str] = Counter()
        self.messages = Exchange(outbox, table, self.rate_limits, self.understood, self.prober.in_turn.ask_now)
        probes = Probes(self, clock)
        self.rtts = probes.rtts
        self.doubles = OwnBoot(self, probes.answer_ping)
        self.inquiries = Inquirer(self, __version__)
        self.introductions = Introductions(self)
        self.handlers: Handlers = {
            Hello: self._hear_hello,
            BareHello: self._hear_bare,
            **probes.handlers(),
            **self.messages.handlers(),
            **self.inquiries.handlers(),
            **self.introductions.handlers(),
        }
        self._timed = (self.beacon, self.prober, self._isolation, self.messages, self.introductions)
        self._process = process
        self.heard_until: float | None = None
        self.others: Mapping[Link, tuple[str, ...]] = {}
        self.table.set_interval(outbox.pace)
        self.set_keyring(keyring)

    def set_keyring(self, keyring: Keyring) -> None:
        """Use other keys, another one to send with, or another mode; no peer is lost, and the boot stays."""
        outbox = self.outbox
        if outbox.sealing is not None:
            outbox.sealing.set_keyring(keyring)
        elif keyring.keys:
            # not at the top: a node without keys must not wait for it
            from discoveryd.protocol.sealed.channel import Sealing  # noqa: PLC0415

            outbox.sealing = Sealing(
                keyring, self.table, self.rate_limits,
                realm=outbox.parameters.realm, id=self.id, boot=outbox.boot, process=self._process,
            )  # fmt: skip
        outbox.keyring = keyring
        self.table.set_ranks(keyring.ranks())

    # --- a datagram -------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram. Whatever its bytes, nothing is raised and the time is linear in their number.

        `now` is when it arrived, which may be long before it is given, and before the `now` of the last `poll`
        (never before what `drained` told). A moment before one that was given already refreshes nothing backwards.
        """
        head, _, seq = datagram.rpartition(b"|")
        path = self.table.steady.get((head, source))
        if path is None and seq in (b"", QUIET) and head.endswith(b"}"):  # one that repeats the record we hold
            *fields, record = head.split(b"|", 11)
            path = self.table.steady.get((b"|".join(fields[:9]), source))
            if path is not None:
                held = path.row.record
                seq = fields[9] if held is not None and held.encoded == record and fields[10:] == [b""] else b""
        # fewer than 10 digits: no check of the range is needed
        if (
            path is not None
            and path.stamp == (row := path.row).stamp
            and row.last_heard <= now < path.expires
            and seq.isdigit()
            and len(seq) < 10
            and 0 <= (ahead := (number := int(seq)) - row.seq) < NEAR
            and (reach := path.reach) is not None
        ):
            if number > reach.seq:  # what `Path.heard` does
                if number >= reach.due:
                    if row.several:  # the loss is told anew, and another way may be the best by it
                        return self._receive(datagram, source, now)
                    reach.seq = number
                    reach.heard += 1
                    path.mark(reach)
                else:
                    reach.seq = number
                    reach.heard += 1
                if ahead:
                    row.seq = number
                    row.last_hello = row.last_heard = path.last_hello = path.last_heard = now
                    row.expires = path.expires = now + row.life
                else:  # another way brought this beat first
                    self.hello_rate.beats -= 1
                    path.last_hello = path.last_heard = row.last_heard
                    path.expires = row.expires
            else:  # a burst says it again
                self.hello_rate.beats -= 1
            link_state = path.link_state
            if link_state is None:
                link_state = path.link_state = self.outbox.link_state(source)
            link_state.received += 1
            link_state.last_heard = now
            self.hello_rate.steady += 1
            return NOTHING
        return self._receive(datagram, source, now)

    def _receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram that is not the plain, steady HELLO of a listed peer."""
        incoming, refusal = self._open(datagram, source, now)
        if incoming.is_next:
            return self.receive(incoming.datagram, incoming.source, now)
        if now >= self.table.blind_until and self._is_late(now):
            self._wake(now)
        expired = self.table.expire(now)  # told also where the datagram is dropped
        outcome = self._hear(incoming, refusal, now)
        if expired or outcome.events:
            self.messages.deliveries.peers_changed(now)
        if not outcome.sends and not expired:
            return outcome
        sends = self.outbox.release(outcome.sends, now)
        return replace(outcome, sends=sends, events=(*expired, *outcome.events))

    def _open(self, datagram: bytes, source: Source, now: float) -> tuple[Incoming, WireError | None]:
        """Return a datagram without its envelope, and why it could not be opened."""
        incoming = Incoming(datagram, source, len(datagram))
        if not datagram.startswith(SEALED):
            return incoming, None
        sealing = self.outbox.sealing
        if sealing is None:
            return incoming, WireError("sealed", "there are no keys here")
        try:
            return sealing.open(datagram, source, now), None
        except WireError as error:
            return incoming, error

    def _hear(self, incoming: Incoming, refusal: WireError | None, now: float) -> Outcome:
        """Hear a datagram and count it; `refusal` is why it could not be opened."""
        source = incoming.source
        try:
            self.rate_limits.take(incoming.datagram, source, now)
            # an unsealed broadcast went to all nodes at once, which share its bytes
            hearers = 1 if source.unicast or source.key or source.link is None else 1 + len(self.table.by_key)
            self.outbox.credit.receive(source.address, incoming.size / hearers, now)
            outcome = self._dispatch(incoming, refusal, now)
        except WireError as error:
            return self.rate_limits.drop(error, source, now)
        state = self.outbox.link_state(source)
        state.received += 1
        state.last_heard = now
        return outcome

    def _dispatch(self, incoming: Incoming, refusal: WireError | None, now: float) -> Outcome:
        source, outbox = incoming.source, self.outbox
        is_foreign = source.address not in outbox.own_addresses
        if refusal is not None:
            if refusal.reason == "own-echo" and is_foreign:
                return self.doubles.hear_sealed(incoming.datagram, source, now)
            raise refusal
        if not source.key and not outbox.keyring.takes_plain:
            raise WireError("plain", "not sealed, and security.mode is require")
        message = decode(incoming.datagram)
        if is_foreign and not isinstance(message, BareHello) and message.boot == outbox.boot:
            return self.doubles.hear(message, source, now)
        return self.handlers[type(message)](message, incoming, now)

    # --- HELLOs -----------------------------------------------------------------------------------

    def _hear_bare(self, _: BareHello, incoming: Incoming, now: float) -> Outcome:
        """List the sender of a bare HELLO, which is known by its address alone."""
        source = incoming.source
        if source.address in self.outbox.own_addresses:
            raise WireError("own-echo", "a bare HELLO from this machine")
        self.rate_limits.admit((source.address, ""), source, now)
        events = self.table.heard_bare(source, self.outbox.parameters.bare_ttl, now)
        self.understood["bare"] += 1
        return Outcome(events=events)

    def _hear_hello(self, hello: Hello, incoming: Incoming, now: float) -> Outcome:
        """List the sender of a HELLO, or challenge it first."""
        source = incoming.source
        self.rate_limits.check_sender(hello.realm, hello.boot, source, now, hello.id)
        claim = Claim(source, (hello.id, hello.boot), incoming.size, hello.solicit)
        try:
            self.rate_limits.admit(claim.key, source, now, is_known=incoming.is_known)
            return self.enter(hello, claim, now)
        except Unproven as error:
            sends = self.challenges.hear(hello, claim, now, is_flood=self.rate_limits.flooded_since is not None)
            self.hello_rate.beats += bool(sends)
            return replace(self.rate_limits.drop(error, source, now), sends=tuple(sends))

    def enter(self, hello: Hello, claim: Claim, now: float, *, proved: bool = False) -> Outcome:
        """Enter a HELLO in the table; with `proved` its sender has answered a challenge."""
        source, limited = claim.source, self.outbox.limited
        if source.link:
            if hello.solicit and not source.unicast:
                limited.doubts(source.link, source.address, now)
            row = self.table.by_key.get(claim.key)
            if row and not hello.goodbye and is_elsewhere(row, source, now):
                limited.set_aside(source.link, source.address, now)  # that is all it tells
                self.understood["hello"] += 1
                return NOTHING
        events = self.table.enter(hello, source, now, proved=proved)
        self.understood["hello"] += 1
        return Outcome(sends=tuple(self._follow_up(hello, events, claim, now)), events=events)

    def _follow_up(self, hello: Hello, events: tuple[Event, ...], claim: Claim, now: float) -> list[Send]:
        """Send what a HELLO calls for."""
        sends: list[Send] = []
        row = self.table.by_key.get(claim.key)
        if row is not None and row.state in LIVE:
            self.hello_rate.beats += row.last_hello == now and not claim.source.unicast
            sends += self.request_record(row, claim.source, now)
            if hello.solicit and not is_served(row, claim.source, now):
                sends += self.answer(claim, now)
        if claim.source.link not in self.outbox.links:
            sends += self.challenges.ask_beyond(claim, now)
            if claim.source.key and not self.outbox.reaches(claim.source):  # it has another address by now
                self.introductions.candidates.knock(claim.key, claim.source, now)
        if any(event.kind == "restarted" for event in events):
            for rival in self.table.replaced(hello.id):  # an answer of the older boot proves a clone
                if self.rate_limits.questions.allows(rival.paths.best(now).address, now):
                    sends += self.prober.ping(rival, now)[1]
        if row is not None and row.state in LIVE:
            self.prober.in_turn.watch(row, now)
            self.introductions.peer_changed(row, now)
        return sends

    def request_record(self, row: Row, source: Source, now: float) -> list[Send]:
        """Solicit the record that a digest stands for, at most once an interval; of many, one after the other.

        Where that is refused, the record comes by itself with the next full HELLO.
        """
        is_asked = now < row.asked + self.outbox.parameters.interval
        if row.has_record or is_asked or not self.answers.may_request(now):
            return []
        row.asked = now
        return [] if self.rate_limits.refusal(source, now) else [self.answers.request(source, now)]

    def answer(self, claim: Claim, now: float, *, is_prompt: bool = False) -> list[Send]:
        """Answer a solicit with the full HELLO, `is_prompt` where it has waited its turn.

        A sender that did not prove to be there gets no more bytes than it sent; one that asks too often, a PING first.
        """
        source = claim.source
        if source.key or self.outbox.credit.is_proven(source.address, now):
            claim = claim._replace(size=NEVER)
        if self.answers.joins(claim):
            return []
        if not self.rate_limits.takes_solicit(source, now):
            return self.challenges.ask_first(claim, now) if self.rate_limits.may_challenge(claim, now) else []
        if is_prompt:
            return [self.outbox.hello_to(source, full=True)]
        return self.answers.answer(claim, now)

    # --- time -------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        return min(self.table.next_expiry(), *[room.next_deadline() for room in self._timed])

    def _is_late(self, now: float) -> bool:
        """Return whether we did not see time pass (suspend, SIGSTOP)."""
        return self._polled is not None and now > self._polled + WAKE_LATE and now > self.next_deadline() + WAKE_LATE

    def _wake(self, now: float) -> None:
        """Come back from a pause: no peer is judged by it."""
        self._polled = now
        self.beacon.greet(now)
        self.table.mistrust(now)
