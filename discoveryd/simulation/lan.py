"""The network of ``discoveryd simulate``: its nodes, and the truth that their tables are compared with.

Up to `FULL_NODES` nodes each run the whole engine with a whole table. Of more nodes a sample does (the observers); the
others run a `SimulatedSender`, which takes the number of peers from an observer. Their broadcasts are sent one by one.
Unicasts between them are not: each unicast of an observer counts for as many nodes as the observer stands for.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Literal

from discoveryd.protocol.answers import gap
from discoveryd.protocol.link import Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Claim, Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE, Event
from discoveryd.protocol.turns import TURN, TURN_GAP
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.simulation.network import Clock, Host, Segment, SimulatedSender, is_solicit
from discoveryd.simulation.plan import Plan

FULL_NODES = 100
"""Up to so many nodes each has a table of its own: processor time grows with the square of their number."""
MOST_ROWS = 200_000
"""Rows in all tables of a sample together, 3 kB each."""
LEAST_OBSERVERS, MOST_OBSERVERS = 10, 50
HEADERS = 28
"""Bytes of IPv4 and UDP before each datagram."""

CrashKind = Literal["killed", "gone"]
"""A killed process, whose machine answers port unreachable; or a machine that is gone, and silent."""


def observers_of(nodes: int) -> int:
    """Return how many of so many nodes run the whole engine."""
    if nodes <= FULL_NODES:
        return nodes
    return max(LEAST_OBSERVERS, min(MOST_OBSERVERS, MOST_ROWS // nodes))


class Traffic:
    """Datagrams, and bytes with their headers, by virtual second and kind.

    The kinds are ``hello`` (broadcast), ``answer`` (a HELLO by unicast), ``ping``, ``pong``, ``msg`` and ``ack``.
    """

    def __init__(self) -> None:
        self._datagrams: defaultdict[tuple[int, str], float] = defaultdict(float)
        self._octets: defaultdict[tuple[int, str], float] = defaultdict(float)

    def count(self, send: Send, now: float, weight: float) -> None:
        """Count a datagram as many times as its weight."""
        key = int(now), "answer" if send.kind == "hello" and not send.is_to_all else send.kind
        self._datagrams[key] += weight
        self._octets[key] += weight * (len(send.datagram) + HEADERS)

    def rate(self, begin: int, end: int, *kinds: str, octets: bool = False) -> float:
        """Return datagrams of these kinds per second, or their bytes, between two seconds."""
        counts = self._octets if octets else self._datagrams
        return sum(counts.get((second, kind), 0) for second in range(begin, end) for kind in kinds) / (end - begin)

    def busiest(self, begin: int, end: int, *kinds: str) -> int:
        """Return the second with the most datagrams of these kinds."""
        return max(range(begin, end), key=lambda second: self.rate(second, second + 1, *kinds))


class Lan:
    """The nodes of one segment, which of them run, and what is counted.

    Args:
        plan: what to simulate.
        stopwatch: reads a fast clock of the machine, seconds.

    Attributes:
        running: the boots that run.
        crashes: time and kind of the end of each boot that crashed.
        detections: for each crash and observer, the kind of crash and the seconds until the `down`.
        false_downs: times at which an observer reported a running peer down.
        suspicions: times at which an observer suspected a running peer.
        filled: number of an observer -> time at which its table first listed all others.
    """

    def __init__(self, plan: Plan, stopwatch: Callable[[], float]) -> None:
        self.nodes = nodes = plan.nodes
        self.seed = plan.seed
        self.parameters = plan.nodes_parameters()
        self.stopwatch = stopwatch
        self.clock = Clock()
        self.random = self.dice("lan")
        self.segment = Segment(self.clock, self.dice("segment"), loss=plan.loss, stopwatch=stopwatch)
        self.traffic = Traffic()
        self.running: set[str] = set()
        self.crashes: dict[str, tuple[float, CrashKind]] = {}
        self.detections: list[tuple[CrashKind, float]] = []
        self.false_downs: list[float] = []
        self.suspicions: list[float] = []
        self.filled: dict[int, float] = {}
        observers = plan.observers or observers_of(nodes)
        self.observers = [Machine(self, number, weight=nodes / observers) for number in range(1, observers + 1)]
        self.senders = Senders(self, [Machine(self, number, weight=0) for number in range(observers + 1, nodes + 1)])
        self.machines = [*self.observers, *self.senders.machines]

    def faults(self) -> tuple[int, int]:
        """Count the rows that the tables of the observers lack now, and the rows of nodes that are gone."""
        tables = [{row.boot for row in engine.table.rows(self.clock.now)} for engine in self.engines()]
        missing = sum(len(self.running - listed) - 1 for listed in tables)
        return missing, sum(len(listed - self.running) for listed in tables)

    def engines(self) -> list[Node]:
        """Return the engines of the observers that are up."""
        return [machine.engine for machine in self.observers if machine.is_up and isinstance(machine.engine, Node)]

    def dice(self, purpose: str) -> Random:
        """Return randomness that another run with this seed has too."""
        return Random(f"{self.seed}/{purpose}")  # noqa: S311 - chance, not keys


class Machine(Host):
    """A machine of the LAN.

    Args:
        lan: where it is.
        number: from 1.
        weight: how many nodes it stands for; 0: it runs a `SimulatedSender`.

    Attributes:
        listed: the boots that its table lists, by its events.
    """

    def __init__(self, lan: Lan, number: int, *, weight: float) -> None:
        super().__init__(lan.clock)
        self.lan = lan
        self.number = number
        self.weight = weight
        self.hears_broadcasts = weight > 0
        self.record = Record(name=f"node{number:05}", services=(Service(name="ssh", port=22),))
        self.link = lan.segment.link(number)
        self.listed: set[str] = set()
        self._generation = 0

    def start(self) -> None:
        """Run a new engine, with the same id as before."""
        self._generation += 1
        self.listed.clear()
        senders = self.lan.senders
        make: Callable[..., Node | SimulatedSender] = Node
        if self.weight:
            senders.listed = self.listed
        else:
            make = partial(SimulatedSender, listed=senders.listed, silence=senders.silence)
        random = self.lan.dice(f"{self.number}/{self._generation}")
        engine = make(self.lan.parameters, self.record, node_id=f"{self.number:016x}", random=random)
        self.lan.running.add(engine.boot)
        self.run(engine, {self.lan.segment: self.link})

    def crash(self, kind: CrashKind) -> None:
        """End without a goodbye."""
        self.lan.running.remove(self.engine.boot)
        self.lan.senders.idle.pop(self, None)
        self.lan.crashes[self.engine.boot] = self.clock.now, kind
        self.end(port_closed=kind == "killed")

    def poll(self) -> None:
        """Let the engine do what is due, and measure the time of an observer."""
        self.lan.senders.before_poll(self)
        began = self.lan.stopwatch()
        outcome = self.engine.poll(self.clock.now)
        if self.weight:
            self.lan.segment.spent += self.lan.stopwatch() - began
        self.act(outcome)
        self.lan.senders.after_poll(self)

    def send(self, send: Send) -> None:
        """Send a datagram, and count it."""
        if send.is_to_all:
            self.lan.traffic.count(send, self.clock.now, 1)
            self.lan.senders.overhear(self, send.datagram)
        elif self.weight:
            self.lan.traffic.count(send, self.clock.now, self.weight)
        super().send(send)

    def follow(self, event: Event) -> None:
        """Keep the list of peers that the events give, and compare an event with the truth."""
        lan, now, boot = self.lan, self.clock.now, event.peer.boot
        if event.peer.state in LIVE:
            self.listed.add(boot)
        else:
            self.listed.discard(boot)
        if event.kind == "down" and boot in lan.crashes:
            at, kind = lan.crashes[boot]
            lan.detections.append((kind, now - at))
        elif boot in lan.running and event.kind in ("down", "suspect"):
            (lan.false_downs if event.kind == "down" else lan.suspicions).append(now)
        if len(self.listed) == lan.nodes - 1:
            lan.filled.setdefault(self.number, now)


class Senders:
    """The machines that run a `SimulatedSender`, and what a sender cannot know without a table.

    Attributes:
        listed: the boots that the observer lists which started last; the next sender that starts lists about as many.
        idle: those that run and have no answer to give yet. All hear the same solicits, so these alone are told of
            them. Whether others have asked meanwhile, the senders learn later from the number of askers.
    """

    def __init__(self, lan: Lan, machines: list[Machine]) -> None:
        self.lan = lan
        self.machines = machines
        self.listed = lan.running
        self._spoke: dict[str, float] = {}
        self.idle: dict[Machine, None] = {}
        self._askers = 0
        self._since: dict[Machine, int] = {}
        self._last_asker: tuple[Machine | None, float] = (None, -NEVER)
        if machines:
            for observer in lan.observers:
                lan.clock.at(2.0, partial(self._ask, observer))

    def overhear(self, machine: Machine, datagram: bytes) -> None:
        """Take a broadcast, as each sender does that does not lose it."""
        if is_solicit(datagram):
            self._solicit(machine)
        if machine.weight:
            self._spoke[machine.link.address] = self.lan.clock.now

    def before_poll(self, machine: Machine) -> None:
        """Tell a sender that is about to answer whether more than one node has asked."""
        if isinstance(machine.engine, SimulatedSender) and self._askers > self._since.get(machine, self._askers):
            machine.engine.answers.joins(Claim(Source("0.0.0.0", machine.link)))

    def after_poll(self, machine: Machine) -> None:
        """Note whether a sender has an answer left to give."""
        if isinstance(machine.engine, SimulatedSender) and not machine.engine.answers.waiting:
            self.idle[machine] = None

    def _solicit(self, asker: Machine) -> None:
        """Let all senders that have no answer to give yet hear a solicit.

        A sender that asks alone is answered by unicast, to a machine without a table. Two that ask within the time of
        an answer are answered by a broadcast.
        """
        now, (last, at) = self.lan.clock.now, self._last_asker
        is_another = last is not asker
        self._askers += is_another
        self._last_asker = asker, now
        are_two = is_another and now < at + gap(self.lan.nodes)
        if not asker.weight and not are_two:
            return
        for machine in list(self.idle):
            if machine is not asker and not self.lan.segment.loses() and isinstance(machine.engine, SimulatedSender):
                self._since[machine] = self._askers - are_two
                machine.act(machine.engine.solicited(Source(asker.link.address, machine.link), now))
                if machine.engine.answers.waiting:
                    del self.idle[machine]

    def silence(self, address: str) -> float | None:
        """Return how long ago a sender last heard an observer: since its last HELLO, unless that was lost."""
        if address not in self._spoke:
            return None
        silence = self.lan.clock.now - self._spoke[address]
        while self.lan.segment.loses():
            silence += max(self.lan.parameters.interval, self.lan.nodes / self.lan.parameters.budget)
        return silence

    def _ask(self, observer: Machine) -> None:
        """PING an observer, as often as all senders together would."""
        machine = self.lan.random.choice(self.machines)
        if machine.is_up and isinstance(machine.engine, SimulatedSender):
            machine.send(machine.engine.ask(machine.link, observer.link.address))
        others = self.lan.nodes - 1
        rate = min(1 / TURN_GAP, others / TURN) * len(self.machines) / others
        self.lan.clock.after(self.lan.random.expovariate(rate), partial(self._ask, observer))
