"""The engine: one node of the network, without a socket, a thread or a clock.

It is told what came in and what time it is, and answers with what to send and what happened::

    >>> from discoveryd.protocol.link import Link, Source
    >>> from discoveryd.protocol.record import Record
    >>> def node(name, address):
    ...     node = Node(record=Record(name=name), node_id=name, random=Random(name))
    ...     node.set_links([Link("eth0", 2, address, 24, "10.0.0.255")], now=0.0)
    ...     return node
    >>> a, b = node("a", "10.0.0.1"), node("b", "10.0.0.2")
    >>> [send] = a.poll(now=0.0).sends
    >>> send.to, send.datagram[:18]
    ('10.0.0.255', b'HELLO|1|default|a|')
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
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from discoveryd.errors import WireError
from discoveryd.protocol.events import Event
from discoveryd.protocol.hello import Hello, decode_hello
from discoveryd.protocol.histogram import RTT_BOUNDS, Histogram
from discoveryd.protocol.limiter import Limiter
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.liveness import JITTER, is_isolated
from discoveryd.protocol.outcome import NOTHING, Answer, Drop, Outcome, Send
from discoveryd.protocol.outlet import Outlet
from discoveryd.protocol.parameters import MAX_INTERVAL, MAX_TTL, Parameters
from discoveryd.protocol.peer import LIVE, Peer
from discoveryd.protocol.probe import ANYONE, Ping, Pong, decode_probe
from discoveryd.protocol.prober import Prober
from discoveryd.protocol.record import Record
from discoveryd.protocol.row import NEVER, Row, Way
from discoveryd.protocol.table import PeerTable

WAKE_LATE = 1.0
"""Seconds that `poll` may come late before we take it that we were asleep, not busy."""
FULL_EVERY = 10
"""Every tenth HELLO carries the record, for whoever missed it."""
PROMPT_PEERS = 32
ANSWERS_PER_SECOND = 1000
"""Up to 32 peers answer a solicit at once; more spread their answers to stay below 1,000 a second."""
MAX_COMPLAINTS = 256
"""Bad sources that are named (once for each reason); any further are only counted."""


class Node:
    """One node: its HELLOs, its table, its answers.

    Args:
        parameters: how to speak.
        record: what to say of itself.
        node_id: stable id, 1 to 32 of ``A-Z a-z 0-9 . _ -``; drawn from `random` if empty.
        random: where boot id, jitter and nonces come from; seeded, a run repeats to the bit.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        record: Record | None = None,
        *,
        node_id: str = "",
        random: Random | None = None,
    ) -> None:
        self.parameters = parameters or Parameters()
        self.record = record or Record(name="node")
        self.random = random or Random()  # noqa: S311 - ids and jitter, not keys
        self.boot = self._nonce()
        self.id = node_id or self._nonce()
        limits = self.parameters.limits
        self.table = PeerTable(limit=limits.peers, remember=limits.remember, own_id=self.id)
        self.sent: Counter[str] = Counter()
        self._received: Counter[str] = Counter()
        self._steady_received = 0
        self.drops: Counter[tuple[str, str]] = Counter()
        self.rtts = Histogram(RTT_BOUNDS)  # seconds, one for each PONG
        self.seq = 0
        self._outlets: dict[Link, Outlet] = {}
        self._routed = Outlet(None, self.parameters.seeds, 0.0)
        self._next_hello = NEVER
        self._interval = self.parameters.interval  # of the beat that was last
        self._answers: dict[str, tuple[float, Source]] = {}  # due, to whom
        self._prober = Prober(self.table, self.random, self._ping, self._reaches)
        self._polled: float | None = None
        self._complaints: set[tuple[str, str]] = set()
        self._answer_limit = Limiter(limits.answers, ANSWERS_PER_SECOND)
        self._newcomer_limit = Limiter(limits.newcomers, 20 * limits.newcomers)
        self._own_addresses: frozenset[str] = frozenset()
        self._flooded_since: float | None = None

    # --- what the driver tells us ---------------------------------------------------------------

    def set_links(self, links: Iterable[Link], now: float) -> None:
        """Take the links there are now; the ones that were there before are not touched.

        A new link begins with a burst of full HELLOs that solicit answers.
        """
        wanted = dict.fromkeys(links)
        for link in [link for link in self._outlets if link not in wanted]:
            del self._outlets[link]
            self.table.steady.drop_link(link)
            self._answers = {to: answer for to, answer in self._answers.items() if answer[1].link != link}
        for link in wanted:
            if link not in self._outlets:
                self._outlets[link] = Outlet(link, (link.broadcast,), now)
                self._outlets[link].begin_burst(now, solicits=True)
        self._own_addresses = frozenset(link.address for link in self._outlets)
        if self._next_hello == NEVER:
            self._begin(now)

    def set_record(self, record: Record, now: float) -> None:
        """Say something else of ourselves from now on, at once and a few times."""
        if record.digest == self.record.digest:
            return
        self.record = record
        for outlet in self._all_outlets():
            outlet.begin_burst(now, solicits=False)

    def set_parameters(self, parameters: Parameters, now: float) -> None:
        """Change the interval, ttl, budget, seeds and limits; port, realm and loopback are for a lifetime."""
        former = self.parameters
        self.parameters = replace(parameters, port=former.port, realm=former.realm, loopback=former.loopback)
        self.table.limit, self.table.remember = parameters.limits.peers, parameters.limits.remember
        self._answer_limit = Limiter(parameters.limits.answers, ANSWERS_PER_SECOND)
        self._newcomer_limit = Limiter(parameters.limits.newcomers, 20 * parameters.limits.newcomers)
        self._routed.targets = parameters.seeds
        if set(parameters.seeds) - set(former.seeds):
            self._routed.begin_burst(now, solicits=True)
        self._interval = self.interval(now)
        is_begun = self._next_hello != NEVER
        if is_begun and (former.interval, former.ttl) != (parameters.interval, parameters.ttl):
            self._next_hello = min(self._next_hello, now)  # whoever counts on the old interval hears of it

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram. Whatever its bytes, nothing is raised and the time is linear in their number."""
        head, _, seq = datagram.rpartition(b"|")
        way = self.table.steady.get((head, source))
        if way is None and seq.endswith(b"}"):  # a full one that repeats the record we hold is as good
            *fields, record = datagram.split(b"|", 10)
            way = self.table.steady.get((b"|".join(fields[:9]), source))
            if way is not None:
                held = way.row.record
                seq = fields[9] if held is not None and held.encoded == record else b""
        # fewer than 10 digits: no check of the range is needed
        if way is not None and now < way.expires and seq.isdigit() and len(seq) < 10:
            row = way.row
            row.last_hello = row.last_heard = way.last_heard = now
            row.expires = way.expires = now + row.ttl
            number = int(seq)
            if number > row.seq:  # noqa: PLR1730 - faster than max()
                row.seq = number
            reach = way.reach
            if reach is not None and number > reach.seq:  # what `Way.heard` does
                reach.seq = number
                reach.heard += 1
                if number >= reach.due:
                    way.mark(reach)
            outlet = self._outlet(source)
            outlet.received += 1
            outlet.last_heard = now
            self._steady_received += 1
            return NOTHING
        return self._receive(datagram, source, now)

    def poll(self, now: float) -> Outcome:
        """Do what is due: HELLOs, delayed answers, expiry."""
        sends: list[Send] = []
        events = self._lapse(now)
        self._polled = now
        if now >= self._next_hello:
            sends += self._beat(now)
        for outlet in self._all_outlets():
            if outlet.burst:
                sends += self._burst(outlet, now)
        if self._answers:
            sends += self._due_answers(now)
        probes, given_up = self._prober.poll(now)
        sends += probes
        events = (*events, *given_up)
        return Outcome(sends=tuple(sends), events=events) if sends or events else NOTHING

    def next_deadline(self) -> float:
        """Say when `poll` has something to do."""
        due = min(self._next_hello, self.table.next_expiry(), self._prober.next_deadline())
        for outlet in self._all_outlets():
            if outlet.burst and outlet.burst[0] < due:
                due = outlet.burst[0]
        for at, _ in self._answers.values():
            due = min(due, at)
        return due

    def goodbye(self) -> Outcome:
        """Say that we leave, on every link and to the seeds. To be sent, a few times, before the end."""
        return Outcome(sends=tuple(self._hello_everywhere(self._hello(goodbye=True).encode())))

    def ping(self, row: Row, now: float) -> tuple[str, Outcome]:
        """Ask one peer for a sign of life.

        Returns:
            the nonce that its `Answer` will carry, and what to send. Without an answer within 10 s
            none will be given.
        """
        for way in row.fresh(now):
            if way.source.link is None or way.source.link in self._outlets:
                nonce, send = self._prober.ask(row, way, now, wanted=True)
                return nonce, Outcome(sends=(send,))
        return self._nonce(), NOTHING  # its links are gone, it may come back by another

    def refused(self, datagram: bytes, now: float) -> Outcome:
        """Take the kernel's word (ICMP port unreachable) that nobody listens where this datagram went."""
        try:
            ping = decode_probe(datagram)
        except WireError:
            return NOTHING  # a HELLO to a seed, perhaps
        events = self._prober.refused(ping.nonce, now)
        return Outcome(events=events) if events else NOTHING

    def is_isolated(self, now: float) -> bool:
        """Whether it is rather we who are cut off than all the others who are down."""
        silent = self.table.silent_together(now, self.ttl(self._interval))
        return is_isolated(len(self._outlets), self.table.counts(now)["up"], silent)

    # --- what can be asked ----------------------------------------------------------------------

    @property
    def links(self) -> tuple[Link, ...]:
        """The links in use."""
        return tuple(self._outlets)

    @property
    def outlets(self) -> tuple[Outlet, ...]:
        """Counters of each link in use."""
        return tuple(self._outlets.values())

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Give the peers that are up, and with `gone` those that are no more."""
        return self.table.peers(now, gone=gone)

    def interval(self, now: float) -> float:
        """Give the interval in force, seconds: stretched so that a segment stays within its budget."""
        crowd = (self.table.live_count(now) + 1) / self.parameters.budget
        return min(max(self.parameters.interval, crowd), MAX_INTERVAL)

    def ttl(self, interval: float) -> float:
        """Give the ttl that goes with an interval in force."""
        return min(self.parameters.ttl * interval / self.parameters.interval, MAX_TTL)

    @property
    def received(self) -> dict[str, int]:
        """Count what was heard and understood, by kind."""
        kinds = {kind: self._received[kind] for kind in ("hello", "bare", "ping", "pong")}
        kinds["hello"] += self._steady_received
        return kinds

    def begin_flood(self, since: float, now: float) -> Outcome:
        """Take it that from then on more came in than can be looked at: nobody new is listed until it is over.

        Who came since then, and answered no PING, is taken for a part of it.
        """
        self._flooded_since = since
        return Outcome(events=self.table.turn_away(since, now))

    def end_flood(self) -> None:
        """Take it that it is over."""
        self._flooded_since = None

    def known_addresses(self, since: float) -> tuple[str, ...]:
        """Give the addresses that count in a flood: of seeds, of peers there before, of those that answered a PING.

        An answer cannot be forged by who does not see the PING; a HELLO from a false address can.
        """
        return (*self.parameters.seeds, *self.table.known_addresses(since))

    # --- saying ---------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        if self.parameters.seeds:
            self._routed.begin_burst(now, solicits=True)
        # the bursts greet; the beat follows within one interval, at a moment of its own
        self._next_hello = now + self.parameters.interval * self.random.uniform(0.5, 1.0)

    def _all_outlets(self) -> Iterable[Outlet]:
        return (*self._outlets.values(), self._routed) if self._routed.targets else self._outlets.values()

    def _beat(self, now: float) -> list[Send]:
        self.seq = (self.seq + 1) & 0xFFFFFFFF
        interval = self._interval = self.interval(now)
        self._next_hello = now + interval * self.random.uniform(1 - JITTER, 1 + JITTER)
        hello = self._hello(full=self.seq % FULL_EVERY == 0)
        return self._hello_everywhere(hello.encode())

    def _burst(self, outlet: Outlet, now: float) -> list[Send]:
        """Send what is due of a burst: one HELLO, however late we are."""
        if now < outlet.burst[0]:
            return []
        outlet.burst = [due for due in outlet.burst if due > now]
        hello = self._hello(full=True, solicit=outlet.solicits)
        if not outlet.burst:
            outlet.solicits = False
        return self._hello_out(hello.encode(), outlet)

    def _hello(self, *, full: bool = False, solicit: bool = False, goodbye: bool = False) -> Hello:
        interval = self._interval
        return Hello(
            realm=self.parameters.realm,
            id=self.id,
            boot=self.boot,
            interval_ms=round(interval * 1000),
            ttl_ms=round(self.ttl(interval) * 1000),
            digest=self.record.digest,
            seq=self.seq,
            solicit=solicit,
            goodbye=goodbye,
            record=self.record.encoded if full else None,
        )

    def _hello_everywhere(self, datagram: bytes) -> list[Send]:
        return [send for outlet in self._all_outlets() for send in self._hello_out(datagram, outlet)]

    def _hello_out(self, datagram: bytes, outlet: Outlet) -> list[Send]:
        outlet.sent += len(outlet.targets)
        self.sent["hello"] += len(outlet.targets)
        return [Send(datagram, outlet.link, target) for target in outlet.targets]

    def _due_answers(self, now: float) -> list[Send]:
        due = [to for to, (at, _) in self._answers.items() if now >= at]
        return [self._answer(self._answers.pop(to)[1]) for to in due]

    def _answer(self, source: Source) -> Send:
        self.sent["hello"] += 1
        hello = self._hello(full=True)
        return Send(hello.encode(), source.link, source.address)

    def _outlet(self, source: Source) -> Outlet:
        return self._outlets.get(source.link, self._routed) if source.link else self._routed

    def _ping(self, row: Row, way: Way, nonce: str) -> Send:
        to = row.boot or ANYONE
        ping = Ping(realm=self.parameters.realm, id=self.id, boot=self.boot, nonce=nonce, to=to)
        self.sent["ping"] += 1
        return Send(ping.encode(), way.source.link, way.address)

    def _reaches(self, way: Way) -> bool:
        return self._is_ours(way.source)

    def _is_ours(self, source: Source) -> bool:
        """Whether a source is on a link of ours, or a seed: nothing is sent to any other."""
        return source.link in self._outlets if source.link else source.address in self.parameters.seeds

    def _nonce(self) -> str:
        return f"{self.random.getrandbits(64):016x}"

    # --- hearing --------------------------------------------------------------------------------

    def _receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        outlet = self._outlet(source)
        expired = self._lapse(now)  # told also where the datagram is dropped
        try:
            if datagram.startswith(b"P"):
                outcome = self._hear_probe(decode_probe(datagram), source, now)
            else:
                outcome = self._hear_hello(decode_hello(datagram), source, now)
        except WireError as error:
            outcome = self._drop(error, source, outlet)
        else:
            outlet.received += 1
            outlet.last_heard = now
        return replace(outcome, events=(*expired, *outcome.events)) if expired else outcome

    def _drop(self, error: WireError, source: Source, outlet: Outlet) -> Outcome:
        """Count what was not understood; name its source the first time."""
        self.drops[error.reason, outlet.name] += 1
        complaint = (source.address, error.reason)
        if (
            error.reason in ("own-echo", "flood")
            or complaint in self._complaints
            or len(self._complaints) >= MAX_COMPLAINTS
        ):
            return NOTHING
        self._complaints.add(complaint)
        drop = Drop(reason=error.reason, detail=error.detail, address=source.address, link=outlet.name)
        return Outcome(drops=(drop,))

    def _hear_hello(self, hello: Hello | None, source: Source, now: float) -> Outcome:
        if hello is None:
            if source.address in self._own_addresses:
                raise WireError("own-echo", "a bare HELLO from this machine")
            self._admit(source.address, source, now)
            events = self.table.heard_bare(source, self.parameters.bare_ttl, now)
            self._received["bare"] += 1
            return Outcome(events=events)
        self._check_sender(hello.realm, hello.boot)
        self._admit(hello.boot, source, now)
        events = self.table.heard(hello, source, now)
        self._received["hello"] += 1
        sends: list[Send] = []
        row = self.table.get(hello.boot)
        if row is not None and row.state in LIVE:
            sends += self._ask_for_record(row, source, now)
            if hello.solicit:
                sends += self._answer_solicit(source, now)
            self._prober.watch(row, now)
        if any(event.kind == "restarted" for event in events):
            for rival in self.table.rivals(hello.id):  # an answer of the older boot proves a clone
                if self._answer_limit.allows(rival.best(now).address, now):
                    sends += self.ping(rival, now)[1].sends
        return Outcome(sends=tuple(sends), events=events)

    def _hear_probe(self, probe: Ping | Pong, source: Source, now: float) -> Outcome:
        if isinstance(probe, Pong):
            return self._hear_pong(probe, source, now)
        self._check_sender(probe.realm, probe.boot)
        refusal = self._refusal(source, now)
        if refusal:
            raise refusal
        self._received["ping"] += 1
        row = self.table.get(probe.boot)
        heard_ms = None if row is None else round((now - row.last_hello) * 1000)
        way = None if row is None else row.way(source)
        if row is not None and way is not None:
            self._prober.is_asked(row, way, now)
        pong = Pong(realm=self.parameters.realm, boot=self.boot, nonce=probe.nonce, heard_ms=heard_ms)
        self.sent["pong"] += 1
        return Outcome(sends=(Send(pong.encode(), source.link, source.address),))

    def _hear_pong(self, pong: Pong, source: Source, now: float) -> Outcome:
        self._check_sender(pong.realm, pong.boot)
        asked = self._prober.answer(pong)
        if asked is None:
            raise WireError("unexpected", "a PONG to no PING of ours")
        self._received["pong"] += 1
        rtt = now - asked.at
        self.rtts.observe(rtt)
        hears_us_s = None if pong.heard_ms is None else pong.heard_ms / 1000
        two_way = hears_us_s is not None and hears_us_s < self.ttl(self._interval)
        events = self.table.answered(pong.boot, source, rtt, hears_us_s, two_way=two_way, now=now)
        row = self.table.get(pong.boot)
        if row is None or not asked.wanted:
            return Outcome(events=events) if events else NOTHING
        answer = Answer(nonce=pong.nonce, rtt=rtt, hears_us_s=hears_us_s, peer=row.peer(now))
        return Outcome(events=events, answers=(answer,))

    def _lapse(self, now: float) -> tuple[Event, ...]:
        """Let time pass over the table; if we did not see it pass (suspend, SIGSTOP), judge nobody by it."""
        if self._polled is None or now <= self._polled + WAKE_LATE or now <= self.next_deadline() + WAKE_LATE:
            return self.table.expire(now)
        self._polled = now
        for outlet in self._all_outlets():
            outlet.begin_burst(now, solicits=True)
        return self.table.resume(now) + self.table.expire(now)

    def _check_sender(self, realm: str, boot: str) -> None:
        if boot == self.boot:
            raise WireError("own-echo")
        if realm != self.parameters.realm:
            raise WireError("other-realm", realm)

    def _refusal(self, source: Source, now: float) -> WireError | None:
        """Answer only on the link or to a seed, and only so often: nobody shall amplify through us."""
        if not self._is_ours(source):
            return WireError("off-link", "asks from beyond our links and is no seed")
        if not self._answer_limit.allows(source.address, now):
            return WireError("rate", f"more than {self.parameters.limits.answers} answers a second")
        return None

    def _admit(self, key: str, source: Source, now: float) -> None:
        if self._flooded_since is not None and not self.table.knew(key, self._flooded_since):
            raise WireError("flood", "nobody new is listed in a flood")
        if self.table.get(key) is None and not self._newcomer_limit.allows(source.address, now):
            raise WireError("rate", f"more than {self.parameters.limits.newcomers} new peers a second")

    def _ask_for_record(self, row: Row, source: Source, now: float) -> list[Send]:
        """Solicit the record that a digest stands for, at most once an interval.

        Where that is refused, it comes by itself with the next full HELLO.
        """
        if self.table.has_digest(row) or now < row.asked + self.parameters.interval:
            return []
        row.asked = now
        if self._refusal(source, now):
            return []
        self.sent["hello"] += 1
        hello = self._hello(solicit=True)
        return [Send(hello.encode(), source.link, source.address)]

    def _answer_solicit(self, source: Source, now: float) -> list[Send]:
        if source.address in self._answers:
            return []
        refusal = self._refusal(source, now)
        if refusal:  # the HELLO itself was welcome
            self.drops[refusal.reason, self._outlet(source).name] += 1
            return []
        crowd = self.table.live_count(now)
        if crowd <= PROMPT_PEERS:
            return [self._answer(source)]
        self._answers[source.address] = (now + self.random.uniform(0, crowd / ANSWERS_PER_SECOND), source)
        return []
