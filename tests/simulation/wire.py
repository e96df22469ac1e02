"""A wire with hosts of different prefixes, in virtual time: the destination decides which hosts hear a broadcast."""

from functools import partial
from random import Random

from discoveryd.net.families import Origin
from discoveryd.net.sources import RELEARN, Sources
from discoveryd.protocol.limited_broadcast import LIMITED
from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.record import Record
from discoveryd.simulation.network import Clock, Host


def link(address, prefix):
    number = int.from_bytes(bytes(map(int, address.split("."))), "big") | ((1 << (32 - prefix)) - 1)
    return Link("eth0", 2, address, prefix, ".".join(map(str, number.to_bytes(4, "big"))))


class Machine(Host):
    """A host with a node, which learns of senders from the net floor."""

    def __init__(self, wire, name, links, keyring, parameters):
        super().__init__(wire.clock)
        self.wire, self.name = wire, name
        self.senders = Sources()
        self.events = []
        self.hellos = 0  # broadcast
        self.node = Node(parameters, Record(name=name), node_id=name, keyring=keyring, random=Random(f"{wire.seed}/{name}"))
        self.run(self.node, links)

    def set_links(self, links):
        """Give the interface these networks."""
        self.links = links
        self.addresses = frozenset(link.address for link in links)
        self.senders.set_links(links, self.addresses)
        self.node.set_links(links, self.clock.now)
        self.schedule()

    def receive(self, datagram, sender, to, now):
        source = self.senders.known.get((sender, to)) or self.senders.find((sender, to), Origin(sender, 3400, 2, to), now)
        self.hear(datagram, source, now)
        for source, limited in self.senders.broadcasts():
            self.node.heard_broadcast(source, now, limited=limited)

    def send(self, send):
        link = send.link or self.links[0]  # without a link: a router on the wire passes it on
        if link in self.links:
            self.hellos += send.to == link.broadcast
            self.wire.carry(link.address, LIMITED if send.limited else send.to, send.datagram)

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
        self.random, self.loss = Random(seed), loss
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

    def carry(self, sender, to, datagram):
        """Deliver a datagram to each machine that has the address or listens to the broadcast address."""
        for machine in self.machines.values():
            hears = to == LIMITED or to in machine.addresses | {link.broadcast for link in machine.links}
            if hears and sender not in machine.addresses and self.random.random() >= self.loss:
                self.clock.after(self.random.uniform(0.0001, 0.001), partial(self._arrive, machine, datagram, sender, to))

    def _arrive(self, machine, datagram, sender, to):
        if machine.is_up:
            machine.receive(datagram, sender, to, self.now)

    def run(self, seconds):
        for machine in self.machines.values():
            machine.schedule()  # a test may have changed something
        self.clock.run(self.clock.now + seconds)

    def _relearn(self):
        for machine in self.machines.values():
            machine.senders.relearn(self.clock.now)
        self.clock.after(RELEARN, self._relearn)
