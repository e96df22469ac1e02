"""A network in memory: a clock that nobody waits for, and a segment that loses and delays.

What runs on it is the engine itself, so an hour of a network passes in seconds, and twice in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random

from discoveryd.protocol.link import Link, Source

DELAY = (0.0001, 0.003)
"""Shortest and longest way of a datagram, seconds: a switched or wireless LAN that is not congested."""


class Clock:
    """Virtual time, in seconds, and what is to be done when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Do this when the clock gets there; what is due at one moment keeps its order."""
        heappush(self._agenda, (due, next(self._tie), action))

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Do this in a while."""
        self.at(self.now + delay, action)

    def run(self, until: float, most: int) -> bool:
        """Let the time pass, by so many actions at most; whether there is more to do until then."""
        agenda = self._agenda
        for _ in range(most):
            if not agenda or agenda[0][0] > until:
                self.now = until
                return False
            self.now, _, action = heappop(agenda)
            action()
        return True


class Plug:
    """Where a node is connected.

    Args:
        link: of the node.
        hear: takes a datagram, as `Node.receive` does.
        refuse: takes one of its own that came back, as `Node.refused` does.
    """

    __slots__ = ("address", "broadcasts", "hear", "link", "refuse", "unicasts")

    def __init__(
        self, link: Link, hear: Callable[[bytes, Source, float], object], refuse: Callable[[bytes, float], object]
    ) -> None:
        self.link = link
        self.address = link.address
        self.hear = hear
        self.refuse = refuse
        # one object per sender, as the net floor keeps them: the engine compares by identity
        self.broadcasts: dict[str, Source] = {}
        self.unicasts: dict[str, Source] = {}

    def source(self, address: str, *, unicast: bool) -> Source:
        """Give the source that stands for a sender."""
        sources = self.unicasts if unicast else self.broadcasts
        source = sources.get(address)
        if source is None:
            source = sources[address] = Source(address, self.link, unicast)
        return source


class Segment:
    """One broadcast domain.

    Args:
        clock: whose time passes here.
        random: for losses and delays.
        loss: share of deliveries lost, 0 to 1, for each receiver on its own.
        meter: reads a stopwatch, seconds.

    Attributes:
        spent: what the stopwatch says of receivers of broadcasts, where nearly all time goes.
    """

    BROADCAST = "10.0.255.255"

    def __init__(
        self, clock: Clock, random: Random, *, loss: float = 0.0, meter: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.clock = clock
        self.loss = loss
        self.meter = meter
        self.spent = 0.0
        self._random = random
        self._plugs: dict[str, Plug] = {}
        self._ears: dict[str, Plug] = {}
        self._closed: set[str] = set()

    def link(self, number: int) -> Link:
        """Give the link of the node with this number, 1 to 65534."""
        return Link("eth0", 2, f"10.0.{number >> 8}.{number & 255}", 16, self.BROADCAST)

    def plug_in(self, plug: Plug, *, hears_broadcasts: bool = True) -> None:
        """Connect."""
        self._plugs[plug.address] = plug
        self._closed.discard(plug.address)
        if hears_broadcasts:
            self._ears[plug.address] = plug

    def pull_out(self, plug: Plug, *, port_closed: bool) -> None:
        """Disconnect: with `port_closed` the machine is still there, and says that nobody listens."""
        del self._plugs[plug.address]
        self._ears.pop(plug.address, None)
        if port_closed:
            self._closed.add(plug.address)

    def send(self, sender: Plug, to: str, datagram: bytes) -> None:
        """Carry a datagram from one plug to another, or to all but its sender."""
        if to == self.BROADCAST:
            self._later(partial(self._broadcast, sender, datagram))
        elif not self.loses():
            self._later(partial(self._arrive, sender, to, datagram))

    def loses(self) -> bool:
        """Throw the dice for one delivery."""
        return self._random.random() < self.loss

    def _later(self, action: Callable[[], None]) -> None:
        self.clock.after(self._random.uniform(*DELAY), action)

    def _broadcast(self, sender: Plug, datagram: bytes) -> None:
        """Deliver to all who hear it: nearly everything of a long run happens here."""
        ears, address, now = list(self._ears.values()), sender.address, self.clock.now
        if self.loss:
            dice, loss = self._random.random, self.loss
            ears = [plug for plug in ears if dice() >= loss]
        began = self.meter()
        for plug in ears:
            if plug is not sender:
                source = plug.broadcasts.get(address)
                plug.hear(datagram, source or plug.source(address, unicast=False), now)
        self.spent += self.meter() - began

    def _arrive(self, sender: Plug, to: str, datagram: bytes) -> None:
        """Deliver to one, or bring back the kernel's word that nobody listens there (ICMP port unreachable)."""
        plug = self._plugs.get(to)
        if plug is not None:
            plug.hear(datagram, plug.source(sender.address, unicast=True), self.clock.now)
        elif to in self._closed and not self.loses():
            self._later(partial(self._bring_back, sender, datagram))

    def _bring_back(self, sender: Plug, datagram: bytes) -> None:
        if self._plugs.get(sender.address) is sender:
            sender.refuse(datagram, self.clock.now)
