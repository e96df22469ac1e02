"""The engine: one node of the network, without a socket, a thread or a clock.

It is told what came in and what time it is, and answers with what to send and what happened::

    >>> from random import Random
    >>> from discoveryd.protocol.link import Link, Source
    >>> from discoveryd.protocol.node import Node
    >>> from discoveryd.protocol.wire.record import Record
    >>> def node(name, address):
    ...     node = Node(record=Record(name=name), node_id=name, random=Random(name))
    ...     node.set_links([Link("eth0", 2, address, 24, "10.0.0.255")], now=0.0)
    ...     return node
    >>> a, b = node("a", "10.0.0.1"), node("b", "10.0.0.2")
    >>> [send] = a.poll(now=0.0).sends
    >>> send.to, send.datagram[:18]
    ('10.0.0.255', b'HELLO|2|default|a|')
    >>> outcome = b.receive(send.datagram, Source("10.0.0.1", b.links[0]), now=0.001)
    >>> [(event.kind, event.peer.name) for event in outcome.events]
    [('joined', 'a')]
    >>> [send.to for send in outcome.sends]  # b answers the newcomer at once
    ['10.0.0.1']

Each call gives an `Outcome`; whoever drives the node sends its datagrams and calls `poll` again when
`next_deadline` has come. Nothing is raised for what others sent: it is counted in `drops`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from random import Random, SystemRandom
from types import MappingProxyType
from typing import TYPE_CHECKING

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.answers import Waiting
from discoveryd.protocol.beacon import Beacon
from discoveryd.protocol.challenges import Challenges, Question
from discoveryd.protocol.credit import Credit
from discoveryd.protocol.hello_rate import HelloRate
from discoveryd.protocol.histogram import RTT_BOUNDS, Histogram
from discoveryd.protocol.limited_broadcast import LimitedBroadcast, is_elsewhere
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.link_state import LinkState
from discoveryd.protocol.outcome import NOTHING, Answer, Outcome, Send
from discoveryd.protocol.own_boot import OwnBoot
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.prober import Prober
from discoveryd.protocol.rate_limits import RateLimits
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.protocol.strangers import UNASKED_PER_SECOND, Strangers
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.liveness import NEVER, is_isolated
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import LIVE, Peer
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.table.sequence import NEAR
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.hello import Hello, decode_hello
from discoveryd.protocol.wire.probe import ANYONE, Ping, Pong, decode_probe, mark
from discoveryd.protocol.wire.record import Record

if TYPE_CHECKING:
    from discoveryd.protocol.sealed.channel import Incoming, Sealing

WAKE_LATE = 1.0
"""Seconds that `poll` may come late before we take it that we were asleep, not busy."""


class Node:
    """One node: its voice, its ears, its table.

    Args:
        parameters: how to speak.
        record: what to say of itself.
        node_id: stable id, 1 to 32 of ``A-Z a-z 0-9 . _ -``; drawn from `random` if empty.
        random: where boot id, jitter and nonces come from; the operating system unless a run is to repeat to the
            bit. With keys nobody may foresee it.
        keyring: keys, and what to do with them.
        process: tells one process from another (``os.getpid``): what was forked off must not seal.
        clock: tells the present moment where datagrams are given later than they arrived: a PONG says how long its
            PING lay here.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        record: Record | None = None,
        *,
        node_id: str = "",
        random: Random | None = None,
        keyring: Keyring = NO_KEYS,
        process: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        parameters = parameters or Parameters()
        self.random = random or SystemRandom()
        self.boot = self._nonce()
        self.id = node_id or self._nonce()
        limits = parameters.limits
        self.table = PeerTable(limit=limits.peers, remember=limits.remember, own_id=self.id)
        self.limited = LimitedBroadcast(lambda now: self.table.rows(now, gone=True))
        self._beacon = Beacon(
            parameters,
            record or Record(name="node"),
            node_id=self.id,
            boot=self.boot,
            random=self.random,
            crowd=self.table.live_count,
            limited=self.limited,
            speaking=self.table.speaking,
            pressure=self._heard_rate,
        )
        self.table.interval = self._beacon.pace
        self._link_states = self._beacon.outlets
        self._rate_limits = RateLimits(limits)
        self._strangers = Strangers(self._beacon, self._nonce, limits.answers)
        self._beacon.ask_first = self._ask_first
        self.credit = Credit()
        self.doubles = OwnBoot(self._beacon)
        self._process = process
        self._clock = clock
        self._keyring = NO_KEYS
        self._prober = Prober(self.table, self.random, self._ping, self._reaches)
        self.rtts = Histogram(RTT_BOUNDS)  # seconds, one for each PONG
        self._received: Counter[str] = Counter()
        self._steady_received = 0
        self._beats = 0  # that others broadcast, besides the steady ones that came first
        self._hello_rate = HelloRate()
        self.heard_until: float | None = None
        self._polled: float | None = None
        self._awake_since = -NEVER
        self.others: dict[Link, tuple[str, ...]] = {}
        self._own_addresses: frozenset[str] = frozenset()
        self.set_keyring(keyring)

    # --- what the driver tells us ---------------------------------------------------------------

    def set_links(
        self, links: Iterable[Link], now: float, others: Mapping[Link, tuple[str, ...]] = MappingProxyType({})
    ) -> None:
        """Take the links there are now; the ones that were there before are not touched.

        A new link begins with a burst of full HELLOs that solicit answers.

        Args:
            links: where we speak.
            now: the time.
            others: further addresses of ours there: nobody hears of them, but they are no foreign ones.
        """
        for link in self._beacon.set_links(links, now):
            self.table.drop_link(link)
            self.limited.drop_link(link)
        self._rate_limits.drops.changed(lambda: {"-", *(link.name for link in self._link_states)})
        self.others = {link: tuple(others.get(link, ())) for link in self._link_states}
        self._own_addresses = frozenset(one for link, rest in self.others.items() for one in (link.address, *rest))

    def set_record(self, record: Record, now: float) -> None:
        """Say something else of ourselves from now on, at once and a few times."""
        self._beacon.set_record(record, now)

    def set_parameters(self, parameters: Parameters, now: float) -> None:
        """Change the interval, ttl, budget, seeds and limits; port, realm and loopback are for a lifetime."""
        self.table.limit, self.table.remember = parameters.limits.peers, parameters.limits.remember
        self._rate_limits.set_limits(parameters.limits)
        self._strangers.challenges.set_rate(parameters.limits.answers)
        if self.sealing is not None:
            self.sealing.windows.limit = parameters.limits.peers
        self._beacon.set_parameters(parameters, now)
        self.table.interval = self._beacon.pace

    def set_keyring(self, keyring: Keyring) -> None:
        """Take other keys, another one to send with, or another mode; no peer is lost, and the boot stays."""
        if self._beacon.sealing is not None:
            self._beacon.sealing.set_keyring(keyring)
        elif keyring.keys:
            # not at the top: who has no keys must not wait for it
            from discoveryd.protocol.sealed.channel import Sealing  # noqa: PLC0415

            self._beacon.sealing = Sealing(
                keyring, self.table, realm=self.parameters.realm, id=self.id, boot=self.boot, process=self._process
            )
        self._keyring = keyring
        self.table.set_ranks(keyring.ranks())

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram. Whatever its bytes, nothing is raised and the time is linear in their number.

        `now` is when it arrived, which may be long before it is given, and before the `now` of the last `poll`
        (never before what `drained` told). A moment before one that was given already refreshes nothing backwards.
        """
        head, _, seq = datagram.rpartition(b"|")
        path = self.table.steady.get((head, source))
        if path is None and not seq and head.endswith(b"}"):  # a full one that repeats the record we hold is as good
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
                    row.last_hello = row.last_heard = path.last_heard = now
                    row.expires = path.expires = now + row.life
                else:  # another way brought this beat first
                    self._beats -= 1
                    path.last_heard = row.last_heard
                    path.expires = row.expires
            else:  # a burst says it again
                self._beats -= 1
            link_state = (source.link and self._link_states.get(source.link)) or self._beacon.routed
            link_state.received += 1
            link_state.last_heard = now
            self._steady_received += 1
            return NOTHING
        return self._receive(datagram, source, now)

    def heard_broadcast(self, source: Source, now: float, *, limited: bool) -> None:
        """Take it that a datagram of this source went to 255.255.255.255, or to the broadcast address of its link.

        A driver tells it of every source when it hears it first and again now and then, after `receive`; one whose
        links hear everybody need not.
        """
        if source.link in self._link_states and source.address not in self._own_addresses:
            self.limited.heard(source.link, source.address, now, limited=limited)

    def poll(self, now: float) -> Outcome:
        """Do what is due: HELLOs, delayed answers, probes, expiry.

        What is judged by silence waits until `drained` has told of that moment, and so does the next PING to whom an
        answer may be waiting: then `next_deadline` is past.
        """
        heard = now if self.heard_until is None else min(self.heard_until, now)
        if self._is_late(now):
            self._wake(now)
        events = self.table.expire(heard, now)
        self._polled = now
        self._hello_rate.see(self._hellos, now)
        sends = self._beacon.poll(now)
        self.table.interval = self._beacon.pace
        if heard >= self.table.blind_until:
            probes, given_up = self._prober.poll(now, heard)
            sends += probes
            events = (*events, *given_up)
        return Outcome(sends=self._afforded(sends, now), events=events) if sends or events else NOTHING

    def drained(self, until: float) -> None:
        """Take it that all that arrived before that moment was given to `receive`.

        A driver that never says so gives each datagram as it arrives.
        """
        self.heard_until = until

    def mistrust(self, until: float) -> None:
        """Take it that datagrams which arrived before that moment may be lost: until then silence proves nothing.

        Whoever is silent by then is asked, and has one grace period.
        """
        self.table.mistrust(until)

    def next_deadline(self) -> float:
        """Say when `poll` has something to do."""
        return min(self._beacon.next_deadline(), self.table.next_expiry(), self._prober.next_deadline())

    def goodbye(self) -> Outcome:
        """Say that we leave, on every link and to the seeds: to be sent. A few times, each called for anew."""
        return Outcome(sends=tuple(self._beacon.goodbye()))

    def ping(self, row: Row, now: float) -> tuple[str, Outcome]:
        """Ask one peer for a sign of life.

        Returns:
            the nonce that its `Answer` will carry, and what to send. Without an answer within 10 s
            none will be given.
        """
        for path in row.paths.fresh(now):
            if path.source.link is None or path.source.link in self._link_states:
                nonce, send = self._prober.ask(row, path, now, wanted=True)
                return nonce, Outcome(sends=(send,))
        return self._nonce(), NOTHING  # its links are gone, it may come back by another

    def refused(self, datagram: bytes, now: float) -> Outcome:
        """Take the kernel's word (ICMP port unreachable) that nobody listens where this datagram went."""
        if self._beacon.sealing is not None:
            datagram = self._beacon.sealing.plain(datagram)
        try:
            ping = decode_probe(datagram)
        except WireError:
            return NOTHING  # a HELLO to a seed, perhaps
        events = self._prober.refused(ping.nonce, now)
        return Outcome(events=events) if events else NOTHING

    def is_isolated(self, now: float) -> bool:
        """Whether it is rather we who are cut off than all the others who are down."""
        silent = self.table.silent_together(now, self.ttl(self._beacon.pace))
        links = len(self._link_states) or self.table.routed_count(now)
        return is_isolated(links, self.table.proved_up(now), silent)

    # --- what can be asked ----------------------------------------------------------------------

    @property
    def parameters(self) -> Parameters:
        """How it speaks."""
        return self._beacon.parameters

    @property
    def record(self) -> Record:
        """What it says of itself."""
        return self._beacon.record

    @property
    def seq(self) -> int:
        """Number of the last beat."""
        return self._beacon.seq

    @property
    def sent(self) -> Counter[str]:
        """Count what was sent, by kind."""
        return self._beacon.sent

    @property
    def keyring(self) -> Keyring:
        """The keys in use, and the mode."""
        return self._keyring

    @property
    def sealing(self) -> Sealing | None:
        """The envelopes, None as long as there never were keys."""
        return self._beacon.sealing

    @property
    def challenges(self) -> Challenges:
        """The questions put to those who are not known."""
        return self._strangers.challenges

    @property
    def drops(self) -> Counter[tuple[str, str]]:
        """Count what was dropped, by reason and interface."""
        return self._rate_limits.drops

    @property
    def links(self) -> tuple[Link, ...]:
        """The links in use."""
        return tuple(self._link_states)

    @property
    def outlets(self) -> tuple[LinkState, ...]:
        """Counters of each link in use."""
        return tuple(self._link_states.values())

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Give the peers that are up, and with `gone` those that are no more."""
        return self.table.peers(now, gone=gone)

    def interval(self, now: float) -> float:
        """Give the interval in force, seconds: stretched so that a segment stays within its budget."""
        return self._beacon.interval(now)

    def ttl(self, interval: float) -> float:
        """Give the ttl that goes with an interval in force."""
        return self._beacon.ttl(interval)

    @property
    def received(self) -> dict[str, int]:
        """Count what was heard and understood, by kind."""
        kinds = {kind: self._received[kind] for kind in ("hello", "bare", "ping", "pong")}
        kinds["hello"] += self._steady_received
        return kinds

    @property
    def _hellos(self) -> int:
        """Count the beats of others, each once."""
        return self._steady_received + self._beats

    def _heard_rate(self, now: float) -> float:
        return self._hello_rate.rate(self._hellos, now)

    # --- a flood --------------------------------------------------------------------------------

    def begin_flood(self, since: float, now: float) -> Outcome:
        """Take it that from then on more came in than can be looked at: nobody new is listed until it is over.

        Who came since then, and answered no PING, is taken for a part of it.
        """
        self._rate_limits.flooded_since = since
        return Outcome(events=self.table.turn_away(since, now))

    def end_flood(self) -> None:
        """Take it that it is over."""
        self._rate_limits.flooded_since = None

    def known_addresses(self, since: float, now: float) -> tuple[str, ...]:
        """Give the addresses that count in a flood: of seeds, of peers there before, of those that answered a PING.

        An answer cannot be forged by who does not see the PING; a HELLO from a false address can. So that it
        gets through, who was just asked counts for a moment. An address that itself brings a flood does not count.
        """
        known = (*self.parameters.seeds, *self.challenges.hopes(), *self.table.known_addresses(since))
        return tuple(address for address in known if not self._rate_limits.is_noisy(address, now))

    # --- hearing --------------------------------------------------------------------------------

    def _receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        if not datagram.startswith(b"SEALED|"):
            return self._counted(partial(self._hear, datagram, source, now), datagram, source, now)
        try:
            letter = self._open(datagram, source, now)
        except WireError as error:
            hear = partial(_refuse, error)
            if error.reason == "own-echo" and self._is_foreign(source):
                hear = partial(self._hear_sealed_double, datagram, source, now)
            return self._counted(hear, datagram, source, now)
        if letter.is_next:
            return self.receive(letter.opened.datagram, letter.source, now)
        hear = partial(self._hear_stranger, letter, len(datagram), now)
        if letter.is_known:
            hear = partial(self._hear, letter.opened.datagram, letter.source, now)
        return self._counted(hear, datagram, letter.source, now)

    def _open(self, datagram: bytes, source: Source, now: float) -> Incoming:
        if self.sealing is None:
            raise WireError("sealed", "there are no keys here")
        self._rate_limits.check_port(datagram, source)
        self._rate_limits.spare(source, now)
        return self.sealing.open(datagram, source, now)

    def _counted(self, hear: Callable[[], Outcome], datagram: bytes, source: Source, now: float) -> Outcome:
        """Hear a datagram, and count what came of it."""
        link_state = self._beacon.link_state(source)
        if now >= self.table.blind_until and self._is_late(now):
            self._wake(now)
        expired = self.table.expire(now)  # told also where the datagram is dropped
        try:
            self._rate_limits.check(source, loopback=bool(self.parameters.loopback))
            self._rate_limits.check_port(datagram, source)
            self._rate_limits.look(source, now)
            self.credit.receive(source.address, len(datagram) / self._hearers(source), now)
            outcome = hear()
        except WireError as error:
            outcome = self._rate_limits.drop(error, source, link_state.name)
        else:
            link_state.received += 1
            link_state.last_heard = now
        if outcome.sends or expired:
            return replace(outcome, sends=self._afforded(outcome.sends, now), events=(*expired, *outcome.events))
        return outcome

    def _hearers(self, source: Source) -> int:
        """Return how many nodes have the bytes of one datagram to spend: an unsealed broadcast went to all at once."""
        return 1 if source.unicast or source.key or source.link is None else 1 + len(self.table)

    def _afforded(self, sends: Iterable[Send], now: float) -> tuple[Send, ...]:
        """Leave out what would be more than came from an address that has not proved to be there."""
        return tuple(
            send
            for send in sends
            if send.is_to_all
            or (send.link is None and send.to in self.parameters.seeds)
            or self.credit.spend(send.to, len(send.datagram), now)
        )

    def _hear(self, datagram: bytes, source: Source, now: float) -> Outcome:
        if not source.key and not self._keyring.takes_plain:
            raise WireError("plain", "not sealed, and security.mode is require")
        if datagram.startswith(b"P"):
            return self._hear_probe(decode_probe(datagram), source, now, len(datagram))
        return self._hear_hello(decode_hello(datagram), source, now, len(datagram))

    def _hear_hello(self, hello: Hello | None, source: Source, now: float, size: int) -> Outcome:
        if hello is None:
            if source.address in self._own_addresses:
                raise WireError("own-echo", "a bare HELLO from this machine")
            self._admit((source.address, ""), source, now)
            events = self.table.heard_bare(source, self.parameters.bare_ttl, now)
            self._received["bare"] += 1
            return Outcome(events=events)
        if hello.boot == self.boot and self._is_foreign(source):
            return self._hear_double(hello, source, now)
        self._check_sender(hello.realm, hello.boot, source, now, hello.id)
        key = hello.id, hello.boot
        try:
            self._admit(key, source, now)
            return self._take_hello(hello, source, now, size)
        except Unproven as error:
            dropped = self._dropped(error.reason, error.detail, source)
            if self._beacon.reaches(source):
                is_flood = self._rate_limits.flooded_since is not None
                sends = self._strangers.ask(hello, source, size, now, is_flood=is_flood)
            else:
                sends = tuple(self._ask_beyond(key, source, size, now, solicits=hello.solicit))
                self.challenges.hold(hello, source)
            self._beats += bool(sends)
            return replace(dropped, sends=sends)

    def _take_hello(
        self, hello: Hello, source: Source, now: float, size: float = NEVER, *, proved: bool = False
    ) -> Outcome:
        if self._is_heard_elsewhere(hello, source, now):
            self._received["hello"] += 1
            return NOTHING
        events = self.table.heard(hello, source, now, proved=proved)
        self._received["hello"] += 1
        return Outcome(sends=tuple(self._follow_up(hello, events, source, size, now)), events=events)

    def _is_heard_elsewhere(self, hello: Hello, source: Source, now: float) -> bool:
        """Note what a HELLO tells of the broadcasts on its link; whether that is all it tells."""
        if source.link is None:
            return False
        if hello.solicit and not source.unicast:
            self.limited.doubts(source.link, source.address, now)
        row = self.table.get(hello.id, hello.boot)
        if row is None or hello.goodbye or not is_elsewhere(row, source, now):
            return False
        self.limited.set_aside(source.link, source.address, now)
        return True

    def _follow_up(
        self, hello: Hello, events: tuple[Event, ...], source: Source, size: float, now: float
    ) -> list[Send]:
        """Say what a HELLO calls for."""
        sends: list[Send] = []
        row = self.table.get(hello.id, hello.boot)
        if row is not None and row.state in LIVE:
            self._beats += row.last_hello == now and not source.unicast
            sends += self._ask_for_record(row, source, now)
            if hello.solicit:
                sends += self._answer_solicit(source, now, size, row.key)
            self._prober.watch(row, now)
        sends += self._ask_beyond((hello.id, hello.boot), source, size, now, solicits=hello.solicit)
        if any(event.kind == "restarted" for event in events):
            for rival in self.table.replaced_boots(hello.id):  # an answer of the older boot proves a clone
                if self._rate_limits.questions.allows(rival.paths.best(now).address, now):
                    sends += self.ping(rival, now)[1].sends
        return sends

    def _hear_probe(self, probe: Ping | Pong, source: Source, now: float, size: int) -> Outcome:
        if probe.boot == self.boot and self._is_foreign(source):
            return self._hear_double(probe, source, now)
        if isinstance(probe, Pong):
            return self._hear_pong(probe, source, now)
        self._check_sender(probe.realm, probe.boot, source, now, probe.id)
        return self._answer_ping(probe, source, now, size)

    def _answer_ping(self, probe: Ping, source: Source, now: float, size: int = 0) -> Outcome:
        if probe.to not in (ANYONE, self.boot, mark(self.id, self.boot)):
            raise WireError("unexpected", "a PING for another node, or another run of this one")
        row = self.table.get(probe.id, probe.boot)
        path = None if row is None else row.paths.of(source)
        if path is not None and path.answered_at > -NEVER and self._beacon.reaches(source):
            refusal = self._rate_limits.pong_refusal(source, probe.boot, now)
        else:
            refusal = self._refusal(source, now)
        if refusal:
            dropped = self._dropped(refusal.reason, refusal.detail, source)
            return replace(dropped, sends=tuple(self._ask_beyond((probe.id, probe.boot), source, size, now)))
        self._received["ping"] += 1
        if row is not None and path is not None:
            self._prober.is_asked(row, path, now)
        silence = None if row is None else max(0.0, now - row.last_hello)
        held = 0.0 if self._clock is None else self._clock() - now
        return Outcome(sends=(self._beacon.pong(probe.nonce, silence, source, held),))

    def _hear_pong(self, pong: Pong, source: Source, now: float) -> Outcome:
        self._check_sender(pong.realm, pong.boot, source, now)
        asked = self._prober.answer(pong, source)
        if asked is None:
            question = self._strangers.answer(pong, source, now)
            if question is None:
                return self._hear_seed(pong, source, now)
            return self._hear_proof(pong, question, source, now)
        if source.link is None and asked.path.source.link is None and source.address != asked.path.address:
            if self._beacon.reaches(asked.path.source):
                self._beacon.aliases.admit(source.address, asked.path.address)
            source = asked.path.source  # the path that was asked works, wherever its end answers from
        if source.address == asked.path.address or asked.path.address in self.parameters.seeds:
            self.credit.prove(source.address, now)
        events = self._take_answer(asked.row, pong, source, asked.at, now)
        if not asked.wanted:
            return Outcome(events=events) if events else NOTHING
        hears_us_s = None if pong.heard_ms is None else pong.heard_ms / 1000
        took = now - asked.at
        rtt = took - _held(pong, took)
        answer = Answer(nonce=pong.nonce, rtt=rtt, hears_us_s=hears_us_s, peer=asked.row.peer(now))
        return Outcome(events=events, answers=(answer,))

    def _hear_proof(self, pong: Pong, question: Question, source: Source, now: float) -> Outcome:
        """Take a PONG from one that was asked whether it is there."""
        self.credit.prove(source.address, now)
        if source.link is None and not source.key:
            self._beacon.aliases.admit(source.address)
        if question.hello is not None and question.source is not None:
            self._received["pong"] += 1
            hello = replace(question.hello, solicit=question.solicits)
            return self._take_hello(hello, question.source, now, proved=True)
        row = self.table.get(*question.key)
        row = row if row is not None and row.paths.of(source) else None
        events = self._take_answer(row, pong, source, question.asked, now)
        if row is not None:
            self._prober.watch(row, now)
        if row is None or source.key:
            return Outcome(sends=tuple(self._welcome(source, now, solicits=question.solicits)), events=events)
        sends = self._ask_for_record(row, source, now)
        if question.solicits:  # it has waited its turn to be asked
            sends += self._answer_solicit(source, now, is_prompt=True)
        return Outcome(sends=tuple(sends), events=events)

    def _hear_seed(self, pong: Pong, source: Source, now: float) -> Outcome:
        """Take a PONG from a seed that was asked which of its addresses it speaks from."""
        asked = None if source.link else self._beacon.aliases.answer(pong.nonce, source.address, now)
        if asked is None:
            raise WireError("unexpected", "a PONG to no PING of ours")
        self.credit.prove(source.address, now)
        self._take_answer(None, pong, source, asked, now)
        for row in self.table.of_boot(pong.boot):  # the PING named nobody: several ids may claim that boot
            if row.paths.of(source):
                self._prober.watch(row, now)
        return NOTHING

    def _take_answer(
        self, row: Row | None, pong: Pong, source: Source, asked: float, now: float
    ) -> tuple[Event, ...]:
        """Take over what a PONG says of its path."""
        if row is not None and row.sealed_with and not source.key:
            raise WireError("downgrade", f"{row.id} seals, and this is plain")
        self._received["pong"] += 1
        now = max(now, asked)  # as far as clocks can be compared
        held = _held(pong, now - asked)
        rtt = now - asked - held
        self.rtts.observe(rtt)
        hears_us_s = None if pong.heard_ms is None else pong.heard_ms / 1000
        two_way: bool | None = hears_us_s is not None and hears_us_s < self.ttl(self._beacon.pace)
        if not two_way and asked < self._awake_since + WAKE_LATE:
            two_way = None  # nobody could hear us in our sleep
        if row is None:
            return ()
        return self.table.answered(row, source, rtt, hears_us_s, two_way=two_way, now=now, held=held)

    def _is_late(self, now: float) -> bool:
        """Whether we did not see time pass (suspend, SIGSTOP)."""
        return self._polled is not None and now > self._polled + WAKE_LATE and now > self.next_deadline() + WAKE_LATE

    def _wake(self, now: float) -> None:
        """Come back from a pause: nobody is judged by it."""
        self._polled = self._awake_since = now
        self._beacon.greet(now)
        self.table.mistrust(now)

    # --- strangers ------------------------------------------------------------------------------

    def _hear_stranger(self, letter: Incoming, size: int, now: float) -> Outcome:
        """Take something sealed by a boot that has not proved to live, and may be a recording.

        A HELLO makes us ask. A PING for us alone is answered. A PONG for us alone that answers is the proof, or
        else the answer to a PING of any other kind, which counts for itself.
        """
        opened, source = letter.opened, letter.source
        if opened.datagram.startswith(b"HELLO"):
            hello = decode_hello(opened.datagram)
            assert hello is not None, "what is sealed has a sender"
            sends = self._strangers.ask(hello, source, size, now)
            return replace(self._dropped("unproven", "not known to live", source), sends=sends)
        probe = decode_probe(opened.datagram)
        # only who answers can know the nonce of a PONG; a PING tells for whom it is, if the seal does not
        if opened.is_to_all or (isinstance(probe, Ping) and probe.to != self.boot):
            raise WireError("unproven", "a probe that is not for this node alone")
        assert self.sealing is not None
        if isinstance(probe, Ping):
            self.sealing.windows.take_question(opened)
            return self._answer_ping(probe, source, now)
        if source.link is None and self.challenges.move(opened.boot, source.address, probe.nonce):
            self._beacon.aliases.admit(source.address)
        if self.challenges.waits_for(opened.boot, source.address, probe.nonce):
            self.sealing.prove(opened, now)
        return self._hear_pong(probe, source, now)

    def _welcome(self, source: Source, now: float, *, solicits: bool) -> list[Send]:
        """Turn to one that has just proved to live: tell it of us if it asked, and ask it for a HELLO."""
        sends = self._answer_solicit(source, now) if solicits else []
        if self._beacon.may_request(now):
            sends.append(self._beacon.request(source, now))
        return sends

    def _is_barred(self, key: Key, source: Source) -> bool:
        """Whether a flood keeps a boot out: one that came with it, and did not prove to be where it says."""
        since = self._rate_limits.flooded_since
        if since is None or source.key:
            return False
        return not self.table.knew(key, since)

    def _dropped(self, reason: str, detail: str, source: Source) -> Outcome:
        return self._rate_limits.drop(WireError(reason, detail), source, self._beacon.link_state(source).name)

    # --- our own boot from elsewhere --------------------------------------------------------------

    def _is_foreign(self, source: Source) -> bool:
        return source.address not in self._own_addresses

    def _hear_sealed_double(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take what was sealed under our boot elsewhere: with a counter we never used it was not by us."""
        assert self.sealing is not None
        try:
            opened, source = self.sealing.open_double(datagram, source)
        except WireError:  # one of ours for somebody else, most likely
            raise WireError("own-echo") from None
        if not self.sealing.has_used(opened.counter):
            return self._redraw(source, now)
        plain = opened.datagram
        message = decode_probe(plain) if plain.startswith(b"P") else decode_hello(plain)
        assert message is not None, "what is sealed has a sender"
        return self._hear_double(message, source, now)

    def _hear_double(self, message: Hello | Ping | Pong, source: Source, now: float) -> Outcome:
        """Take a datagram of our boot from a foreign address: our own, come back, or that of a clone, or forged.

        The address is asked. When it answers for our boot a new one is drawn; on a plain network seldom.
        """
        if message.realm != self.parameters.realm:
            raise WireError("other-realm", message.realm)
        if not source.key and self._keyring.sends:
            raise WireError("own-boot", "not sealed, in the name of this node, which seals")
        if isinstance(message, Pong):
            return self._hear_double_answer(message, source, now)
        if isinstance(message, Ping):
            if self.doubles.is_mine(message.nonce):
                raise WireError("own-echo")
            sends = self._ask_double(source, now)
            self.doubles.asks_us(source.address, now)
            answer = self._answer_ping(message, source, now)
            return replace(answer, sends=(*answer.sends, *sends))
        is_sent = message.seq <= self.seq
        dropped = self._dropped("own-echo" if is_sent else "own-boot", "not sent by this node", source)
        return replace(dropped, sends=self._ask_double(source, now))

    def _hear_double_answer(self, pong: Pong, source: Source, now: float) -> Outcome:
        here = source.link.address if source.link else ""
        if not self.doubles.proves(pong.nonce, source.address, here, now):
            raise WireError("own-echo" if source.key else "own-boot", "an answer to no question of ours")
        if not source.key and not self.doubles.may_draw(now):
            raise WireError("own-boot", "a new boot was drawn not long ago")
        return self._redraw(source, now)

    def _ask_double(self, source: Source, now: float) -> tuple[Send, ...]:
        if not self._beacon.reaches(source):
            return ()
        nonce = self.doubles.ask(source.address, self._nonce(), now)
        return () if nonce is None else (self._beacon.ping(nonce, source, self.id, self.boot),)

    def _redraw(self, source: Source, now: float) -> Outcome:
        """Go on under a new boot, and greet: for others a restart, until the other speaks again."""
        self.boot = self.doubles.draw(source.address, self._nonce(), now)
        self._beacon.reboot(self.boot, now)
        self._awake_since = now  # nobody has heard this boot yet
        return Outcome(double=source.address)

    # --- whether to listen, and to answer ---------------------------------------------------------

    def _check_sender(self, realm: str, boot: str, source: Source, now: float, id: str = "") -> None:
        if boot == self.boot:
            raise WireError("own-echo")
        if realm != self.parameters.realm:
            raise WireError("other-realm", realm)
        if not source.key and self._keyring.sends:
            sealed = self.table.sealed(id, boot, now)
            if sealed is not None:
                raise WireError("downgrade", f"{sealed.id} seals, and this is plain")

    def _is_ours(self, source: Source) -> bool:
        return bool(source.key) or self._beacon.reaches(source)  # what is sealed comes from one of us

    def _refusal(self, source: Source, now: float) -> WireError | None:
        return self._rate_limits.refusal(source, now, is_ours=self._is_ours(source))

    def _ask_beyond(
        self, key: Key, source: Source, size: float, now: float, *, solicits: bool = False
    ) -> list[Send]:
        """Ask one beyond our links that nobody named whether it is there, and the seeds whether it is one of them."""
        if self._is_ours(source):
            return []
        sends = self._ask_seeds(source, now)
        is_due = self._keyring.takes_plain and self.challenges.is_due(key, source.address, now)
        if is_due and self._rate_limits.beyond.allows("", now):
            sends += self._strangers.ask_node(key, source, size, now, solicits=solicits)
        return sends

    def _ask_seeds(self, source: Source, now: float) -> list[Send]:
        """Ask the seeds, where somebody who may be one of them speaks from an address that nobody named."""
        if source.link or source.key or self._beacon.reaches(source) or not self._keyring.takes_plain:
            return []
        return self._beacon.ask_seeds(self._nonce, now)

    def _admit(self, key: Key, source: Source, now: float) -> None:
        if self._is_barred(key, source):
            raise Unproven("flood", "nobody new is listed in a flood")
        if self.table.get(*key) is None:
            self._rate_limits.admit(source, now)
            routed = self.parameters.limits.routed
            if not self._is_ours(source) and self.table.is_crowded_beyond(routed):
                raise WireError("table-full", f"{routed} peers beyond our links")
            if not source.key and not self._strangers.may_list("node" if key[1] else "bare", now):
                raise Unproven("unproven", f"more than {UNASKED_PER_SECOND} new peers a second: it has to answer first")

    def _ask_for_record(self, row: Row, source: Source, now: float) -> list[Send]:
        """Solicit the record that a digest stands for, at most once an interval; of many, one after the other.

        Where that is refused, it comes by itself with the next full HELLO.
        """
        is_asked = now < row.asked + self.parameters.interval
        if self.table.has_digest(row) or is_asked or not self._beacon.may_request(now):
            return []
        row.asked = now
        return [] if self._refusal(source, now) else [self._beacon.request(source, now)]

    def _answer_solicit(
        self, source: Source, now: float, size: float = NEVER, key: Key = ("", ""), *, is_prompt: bool = False
    ) -> list[Send]:
        """Answer a solicit with the full HELLO; who did not prove to be there gets no more bytes than it sent."""
        if source.key or self.credit.is_proven(source.address, now):
            size = NEVER
        if self._beacon.answers.joins(source, size):
            return []
        refusal = self._rate_limits.record_refusal(source, now, is_ours=self._is_ours(source))
        if refusal:  # the HELLO itself was welcome
            self._rate_limits.drops.count(refusal.reason, self._beacon.link_state(source).name)
            return []
        return self._beacon.answer_now(source) if is_prompt else self._beacon.answer(source, now, size, key)

    def _ask_first(self, waiting: Waiting, now: float) -> tuple[Send, ...]:
        # as long as it may be: the account of its address bounds what is sent there
        return self._strangers.ask_node(waiting.key, waiting.source, NEVER, now, solicits=True)

    # --- asking ---------------------------------------------------------------------------------

    def _ping(self, row: Row, path: Path, nonce: str) -> Send:
        return self._beacon.ping(nonce, path.source, row.id, row.boot)

    def _reaches(self, path: Path) -> bool:
        return self._beacon.reaches(path.source)

    def _nonce(self) -> str:
        return f"{self.random.getrandbits(64):016x}"


def _held(pong: Pong, took: float) -> float:
    """Give the seconds for which a PING lay with the peer, if they fit into those until its answer came."""
    held = pong.held_us / 1e6
    return held if held < took else 0.0


def _refuse(error: WireError) -> Outcome:
    raise error
