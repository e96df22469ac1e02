"""200 nodes hear the will of one, and ask: its kernel returns 1,000 refusals a second, 50 at once."""

from functools import partial
from random import Random

from discoveryd.protocol.node import Node
from discoveryd.protocol.wills import DIED
from discoveryd.protocol.wire.record import Record
from discoveryd.simulation.network import Clock, Host, Segment
from tests.protocol.engine import crowd

NODES = 200
MESSAGES_A_SECOND, BURST = 1000.0, 50.0
"""net.ipv4.icmp_msgs_per_sec and icmp_msgs_burst, as the kernel has them by default."""
ROUNDS = (0.002, 0.032, 0.062)
"""Seconds from the death to each round of the will."""


class LimitedSegment(Segment):
    """A segment where one machine is without a daemon, and its kernel limits what it refuses; it carries no HELLOs."""

    tokens, filled, withheld = BURST, 0.0, 0

    def receivers(self, sender, datagram):
        return super().receivers(sender, datagram) if datagram.startswith(b"WILL") else []

    def refuse(self, sender, datagram):
        now = self.clock.now
        self.tokens, self.filled = min(BURST, self.tokens + (now - self.filled) * MESSAGES_A_SECOND), now
        if self.tokens < 1:
            self.withheld += 1
            return
        self.tokens -= 1
        super().refuse(sender, datagram)


class Machine(Host):
    def __init__(self, segment, number):
        super().__init__(segment.clock)
        self.downs = []
        node = Node(record=Record(name=f"n{number}"), node_id="victim" if number == 1 else f"m{number}", random=Random(number))
        self.run(node, {segment: segment.link(number)})

    def follow(self, event):
        if event.kind in ("down", "left", "suspect"):
            self.downs.append((self.clock.now, event.kind, event.peer.id, event.reason))

    def die(self):
        """End, and leave the will to the network."""
        sends, plugs = self.engine.will(), dict(self.plugs)
        self.end(port_closed=True)
        for after in ROUNDS:
            for send in sends:
                segment, plug = plugs[send.link]
                self.clock.after(after, partial(segment.send, plug, send.to, send.datagram))


def path(machine):
    [path] = next(row for row in machine.engine.table.rows(machine.clock.now) if row.id == "victim").paths
    return path


def test_200_nodes_see_a_death_within_the_limit_of_icmp(capsys):
    clock = Clock()
    segment = LimitedSegment(clock, Random(1))
    machines = [Machine(segment, number) for number in range(1, NODES + 1)]
    victim, *others = machines
    clock.run(1.0)
    hello = victim.engine.outbox.hello(full=True).encode()
    for machine in others:
        crowd(machine.engine, NODES - 2, now=clock.now)
        [plug] = [plug for _, plug in machine.plugs.values()]
        plug.deliver(hello, segment.link(1).address, clock.now, unicast=False)
    clock.run(2.3)
    assert all(path(machine).answered_at > 1.0 for machine in others), "each has asked it, and had an answer"
    pings = sum(machine.engine.sent["ping"] for machine in others)
    died = clock.now
    victim.die()
    clock.run(died + 0.5)
    seen = [[(kind, id, reason) for _, kind, id, reason in machine.downs] for machine in others]
    assert seen == [[("down", "victim", DIED)]] * len(others)
    took = sorted(machine.downs[0][0] - died for machine in others)
    pings = sum(machine.engine.sent["ping"] for machine in others) - pings
    with capsys.disabled():
        print(f"\n{NODES} nodes, one killed: {took[len(took) // 2]:.3f} s median, {took[-1]:.3f} s at most, "
              f"{pings} PINGs, {segment.withheld} refusals withheld")  # fmt: skip
    assert took[-1] < 0.4
