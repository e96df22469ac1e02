"""What a node says, and when: beats, bursts, answers to solicits, and the PINGs and PONGs it is told to send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil
from random import Random
from typing import TYPE_CHECKING

from discoveryd.protocol.answers import PROMPT_PEERS, Answers, Waiting, gap
from discoveryd.protocol.limited_broadcast import DIRECTED_EVERY, LimitedBroadcast
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.link_state import BURST, PLACES, LinkState
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import MAX_INTERVAL, MAX_TTL, Parameters
from discoveryd.protocol.seed_addresses import SeedAddresses
from discoveryd.protocol.table.liveness import JITTER, NEVER
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.wire.hello import Hello
from discoveryd.protocol.wire.probe import ANYONE, Ping, Pong, mark
from discoveryd.protocol.wire.record import Record

if TYPE_CHECKING:
    from discoveryd.protocol.sealed.channel import Sealing

FULL_EVERY = 10
"""Every tenth HELLO carries the record, for whoever missed it."""
STRETCH_STEPS = 8
"""Steps of the stretched interval, for each configured interval: 0.1 s at the default of 0.8 s.

Without steps each crash among hundreds of nodes changes what every HELLO announces, and no HELLO is steady."""


class Beacon:
    """The datagrams of one node: which, by which link, and when.

    Args:
        parameters: how to speak.
        record: what to say of itself.
        node_id: its id.
        boot: the id of this run of it.
        random: for jitter and delays.
        crowd: counts the peers that are listed at a moment; with them answers are spread.
        speaking: counts those of them with whom the budget is shared; all of them if not given.
        pressure: tells how many HELLOs a second are heard; none if not given.
        limited: knows which links need the limited broadcast.

    Attributes:
        outlets: the links in use; this dict stays the same.
        routed: the way to the seeds.
        aliases: other addresses of seeds.
        pace: the interval of the last beat, which is announced, seconds.
        next_beat: when the next one is due; `NEVER` before there was a link.
        answers: who waits for our record.
        sent: datagrams by kind.
        sealing: puts it into envelopes, None as long as there never were keys.
        ask_first: gives the question to one that has to prove to be there before it gets our record.
    """

    def __init__(
        self,
        parameters: Parameters,
        record: Record,
        *,
        node_id: str,
        boot: str,
        random: Random,
        crowd: Callable[[float], int],
        limited: LimitedBroadcast | None = None,
        speaking: Callable[[float], int] | None = None,
        pressure: Callable[[float], float] = lambda _: 0.0,
    ) -> None:
        self.parameters = parameters
        self.record = record
        self.id = node_id
        self.boot = boot
        self.seq = 0
        self.sent: Counter[str] = Counter()
        self.outlets: dict[Link, LinkState] = {}
        self.routed = LinkState(None, parameters.seeds, 0.0)
        self.aliases = SeedAddresses()
        self.pace = parameters.interval
        self.next_beat = NEVER
        self.answers = Answers(random)
        self.sealing: Sealing | None = None
        self.ask_first: Callable[[Waiting, float], Iterable[Send]] = lambda _waiting, _now: ()
        self._copies = 1  # of each HELLO: one for each way in which it goes out
        self._next_request = -NEVER  # for a record
        self._random = random
        self._crowd = crowd
        self._limited = LimitedBroadcast() if limited is None else limited
        self._speaking = speaking or crowd
        self._hello_rate = pressure

    # --- where, what and how ------------------------------------------------------------------------

    def set_links(self, links: Iterable[Link], now: float) -> list[Link]:
        """Take the links there are now, and greet on those that are new; give those that are gone."""
        wanted = dict.fromkeys(links)
        gone = [link for link in self.outlets if link not in wanted]
        for link in gone:
            del self.outlets[link]
            self.answers.drop_link(link)
        for link in wanted:
            if link not in self.outlets:
                link_state = self.outlets[link] = LinkState(link, (link.broadcast,), now)
                self._begin_burst(link_state, now, solicits=True)
        if self.next_beat == NEVER:
            if self.parameters.seeds:
                self._begin_burst(self.routed, now, solicits=True)
            # the bursts greet; the beat follows within one interval, at a moment of its own
            self.next_beat = now + self.parameters.interval * self._random.uniform(0.5, 1.0)
        return gone

    def reboot(self, boot: str, now: float) -> None:
        """Go on under another boot, as after a start: from the first seq, and with a greeting."""
        self.boot = boot
        self.seq = 0
        if self.sealing is not None:
            self.sealing.reboot(boot)
        self.greet(now)

    def set_record(self, record: Record, now: float) -> None:
        """Say something else of ourselves from now on, at once and a few times."""
        if record.digest == self.record.digest:
            return
        self.record = record
        for link_state in self.all_outlets():
            self._begin_burst(link_state, now, solicits=False)

    def set_parameters(self, parameters: Parameters, now: float) -> None:
        """Speak in another way; port, realm and loopback are for a lifetime."""
        former = self.parameters
        self.parameters = replace(parameters, port=former.port, realm=former.realm, loopback=former.loopback)
        self.routed.targets = parameters.seeds
        self.aliases.keep(parameters.seeds)
        if set(parameters.seeds) - set(former.seeds):
            self._begin_burst(self.routed, now, solicits=True)
        self.pace = self.interval(now)
        is_begun = self.next_beat != NEVER
        if is_begun and (former.interval, former.ttl) != (parameters.interval, parameters.ttl):
            self.next_beat = min(self.next_beat, now)  # whoever counts on the old interval hears of it

    def greet(self, now: float) -> None:
        """Ask everywhere who is there, after a pause."""
        for link_state in self.all_outlets():
            self._begin_burst(link_state, now, solicits=True)

    def interval(self, now: float) -> float:
        """Give the interval in force, seconds: stretched so that a segment stays within its budget.

        By the peers that share it; and by what is heard, for many that start at one moment are known to be there
        only a little later.
        """
        shares = max((self._speaking(now) + 1) * self._copies, self._hello_rate(now) * self.parameters.interval)
        stretched = shares / self.parameters.budget
        step = self.parameters.interval / STRETCH_STEPS
        steps = max(STRETCH_STEPS, ceil(stretched / step - 1e-9))
        return min(steps * self.parameters.interval / STRETCH_STEPS, MAX_INTERVAL)

    def ttl(self, interval: float) -> float:
        """Give the ttl that goes with an interval in force."""
        return min(self.parameters.ttl * interval / self.parameters.interval, MAX_TTL)

    def all_outlets(self) -> Iterable[LinkState]:
        """Give the ways out that lead anywhere."""
        return (*self.outlets.values(), self.routed) if self.routed.targets else self.outlets.values()

    def link_state(self, source: Source) -> LinkState:
        """Give the way out that what came from a source is counted with."""
        return self.outlets.get(source.link, self.routed) if source.link else self.routed

    def reaches(self, source: Source) -> bool:
        """Whether a source is on a link of ours, or a seed: nothing is sent to any other of our own accord."""
        if source.link:
            return source.link in self.outlets
        return source.address in self.parameters.seeds or source.address in self.aliases

    # --- what is due --------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Send]:
        """Say what is due."""
        sends: list[Send] = []
        if now >= self.next_beat:
            sends += self._beat(now)
        for link_state in self.all_outlets():
            if link_state.burst:
                sends += self._burst(link_state, now)
        if self.answers:
            sends += self._due_answers(now)
        return sends

    def next_deadline(self) -> float:
        """Say when `poll` has something to do."""
        due = self.next_beat
        for link_state in self.all_outlets():
            if link_state.burst and link_state.burst[0] < due:
                due = link_state.burst[0]
        return min(due, self.answers.next_due()) if self.answers else due

    def _begin_burst(self, link_state: LinkState, now: float, *, solicits: bool) -> None:
        link_state.begin_burst(now, solicits=solicits, place=self._random.uniform(*PLACES))

    def _beat(self, now: float) -> list[Send]:
        self.seq = (self.seq + 1) & 0xFFFFFFFF
        former, self.pace = self.pace, self.interval(now)
        # a crowd that began together would beat together: who finds that the interval is much longer than
        # was thought takes a place of its own in it
        soonest = min(1 - JITTER, former / self.pace)
        self.next_beat = now + self.pace * self._random.uniform(soonest, 1 + JITTER)
        served = [self.answers.serve(link, now) for link in self.outlets]
        for link, link_state in self.outlets.items():
            link_state.limited = self._limited.is_needed(link, now)
        hello = self._hello(full=any(served) or self.seq % FULL_EVERY == 0)
        sends = self._everywhere(hello)
        for link_state in self.outlets.values():
            if link_state.limited and (self.seq % DIRECTED_EVERY == 0 or not link_state.has_beaten):
                sends += self._out(hello, link_state, limited=False)
            link_state.has_beaten = True
        return sends

    def _burst(self, link_state: LinkState, now: float) -> list[Send]:
        """Send what is due of a burst: one HELLO, however late we are."""
        if now < link_state.burst[0]:
            return []
        link_state.stretch(self.interval(now) / self.parameters.interval)
        if now < link_state.burst[0]:
            return []  # we have heard of so many peers meanwhile that it has to wait (RFC 3550 6.3.6)
        # in a crowd that we hear one question is enough: else each answers while anybody's burst goes on
        asks = link_state.solicits and (len(link_state.burst) == len(BURST) or self._crowd(now) <= PROMPT_PEERS)
        link_state.burst = [due for due in link_state.burst if due > now]
        hello = self._hello(full=True, solicit=asks, pace=max(self.pace, self.interval(now)))
        if not link_state.burst:
            link_state.solicits = False
        self.answers.serve(link_state.link, now)
        return self._out(hello, link_state, limited=True)

    def _due_answers(self, now: float) -> list[Send]:
        if now < self.answers.next_due():
            return []
        sends: list[Send] = []
        for waiting in self.answers.take(self._crowd(now), now):
            source, hello = waiting.source, self._hello(full=True)
            if waiting.size < len(hello.encode()):
                sends += () if waiting.several else self.ask_first(waiting, now)
            elif waiting.several and source.link:
                sends += self._out(hello, self.outlets[source.link], limited=True)
            else:
                sends.append(self._unicast(hello, source))
        return sends

    # --- what is called for -------------------------------------------------------------------------

    def answer(self, source: Source, now: float, size: float = NEVER, key: Key = ("", "")) -> list[Send]:
        """Answer a solicit of one with whom nobody waits, at once or when it is due.

        Who did not prove to be there, and sent fewer bytes than the answer has, is asked first.
        """
        self.answers.add(source, self._crowd(now), now, size, key)
        return self._due_answers(now)

    def answer_now(self, source: Source) -> list[Send]:
        """Answer a solicit of one that has waited for its turn."""
        return [self._unicast(self._hello(full=True), source)]

    def may_request(self, now: float) -> bool:
        """Whether we may ask for a record already: as answers, requests keep a gap that grows with the crowd."""
        return now >= self._next_request

    def request(self, source: Source, now: float) -> Send:
        """Ask one peer for its record."""
        self._next_request = now + gap(self._crowd(now))
        return self._unicast(self._hello(solicit=True), source)

    def ask_seeds(self, nonce: Callable[[], str], now: float) -> list[Send]:
        """Ask the seeds which of them it is that speaks from an address that nobody named."""
        seeds = self.aliases.ask(self.parameters.seeds, nonce, now)
        return [self.ping(one, Source(seed, self._link_to(seed))) for seed, one in seeds]

    def ping(self, nonce: str, source: Source, id: str = "", boot: str = "") -> Send:
        """Ask one run of a node for a sign of life, where and as it was heard, or whoever is there."""
        to = ANYONE
        if boot:
            to = boot if source.key else mark(id, boot)  # a seal is for one boot, and tells the id of who answers
        ping = Ping(realm=self.parameters.realm, id=self.id, boot=self.boot, nonce=nonce, to=to)
        self.sent["ping"] += 1
        return self._to_one(ping.encode(), source, boot)

    def pong(self, nonce: str, silence: float | None, source: Source, held: float = 0.0) -> Send:
        """Answer a PING.

        Args:
            nonce: of the PING.
            silence: seconds since we heard a HELLO of its sender, None for never.
            source: who asks.
            held: seconds for which the PING lay here.
        """
        heard_ms = None if silence is None else round(silence * 1000)
        held_us = round(held * 1e6)
        pong = Pong(realm=self.parameters.realm, boot=self.boot, nonce=nonce, heard_ms=heard_ms, held_us=held_us)
        self.sent["pong"] += 1
        return self._to_one(pong.encode(), source, source.boot)

    def goodbye(self) -> list[Send]:
        """Say everywhere that we leave."""
        return self._everywhere(self._hello(goodbye=True))

    # --- HELLOs -------------------------------------------------------------------------------------

    def _hello(
        self, *, full: bool = False, solicit: bool = False, goodbye: bool = False, pace: float | None = None
    ) -> Hello:
        pace = pace or self.pace
        return Hello(
            realm=self.parameters.realm,
            id=self.id,
            boot=self.boot,
            interval_ms=round(pace * 1000),
            ttl_ms=round(self.ttl(pace) * 1000),
            digest=self.record.digest,
            seq=self.seq,
            solicit=solicit,
            goodbye=goodbye,
            record=self.record.encoded if full else None,
        )

    def _everywhere(self, hello: Hello) -> list[Send]:
        sends: list[Send] = []
        copies = 1
        is_steady = hello.record is None and not hello.goodbye
        for link_state in self.all_outlets():
            out = self._out(hello, link_state, limited=link_state.limited or not is_steady)
            copies = max(copies, -(-len(out) // len(link_state.targets)))
            sends += out
        self._copies = copies
        return sends

    def _out(self, hello: Hello, link_state: LinkState, *, limited: bool) -> list[Send]:
        datagram, limited = hello.encode(), limited and link_state.link is not None
        sends: list[Send] = []
        for target in link_state.targets:
            link = link_state.link or self._link_to(target)
            if self.sealing is None:
                sends.append(Send(datagram, link, target, limited))
                continue
            # once for each: the same one twice would be a replay
            variants = self.sealing.variants(link_state.link, set() if link_state.link else self.aliases.of(target))
            sends += [Send(self.sealing.seal(datagram, variant, link), link, target, limited) for variant in variants]
        link_state.sent += len(sends)
        self.sent["hello"] += len(sends)
        return sends

    def _link_to(self, seed: str) -> Link | None:
        """Give the link that a seed is on: what is sealed is bound to it, at both ends."""
        links = (link for link in self.outlets if link.holds(seed) or self._limited.knows(link, seed))
        return next(links, None)

    def _unicast(self, hello: Hello, source: Source) -> Send:
        self.sent["hello"] += 1
        return self._to_one(hello.encode(), source, source.boot)

    def _to_one(self, datagram: bytes, source: Source, boot: str) -> Send:
        if self.sealing is not None:
            datagram = self.sealing.seal(datagram, source.key, source.link, boot)
        return Send(datagram, source.link, source.address)
