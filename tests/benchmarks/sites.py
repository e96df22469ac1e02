"""What sites cost a node: ``python -m tests.benchmarks.sites`` prints the bars of issue 18 that need no server.

Processor time of this process; the model of the broker is not counted.
"""

from __future__ import annotations

import gc
import tracemalloc
from random import Random
from time import process_time

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.wire.record import Record
from discoveryd.sites.remote_site import RemoteSite
from discoveryd.sites.row import mark
from discoveryd.sites.settings import GATEWAY_TAG
from discoveryd.sites.survey import SURVEY_GAP, Surveyor
from discoveryd.sites.wire import SetPart
from tests.simulation.sites import Budget, peer

PEERS = 1000


def line(what, figure, bar=""):
    print(f"{what:64} {figure:>14} {bar}", flush=True)


def survey_share():
    """Return the share of a core that surveys of a table of `PEERS` peers take, at rest."""
    node = Node(record=Record(name="gate", tags={GATEWAY_TAG: "berlin"}), node_id="gate", random=Random(1))
    link = Link("eth0", 2, "10.0.0.1", 16, "10.0.255.255")
    node.set_links([link], now=0.0)
    for number in range(PEERS):
        record = Record(name=f"n{number}", tags={GATEWAY_TAG: "berlin"} if number % 10 == 0 else {"role": "web"})
        other = Node(record=record, node_id=f"n{number}", random=Random(number))
        other.set_links([link._replace(address=f"10.0.{number >> 8}.{number & 255}")], now=0.0)
        [send] = other.poll(0.0).sends
        node.receive(send.datagram, Source(f"10.0.{number >> 8}.{number & 255}", link), 0.001 + number / 50)
    surveyor, now = Surveyor("berlin"), 0.1 + PEERS / 50
    rows = len(surveyor.survey(node, now).rows)
    began = process_time()
    for step in range(30):
        surveyor.survey(node, now + step * SURVEY_GAP / 1000)
    return (process_time() - began) / 30 / SURVEY_GAP * PEERS / rows


def memory():
    """Return the bytes of a peer of another site that two gateways tell of."""
    tracemalloc.start()
    site = RemoteSite("paris", 0.0)
    for run in ("a" * 16, "b" * 16):
        changes = [peer("paris", number) for number in range(10_000)]
        part = SetPart(
            set=1, part=0, of=1, count=len(changes), digest=sum(mark(*one) for one in changes) % 2**64, changes=tuple(changes)
        )  # fmt: skip
        site.load(site.view(run, run[:4], is_sealed=True), part, changes, 10**6, 0.0)
        del changes, part
    site.judge(lambda _: 10.0, 0.0)
    site.tell(10**6, 0.0)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken / 10_000


def main():
    share = survey_share()
    line(f"surveys of {PEERS} first-hand rows, % of a core", f"{100 * share:.3f}")
    line("a remote row, two gateways, bytes", f"{memory():.0f}", "<= 600")
    budget = Budget(11, PEERS)
    row = budget.run()
    line("gateway of 1,000 rows that follows 10,000, % of a core", f"{row['gateway, % of a core'] + 100 * share:.2f}", "<= 0.5")
    line("standby that follows 10,000, % of a core", f"{row['standby, % of a core'] + 100 * share:.2f}", "<= 0.1")
    line("cold start of a gateway that follows 10,000, s", row["cold start, s"], "<= 10")
    line("  processor time of it, s", row["cold start, CPU s"])
    line("  bytes received, kB", row["cold start, kB"])
    node = budget.sample[1]
    began = process_time()
    texts = [text for state, text in node.engine.texts(None, budget.world.clock.now)]
    took = process_time() - began
    line(f"list --site all of {len(texts)}, {len(','.join(texts)) // 1000} kB: its text, ms", f"{1000 * took:.0f}", "<= 300")
    began = process_time()
    node.engine.rows(None, budget.world.clock.now)
    line("  as objects, ms", f"{1000 * (process_time() - began):.0f}")


if __name__ == "__main__":
    main()
