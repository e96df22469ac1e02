"""How long a `list` of 10,000 peers keeps the lock of the table, and what a row takes.

The engine alone, in this process: 10,000 made-up peers with a name, a tag and a service, proved, on one
link. A `list` is written in turns; measured is the longest turn, when every text is kept and when every
peer has changed, and the whole. The memory of a row is what the interpreter allocated since before the
peers were first heard, over their number: once they were first heard, have been heard for a while, and
have just been listed.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from time import perf_counter

from machine import Figure, parser, report

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.table.path import ENOUGH, WINDOW
from discoveryd.protocol.wire.messages import Hello
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.query.reply import Listing
from discoveryd.query.request import Filter

SIZE = 10_000
BEATS = WINDOW + 2 * ENOUGH
LINK = Link("eth0", 2, "10.0.0.1", 8, "10.255.255.255")


def make() -> Node:
    """Give an engine that lists nobody yet."""
    limits = Limits(peers=2 * SIZE, newcomers=SIZE, datagrams=1_000_000)
    node = Node(Parameters(interval=5.0, ttl=3600.0, limits=limits), Record(name="me"))
    node.set_links([LINK], 0.0)
    return node


def hear(node: Node, generation: int, now: float) -> None:
    """Let the peers say what they offer: another thing in each generation."""
    for number in range(SIZE):
        record = Record(
            name=f"node{number:05}",
            tags={"rack": f"r{number % 40}", "generation": str(generation)},
            services=(Service(name="ssh", port=22),),
        )
        hello = Hello(
            realm="default", id=f"{number:016x}", boot=f"{number + 1:016x}", interval_ms=5000, ttl_ms=3_600_000,
            digest=record.digest, seq=generation, record=record.encoded,
        )  # fmt: skip
        node.table.heard(hello, Source(f"10.1.{number >> 8}.{number & 255}", LINK), now, proved=True)


def go_on(node: Node, now: float) -> None:
    """Let the peers say steady HELLOs: more than the loss is measured over."""
    for seq in range(2, 2 + BEATS):
        for head, source in list(node.table.steady):
            node.receive(b"%b|%d" % (head, seq), source, now + (seq - 2) * 5.0)


def taken() -> float:
    """Return the bytes of each row that the interpreter has allocated."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / SIZE


def turns(node: Node, now: float) -> list[float]:
    """List all, and give the milliseconds of each turn."""
    listing, found, is_over = Listing(Filter()), [], False
    while not is_over:
        begun = perf_counter()
        is_over = listing.turn(node, now)
        found.append((perf_counter() - begun) * 1000)
    if len(json.loads(listing.line())["peers"]) != SIZE:
        raise SystemExit("not all peers are listed")
    return found


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, runs=7).parse_args()
    node = make()
    tracemalloc.start()
    hear(node, 1, 1.0)
    first = taken()
    go_on(node, 2.0)
    heard = taken()
    now = 2.0 + BEATS * 5.0
    turns(node, now)
    listed = taken()
    tracemalloc.stop()
    kept, changed = [], []
    for run in range(options.runs):
        hear(node, 2 + BEATS + run, now + 1.0 + run)
        gc.collect()  # the garbage is that of this script
        changed.append(turns(node, now + 1.1 + run))
        kept.append(turns(node, now + 1.2 + run))
    report(
        [
            Figure(what=f"`list` of {SIZE:,} peers, longest turn", unit="ms", samples=[max(one) for one in kept], most=5),
            Figure(what="the same, the whole", unit="ms", samples=[sum(one) for one in kept]),
            Figure(what="all changed, longest turn", unit="ms", samples=[max(one) for one in changed], most=5),
            Figure(what="the same, the whole", unit="ms", samples=[sum(one) for one in changed]),
            Figure(what="memory of a row that was heard for a while", unit="bytes", samples=[heard], most=2048),
            Figure(what="the same, first heard", unit="bytes", samples=[first]),
            Figure(what="the same, listed since its last 8 HELLOs", unit="bytes", samples=[listed]),
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
