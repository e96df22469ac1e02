"""What sites cost over a broker: real gateways of each site against a model of NATS, with loss, delay and reordering.

``python -m tests.simulation.sites`` prints the table of docs/sites.md; ``… 10x100`` plays other sizes. Every gateway of
every site runs the engine. Two nodes of one site, a gateway and a standby, follow all peers; the others hear everything
and keep no rows, or a hundred sites would take 20 million of them. Half a minute of warm-up is not counted.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from time import process_time

from discoveryd.protocol.wire.record import Service
from discoveryd.sites.row import encode_row
from discoveryd.sites.settings import Follow, SiteSettings
from tests.sites.broker import Faults
from tests.sites.world import SimulatedNode, World

SIZES = ("10x1000", "50x200", "100x1000")
SECONDS = 60.0
PER_HOUR = 1.0
"""Events of each peer."""
NOBODY = (Follow(site="-"),)
SERVICES = (Service(name="http", port=8080), Service(name="ssh", port=22))


def peer(site, number):
    text = encode_row(
        f"{site}-{number:04}", [f"10.{number >> 8}.{number & 255}.7"], {"role": "web", "rack": f"r{number % 40}"}, SERVICES,
        "0a1b2c3d", clone=False,
    )  # fmt: skip
    return f"{blake2b(f'{site} {number}'.encode(), digest_size=8).hexdigest()} {number * 7919:016x}", text


class MeasuredNode(SimulatedNode):
    """A node that knows its site from the beginning; `spent` is the processor time of its engine."""

    spent = 0.0
    is_measured = False

    def start(self):
        known = {key: ("up", text) for key, text in self.place.truth.items()}
        super().start(knows=known)
        if self.is_measured:
            for name in ("receive", "poll", "learn"):
                setattr(self.engine, name, self.measured(getattr(self.engine, name)))

    def measured(self, call):
        def timed(*arguments):
            began = process_time()
            try:
                return call(*arguments)
            finally:
                self.spent += process_time() - began

        return timed


class Budget:
    """Sites of a size.

    Args:
        sites: how many.
        peers: of each.
        seed: of everything.
        more: settings of all nodes.
    """

    def __init__(self, sites, peers, seed=1, **more):
        self.world = World(seed, Faults(loss=0.001, reorder=0.001, delay=0.3))
        self.world.broker.keeps_tape = False
        self.sites, self.peers = sites, peers
        for site in range(sites):
            name = f"site{site:03}"
            place = self.world.place(name, 0)
            place.truth = dict(peer(name, number) for number in range(peers - 2))
            for number in range(3 if site == 0 else 2):
                follow = (Follow(),) if site == 0 and number else NOBODY
                settings = SiteSettings(site=name, follow=follow, rows=200_000, sites=256, **more)
                node = MeasuredNode(place, f"{name}-g{number}", settings=settings)
                node.is_measured = site == 0
                place.nodes.append(node)
        for place in self.world.places.values():
            for node in place.nodes:
                self.world.clock.after(self.world.random.random() * 2, node.start)
        self.sample = self.world.places["site000"].nodes

    def change(self):
        """Let a peer of some site go or come, as often as all do together."""
        world = self.world
        place = world.random.choice(list(world.places.values()))
        key, text = world.random.choice(list(place.truth.items()))
        if "-g" not in key:
            place.up(key, text.replace('"rack":"r', f'"rack":"r{world.random.randrange(1000)}', 1))
        world.clock.after(world.random.expovariate(self.sites * self.peers * PER_HOUR / 3600), self.change)

    def run(self, seconds=SECONDS):
        """Play for so many seconds, and return the row of the table."""
        world, broker = self.world, self.world.broker
        others = (self.sites - 1) * self.peers
        began, listed = world.clock.now, None
        while world.clock.now < began + 30.0:
            world.run(0.25)
            if listed is None and all(node.is_up and node.status()["rows"] == others for node in self.sample[1:]):
                listed = world.clock.now - began
        world.run(10.0)
        cold = [node.spent for node in self.sample]
        bytes_cold = self.sample[1].status()["bytes_received"]
        self.change()
        broker.delivered.clear()
        broker.published.clear()
        for node in self.sample:
            node.spent = 0.0
        counts = [dict(node.status()["received"]) for node in self.sample]
        received = [node.status()["bytes_received"] for node in self.sample]
        world.run(seconds)
        roles = [node.status()["role"] for node in self.sample]
        gateway = next(place for place, role in enumerate(roles) if role == "gateway" and place)
        standby = roles.index("standby")
        node, status = self.sample[gateway], self.sample[gateway].status()
        missing = others - len(node.rows(None, "up"))
        heard = (sum(status["received"].values()) - sum(counts[gateway].values())) / seconds
        heard_bytes = (status["bytes_received"] - received[gateway]) / seconds / 1000
        return {
            "sites x peers": f"{self.sites} x {self.peers}",
            "interval, s": status["interval_s"],
            "ttl, s": next(iter(node.rows("site001").values()))["ttl_s"],
            "beats published, 1/s": round(broker.published["beat"] / seconds, 1),
            "deltas published, 1/s": round(broker.published["delta"] / seconds, 1),
            "heard by one node, 1/s": round(heard, 1),
            "heard by one node, kB/s": round(heard_bytes, 1),
            "deliveries to all gateways that follow all, 1/s": round(2 * self.sites * heard),
            "of them, kB/s": round(2 * self.sites * heard_bytes),
            "gateway, % of a core": round(100 * self.sample[gateway].spent / seconds, 2),
            "standby, % of a core": round(100 * self.sample[standby].spent / seconds, 2),
            "cold start, s": listed,
            "cold start, CPU s": round(cold[gateway], 2),
            "cold start, kB": round(bytes_cold / 1000),
            "missing at the end": missing,
        }


def main():
    rows = []
    for size in sys.argv[1:] or SIZES:
        sites, _, peers = size.partition("x")
        rows.append(Budget(int(sites), int(peers)).run())
    print("|", " | ".join(["", *[row["sites x peers"] for row in rows]]), "|")
    print("|---" * (len(rows) + 1) + "|")
    for key in list(rows[0])[1:]:
        print("|", key, "|", " | ".join(str(row[key]) for row in rows), "|")


if __name__ == "__main__":
    main()
