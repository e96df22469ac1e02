"""When a node says HELLO: heartbeats, bursts after a start or a change, and the interval in force."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil
from random import Random

from discoveryd.protocol.answers import PROMPT_PEERS, Answers
from discoveryd.protocol.limited_broadcast import DIRECTED_EVERY
from discoveryd.protocol.link import BURST, PLACES, Link, LinkState
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import MAX_INTERVAL, Parameters
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


class HelloRate:
    """Counts the heartbeats of others, each once, and measures their rate. Time is an argument, in seconds.

    Attributes:
        steady: HELLOs that took the fast path.
        beats: further heartbeats; less those steady HELLOs that repeated a heartbeat.
    """

    __slots__ = ("_readings", "beats", "steady")

    def __init__(self) -> None:
        self.steady = 0
        self.beats = 0
        self._readings: deque[tuple[float, int]] = deque()

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
    """The HELLOs of one node that nobody asked for.

    Args:
        outbox: writes them.
        answers: the answers that a HELLO to all serves besides.
        random: for jitter.
        crowd: counts the peers that are listed at a moment; with them bursts are spread.
        speaking: counts those of them that share the budget; all of them if not given.

    Attributes:
        hello_rate: of the HELLOs that are heard.
        next_beat: when the next heartbeat is due; `NEVER` before there was a link.
        speaking: counts the peers that share the budget at a moment.
        greeted_at: when all were greeted last after a pause, or under a new boot: nobody had heard us before that.
    """

    def __init__(
        self,
        outbox: Outbox,
        answers: Answers,
        random: Random,
        *,
        crowd: Callable[[float], int],
        speaking: Callable[[float], int] | None = None,
    ) -> None:
        self.next_beat = NEVER
        self.greeted_at = -NEVER
        self._outbox = outbox
        self._answers = answers
        self._random = random
        self._crowd = crowd
        self.speaking = speaking or crowd
        self.hello_rate = HelloRate()

    # --- where, what and how ------------------------------------------------------------------------

    def set_links(self, links: Iterable[Link], now: float) -> list[Link]:
        """Use these links from now on, and greet on the new ones; return those that are gone."""
        wanted = dict.fromkeys(links)
        used = self._outbox.links
        gone = [link for link in used if link not in wanted]
        for link in gone:
            del used[link]
            self._answers.drop_link(link)
        for link in wanted:
            if link not in used:
                used[link] = LinkState(link, (link.broadcast,), now)
                self._begin_burst(used[link], now, solicits=True)
        if self.next_beat == NEVER:
            parameters = self._outbox.parameters
            if parameters.seeds:
                self._begin_burst(self._outbox.routed, now, solicits=True)
            # the bursts greet; the heartbeat follows within one interval, at a moment of its own
            self.next_beat = now + parameters.interval * self._random.uniform(0.5, 1.0)
        return gone

    def reboot(self, boot: str, now: float) -> None:
        """Go on under another boot, as after a start: from the first seq, and with a greeting."""
        self._outbox.boot = boot
        self._outbox.seq = 0
        if self._outbox.sealing is not None:
            self._outbox.sealing.reboot(boot)
        self.greet(now)

    def set_record(self, record: Record, now: float) -> None:
        """Announce another record, at once and a few times."""
        if record.digest == self._outbox.record.digest:
            return
        self._outbox.record = record
        for state in self._outbox.outlets():
            self._begin_burst(state, now, solicits=False)

    def set_parameters(self, parameters: Parameters, now: float) -> None:
        """Use other parameters; port, realm and loopback are for a lifetime."""
        outbox, former = self._outbox, self._outbox.parameters
        outbox.parameters = replace(parameters, port=former.port, realm=former.realm, loopback=former.loopback)
        outbox.routed.targets = parameters.seeds
        outbox.aliases.keep(parameters.seeds)
        if set(parameters.seeds) - set(former.seeds):
            self._begin_burst(outbox.routed, now, solicits=True)
        outbox.pace = self.interval(now)
        is_begun = self.next_beat != NEVER
        if is_begun and (former.interval, former.ttl) != (parameters.interval, parameters.ttl):
            self.next_beat = min(self.next_beat, now)  # peers that count on the old interval hear of it

    def greet(self, now: float) -> None:
        """Solicit answers everywhere, after a pause."""
        self.greeted_at = now
        for state in self._outbox.outlets():
            self._begin_burst(state, now, solicits=True)

    def interval(self, now: float) -> float:
        """Return the interval in force, seconds: stretched so that a segment stays within its budget.

        By the peers that share it; and by what is heard, for many that start at one moment are known to be there
        only a little later.
        """
        parameters = self._outbox.parameters
        shares = max((self.speaking(now) + 1) * self._outbox.copies, self.hello_rate.rate(now) * parameters.interval)
        stretched = shares / parameters.budget
        step = parameters.interval / STRETCH_STEPS
        steps = max(STRETCH_STEPS, ceil(stretched / step - 1e-9))
        return min(steps * parameters.interval / STRETCH_STEPS, MAX_INTERVAL)

    # --- what is due --------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Send]:
        """Return the HELLOs that are due."""
        self.hello_rate.read(now)
        sends: list[Send] = []
        if now >= self.next_beat:
            sends += self._beat(now)
        for state in self._outbox.outlets():
            if state.burst:
                sends += self._burst(state, now)
        if self._answers:
            sends += self._answers.poll(now)
        return sends

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        due = self.next_beat
        for state in self._outbox.outlets():
            if state.burst and state.burst[0] < due:
                due = state.burst[0]
        return min(due, self._answers.next_due()) if self._answers else due

    def _begin_burst(self, state: LinkState, now: float, *, solicits: bool) -> None:
        state.begin_burst(now, solicits=solicits, place=self._random.uniform(*PLACES))

    def _beat(self, now: float) -> list[Send]:
        outbox = self._outbox
        outbox.seq = (outbox.seq + 1) & 0xFFFFFFFF
        former, outbox.pace = outbox.pace, self.interval(now)
        # a crowd that began together would beat together: a node that finds the interval much longer than
        # was thought takes a place of its own in it
        soonest = min(1 - JITTER, former / outbox.pace)
        self.next_beat = now + outbox.pace * self._random.uniform(soonest, 1 + JITTER)
        served = [self._answers.serve(link, now) for link in outbox.links]
        for link, state in outbox.links.items():
            state.limited = outbox.limited.is_needed(link, now)
        datagram = outbox.hello(full=any(served) or outbox.seq % FULL_EVERY == 0).encode()
        sends = outbox.everywhere(datagram)
        for state in outbox.links.values():
            if state.limited and (outbox.seq % DIRECTED_EVERY == 0 or not state.has_beaten):
                sends += outbox.by(state, datagram, limited=False)
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
        solicits = state.solicits and (len(state.burst) == len(BURST) or self._crowd(now) <= PROMPT_PEERS)
        state.burst = [due for due in state.burst if due > now]
        hello = outbox.hello(full=True, solicit=solicits, pace=max(outbox.pace, interval))
        if not state.burst:
            state.solicits = False
        self._answers.serve(state.link, now)
        return outbox.by(state, hello.encode(), limited=True)
