"""What the history of a year costs: the file, what is asked of it, and the path that HELLOs come in by.

1,000 peers and a year: every day of each summed up, and as many stays and events as are kept. Then what programs ask.
The receive path is measured as in receive.py, in a daemon without a history and in one with, in turn.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from time import perf_counter
from typing import Any

from fleet import Fleet
from machine import Figure, parser, report
from receive import ROUNDS, Daemon

from discoveryd.history.keeper import Keeper
from discoveryd.history.reading import Reader
from discoveryd.history.store import Bounds, NodeFacts, Store
from discoveryd.history.timeline import DAY
from discoveryd.query.reply import encode
from discoveryd.query.request import Filter

PEERS, DAYS = 1000, 365
LIVE = 200
"""Peers whose HELLOs are taken in: each is asked first, and at most 256 new addresses are spoken to in five seconds."""
START = 1_699_920_000_000
"""The beginning of a day."""
STAY = 4 * 3600 * 1000
"""Milliseconds between two outages of a peer, so that more stays are made than are kept."""


def year(store: Store) -> int:
    """Write a year as a daemon leaves it, and return the present moment."""
    store.begin()
    now = START + DAYS * DAY + 3_600_000
    store.begin_run(store.timeline.begin(None, 0.0, START / 1000), 0)
    watch = store.begin_watch(START)
    kept = Bounds()
    for number in range(PEERS):
        facts = NodeFacts(
            f"{number:016x}", f"worker-{number:04}", f"10.0.{number >> 8}.{number & 255}", "eth0",
            '{"role": "worker", "rack": "b2"}', '[{"name": "http", "port": 80, "proto": "tcp", "tags": {}}]',
        )  # fmt: skip
        n = store.keep_node(facts, START + number)
        for count in range(kept.stays // PEERS + 20, 0, -1):
            end = now - count * STAY - number
            why = "not heard for its ttl of 4 s"
            stay = store.begin_stay(n, f"{count:016x}", end - STAY + 60_000, facts.address, "eth0")
            store.end_stay(stay, end, "down", why)
            store.add_event(end, n, "down", why, facts.address, "eth0")
        store.begin_stay(n, f"{0:016x}", now - STAY, facts.address, "eth0")
    store.rows(
        "WITH RECURSIVE day(d) AS (SELECT :first UNION ALL SELECT d + 1 FROM day WHERE d < :last) "
        "INSERT INTO day SELECT n, d, 86400000, 86100000 + n, 0, 5 + d % 3, d % 2, 60000 + n FROM node, day",
        {"first": START // DAY, "last": START // DAY + DAYS - 1},
    )
    store.set_mark("summed", START + DAYS * DAY)
    store.extend_watch(watch, now)
    store.commit()
    store.begin()
    store.prune(kept, now)
    store.commit()
    for _ in range(200):
        store.give_back()
    return now


def timed(act: Callable[[], Any]) -> float:
    """Return the milliseconds that something takes."""
    began = perf_counter()
    act()
    return (perf_counter() - began) * 1000


class Remembering(Daemon):
    """A daemon with a history of its peers.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._keeper = Keeper(path, Bounds(), self._discovery, lambda _: None)
        self._keeper.start()

    def close(self) -> None:
        """Stop it."""
        super().close()
        self._keeper.stop()


def rates(runs: int, directory: str) -> tuple[list[float], list[float]]:
    """Return the HELLOs a second that a daemon takes in, without and with a history."""
    found: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        daemons = [stack.enter_context(closing(one)) for one in (Daemon(), Remembering(f"{directory}/receive.db"))]
        fleets = [stack.enter_context(closing(Fleet(LIVE, daemon.port))) for daemon in daemons]
        for daemon, fleet in zip(daemons, fleets, strict=True):
            daemon.warm(fleet)
        for _ in range(runs + 1):
            for samples, daemon, fleet in zip(found, daemons, fleets, strict=True):
                seconds = sum(daemon.drain(fleet, fleet.steady(2000)) for _ in range(ROUNDS))
                samples.append(ROUNDS * 2000 / seconds)
    return found[0][1:], found[1][1:]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, runs=7).parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "history.db")
        store = Store(path)
        now = year(store)
        size = sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory)) / 1e6
        asked = {
            "availability of a year, 1,000 peers": lambda: encode(Reader(store, now).availability(DAYS * 86_400.0, Filter())),
            "availability of 30 days": lambda: encode(Reader(store, now).availability(30 * 86_400.0, Filter())),
            "availability of 6 hours": lambda: encode(Reader(store, now).availability(6 * 3600.0, Filter())),
            "history of one peer": lambda: encode(Reader(store, now).history("worker-0500", None)),
            "history of all, the last 1,000": lambda: encode(Reader(store, now).history("", None)),
        }
        taken = {what: [timed(act) for _ in range(options.runs)] for what, act in asked.items()}
        store.close()
        without, remembering = rates(options.runs, directory)
    floor = Figure(what="HELLOs a second of a daemon without a history", unit="/s", samples=without)
    report(
        [
            Figure(what="file and log of 1,000 peers and a year", unit="MB", samples=[size], most=40),
            *(
                Figure(what=what, unit="ms", samples=samples, most=200 if "year" in what else None)
                for what, samples in taken.items()
            ),
            Figure(
                what="HELLOs a second of a daemon with a history", unit="/s", samples=remembering, floor=floor,
                least_of_floor=0.9,
            ),
        ],
        as_json=options.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
