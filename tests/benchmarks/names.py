"""What questions of DNS cost the other users of a daemon among 160 nodes, which are played (needs root).

A program asks 2,000 questions a second, by UDP, for names of peers, their service and a foreign name, while another has
its `list` on an open connection, again and again. Shown: questions answered, their time, the time of `list`, HELLOs
sent against the interval, and memory before and after. Ends with 1 where `list` takes 10 ms or more (p95).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from time import monotonic, sleep

from player import address_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.conftest import memory_of
from tests.netns.daemons import asking
from tests.netns.lab import Host, Lab

NODES, BEATS, RATE = 160, 200.0, 2000
GOAL = 0.010
PORT = 3453


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        return ask(options.seconds)
    with Lab() as lab:
        return measure(lab, options.seconds)


def measure(lab: Lab, seconds: float) -> int:
    """Let one program ask, and another list."""
    host, stage = lab.host("a", address="10.77.0.1/16"), lab.host("stage", address="10.77.0.2/16")
    stage.ip(*(f"addr add {address_of(number)}/16 dev eth0" for number in range(NODES)))
    daemon = host.discoveryd(env={"DISCOVERYD_DNS__LISTEN": f"127.0.0.1:{PORT}"})
    with playing(stage), asking(host) as client:
        deadline = monotonic() + 60
        while len(client.request("list")["peers"]) < NODES or "names" not in client.request("status")["dns"]:
            assert monotonic() < deadline
            sleep(0.1)
        sleep(3.0)
        quiet, memory = times(lambda: client.request("list"), seconds / 4), memory_of(daemon.pid)
        script = [sys.executable, str(Path(__file__).resolve()), "--ask", "--seconds", str(seconds)]
        before, began = client.request("status"), monotonic()
        asker = host.popen(*script, stdout=subprocess.PIPE)
        sleep(0.5)
        busy = times(lambda: client.request("list"), seconds - 1.0)
        said, _ = asker.communicate(timeout=60)
        after, took = client.request("status"), monotonic() - began
    hellos = after["sent"]["hello"] - before["sent"]["hello"]
    print(said.strip())
    for name, found in (("list alone", quiet), ("list meanwhile", busy)):
        print(f"{name}: {len(found)} times, median {1000 * at(found, 0.5):.2f} ms, p95 {1000 * at(found, 0.95):.2f} ms")
    print(f"HELLOs: {hellos} in {took:.1f} s, each {took / max(hellos, 1):.2f} s of {after['hello']['interval_s']:.2f} s")
    print(f"memory: {memory / 2**20:.1f} MB before, {memory_of(daemon.pid) / 2**20:.1f} MB after; answers {after['dns']['answers']}")
    return int(at(busy, 0.95) >= GOAL)


@contextmanager
def playing(stage: Host) -> Iterator[None]:
    """Play the nodes."""
    player = stage.popen(sys.executable, str(Path(__file__).with_name("player.py")), str(NODES), str(BEATS))
    try:
        yield
    finally:
        player.terminate()
        player.wait(10)


def times(act: object, seconds: float) -> list[float]:
    """Do something each 20 ms; give how long it took, the shortest first."""
    found, until = [], monotonic() + seconds
    while (now := monotonic()) < until:
        act()  # type: ignore[operator]
        found.append(monotonic() - now)
        sleep(max(0.0, 0.02 - found[-1]))
    return sorted(found)


def at(found: list[float], share: float) -> float:
    """Give the value below which such a share is."""
    return found[min(int(len(found) * share), len(found) - 1)]


def ask(seconds: float) -> int:
    """Ask at the rate, ten at a time; print what came back."""
    from dnslib import DNSRecord

    names = [(f"n{number}.peers.internal", "A") for number in range(0, NODES, 7)]
    names += [("example.org", "A"), ("_http._tcp.peers.internal", "SRV"), ("n1.peers.internal", "TXT")]
    questions = cycle([bytes(DNSRecord.question(*one).pack()) for one in names])
    with socket(AF_INET, SOCK_DGRAM) as asking_socket:
        asking_socket.connect(("127.0.0.1", PORT))
        asking_socket.settimeout(1.0)
        asked, found, began = 0, [], monotonic()
        while (now := monotonic()) < began + seconds:
            for _ in range(10):
                asking_socket.send(next(questions))
            asked += 10
            for _ in range(10):
                try:
                    asking_socket.recv(4096)
                except TimeoutError:
                    break
                found.append(monotonic() - now)
            sleep(max(0.0, began + asked / RATE - monotonic()))
    found.sort()
    print(f"questions: {asked / seconds:.0f} a second, {len(found)} of {asked} answered, "
          f"ten at once: median {1000 * at(found, 0.5):.2f} ms, p95 {1000 * at(found, 0.95):.2f} ms")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
