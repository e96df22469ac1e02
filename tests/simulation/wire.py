"""A wire with hosts of different prefixes, in virtual time: who hears a broadcast depends on where it goes."""

from heapq import heappop, heappush
from itertools import count
from random import Random

from discoveryd.net.senders import RELEARN, Senders
from discoveryd.protocol.limited_broadcast import LIMITED
from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.record import Record


def link(address, prefix):
    number = int.from_bytes(bytes(map(int, address.split("."))), "big") | ((1 << (32 - prefix)) - 1)
    return Link("eth0", 2, address, prefix, ".".join(map(str, number.to_bytes(4, "big"))))


class Machine:
    """A host with a node, whose sources are told as the net floor tells them."""

    def __init__(self, wire, name, links, keyring, parameters):
        self.wire, self.name = wire, name
        self.senders = Senders()
        self.events = []
        self.hellos = 0  # broadcast
        seed = f"{wire.seed}/{name}"
        self.node = Node(parameters, Record(name=name), node_id=name, keyring=keyring, random=Random(seed))
        self.set_links(links)

    def set_links(self, links):
        self.links = links
        self.senders.set_links(links, frozenset(link.address for link in links))
        self.node.set_links(links, self.wire.now)

    def hear(self, datagram, sender, to):
        place = (sender, to)
        source = self.senders.known.get(place) or self.senders.find(place, sender, 2, to, self.wire.now)
        self.act(self.node.receive(datagram, source, self.wire.now))
        for source, limited in self.senders.broadcasts():
            self.node.heard_broadcast(source, self.wire.now, limited=limited)

    def act(self, outcome):
        if outcome is NOTHING:
            return
        self.events += [(round(self.wire.now, 3), event.kind, event.peer.id) for event in outcome.events]
        for send in outcome.sends:
            if send.link is None:  # a router on the wire passes it on
                self.wire.carry(self.links[0].address, send.to, send.datagram)
            elif send.link in self.links:
                to = LIMITED if send.limited else send.to
                self.hellos += send.to == send.link.broadcast
                self.wire.carry(send.link.address, to, send.datagram)

    @property
    def peers(self):
        return {peer.id for peer in self.node.peers(self.wire.now)}

    @property
    def is_limited(self):
        return [link_state.limited for link_state in self.node.outlets]


class Wire:
    """Machines on one broadcast domain."""

    def __init__(self, seed=1, loss=0.0):
        self.seed, self.loss = seed, loss
        self.now = 0.0
        self.random = Random(seed)
        self.machines = {}
        self._agenda, self._tie = [], count()
        self._relearn = RELEARN

    def add(self, name, *links, keyring=NO_KEYS, parameters=None):
        machine = self.machines[name] = Machine(self, name, links, keyring, parameters or Parameters())
        return machine

    def remove(self, name):
        machine = self.machines.pop(name)
        machine.act(machine.node.goodbye())

    def carry(self, sender, to, datagram):
        for machine in self.machines.values():
            ours = {link.address for link in machine.links}
            hears = to in ours or to == LIMITED or to in {link.broadcast for link in machine.links}
            if hears and sender not in ours and self.random.random() >= self.loss:
                due = self.now + self.random.uniform(0.0001, 0.001)
                heappush(self._agenda, (due, next(self._tie), machine, datagram, sender, to))

    def run(self, seconds):
        until = self.now + seconds
        while True:
            due, machine = min(
                ((max(one.node.next_deadline(), self.now), one) for one in self.machines.values()),
                key=lambda pair: pair[0],
            )
            if self._agenda and self._agenda[0][0] <= min(due, until):
                self.now, _, machine, datagram, sender, to = heappop(self._agenda)
                if machine in self.machines.values():
                    machine.hear(datagram, sender, to)
            elif due <= until:
                self.now = due
                machine.act(machine.node.poll(due))
            else:
                self.now = until
                return
            if self.now >= self._relearn:
                self._relearn += RELEARN
                for one in self.machines.values():
                    one.senders.relearn(self.now)
