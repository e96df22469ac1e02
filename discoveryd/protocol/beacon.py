"""When a node says HELLO to all: heartbeats, bursts after a start or a new link, the interval in force."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import ceil

from discoveryd.protocol.answers import PROMPT_PEERS, Answers
from discoveryd.protocol.hosts import Prefixes
from discoveryd.protocol.limited_broadcast import DIRECTED_EVERY
from discoveryd.protocol.link import BURST, PLACES, Link, LinkState
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import MAX_INTERVAL, Parameters
from discoveryd.protocol.routed import RoutedPeers
from discoveryd.protocol.table.liveness import JITTER, NEVER
from discoveryd.protocol.wire.record import Record

FULL_EVERY = 10
"""Every tenth HELLO carries the record, for peers that missed it."""
STRETCH_STEPS = 8
"""Steps of the stretched interval, for each configured interval: 0.1 s at the default of 0.8 s.

Without steps each crash among hundreds of nodes changes what every HELLO announces, and no HELLO is steady."""
SPAN = 2.0
"""Seconds over which the rate is measured."""
STEP = 0.25
"""Seconds between two readings of the counters at least."""


@dataclass(slots=True)
class HelloRate:
    """Counts the heartbeats of others, each once, and measures their rate. Time is an argument, in seconds.

    Attributes:
        steady: HELLOs that took the fast path.
        beats: further heartbeats; less those steady HELLOs that repeated a heartbeat.
    """

    steady: int = 0
    beats: int = 0
    _readings: deque[tuple[float, int]] = field(default_factory=deque)

    def read(self, now: float) -> None:
        """Remember how many there were by now."""
        readings = self._readings
        if readings and now < readings[-1][0] + STEP:
            return
        readings.append((now, self.steady + self.beats))
        while len(readings) > 1 and readings[1][0] <= now - SPAN:
            readings.popleft()

    def rate(self, now: float) -> float:
        """Return HELLOs a second, over the last `SPAN` seconds or a little longer."""
        if not self._readings:
            return 0.0
        began, before = self._readings[0]
        return (self.steady + self.beats - before) / max(SPAN, now - began)


class Beacon:
    """The HELLOs of one node to all.

    Args:
        outbox: writes them.
        answers: those to solicits, which a HELLO to all serves besides.
        speaking: counts the peers that share the budget at a moment; all that are listed if not given.
        beyond: knows the nodes greeted beyond our links; none if not given.

    Attributes:
        hello_rate: of the HELLOs that are heard.
        next_beat: when the next heartbeat is due; `NEVER` before there was a link.
        greeted_at: when all were greeted last after a pause, or under a new boot: no peer had heard us before that.
    """

    def __init__(
        self, outbox: Outbox, answers: Answers, speaking: Callable[[float], int] | None = None,
        beyond: RoutedPeers | None = None,
    ) -> None:  # fmt: skip
        self.next_beat = NEVER
        self._beyond = beyond
        self.greeted_at = -NEVER
        self.speaking = speaking or answers.crowd
        self.hello_rate = HelloRate()
        self._outbox = outbox
        self._answers = answers

    # --- where, what and how ------------------------------------------------------------------------

    def set_links(self, links: Iterable[Link], now: float) -> None:
        """Use these links from now on, and greet on the new ones."""
        wanted, used = dict.fromkeys(links), self._outbox.links
        for link in [link for link in used if link not in wanted]:
            del used[link]
            self._answers.waiting.pop(link, None)
            self._outbox.limited.drop_link(link)
        new = {link: LinkState(link, (link.broadcast,), now) for link in wanted if link not in used}
        used.update(new)
        self._begin_bursts(new.values(), now)
        if self.next_beat == NEVER:
            if self._outbox.routed.targets:
                self._begin_bursts([self._outbox.routed], now)
            # the bursts greet; the heartbeat follows within one interval, at a moment of its own
            self.next_beat = now + self._outbox.parameters.interval * self._outbox.random.uniform(0.5, 1.0)

    def reboot(self, boot: str, now: float) -> None:
        """Go on under another boot, as after a start: from the first seq, and with a greeting."""
        self._outbox.boot = boot
        self._outbox.seq = 0
        if self._outbox.sealing is not None:
            self._outbox.sealing.reboot(boot)
        self.greet(now)

    def set_record(self, record: Record, now: float) -> None:
        """Announce another record, at once and a few times."""
        if record.digest != self._outbox.record.digest:
            self._outbox.record = record
            self._begin_bursts(self._outbox.outlets(), now, solicits=False)

    def set_parameters(self, parameters: Parameters, now: float) -> None:
        """Use other parameters; port, realm and loopback are for a lifetime."""
        outbox, former = self._outbox, self._outbox.parameters
        outbox.parameters = replace(parameters, port=former.port, realm=former.realm, loopback=former.loopback)
        outbox.seeds.set(parameters.seeds)
        outbox.introduced = Prefixes(parameters.introduce)
        self.greet_seeds(now)
        outbox.pace = self.interval(now)
        is_begun = self.next_beat != NEVER
        if is_begun and (former.interval, former.ttl) != (parameters.interval, parameters.ttl):
            self.next_beat = min(self.next_beat, now)  # peers that count on the old interval hear of it

    def greet_seeds(self, now: float) -> None:
        """Send HELLOs to the seeds as they are now, and greet them if an address is new."""
        if self._outbox.greet_seeds() and self.next_beat != NEVER:
            self._begin_bursts([self._outbox.routed], now)

    def greet(self, now: float) -> None:
        """Solicit answers everywhere, after a pause."""
        self.greeted_at = now
        self._begin_bursts(self._outbox.outlets(), now)

    def interval(self, now: float) -> float:
        """Return the interval in force, seconds: stretched so that a segment stays within its budget, and we in ours.

        By the peers that share it; and by what is heard, for many that start at one moment are known to be there
        only a little later.
        """
        parameters = self._outbox.parameters
        routed, rate, least = 0, 0.0, 0.0
        if self._beyond is not None and self._beyond.live:  # they have a budget of their own
            routed, rate, least = len(self._beyond.live), self._beyond.rate, self._beyond.least_interval()
        shares = max(
            (max(0, self.speaking(now) - routed) + 1) * self._outbox.copies,
            (self.hello_rate.rate(now) - rate) * parameters.interval,
        )
        stretched = max(shares * self._outbox.ipv6.spread / parameters.budget, least)
        steps = max(STRETCH_STEPS, ceil(stretched / (parameters.interval / STRETCH_STEPS) - 1e-9))
        return min(steps * parameters.interval / STRETCH_STEPS, MAX_INTERVAL)

    def _begin_bursts(self, states: Iterable[LinkState], now: float, *, solicits: bool = True) -> None:
        for state in states:
            state.begin_burst(now, solicits=solicits, place=self._outbox.random.uniform(*PLACES))

    # --- what is due --------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Send]:
        """Return the HELLOs that are due."""
        self.hello_rate.read(now)
        sends = self._beat(now) if now >= self.next_beat else []
        for state in (*self._outbox.links.values(), self._outbox.routed):
            if state.burst:
                sends += self._burst(state, now)
        return sends + self._answers.poll(now) if self._answers.waiting else sends

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        due = self.next_beat
        for state in (*self._outbox.links.values(), self._outbox.routed):
            if state.burst and state.burst[0] < due:
                due = state.burst[0]
        return min(due, self._answers.next_due()) if self._answers.waiting else due

    def _beat(self, now: float) -> list[Send]:
        outbox = self._outbox
        outbox.seq = (outbox.seq + 1) & 0xFFFFFFFF
        outbox.examine(now)
        routed = self._beyond.targets(now) if self._beyond else None
        former, outbox.pace = outbox.pace, self.interval(now)
        # a crowd that began together would beat together: a node that finds the interval much longer than
        # was thought takes a place of its own in it
        soonest = min(1 - JITTER, former / outbox.pace)
        self.next_beat = now + outbox.pace * outbox.random.uniform(soonest, 1 + JITTER)
        served = [self._answers.serve(link, now) for link in outbox.links]
        for link, state in outbox.links.items():
            state.limited = outbox.limited.is_needed(link, now)
        outbox.ipv6.set_paces(outbox.links, outbox.pace, now)
        is_asked = any(served)
        hello = outbox.hello(full=is_asked or outbox.seq % FULL_EVERY == 0, quiet=not is_asked)
        sends = outbox.everywhere(hello, routed)
        for state in outbox.links.values():
            if state.limited and (outbox.seq % DIRECTED_EVERY == 0 or not state.has_beaten):
                sends += outbox.by(state, hello.encode(), limited=False)
            state.has_beaten = True
        return sends

    def _burst(self, state: LinkState, now: float) -> list[Send]:
        """Send what is due of a burst: one HELLO, however late we are."""
        if now < state.burst[0]:
            return []
        outbox, interval = self._outbox, self.interval(now)
        state.stretch(interval / outbox.parameters.interval)
        if now < state.burst[0]:
            return []  # we have heard of so many peers meanwhile that it has to wait (RFC 3550 6.3.6)
        # in a crowd that we hear one solicit is enough: else each answers while any burst goes on
        solicits = state.solicits and (len(state.burst) == len(BURST) or self._answers.crowd(now) <= PROMPT_PEERS)
        state.burst = [due for due in state.burst if due > now]
        hello = outbox.hello(full=True, solicit=solicits, pace=max(outbox.pace, interval), by=state)
        state.solicits = state.solicits and bool(state.burst)
        self._answers.serve(state.link, now)
        routed = None
        if state.link is None and self._beyond is not None:
            routed = self._beyond.targets(now)
            if len(routed) > PROMPT_PEERS:  # three times so many at once would be too much of a burst
                state.burst = []
        return outbox.by(state, hello.encode(), limited=True, targets=routed)
