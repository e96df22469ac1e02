"""A segment where an attacker listens, records, forges addresses and delivers datagrams, in virtual time.

Clock and hosts are those of `discoveryd.simulation`. The routing is this module's: a test may let a station be reached
at any address, and change what is under way.
"""

from functools import partial
from random import Random

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Key, Keyring
from discoveryd.protocol.wire.record import Record
from discoveryd.simulation.network import Clock, Host

K1, K2, K3 = (Key(bytes([number]) * 32) for number in (1, 2, 3))
DELAY = 0.0005
GONE = ("down", "left")


def ring(*keys, mode="require", send_with=""):
    return Keyring(keys=keys, mode=mode, send_with=send_with and send_with.id)


class Station(Host):
    """A machine: a node, or none at the moment."""

    engine = None

    def __init__(self, segment, number, keyring, parameters):
        super().__init__(segment.clock)
        self.segment, self.number, self.keyring, self.parameters = segment, number, keyring, parameters
        self.name, self.address = f"n{number}", f"10.0.0.{number}"
        prefix = 32 if segment.routed else 24  # seen from either side, no station is on the link of another
        self.links = {segment: Link("eth0", 2, self.address, prefix, "10.0.0.255")}
        self.generation = 0
        self.told = []

    @property
    def node(self):
        return self.engine

    @node.setter
    def node(self, node):
        self.engine = node

    def start(self):
        self.generation += 1
        node = Node(
            self.parameters, Record(name=self.name), node_id=self.name, keyring=self.keyring,
            random=Random(f"{self.segment.seed}/{self.name}/{self.generation}"),
        )  # fmt: skip
        self.run(node, self.links)
        return self

    def set_links(self, links):
        self.engine.set_links(links.values(), self.clock.now)
        self.schedule()

    def set(self, keyring):
        self.keyring = keyring
        if self.node is not None:
            self.node.set_keyring(keyring)

    def crash(self):
        self.engine = None

    def leave(self):
        self.act(self.node.goodbye())
        self.engine = None

    def hear(self, datagram, source, now=None):
        if self.node is not None:
            super().hear(datagram, source, self.clock.now if now is None else now)

    def schedule(self):
        if self.node is not None:
            super().schedule()

    def send(self, send):
        for segment, link in self.links.items():
            if send.link == link or send.link is None:
                segment.carry(link.address, send.to, send.datagram)

    def follow(self, event):
        self.told.append((round(self.clock.now, 4), event.kind, event.peer.id))

    def peers(self):
        return {peer.id: peer.key for peer in self.node.peers(self.clock.now)}

    def drops(self):
        return {reason: count for (reason, _), count in self.node.drops.items()}

    def lost(self):
        return [(at, kind, who) for at, kind, who in self.told if kind in GONE]


class Segment:
    """One broadcast domain; several may share a clock (`master`)."""

    def __init__(self, seed=1, master=None, *, routed=False):
        self.master = master or self
        self.clock = master.clock if master else Clock()
        self.seed = seed
        self.random = Random(seed)
        self.routed = routed  # no broadcast passes
        self.loss = 0.0
        self.lag = 0.0
        self.mute = set()  # addresses whose broadcasts no station hears
        self.tape = []  # (now, sender, to, datagram)
        self.stations = {}
        self.all = []
        self._sources = {}

    @property
    def now(self):
        return self.clock.now

    def add(self, keyring=NO_KEYS, *, parameters=None):
        station = Station(self, len(self.stations) + 1, keyring, parameters or Parameters())
        self.stations[station.address] = station
        self.master.all.append(station)
        return station

    def plug(self, station, name):
        """Return a station of another segment a second link, to this segment."""
        address = f"10.{name[-1]}.0.{station.number}"
        station.links[self] = Link(name, 3, address, 24, "10.0.0.255")
        self.stations[address] = station
        return station

    def carry(self, sender, to, datagram):
        self.tape.append((self.now, sender, to, datagram))
        for address, station in self.stations.items():
            broadcast = to == "10.0.0.255" and address != sender and not self.routed and sender not in self.mute
            if self not in station.links:
                continue  # its cable is out
            if (broadcast or to == address) and self.random.random() >= self.loss:
                self.deliver(datagram, sender, station, unicast=not broadcast, after=self.lag + DELAY * self.random.uniform(0.5, 1.5))

    def is_on_link(self, station, sender):
        """Return whether a station takes a sender to be on its link."""
        return not self.routed and station.links[self].holds(sender)

    def deliver(self, datagram, sender, station, *, unicast=False, after=0.0):
        link = station.links[self] if self.is_on_link(station, sender) else None
        source = self._sources.setdefault((sender, link, unicast), Source(sender, link, unicast))
        self.clock.after(after, partial(station.hear, datagram, source))

    def run(self, seconds):
        for station in self.master.all:
            station.schedule()  # a test may have changed something
        assert not self.clock.run(self.now + seconds), "too much happens: run it in parts"

    def recorded(self, since=0.0, sender=None, to=None):
        return [
            datagram for at, who, whom, datagram in self.tape
            if at >= since and sender in (None, who) and to in (None, whom)
        ]  # fmt: skip


def fleet(size, keyring=NO_KEYS, *, seed=1, **more):
    segment = Segment(seed, **more)
    return segment, [segment.add(keyring).start() for _ in range(size)]


def others(stations, station):
    return {one.name for one in stations if one is not station and one.node is not None}


def all_listed(stations):
    return all(set(one.peers()) == others(stations, one) for one in stations if one.node is not None)
