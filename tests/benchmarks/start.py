"""How long two machines need to know of each other, and to know that one leaves.

Two network namespaces on one bridge (needs root). The installed `discoveryd run`, without
configuration, runs on A all the time. On B it is started anew for each run; measured from before its
process exists

- until A lists B: the event comes over A's query socket;
- until B lists A: its query socket is tried each millisecond, and followed once it is there.

Once B's daemon has logged that it started (it imports its logging after the first HELLO) it gets
SIGTERM: measured until A's event, and until the process has ended.

Floors, in the same runs on the same bridge: a bare `python -c pass` of the same environment from start
to end, and simple_peer.py (no daemon at all) doing the same things."""

from __future__ import annotations

import signal
import socket
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic, perf_counter
from uuid import uuid4

from installation import PLAIN, installed
from machine import Figure, parser, report
from mirror import PATIENCE, Mirror, connect, follow

from tests.netns.lab import Lab

SIMPLE = Path(__file__).with_name("simple_peer.py")
SIMPLE_PORT = 3401
"""Another port than the daemon's, which shares its with nobody."""
ADDRESS_A, ADDRESS_B, BROADCAST = "10.77.0.1", "10.77.0.2", "10.77.0.255"

Times = dict[str, list[float]]


class Bench:
    """A with its daemon and its simple peer, B empty."""

    def __init__(self, lab: Lab, stack: ExitStack, scripts: Path) -> None:
        self._scripts = scripts
        self.a = lab.host("a", address=f"{ADDRESS_A}/24")
        self.b = lab.host("b", address=f"{ADDRESS_B}/24")
        self.times: Times = {}
        self._daemon = self.a.popen(str(scripts / "discoveryd"), "run", env=PLAIN)
        self._mirror = stack.enter_context(closing(Mirror()))
        with self.a.namespace():
            connect(self._mirror)
            self._ear = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self._ear.bind(("", SIMPLE_PORT))
            self._ear.settimeout(PATIENCE)

    def bare_python(self) -> None:
        """Take the floor of every process."""
        begun = perf_counter()
        self.b.popen(str(self._scripts / "python"), "-c", "pass", env=PLAIN).wait()
        self._note("python", begun)

    def simple_peer(self) -> None:
        """Take the floor of every peer: A answers the broadcast, as a peer would."""
        begun = perf_counter()
        peer = self._start_simple()
        self._hear(b"HELLO|", b"HELLO|")
        self._note("simple: A", begun)
        assert peer.stdout is not None
        if peer.stdout.readline().strip() != ADDRESS_A:
            raise SystemExit("simple_peer.py heard no answer")
        self._note("simple: B", begun)
        begun = perf_counter()
        peer.send_signal(signal.SIGTERM)
        self._hear(b"BYE|")
        self._note("simple: left", begun)
        peer.communicate(timeout=PATIENCE)

    def discoveryd(self) -> None:
        """Measure one life of the daemon on B."""
        with self.b.namespace(), closing(Mirror()) as own:
            begun = perf_counter()
            # a new node each time: the events of one that comes and goes eleven times in a row are damped
            environment = {**PLAIN, "DISCOVERYD_NODE__ID": uuid4().hex}
            daemon = self.b.popen(str(self._scripts / "discoveryd"), "run", env=environment, stderr=subprocess.PIPE)
            self._watch_start(own, begun)
        assert daemon.stderr is not None
        while "discoveryd started" not in (line := daemon.stderr.readline()):
            if not line:
                raise SystemExit("the daemon on B ended before it had logged its start")
        begun = perf_counter()
        daemon.send_signal(signal.SIGTERM)
        deadline = monotonic() + PATIENCE
        while "b" in self._mirror.names:
            _check(deadline, "B's daemon was to leave")
            follow([self._mirror], 1.0)
        self._note("left", begun)
        daemon.communicate(timeout=PATIENCE)
        self._note("ended", begun)

    def _watch_start(self, own: Mirror, begun: float) -> None:
        deadline = monotonic() + PATIENCE
        waiting = {"A": (self._mirror, "b"), "B": (own, "a")}
        connected = False
        while waiting:
            _check(deadline, "A and B were to list each other")
            connected = connected or own.connect()
            follow([self._mirror, own] if connected else [self._mirror], 1.0 if connected else 0.001)
            for key, (mirror, name) in list(waiting.items()):
                if name in mirror.names:
                    self._note(key, begun)
                    del waiting[key]

    def _start_simple(self) -> subprocess.Popen[str]:
        argv = (str(self._scripts / "python"), str(SIMPLE), ADDRESS_B, BROADCAST, str(SIMPLE_PORT))
        return self.b.popen(*argv, env=PLAIN, stdout=subprocess.PIPE)

    def _hear(self, wanted: bytes, answer: bytes = b"") -> None:
        while True:
            datagram, source = self._ear.recvfrom(1024)
            if source[0] != ADDRESS_A and datagram == wanted:
                break
        if answer:
            self._ear.sendto(answer, source)

    def _note(self, what: str, begun: float) -> None:
        self.times.setdefault(what, []).append((perf_counter() - begun) * 1000)


def _check(deadline: float, what: str) -> None:
    if monotonic() > deadline:
        raise SystemExit(f"{what}, but did not within {PATIENCE:g} s")


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, runs=11, environment=True).parse_args()
    with installed(options.python) as scripts, Lab() as lab, ExitStack() as stack:
        bench = Bench(lab, stack, scripts)
        for _ in range(options.runs + 1):
            bench.bare_python()
            bench.simple_peer()
            bench.discoveryd()
    times = {what: samples[1:] for what, samples in bench.times.items()}  # the first fills the page cache
    python = Figure(what="`python -c pass`", unit="ms", samples=times["python"])
    peer = {
        key: Figure(what="simple peer", unit="ms", samples=times[f"simple: {key}"])
        for key in ("A", "B", "left")
    }
    report(
        [
            Figure(what="bare `python -c pass`", unit="ms", samples=times["python"]),
            Figure(
                what="simple peer: start until A hears it",
                unit="ms",
                samples=times["simple: A"],
                floor=python,
            ),
            Figure(what="start until A lists B", unit="ms", samples=times["A"], most=200, floor=peer["A"]),
            Figure(what="start until B lists A", unit="ms", samples=times["B"], most=200, floor=peer["B"]),
            Figure(
                what="SIGTERM until A's `left`", unit="ms", samples=times["left"], most=50, floor=peer["left"]
            ),
            Figure(what="SIGTERM until the process has ended", unit="ms", samples=times["ended"], most=1000),
        ],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
