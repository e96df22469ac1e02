"""What ten daemons on one network cost, each a process of `discoveryd run` in a namespace (needs root).

- From the start of the last process until each of the ten lists the nine others, followed over the
  query sockets; once per run, with new processes. Floor: the same with simple_peer.py.
- Then, of the last run, over --seconds in which nothing happens (an event would fail it): resident
  memory, share of a core (the scheduler's own account, of all threads), and context switches of each
  daemon. One sample per daemon. Floor: simple_peer.py, which hears and sends as many datagrams.
- In the same time a socket on an eleventh machine hears the broadcasts: size of the steady HELLOs, and
  how many.
"""

from __future__ import annotations

import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from installation import PLAIN, installed
from machine import Figure, parser, report
from mirror import PATIENCE, Mirror, follow

from tests.netns.lab import Host, Lab

SIZE = 10
PORT = 3400
SIMPLE = Path(__file__).with_name("simple_peer.py")
BROADCAST = "10.77.0.255"

SETTLE = 5.0
"""Seconds for what follows a start: bursts, the first log line, modules imported late."""

Process = subprocess.Popen[str]
Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process has cost so far."""

    resident_mb: float
    core_seconds: float
    switches: int


class Network:
    """Ten machines, and one that only listens."""

    def __init__(self, lab: Lab, stack: ExitStack, scripts: Path) -> None:
        self._scripts = scripts
        self._addresses = {f"n{number}": f"10.77.0.{number}" for number in range(1, SIZE + 1)}
        self._hosts = {name: lab.host(name, address=f"{to}/24") for name, to in self._addresses.items()}
        with lab.host("ear", address="10.77.0.100/24").namespace():
            self.ear = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self.ear.bind(("", PORT))
        self.ear.setblocking(False)

    @contextmanager
    def daemons(self) -> Iterator[tuple[float, list[Process], list[Mirror]]]:
        """Start ten, for the block; gives seconds until all list all, processes, and what they list."""
        with ExitStack() as stack:
            processes = []
            for host in self._hosts.values():
                begun = perf_counter()
                processes.append(host.popen(str(self._scripts / "discoveryd"), "run", env=PLAIN))
            stack.callback(_end, processes)
            mirrors = {name: stack.enter_context(closing(Mirror())) for name in self._hosts}
            connected: list[Mirror] = []
            deadline = monotonic() + PATIENCE
            while any(mirror.names != self._hosts.keys() - {name} for name, mirror in mirrors.items()):
                if monotonic() > deadline:
                    missing = {name: self._hosts.keys() - {name} - one.names for name, one in mirrors.items()}
                    raise SystemExit(f"after {PATIENCE:g} s some still do not list all others: {missing}")
                connected += [
                    mirrors[name]
                    for name, host in self._hosts.items()
                    if mirrors[name] not in connected and _connects(host, mirrors[name])
                ]
                follow(connected, 0.1 if len(connected) == SIZE else 0.005)
            yield perf_counter() - begun, processes, list(mirrors.values())

    @contextmanager
    def simple_peers(self) -> Iterator[tuple[float, list[Process]]]:
        """Start ten of the floor's, for the block; gives seconds until all know all, and processes."""
        with ExitStack() as stack:
            processes = []
            for name, host in self._hosts.items():
                argv = (
                    str(self._scripts / "python"),
                    str(SIMPLE),
                    self._addresses[name],
                    BROADCAST,
                    str(PORT),
                )
                begun = perf_counter()
                processes.append(host.popen(*argv, env=PLAIN, stdout=subprocess.PIPE))
            stack.callback(_end, processes)
            for process in processes:
                assert process.stdout is not None
                for _ in range(SIZE - 1):
                    process.stdout.readline()
            yield perf_counter() - begun, processes


def _connects(host: Host, mirror: Mirror) -> bool:
    with host.namespace():
        return mirror.connect()


def _end(processes: list[Process]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(PATIENCE)


def cost(pid: int) -> Cost:
    """Read what a process has cost since it started."""
    status = _fields(Path(f"/proc/{pid}/status"))
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    switches = sum(
        int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
        for fields in (_fields(task / "status") for task in tasks)
    )
    return Cost(
        resident_mb=int(status["VmRSS"].split()[0]) * 1024 / 1e6,
        # nanoseconds; /proc/PID/stat counts in hundredths of a second, a tenth of what is measured here
        core_seconds=sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9,
        switches=switches,
    )


def _fields(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def costs(processes: list[Process], mirrors: list[Mirror], ear: socket.socket, seconds: float) -> Samples:
    """Let the processes settle, then be for so long; gives the samples by quantity."""
    _quiet(mirrors, ear, SETTLE)
    events = sum(mirror.events for mirror in mirrors)
    before, begun = [cost(process.pid) for process in processes], monotonic()
    sizes = _quiet(mirrors, ear, seconds)
    after, taken = [cost(process.pid) for process in processes], monotonic() - begun
    if sum(mirror.events for mirror in mirrors) != events:
        raise SystemExit("peers came or went while nothing should have happened")
    pairs = list(zip(before, after, strict=True))
    return {
        "resident": [late.resident_mb for _, late in pairs],
        "share": [100 * (late.core_seconds - early.core_seconds) / taken for early, late in pairs],
        "switches": [(late.switches - early.switches) / taken for early, late in pairs],
        "sizes": sizes,
        "rate": [len(sizes) / taken],
    }


def _quiet(mirrors: list[Mirror], ear: socket.socket, seconds: float) -> list[float]:
    """Read what comes for so long; gives the sizes of the HELLOs that carry no record and no flag."""
    deadline = monotonic() + seconds
    sizes = []
    while (left := deadline - monotonic()) > 0:
        sources: list[Any] = [*mirrors, ear]
        for one in select.select(sources, [], [], left)[0]:
            if isinstance(one, Mirror):
                one.read()
                continue
            datagram = one.recv(2048)
            fields = datagram.split(b"|")
            if len(fields) == 10 and not fields[7]:
                sizes.append(float(len(datagram)))
    return sizes


def main() -> None:
    """Run the benchmark."""
    made = parser(__doc__, runs=5, environment=True)
    made.add_argument("--seconds", type=float, default=30.0, help="length of the quiet time (default 30)")
    options = made.parse_args()
    complete: dict[str, list[float]] = {"daemons": [], "simple": []}
    with installed(options.python) as scripts, Lab() as lab, ExitStack() as stack:
        network = Network(lab, stack, scripts)
        for left in reversed(range(options.runs)):
            with network.simple_peers() as (seconds, processes):
                complete["simple"].append(seconds)
                if not left:
                    simple = costs(processes, [], network.ear, options.seconds)
            with network.daemons() as (seconds, processes, mirrors):
                complete["daemons"].append(seconds)
                if not left:
                    daemons = costs(processes, mirrors, network.ear, options.seconds)
    known = Figure(what="simple peers", unit="s", samples=complete["simple"])
    floor = {
        key: Figure(what="simple peer", unit=unit, samples=simple[key])
        for key, unit in (("resident", "MB"), ("share", "% of a core"), ("switches", "/s"))
    }
    what = f"{SIZE} daemons: start of the last until all list all"
    report(
        [
            Figure(what=what, unit="s", samples=complete["daemons"], most=2, by_worst=True, floor=known),
            Figure(
                what="resident memory of each",
                unit="MB",
                samples=daemons["resident"],
                most=30,
                by_worst=True,
                floor=floor["resident"],
            ),
            Figure(
                what="processor time of each",
                unit="% of a core",
                samples=daemons["share"],
                most=0.35,
                by_worst=True,
                floor=floor["share"],
            ),
            Figure(
                what="context switches of each",
                unit="/s",
                samples=daemons["switches"],
                floor=floor["switches"],
            ),
            Figure(what="steady HELLO", unit="bytes", samples=daemons["sizes"], most=128, by_worst=True),
            Figure(what="steady HELLOs on the wire, all together", unit="/s", samples=daemons["rate"]),
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
