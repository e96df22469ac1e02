"""A network in memory: a clock that nothing waits for, and segments with loss, delay and other faults.

The engine itself runs on it, so an hour of a network passes in seconds, and twice in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outcome import LIMITED

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
        self._broadcasts: dict[str, Source] = {}
        self._unicasts: dict[str, Source] = {}

    def deliver(self, datagram: bytes, sender: str, to: str, now: float) -> None:
        """Give the host a datagram that an address sent to this host or to all."""
        sources = self._unicasts if to == self.address else self._broadcasts
        source = sources.get(sender)
        if source is None:
            link = self.link if self.link.holds(sender) else None
            source = sources[sender] = Source(sender, link, to == self.address)
        self.hear(datagram, source, now)


class Segment:
    """One broadcast domain.

    Args:
        clock: the time of this segment.
        random: decides losses and delays.
        name: of the interface that a host has here; ends in a number, which becomes that of the network.
        loss: share of deliveries lost, 0 to 1, for each receiver on its own.
        delay: shortest and longest time under way, seconds.
        scattered: each receiver of a broadcast has its own delay, so that datagrams overtake each other.
        duplicated: share of deliveries by a scattered segment that come twice.
        echoes: a sender hears its own broadcasts, as a socket does.
        stopwatch: reads a clock of the machine, seconds.

    Attributes:
        muted: addresses whose broadcasts are filtered.
        refusing: addresses of hosts whose firewall refuses each PING (port unreachable).
        spent: seconds by the stopwatch in the receivers of broadcasts, where nearly all time goes.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        name: str = "eth0",
        *,
        loss: float = 0.0,
        delay: tuple[float, float] = DELAY,
        scattered: bool = False,
        duplicated: float = 0.0,
        echoes: bool = False,
        stopwatch: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.clock = clock
        self.name = name
        self.number = int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
        self.broadcast = f"10.{self.number}.255.255"
        self.loss = loss
        self.delay = delay
        self.scattered = scattered
        self.duplicated = duplicated
        self.echoes = echoes
        self.muted: set[str] = set()
        self.refusing: set[str] = set()
        self.spent = 0.0
        self._stopwatch = stopwatch
        self._random = random
        self._plugs: dict[str, Plug] = {}  # by address
        self._listeners: dict[str, dict[str, Plug]] = {}  # by broadcast address, then by address
        self._closed: set[str] = set()  # addresses of hosts that run no daemon
        self._cuts: set[tuple[str, str]] = set()  # from and to which address nothing gets through

    def link(self, number: int) -> Link:
        """Return the link of the host with this number, 1 to 65534."""
        address = f"10.{self.number}.{number >> 8}.{number & 255}"
        return Link(self.name, self.number + 2, address, 16, self.broadcast)

    def plug_in(self, plug: Plug, *more: Link, hears_broadcasts: bool = True) -> None:
        """Connect a host, which may have more networks on the same interface."""
        for link in (plug.link, *more):
            self._plugs[link.address] = plug
            self._closed.discard(link.address)
            if hears_broadcasts:
                self._listeners.setdefault(link.broadcast, {})[link.address] = plug

    def pull_out(self, plug: Plug, *, port_closed: bool = False) -> None:
        """Disconnect a host: what is under way to it is lost, what it has sent is not.

        With `port_closed` the machine is still there, and answers unicasts by port unreachable.
        """
        for address in [address for address, one in self._plugs.items() if one is plug]:
            del self._plugs[address]
            for listeners in self._listeners.values():
                listeners.pop(address, None)
            if port_closed:
                self._closed.add(address)

    # --- faults ---------------------------------------------------------------------------------

    def cut(self, sender: str, receiver: str) -> None:
        """Let nothing get through from one address to another; the other direction works."""
        self._cuts.add((sender, receiver))

    def part(self, island: Sequence[str]) -> None:
        """Cut some of the hosts off from all others, in both directions."""
        for other in self._plugs.keys() - island:
            for address in island:
                self.cut(address, other)
                self.cut(other, address)

    def heal(self) -> None:
        """End all cuts."""
        self._cuts.clear()

    # --- datagrams ------------------------------------------------------------------------------

    def send(self, sender: Plug, to: str, datagram: bytes, address: str = "") -> None:
        """Carry a datagram, from an address of the sender, to one host or to all with that broadcast address."""
        address = address or sender.address
        is_broadcast = to in (LIMITED, sender.link.broadcast) or to in self._listeners
        if is_broadcast and address in self.muted:
            return
        if is_broadcast and not self.scattered:
            self._later(partial(self._broadcast, sender, address, to, datagram))
            return
        places = [to]
        if is_broadcast:
            places = [plug.address for plug in self._hearing(to) if self.echoes or plug is not sender]
        for place in places:
            for _ in range(self._copies()):
                self._later(partial(self._arrive, sender, address, to, place, datagram))

    def arrived(self, sender: str, to: str, datagram: bytes, receivers: list[Plug]) -> None:
        """Note a datagram that is about to be delivered; a test overrides this."""

    def loses(self) -> bool:
        """Decide whether a delivery is lost."""
        return self._random.random() < self.loss

    def _copies(self) -> int:
        if self.loses():
            return 0
        return 2 if self.duplicated and self._random.random() < self.duplicated else 1

    def _later(self, action: Callable[[], None]) -> None:
        self.clock.after(self._random.uniform(*self.delay), action)

    def _hearing(self, to: str) -> list[Plug]:
        """Return the hosts that hear a broadcast: all, or those with this broadcast address."""
        if to == LIMITED:
            return list(dict.fromkeys(plug for one in self._listeners.values() for plug in one.values()))
        return list(self._listeners.get(to, {}).values())

    def _broadcast(self, sender: Plug, address: str, to: str, datagram: bytes) -> None:
        """Deliver to all hosts that hear it: nearly all time of a long run is spent here."""
        receivers, now = self._hearing(to), self.clock.now
        if self.loss:
            dice, loss = self._random.random, self.loss
            receivers = [plug for plug in receivers if dice() >= loss]
        if self._cuts:
            receivers = [plug for plug in receivers if (address, plug.address) not in self._cuts]
        self.arrived(address, to, datagram, receivers)
        began = self._stopwatch()
        for plug in receivers:
            if self.echoes or plug is not sender:
                plug.deliver(datagram, address, to, now)
        self.spent += self._stopwatch() - began

    def _arrive(self, sender: Plug, address: str, to: str, place: str, datagram: bytes) -> None:
        """Deliver to one host, or return port unreachable (ICMP)."""
        plug = self._plugs.get(place)
        is_late_echo = place == address and plug is not sender  # of a host that was unplugged since
        if is_late_echo or (address, place) in self._cuts:
            plug = None
        self.arrived(address, to, datagram, [plug] if plug else [])
        is_refused = place in (self.refusing if plug and datagram.startswith(b"PING") else self._closed)
        if is_refused:
            if not self.loses():
                self._later(partial(self._refuse, sender, address, datagram))
        elif plug is not None:
            plug.deliver(datagram, address, to, self.clock.now)

    def _refuse(self, sender: Plug, address: str, datagram: bytes) -> None:
        if self._plugs.get(address) is sender:
            sender.refuse(datagram, self.clock.now)
