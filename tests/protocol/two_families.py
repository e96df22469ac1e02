"""Machines with IPv4 and IPv6 on one cable, in virtual time; a test may lose what one of them sends by one family."""

from random import Random

from discoveryd.protocol.link import GROUP, Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.record import Record
from discoveryd.simulation.network import Clock, Host, Segment


class Lossy(Segment):
    """A segment that loses some datagrams: `loses_of` says for which (sender, receiver, is_to_all)."""

    def __init__(self, clock, random, number=0, **options):
        super().__init__(clock, random, number, **options)
        self.loses_of = lambda _sender, _receiver, _is_to_all: False
        self.said = []  # time, sender and datagram of what went to all

    def send(self, sender, to, datagram):
        if to == self.broadcast:
            self.said.append((self.clock.now, sender.address, datagram))
        super().send(sender, to, datagram)

    def receivers(self, sender, datagram):
        found = super().receivers(sender, datagram)
        return [plug for plug in found if not self.loses_of(sender.address, plug.address, True)]

    def arrive(self, sender, to, datagram):
        if not self.loses_of(sender.address, to, False):
            super().arrive(sender, to, datagram)

    def rate(self, begin, end, address=None):
        """Give the HELLOs a second that went to all between two moments, of one sender or all."""
        return sum(begin <= at < end and address in (None, sender) for at, sender, _ in self.said) / (end - begin)


class Ipv6Segment(Lossy):
    """The same cable, by IPv6."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.broadcast = GROUP

    def link(self, number):
        return Link(f"eth{self.number}", self.number + 2, f"fe80::{number:x}%eth{self.number}", 64, GROUP)


class Machine(Host):
    """A machine with a node."""

    def __init__(self, lan, number, segments, **options):
        super().__init__(lan.clock)
        self.number, self.name, self.told, self.reasons = number, f"n{number}", [], []
        options.setdefault("parameters", Parameters())
        self.node = Node(record=Record(name=self.name), node_id=self.name, random=Random(f"{lan.seed}/{number}"), **options)
        self.at = {segment: segment.link(number) for segment in segments}
        self.run(self.node, self.at)

    def follow(self, event):
        self.told.append((round(self.clock.now, 3), event.kind, event.peer.id))
        self.reasons.append(event.reason)

    def peers(self):
        return {peer.id: peer for peer in self.node.peers(self.clock.now)}

    def kinds(self, *, since=0.0):
        return [kind for at, kind, _ in self.told if at >= since]

    def paths(self, name):
        """Give the paths of a peer by address."""
        return {path.address: path for path in self.peers()[name].paths}


class TwoFamilies:
    """A LAN of both families, or of one."""

    def __init__(self, count, *, seed=1, loss=0.0, families=("ipv4", "ipv6"), keyring=NO_KEYS, **options):
        self.clock, self.seed = Clock(), seed
        kinds = {"ipv4": Lossy, "ipv6": Ipv6Segment}
        self.segments = {name: self.segment(kinds[name], loss=loss) for name in families}
        self.machines = [
            Machine(self, number, self.segments.values(), keyring=keyring, **options) for number in range(1, count + 1)
        ]

    def segment(self, kind, number=0, **options):
        return kind(self.clock, Random(f"{self.seed}/{kind.__name__}/{number}"), number, **options)

    @property
    def four(self):
        return self.segments["ipv4"]

    @property
    def six(self):
        return self.segments["ipv6"]

    def run(self, until):
        self.clock.run(until)
        return self


def four(number):
    return f"10.0.0.{number}"


def six(number):
    return f"fe80::{number:x}%eth0"
