"""A random history of sites, and what must be true of it at every moment and at its end."""

from __future__ import annotations

import os
from functools import partial

from tests.sites.broker import Faults
from tests.sites.world import KEYRING, World, text_of

SEEDS = int(os.environ.get("DISCOVERYD_SITES_SEEDS") or 1)
"""DISCOVERYD_SITES_SEEDS=300 is the long run."""
LATE = 0.7
"""Seconds by which a gateway may hear later than the machine died, and a verdict of the engine come."""


class History:
    """Machines, daemons, connections and the broker fail at random.

    Args:
        seed: of everything.
        sites: names of the sites.
        nodes: that run the engine, in each.
        faults: of the broker until it is healed.
        keyring: of all nodes.

    Attributes:
        problems: what was not true.
    """

    def __init__(self, seed, sites=("berlin", "paris", "rome"), nodes=3, faults=None, keyring=KEYRING):
        self.world = World(seed, faults or Faults(loss=0.05, double=0.05, reorder=0.1))
        self.random = self.world.random
        self.places = [self.world.place(name, nodes, start=False) for name in sites]
        for place in self.places:
            for node in place.nodes:
                node.keyring = keyring
                node.start()
        self.problems = []
        self.numbers = 0
        self.died = {}
        self.world.watchers.append(self._told)

    def play(self, seconds, every=0.7):
        """Let things happen for so long."""
        world, end = self.world, self.world.clock.now + seconds
        while world.clock.now < end:
            self._happen()
            world.run(every * (0.5 + self.random.random()))
            self.check()

    def heal(self):
        """Repair everything."""
        broker = self.world.broker
        broker.faults, broker.lie = Faults(), None
        broker.cut.clear()
        for place in self.places:
            for node in place.nodes:
                if not node.is_up:
                    node.start()
                elif node.connection is None:
                    node.connect()
                else:
                    broker.stall(node.connection, is_stalled=False)
                node.is_isolated = False
                node.table = {key: ("up", text) for key, text in place.truth.items()}
                node.survey()

    def check(self):
        """Find what is listed as up and died too long ago, or is none of its site."""
        now = self.world.clock.now
        for place in self.places:
            for node in place.nodes:
                if node.is_up:
                    for key, row in node.rows(None, "up").items():
                        truth = self.world.places[row["site"]].truth
                        if key not in truth and now > self.died.get(key, 0) + row["ttl_s"] + LATE:
                            self.problems.append((now, node.id, "ghost", key))
                        if row["vouched_s"] > row["ttl_s"] + 1.1:
                            self.problems.append((now, node.id, "stale", key))

    def differences(self):
        """Return the nodes and sites where the list is not the truth."""
        found = []
        for place in self.places:
            for node in place.nodes:
                for other in self.places:
                    if other is not place and set(node.rows(other.name, "up")) != set(other.truth):
                        found.append((node.id, other.name))
        return found

    def _told(self, node, event):
        if event.kind in ("down", "left"):
            key = f"{event.peer['id']} {event.peer['boot']}"
            if key in self.world.places[event.site].truth:
                self.problems.append((self.world.clock.now, node.id, f"false {event.kind}", key))

    def _happen(self):
        act = self.random.choice((
            self._join, self._join, self._join, self._die, self._die, self._leave, self._restart, self._change,
            self._daemon, self._isolate, self._connection, self._stall, self._cut, self._replay,
        ))  # fmt: skip
        act(self.random.choice(self.places))

    def _machines(self, place):
        return [key for key in place.truth if key.startswith("m")]

    def _gone(self, place, key, state):
        self.died[key] = self.world.clock.now
        place.gone(key, state)

    def _join(self, place):
        self.numbers += 1
        place.up(f"m{self.numbers} {self.random.getrandbits(64):016x}", text_of(f"m{self.numbers}"))

    def _die(self, place, state="down"):
        if machines := self._machines(place):
            self._gone(place, self.random.choice(machines), state)

    def _leave(self, place):
        self._die(place, "left")

    def _restart(self, place):
        if machines := self._machines(place):
            key = self.random.choice(machines)
            self.died[key] = self.world.clock.now
            place.restart(key, f"{key.partition(' ')[0]} {self.random.getrandbits(64):016x}", place.truth[key])

    def _change(self, place):
        if machines := self._machines(place):
            key = self.random.choice(machines)
            place.up(key, text_of(key.partition(" ")[0], version=str(self.random.random())))

    def _daemon(self, place):
        node = self.random.choice(place.nodes)
        if node.is_up:
            self.died[node.key] = self.world.clock.now
            node.stop(self.random.choice(("down", "left")))
            self.world.clock.after(self.random.random() * 20, partial(self._start, node))

    def _start(self, node):
        if not node.is_up:
            node.start()

    def _isolate(self, place):
        """Let a node hear nothing of its own site for a while: it knows that it is cut off."""
        node = self.random.choice(place.nodes)
        node.is_isolated = True
        if node.is_up:
            node.survey()
        self.world.clock.after(self.random.random() * 15, partial(self._join_again, node))

    def _join_again(self, node):
        node.is_isolated = False
        if node.is_up:
            node.table = {key: ("up", text) for key, text in node.place.truth.items()}
            node.survey()

    def _connection(self, place):
        node = self.random.choice(place.nodes)
        if node.is_up and node.connection is not None:
            node.disconnect()
            self.world.clock.after(self.random.random() * 15, partial(self._reconnect, node, node.boots))

    def _reconnect(self, node, boots):
        if node.is_up and node.boots == boots and node.connection is None:
            node.connect()

    def _stall(self, place):
        """Hang a server for a while: what waits is flushed then."""
        connection = self.random.choice(place.nodes).connection
        if connection is not None and not connection.is_stalled:
            broker = self.world.broker
            broker.stall(connection, is_stalled=True)
            self.world.clock.after(self.random.random() * 15, partial(broker.stall, connection, is_stalled=False))

    def _cut(self, place):
        other = self.random.choice(self.places)
        pair = place.name, other.name
        self.world.broker.cut.add(pair)
        self.world.clock.after(self.random.random() * 20, partial(self.world.broker.cut.discard, pair))

    def _replay(self, _):
        """Publish what was published before, as somebody could who recorded it."""
        broker = self.world.broker
        for _ in range(5):
            subject, payload, _site = self.random.choice(broker.tape) if broker.tape else ("", b"", "")
            for receiver in broker.connections:
                if subject and receiver.wants(subject):
                    broker.deliver(receiver, subject, payload)
