"""What one daemon costs among many nodes, which are played (needs root).

The installed `discoveryd run`, without configuration, on one machine; on another player.py, which
beats for 10, 50 and 160 nodes: 12, 62 and 200 HELLOs a second, as so many daemons do. Measured over
--seconds, once all are listed and answered a PING: share of a core (the scheduler's own account, of
all threads), and wake-ups. Floor: simple_peer.py in its place.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import monotonic, sleep

from footprint import SETTLE, SIMPLE, cost
from installation import PLAIN, installed
from machine import REPOSITORY, Figure, parser, report
from mirror import PATIENCE, Mirror, connect, follow
from player import address_of

from tests.netns.lab import Host, Lab

CROWDS = {10: 12.0, 50: 62.0, 160: 200.0}
"""Nodes, and their HELLOs a second."""
GOALS = {10: 2.1, 50: 0.7, 160: 0.25}
"""Of the simple peer, which is woken by each."""
ADDRESS, BROADCAST, PORT = "10.77.0.1", "10.77.255.255", "3400"


class Bench:
    """The machine that is measured, and the one that plays."""

    def __init__(self, lab: Lab, python: str, scripts: str, seconds: float) -> None:
        self._python, self._scripts, self._seconds = python, scripts, seconds
        self._host = lab.host("a", address=f"{ADDRESS}/16")
        self._stage: Host = lab.host("stage", address="10.77.0.2/16")
        self._stage.ip(*(f"addr add {address_of(number)}/16 dev eth0" for number in range(max(CROWDS))))

    @contextmanager
    def playing(self, count: int) -> Iterator[None]:
        """Play so many nodes."""
        script = str(REPOSITORY / "tests/benchmarks/player.py")
        process = self._stage.popen(self._python, script, str(count), str(CROWDS[count]))
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)

    def daemon(self, count: int) -> tuple[float, float]:
        """Measure the daemon."""
        process = self._host.popen(f"{self._scripts}/discoveryd", "run", env=PLAIN)
        with closing(Mirror()) as mirror:
            with self._host.namespace():
                connect(mirror)
            deadline = monotonic() + 6 * PATIENCE
            while len(mirror.names) < count:
                if monotonic() > deadline:
                    raise SystemExit(f"{len(mirror.names)} of {count} nodes are listed\n{self._stage.log()}")
                follow([mirror], 1.0)
            found = self._measure(process, mirror)
        process.terminate()
        process.wait(PATIENCE)
        return found

    def simple(self, _: int) -> tuple[float, float]:
        """Measure the floor."""
        argv = (self._python, str(SIMPLE), ADDRESS, BROADCAST, PORT)
        process = self._host.popen(*argv, env=PLAIN, stdout=subprocess.DEVNULL)
        found = self._measure(process, None)
        process.terminate()
        process.wait(PATIENCE)
        return found

    def _measure(self, process: subprocess.Popen[str], mirror: Mirror | None) -> tuple[float, float]:
        # each of many newcomers is PINGed within seconds
        settled = monotonic() + SETTLE * (3 if mirror else 1)
        while (left := settled - monotonic()) > 0:
            follow([mirror], left) if mirror else sleep(left)
        events = mirror.events if mirror else 0
        before, begun = cost(process.pid), monotonic()
        sleep(self._seconds)
        after, taken = cost(process.pid), monotonic() - begun
        if mirror:
            follow([mirror], 0.0)
            if mirror.events != events:
                raise SystemExit("peers came or went while nothing should have happened")
        return 100 * (after.core_seconds - before.core_seconds) / taken, (after.switches - before.switches) / taken


def main() -> None:
    """Run the benchmark."""
    made = parser(__doc__, runs=3, environment=True)
    made.add_argument("--seconds", type=float, default=20.0, help="length of each measurement (default 20)")
    options = made.parse_args()
    figures = []
    with installed(options.python) as scripts, Lab() as lab:
        bench = Bench(lab, str(scripts / "python"), str(scripts), options.seconds)
        for count, rate in CROWDS.items():
            with bench.playing(count):
                simple, daemon = (
                    list(zip(*(measure(count) for _ in range(options.runs)), strict=True))
                    for measure in (bench.simple, bench.daemon)
                )
            floor = Figure(what="simple peer", unit="% of a core", samples=simple[0])
            woken = Figure(what="simple peer", unit="/s", samples=simple[1])
            what = f"among {count} nodes, {rate:g} HELLOs/s"
            figures += [
                Figure(
                    what=f"processor time {what}",
                    unit="% of a core",
                    samples=daemon[0],
                    floor=floor,
                    most_of_floor=GOALS[count],
                ),
                Figure(what=f"context switches {what}", unit="/s", samples=daemon[1], floor=woken),
            ]
    report(figures, as_json=options.json)


if __name__ == "__main__":
    main()
