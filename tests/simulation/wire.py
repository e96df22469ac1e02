"""A wire with hosts of different prefixes, in virtual time: the destination decides which hosts hear a broadcast."""

from random import Random

from discoveryd.net.senders import RELEARN, Senders
from discoveryd.protocol.limited_broadcast import LIMITED
from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.record import Record
from discoveryd.simulation import network
from discoveryd.simulation.host import Host
from discoveryd.simulation.network import Clock, Segment


def link(address, prefix):
    number = int.from_bytes(bytes(map(int, address.split("."))), "big") | ((1 << (32 - prefix)) - 1)
    return Link("eth0", 2, address, prefix, ".".join(map(str, number.to_bytes(4, "big"))))


class Plug(network.Plug):
    """The interface of a machine: the machine itself finds out which link a sender is on."""

    def __init__(self, machine, link):
        super().__init__(link, machine.hear, machine.refuse)
        self.deliver = machine.receive


class Machine(Host):
    """A host with a node, which learns of senders from the net floor."""

    def __init__(self, wire, name, links, keyring, parameters):
        super().__init__(wire.clock)
        self.segment, self.name = wire.segment, name
        self.senders = Senders()
        self.events = []
        self.hellos = 0  # broadcast
        self.node = Node(parameters, Record(name=name), node_id=name, keyring=keyring, random=Random(f"{wire.seed}/{name}"))
        self.run(self.node, links)

    def set_links(self, links):
        """Give the interface these networks."""
        for plug in {plug for _, plug in self.plugs.values()}:
            self.segment.pull_out(plug)
        plug = Plug(self, links[0])
        self.segment.plug_in(plug, *links[1:])
        self.plugs = dict.fromkeys(links, (self.segment, plug))
        self.links = links
        self.senders.set_links(links, frozenset(link.address for link in links))
        self.node.set_links(links, self.clock.now)
        self.schedule()

    def receive(self, datagram, sender, to, now):
        source = self.senders.known.get((sender, to)) or self.senders.find((sender, to), sender, 2, to, now)
        self.hear(datagram, source, now)
        for source, limited in self.senders.broadcasts():
            self.node.heard_broadcast(source, now, limited=limited)

    def send(self, send):
        link = send.link or self.links[0]  # without a link: a router on the wire passes it on
        if link in self.plugs:
            self.hellos += send.to == link.broadcast
            segment, plug = self.plugs[link]
            segment.send(plug, LIMITED if send.limited else send.to, send.datagram, link.address)

    def follow(self, event):
        self.events.append((round(self.clock.now, 3), event.kind, event.peer.id))

    @property
    def peers(self):
        return {peer.id for peer in self.node.peers(self.clock.now)}

    @property
    def is_limited(self):
        return [link_state.limited for link_state in self.node.outlets]


class Wire:
    """Machines on one broadcast domain."""

    def __init__(self, seed=1, loss=0.0):
        self.seed = seed
        self.clock = Clock()
        self.segment = Segment(self.clock, Random(seed), loss=loss, delay=(0.0001, 0.001), scattered=True)
        self.machines = {}
        self.clock.after(RELEARN, self._relearn)

    @property
    def now(self):
        return self.clock.now

    def add(self, name, *links, keyring=NO_KEYS, parameters=None):
        machine = self.machines[name] = Machine(self, name, links, keyring, parameters or Parameters())
        return machine

    def remove(self, name):
        machine = self.machines.pop(name)
        machine.act(machine.node.goodbye())
        machine.end()

    def run(self, seconds):
        for machine in self.machines.values():
            machine.schedule()  # a test may have changed something
        self.clock.run(self.clock.now + seconds)

    def _relearn(self):
        for machine in self.machines.values():
            machine.senders.relearn(self.clock.now)
        self.clock.after(RELEARN, self._relearn)
