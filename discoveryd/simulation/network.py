"""A network in memory: a clock that nothing waits for, segments with loss and delay, and hosts that run an engine.

The engine itself runs on it, or a sender without a table: an hour of a network passes in seconds, and twice alike.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from heapq import heappop, heappush
from itertools import count
from random import Random

from discoveryd.protocol.answers import Answers
from discoveryd.protocol.beacon import Beacon
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.messages.values import Delivery, IncomingMessage
from discoveryd.protocol.node import Node
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import NOTHING, Claim, Outcome, Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import Event
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping
from discoveryd.protocol.wire.record import Record

DELAY = (0.0001, 0.003)
"""Shortest and longest time under way, seconds: a switched or wireless LAN without congestion."""


class Clock:
    """Virtual time, in seconds, and the actions that are due at some time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Schedule an action; actions that are due at one moment keep their order."""
        heappush(self._agenda, (due, next(self._tie), action))

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Schedule an action `delay` seconds from now."""
        self.at(self.now + delay, action)

    def run(self, until: float, most: int = 1_000_000) -> bool:
        """Let time pass, by at most so many actions; return whether more are due until then."""
        agenda = self._agenda
        for _ in range(most):
            if not agenda or agenda[0][0] > until:
                self.now = until
                return False
            self.now, _, action = heappop(agenda)
            action()
        return True


class Plug:
    """The connection of a host to a segment.

    Args:
        link: of the host.
        hear: takes a datagram, as `Node.receive` does.
        refuse: takes a datagram of the host that came back, as `Node.refused` does.
    """

    def __init__(
        self, link: Link, hear: Callable[[bytes, Source, float], object], refuse: Callable[[bytes, float], object]
    ) -> None:
        self.link = link
        self.address = link.address
        self.hear = hear
        self.refuse = refuse
        # one object per sender, as the net floor keeps them: the engine compares by identity
        self._source = cache(lambda sender, unicast: Source(sender, link, unicast))

    def deliver(self, datagram: bytes, sender: str, now: float, *, unicast: bool) -> None:
        """Give the host a datagram from an address, sent to this host or to all."""
        self.hear(datagram, self._source(sender, unicast), now)


class Segment:
    """One broadcast domain.

    Args:
        clock: the time of this segment.
        random: decides losses and delays.
        number: of the network and its interface.
        loss: share of deliveries lost, 0 to 1, for each receiver on its own.
        delay: shortest and longest time under way, seconds.
        stopwatch: reads a clock of the machine, seconds.

    Attributes:
        spent: seconds by the stopwatch in the receivers of broadcasts; hosts may add those of their timers.
        plugs: the hosts by address.
        closed: addresses of hosts that run no daemon, and answer unicasts by port unreachable.
    """

    def __init__(
        self, clock: Clock, random: Random, number: int = 0, *, loss: float = 0.0,
        delay: tuple[float, float] = DELAY, stopwatch: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.clock = clock
        self.number = number
        self.broadcast = f"10.{number}.255.255"
        self.loss = loss
        self.spent = 0.0
        self.plugs: dict[str, Plug] = {}
        self.closed: set[str] = set()
        self._random = random
        self._delay = delay
        self._stopwatch = stopwatch
        self._listeners: dict[str, Plug] = {}

    def link(self, number: int) -> Link:
        """Return the link of the host with this number, 1 to 65534."""
        address = f"10.{self.number}.{number >> 8}.{number & 255}"
        return Link(f"eth{self.number}", self.number + 2, address, 16, self.broadcast)

    def plug_in(self, plug: Plug, *, hears_broadcasts: bool = True) -> None:
        """Connect a host."""
        self.plugs[plug.address] = plug
        self.closed.discard(plug.address)
        if hears_broadcasts:
            self._listeners[plug.address] = plug

    def pull_out(self, plug: Plug, *, port_closed: bool = False) -> None:
        """Disconnect a host: what is under way to it is lost, what it has sent is not.

        With `port_closed` the machine is still there, without a daemon.
        """
        del self.plugs[plug.address]
        self._listeners.pop(plug.address, None)
        if port_closed:
            self.closed.add(plug.address)

    def send(self, sender: Plug, to: str, datagram: bytes) -> None:
        """Carry a datagram to one host or to all."""
        if to == self.broadcast:
            self.later(partial(self._broadcast, sender, datagram))
        elif not self.loses():
            self.later(partial(self.arrive, sender, to, datagram))

    def loses(self) -> bool:
        """Decide whether a delivery is lost."""
        return self._random.random() < self.loss

    def later(self, action: Callable[[], None]) -> None:
        """Schedule an action after the time that a datagram is under way."""
        self.clock.after(self._random.uniform(*self._delay), action)

    def receivers(self, sender: Plug, datagram: bytes) -> list[Plug]:  # noqa: ARG002 - a test looks into the datagram
        """Return the hosts that a broadcast reaches."""
        listeners = list(self._listeners.values())
        if self.loss:
            dice, loss = self._random.random, self.loss
            listeners = [plug for plug in listeners if dice() >= loss]
        return [plug for plug in listeners if plug is not sender]

    def arrive(self, sender: Plug, to: str, datagram: bytes) -> None:
        """Deliver to one host, or return port unreachable (ICMP)."""
        plug = self.plugs.get(to)
        if plug is not None:
            plug.deliver(datagram, sender.address, self.clock.now, unicast=True)
        elif to in self.closed:
            self.refuse(sender, datagram)

    def refuse(self, sender: Plug, datagram: bytes) -> None:
        """Return port unreachable, which may be lost."""
        if not self.loses():
            self.later(partial(self._bring_back, sender, datagram))

    def _broadcast(self, sender: Plug, datagram: bytes) -> None:
        """Deliver to all hosts that hear it: nearly all time of a long run is spent here."""
        receivers, now = self.receivers(sender, datagram), self.clock.now
        began = self._stopwatch()
        for plug in receivers:
            plug.deliver(datagram, sender.address, now, unicast=False)
        self.spent += self._stopwatch() - began

    def _bring_back(self, sender: Plug, datagram: bytes) -> None:
        if self.plugs.get(sender.address) is sender:
            sender.refuse(datagram, self.clock.now)


class SimulatedSender:
    """The datagrams of a `Node`, without its table, as a segment hears them; for networks of thousands of nodes.

    A table of N peers at each of N nodes is N² rows: 10,000 nodes would take 300 GB. A simulated sender has the beacon
    of a `Node` and is driven in the same way. The number of peers, and when a peer was last heard, come from outside.

    Args:
        parameters: of the node.
        record: that it announces.
        node_id: its id.
        random: source of boot id and jitter.
        listed: as many as the peers that a node in its place would list.
        silence: returns how long ago it would have heard a HELLO from an address, None for never.

    Attributes:
        answers: the answers that are due.
        set_links: as `Beacon.set_links`.
        next_deadline: as `Beacon.next_deadline`.
    """

    __slots__ = ("_beacon", "_outbox", "_silence", "answers", "boot", "next_deadline", "set_links")

    def __init__(
        self, parameters: Parameters, record: Record, *, node_id: str, random: Random,
        listed: Collection[str], silence: Callable[[str], float | None],
    ) -> None:
        self._silence = silence
        self._outbox = Outbox(parameters, record, random, node_id)
        self.boot = self._outbox.boot
        self.answers = Answers(self._outbox, lambda _: len(listed))
        self._beacon = Beacon(self._outbox, self.answers)
        self.set_links, self.next_deadline = self._beacon.set_links, self._beacon.next_deadline

    def poll(self, now: float) -> Outcome:
        """Return the datagrams that are due."""
        return Outcome(sends=tuple(self._beacon.poll(now)))

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Answer a datagram that was sent to this node alone: a PING or a solicit."""
        if datagram.startswith(b"PING") and isinstance(ping := decode(datagram), Ping):
            return Outcome(sends=(self._outbox.pong(ping.nonce, self._silence(source.address), source),))
        return self.solicited(source, now) if is_solicit(datagram) else NOTHING

    def refused(self, datagram: bytes, now: float) -> Outcome:  # noqa: ARG002 - as `Node.refused`
        """Ignore a datagram that came back."""
        return NOTHING

    def solicited(self, by: Source, now: float) -> Outcome:
        """Answer a solicit, or have it answered with the others that wait; rate limits are not modelled."""
        claim = Claim(by)
        return Outcome(sends=() if self.answers.joins(claim) else tuple(self.answers.answer(claim, now)))

    def ask(self, link: Link, to: str) -> Send:
        """Return a PING to a node."""
        return self._outbox.ping(self._outbox.nonce(), Source(to, link))


def is_solicit(datagram: bytes) -> bool:
    """Return whether a datagram is a HELLO that solicits."""
    return datagram.startswith(b"HELLO|2|") and datagram.endswith(b"|") and b"s" in datagram.split(b"|", 11)[10]


class Host:
    """A machine that runs one engine after another, as the daemon does.

    Args:
        clock: the time of the network.

    Attributes:
        engine: the one that runs or ran last.
        is_up: whether it runs.
        hears_broadcasts: whether it does; without it, it hears unicasts alone.
    """

    engine: Node | SimulatedSender
    hears_broadcasts = True

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.is_up = False
        self.plugs: dict[Link, tuple[Segment, Plug]] = {}
        self._wake = NEVER

    def run(self, engine: Node | SimulatedSender, links: Mapping[Segment, Link]) -> None:
        """Start an engine on these links."""
        self.engine = engine
        self.is_up = True
        self._wake = NEVER
        self.set_links(links)

    def set_links(self, links: Mapping[Segment, Link]) -> None:
        """Connect the machine by these links."""
        self.plugs = {link: (segment, Plug(link, self.hear, self.refuse)) for segment, link in links.items()}
        for segment, plug in self.plugs.values():
            segment.plug_in(plug, hears_broadcasts=self.hears_broadcasts)
        self.engine.set_links(links.values(), self.clock.now)
        self.schedule()

    def end(self, *, port_closed: bool = False) -> None:
        """End the engine without a goodbye; with `port_closed` the machine stays and refuses datagrams."""
        self.is_up = False
        self._wake = NEVER
        for segment, plug in self.plugs.values():
            segment.pull_out(plug, port_closed=port_closed)
        self.plugs = {}

    def hear(self, datagram: bytes, source: Source, now: float) -> None:
        """Give the engine a datagram."""
        outcome = self.engine.receive(datagram, source, now)
        if outcome is not NOTHING:
            self.act(outcome)

    def refuse(self, datagram: bytes, now: float) -> None:
        """Give the engine a datagram of its own that came back."""
        self.act(self.engine.refused(datagram, now))

    def poll(self) -> None:
        """Let the engine do what is due."""
        self.act(self.engine.poll(self.clock.now))

    def act(self, outcome: Outcome) -> None:
        """Send the datagrams of an outcome, and follow its events."""
        for send in outcome.sends:
            self.send(send)
        for event in outcome.events:
            self.follow(event)
        for delivery in outcome.deliveries:
            self.track(delivery)
        for message in outcome.messages:
            self.handle(message)
        self.schedule()

    def send(self, send: Send) -> None:
        """Send a datagram."""
        assert send.link is not None, "no router on this network"
        segment, plug = self.plugs[send.link]
        segment.send(plug, send.to, send.datagram)

    def follow(self, event: Event) -> None:
        """Take an event of the engine; nothing to do for most hosts."""

    def track(self, delivery: Delivery) -> None:
        """Take what became of a message of the engine; nothing to do for most hosts."""

    def handle(self, message: IncomingMessage) -> None:
        """Take a message of another host; none comes where the engine was not told that it is wanted."""

    def schedule(self) -> None:
        """Wake the engine at its deadline."""
        due = self.engine.next_deadline()
        if due < self._wake:
            self._wake = due
            self.clock.at(max(due + self.lateness(), self.clock.now), partial(self._poll, self.engine, due))

    def lateness(self) -> float:
        """Return by how many seconds the next timer is late."""
        return 0.0

    def _poll(self, engine: Node | SimulatedSender, due: float) -> None:
        if engine is self.engine and due == self._wake:
            self._wake = NEVER
            self.poll()
