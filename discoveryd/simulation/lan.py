"""The virtual LAN of ``discoveryd simulate``: nodes that start, speak, crash and come back, and what is counted.

Up to `FULL_NODES` nodes run the whole engine, each with a whole table. Of more than that a sample does (the
observers); the rest are speakers (`discoveryd.simulation.sender`), who take the number of peers from an
observer. Their broadcasts are sent one by one; what they would send by unicast to one another is not, and
each datagram that an observer sends by unicast counts for as many nodes as the observer stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from discoveryd.protocol.answers import gap
from discoveryd.protocol.incoming import Claim
from discoveryd.protocol.link import Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING, Outcome, Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.prober import TURN, TURN_GAP
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.simulation.counts import Crash, CrashKind, Findings, Traffic
from discoveryd.simulation.medium import Clock, Plug, Segment
from discoveryd.simulation.sender import SimulatedSender, is_solicit

FULL_NODES = 100
"""Up to so many nodes each has a table of its own: processor time grows with the square of their number."""
MOST_ROWS = 200_000
"""Rows in all tables of a sample together, 3 kB each."""
LEAST_OBSERVERS, MOST_OBSERVERS = 10, 50
def observers_of(nodes: int) -> int:
    """Say how many of so many nodes run the whole engine."""
    if nodes <= FULL_NODES:
        return nodes
    return max(LEAST_OBSERVERS, min(MOST_OBSERVERS, MOST_ROWS // nodes))


class Lan:
    """The nodes, and the truth about them.

    Args:
        nodes: how many.
        parameters: of all of them.
        loss: share of deliveries lost.
        seed: everything random comes from it.
        observers: how many of them run the whole engine.
        meter: reads a stopwatch, seconds.
    """

    def __init__(
        self,
        nodes: int,
        parameters: Parameters,
        *,
        loss: float,
        seed: str,
        observers: int,
        meter: Callable[[], float],
    ) -> None:
        self.nodes = nodes
        self.parameters = parameters
        self.seed = seed
        self.meter = meter
        self.clock = Clock()
        self.random = self.dice("lan")
        self.segment = Segment(self.clock, self.dice("segment"), loss=loss, meter=meter)
        self.traffic = Traffic()
        self.findings = Findings()
        self.running: set[str] = set()
        self.crashes: dict[str, Crash] = {}
        self.spent = 0.0  # outside of broadcasts
        self.observers = [Machine(self, number, weight=nodes / observers) for number in range(1, observers + 1)]
        self.crowd = Crowd(self, [Machine(self, number, weight=0) for number in range(observers + 1, nodes + 1)])

    def faults(self) -> tuple[int, int]:
        """Count what the tables of the observers lack at this moment, and what they list that is gone."""
        missing = ghosts = 0
        for machine in self.observers:
            if machine.is_up and isinstance(machine.engine, Node):
                listed = {row.boot for row in machine.engine.table.rows(self.clock.now)}
                missing += len(self.running - listed) - 1
                ghosts += len(listed - self.running)
        return missing, ghosts

    @property
    def machines(self) -> list[Machine]:
        """Give all of them."""
        return [*self.observers, *self.crowd.machines]

    @property
    def spent_in_engines(self) -> float:
        """What the stopwatch says of the observers so far, seconds."""
        return self.spent + self.segment.spent

    def dice(self, whose: str) -> Random:
        """Give randomness that another run with this seed has too."""
        return Random(f"{self.seed}/{whose}")  # noqa: S311 - chance, not keys

    def send(self, machine: Machine, sends: Iterable[Send]) -> None:
        """Put datagrams on the segment."""
        now = self.clock.now
        for send in sends:
            is_broadcast = send.to == Segment.BROADCAST
            if is_broadcast:
                self.traffic.count(send, now, 1)
                self.crowd.overhear(machine, send.datagram)
            elif machine.weight:
                self.traffic.count(send, now, machine.weight)
            self.segment.send(machine.plug, send.to, send.datagram)

    def saw(self, machine: Machine, event: Event) -> None:
        """Hold what an observer says against the truth."""
        now, boot, findings = self.clock.now, event.peer.boot, self.findings
        if event.kind == "down" and boot in self.crashes:
            findings.detections.append((self.crashes[boot].kind, now - self.crashes[boot].at))
        elif event.kind == "down" and boot in self.running:
            findings.false_downs.append(now)
        elif event.kind == "suspect" and boot in self.running:
            findings.suspicions.append(now)
        if len(machine.listed) == self.nodes - 1:
            findings.filled.setdefault(machine.number, now)


class Machine:
    """A machine of the LAN: it runs one engine after the other, as the daemon does.

    Args:
        lan: where it is.
        number: from 1.
        weight: for how many nodes it stands; 0: it runs a speaker in place of a node.
    """

    def __init__(self, lan: Lan, number: int, *, weight: float) -> None:
        self.lan = lan
        self.number = number
        self.weight = weight
        self.record = Record(name=f"node{number:05}", services=(Service(name="ssh", port=22),))
        self.link = lan.segment.link(number)
        self.is_up = False
        self.listed: set[str] = set()  # boots, as its events tell
        self.plug: Plug
        self.engine: Node | SimulatedSender
        self._generation = 0
        self._wake = NEVER

    def start(self) -> None:
        """Run a new engine, of the same id as ever."""
        self._generation += 1
        self.is_up = True
        self.listed, self._wake = set(), NEVER
        random = self.lan.dice(f"{self.number}/{self._generation}")
        self.engine = self._node(random) if self.weight else self._speaker(random)
        if self.weight:
            self.lan.crowd.model = self
        self.plug = Plug(self.link, self._hear, self._refused)
        self.lan.segment.plug_in(self.plug, hears_broadcasts=self.weight > 0)
        self.lan.running.add(self.engine.boot)
        self.engine.set_links([self.link], self.lan.clock.now)
        self.schedule()

    def crash(self, kind: CrashKind) -> None:
        """End without a word."""
        self.is_up = False
        self._wake = NEVER
        self.lan.running.remove(self.engine.boot)
        self.lan.crowd.forget(self)
        self.lan.crashes[self.engine.boot] = Crash(self.lan.clock.now, kind)
        self.lan.segment.pull_out(self.plug, port_closed=kind == "killed")

    def schedule(self) -> None:
        """Wake the engine when it wants."""
        due = self.engine.next_deadline()
        if due < self._wake:
            self._wake = due
            self.lan.clock.at(max(due, self.lan.clock.now), partial(self._poll, self.engine, due))

    def _node(self, random: Random) -> Node:
        return Node(self.lan.parameters, self.record, node_id=f"{self.number:016x}", random=random)

    def _speaker(self, random: Random) -> SimulatedSender:
        crowd = self.lan.crowd
        model = crowd.model
        return SimulatedSender(
            self.lan.parameters,
            self.record,
            node_id=f"{self.number:016x}",
            random=random,
            peers=lambda: len(model.listed if model else self.lan.running),
            silence=crowd.silence,
        )

    def _poll(self, engine: Node | SimulatedSender, due: float) -> None:
        if engine is not self.engine or due != self._wake:
            return
        self._wake = NEVER
        self.lan.crowd.before_poll(self)
        began = self.lan.meter()
        outcome = engine.poll(self.lan.clock.now)
        if self.weight:
            self.lan.spent += self.lan.meter() - began
        self.act(outcome)
        self.lan.crowd.after_poll(self)
        self.schedule()

    def _hear(self, datagram: bytes, source: Source, now: float) -> None:
        outcome = self.engine.receive(datagram, source, now)
        if outcome is not NOTHING:
            self.act(outcome)
            self.schedule()

    def _refused(self, datagram: bytes, now: float) -> None:
        self.act(self.engine.refused(datagram, now))
        self.schedule()

    def act(self, outcome: Outcome) -> None:
        """Send what is to be sent, and follow the events."""
        if outcome.sends:
            self.lan.send(self, outcome.sends)
        for event in outcome.events:
            if event.peer.state in LIVE:
                self.listed.add(event.peer.boot)
            else:
                self.listed.discard(event.peer.boot)
            self.lan.saw(self, event)


class Crowd:
    """The nodes that run a speaker, and what a speaker cannot know by itself.

    Attributes:
        model: the observer that started last; who starts next lists about as many peers as it does.
    """

    def __init__(self, lan: Lan, machines: list[Machine]) -> None:
        self.lan = lan
        self.machines = machines
        self.model: Machine | None = None
        self._spoke: dict[str, float] = {}
        # all hear the same solicits, so only those are told that have no answer to give yet; what they
        # miss meanwhile is whether others have asked, too, which the number of askers tells them later
        self._idle: dict[Machine, None] = {}
        self._askers = 0
        self._since: dict[Machine, int] = {}
        self._last_asker: tuple[Machine | None, float] = (None, -NEVER)
        if machines:
            for observer in lan.observers:
                lan.clock.at(2.0, partial(self._ask, observer))

    def overhear(self, sender: Machine, datagram: bytes) -> None:
        """Take a broadcast, as all of the crowd do that do not lose it."""
        if not self.machines:
            return
        if is_solicit(datagram):
            self._ask_all(sender)
        if sender.weight:
            self._spoke[sender.plug.address] = self.lan.clock.now

    def before_poll(self, machine: Machine) -> None:
        """Tell one that is about to answer whether more than one has asked."""
        if isinstance(machine.engine, SimulatedSender) and self._askers > self._since.get(machine, self._askers):
            machine.engine.answers.joins(Claim(Source("0.0.0.0", machine.link)))

    def after_poll(self, machine: Machine) -> None:
        """See who has no answer to give any more."""
        if isinstance(machine.engine, SimulatedSender) and not machine.engine.answers:
            self._idle[machine] = None

    def forget(self, machine: Machine) -> None:
        """Take it that a machine is gone."""
        self._idle.pop(machine, None)

    def _ask_all(self, asker: Machine) -> None:
        """Let all who have no answer to give yet hear a solicit.

        One of the crowd that asks alone is answered by unicast, which nobody would see; what comes of
        two that ask within the time of an answer is a broadcast.
        """
        now, (last, at) = self.lan.clock.now, self._last_asker
        is_another = last is not asker
        self._askers += is_another
        self._last_asker = asker, now
        are_two = is_another and now < at + gap(self.lan.nodes)
        if not asker.weight and not are_two:
            return
        for machine in list(self._idle):
            if machine is not asker and not self.lan.segment.loses() and isinstance(machine.engine, SimulatedSender):
                self._since[machine] = self._askers - are_two
                machine.act(machine.engine.solicited(Source(asker.plug.address, machine.link), now))
                if machine.engine.answers:
                    del self._idle[machine]
                machine.schedule()

    def silence(self, address: str) -> float | None:
        """Say how long ago one of the crowd last heard an observer: its last HELLO, unless that was lost."""
        if address not in self._spoke:
            return None
        silence = self.lan.clock.now - self._spoke[address]
        while self.lan.segment.loses():
            silence += max(self.lan.parameters.interval, self.lan.nodes / self.lan.parameters.budget)
        return silence

    def _ask(self, observer: Machine) -> None:
        """PING an observer, as often as it is its turn with all of the crowd."""
        machine = self.lan.random.choice(self.machines)
        if machine.is_up and isinstance(machine.engine, SimulatedSender):
            self.lan.send(machine, [machine.engine.ask(machine.link, observer.link.address)])
        others = self.lan.nodes - 1
        rate = min(1 / TURN_GAP, others / TURN) * len(self.machines) / others
        self.lan.clock.after(self.lan.random.expovariate(rate), partial(self._ask, observer))
