"""What Serf does and costs on the network of footprint.py: the column beside ours (needs root, and `serf`).

Ten agents without configuration but for the name of a cluster (`serf agent -discover`), each in a namespace. Measured

- from the start of a new agent until another one's log says that it joined, and until its own log names that one;
- from SIGKILL of an agent until the log of each other says that it failed;
- over --seconds in which nothing happens: resident memory and share of a core of each, as footprint.py does.

Nothing is measured where Serf is not installed.
"""

from __future__ import annotations

import re
import select
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic, perf_counter, sleep

from footprint import SETTLE, SIZE, cost
from machine import Figure, parser, report
from mirror import PATIENCE

from tests.netns.lab import Host, Lab

FAILURE = 60.0
"""Seconds within which the failure of an agent is to be seen."""
ADDRESSES = 3.0
"""Seconds until the kernel has made sure that the IPv6 addresses are unique."""
LINE = re.compile(r"EventMember(Join|Failed|Leave): (\S+)")


class Agent:
    """An agent, and what its log says of the others."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.seen: set[tuple[str, str]] = set()  # what happened, to whom
        argv = ("serf", "agent", f"-node={host.name}", "-iface=eth0", "-discover=bench", "-rpc-addr=127.0.0.1:7373")
        self.begun = perf_counter()
        self.process = host.popen(*argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0, text=False)
        self._partial = b""

    def fileno(self) -> int:
        """Give the descriptor of its log."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read(self) -> None:
        """Take in what it has logged."""
        assert self.process.stdout is not None
        data: bytes = self.process.stdout.read(1 << 16)  # type: ignore[assignment]  # bytes, as text is False
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            if found := LINE.search(line.decode(errors="replace")):
                self.seen.add((found[1], found[2]))

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(PATIENCE)


def follow(agents: list[Agent], holds: Callable[[], bool], patience: float) -> None:
    """Read the logs until a condition holds."""
    deadline = monotonic() + patience
    while not holds():
        if monotonic() > deadline:
            raise SystemExit(f"Serf did not within {patience:g} s what was waited for")
        for one in select.select(agents, [], [], 0.1)[0]:
            one.read()


def killed(agents: list[Agent]) -> list[float]:
    """Kill the last agent; return the milliseconds until each other knew."""
    victim, *others = reversed(agents)
    begun = perf_counter()
    victim.process.kill()
    took: dict[str, float] = {}

    def all_know() -> bool:
        for one in others:
            if ("Failed", victim.host.name) in one.seen:
                took.setdefault(one.host.name, (perf_counter() - begun) * 1000)
        return len(took) == len(others)

    follow(others, all_know, FAILURE)
    victim.process.wait(PATIENCE)
    return list(took.values())


def main() -> None:
    """Run the benchmark."""
    made = parser(__doc__, runs=5)
    made.add_argument("--seconds", type=float, default=30.0, help="length of the quiet time (default 30)")
    options = made.parse_args()
    if not shutil.which("serf"):
        report([], as_json=options.json)
        return
    samples: dict[str, list[float]] = {"A": [], "B": [], "failed": [], "memory": [], "share": []}
    with Lab() as lab, ExitStack() as stack:
        hosts = [lab.host(f"n{number}", address=f"10.77.0.{number}/24") for number in range(1, SIZE + 1)]
        for host in hosts:  # its mDNS wants a route for groups, and IPv6 besides IPv4
            host.ip("route add 224.0.0.0/4 dev eth0")
            host.run("sysctl", "-qw", *(f"net.ipv6.conf.{name}.disable_ipv6=0" for name in ("all", "eth0")))
        sleep(ADDRESSES)
        agents: list[Agent] = []
        stack.callback(lambda: [agent.end() for agent in agents])
        for host in hosts[:-1]:
            agents.append(Agent(host))
            others = {("Join", agent.host.name) for agent in agents}
            follow(agents, lambda: all(agent.seen >= others for agent in agents), FAILURE)  # noqa: B023 - at once
        for left in reversed(range(options.runs)):
            agents.append(newcomer := Agent(hosts[-1]))
            first = agents[0]
            first.seen.discard(("Join", newcomer.host.name))
            for key, where, name in (("A", first, newcomer.host.name), ("B", newcomer, first.host.name)):
                follow(agents, lambda: ("Join", name) in where.seen, FAILURE)  # noqa: B023 - at once
                samples[key].append((perf_counter() - newcomer.begun) * 1000)
            sleep(SETTLE)
            if not left:
                samples["memory"], samples["share"] = quiet(agents, options.seconds)
            samples["failed"] += killed(agents)
            agents.pop()
            for agent in agents:
                agent.seen.discard(("Failed", newcomer.host.name))
    report(
        [
            Figure(what="Serf: start until A lists B", unit="ms", samples=samples["A"]),
            Figure(what="Serf: start until B lists A", unit="ms", samples=samples["B"]),
            Figure(what="Serf: SIGKILL until another knows", unit="ms", samples=samples["failed"]),
            Figure(what=f"Serf: resident memory of each of {SIZE}", unit="MB", samples=samples["memory"]),
            Figure(what=f"Serf: processor time of each of {SIZE}", unit="% of a core", samples=samples["share"]),
        ],
        as_json=options.json,
    )


def quiet(agents: list[Agent], seconds: float) -> tuple[list[float], list[float]]:
    """Return megabytes and share of a core, in percent, of each agent while nothing happens."""
    before, begun = [cost(agent.process.pid) for agent in agents], monotonic()
    sleep(seconds)
    after, taken = [cost(agent.process.pid) for agent in agents], monotonic() - begun
    shares = [100 * (late.core_seconds - early.core_seconds) / taken for early, late in zip(before, after, strict=True)]
    return [late.resident_mb for late in after], shares


if __name__ == "__main__":
    main()
