"""How soon ten daemons know that one of them was killed: one each second, without loss and at 30 %.

    sudo python tests/benchmarks/wills.py [--seconds 60] [--loss 0 30]

Each daemon is on a host of its own (a network namespace); loss is that of each host's input of UDP 3400, by nftables. A
daemon that was killed is started again half a second later, with another id (else the events of a peer that comes and
goes all the time would be damped), and is killed again when the nine others were. Prints
the percentiles of the time from the kill to the line in the log of each other daemon that listed it, how many never
wrote one, and how many lines told of the end of a daemon that ran.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import datetime
from pathlib import Path
from selectors import DefaultSelector
from statistics import quantiles
from time import time
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.netns.daemons import asking, until
from tests.netns.lab import Lab

HOSTS = 10
SETTLE, REST = 6.0, 0.5
"""Seconds until the first kill, and from a kill to the start of the next run."""
TTL = 4.0
YOUNG = 2.0
"""Seconds within which a daemon has PINGed all others for the first time."""
LOSE = "table ip lab {{ chain input {{ type filter hook input priority 0; udp dport 3400 numgen random mod 100 < {} drop; }}; }}"
LINE = re.compile(r'timestamp=(\S+) .*?event="(peer \w+|discoveryd started)"(?:.*? reason="(.*?)")?(?:.*? peer=(\S+))?(?:.*? id=(\S+))?')


class Line(NamedTuple):
    """A line of the log of a daemon."""

    at: float
    event: str
    reason: str
    peer: str


class Run(NamedTuple):
    """One run of a daemon that was killed: its host, its id, and when."""

    host: str
    id: str
    killed: float


def pause(until_: float) -> None:
    """Let time pass until a moment."""
    with DefaultSelector() as nothing:
        nothing.select(max(0.0, until_ - time()))


def play(seconds: int, loss: int) -> tuple[list[Run], dict[str, list[Line]]]:
    """Kill a daemon each second; return the runs that were killed, and the log of each host."""
    with Lab() as lab:
        hosts = [lab.host(f"n{last}", address=f"10.77.0.{last}/24") for last in range(1, HOSTS + 1)]
        for host in hosts if loss else ():
            host.run("nft", "-f", "-", input=LOSE.format(loss))
        ids = [host.name for host in hosts]
        processes = [host.discoveryd(env={"DISCOVERYD_NODE__ID": host.name}) for host in hosts]
        for host in hosts:
            with asking(host) as client:
                until(client, lambda peers: len(peers) == HOSTS - 1, within=60)
        pause(time() + SETTLE)
        first, runs = time(), []
        for number in range(seconds):
            place = number % HOSTS
            pause(first + number)
            runs.append(Run(hosts[place].name, ids[place], time()))
            processes[place].kill()
            processes[place].wait()
            pause(first + number + REST)
            ids[place] = f"{hosts[place].name}-{number}"
            processes[place] = hosts[place].discoveryd(env={"DISCOVERYD_NODE__ID": ids[place]})
        pause(time() + TTL)
        return runs, {host.name: list(lines(host.log())) for host in hosts}


def lines(log: str) -> Any:
    """Yield the lines of a log that tell of peers, and of starts."""
    for at, event, reason, peer, id in LINE.findall(log):  # without a name the peer is named by its id
        yield Line(datetime.fromisoformat(at).timestamp(), event.removeprefix("peer "), reason, id or peer)


def judge(runs: list[Run], logs: dict[str, list[Line]], least: float) -> tuple[list[float], list[str], int, int]:
    """Return the seconds that each took to see each kill, the reasons, how many never did, and ends that were none.

    Args:
        runs: that were killed.
        logs: by host.
        least: seconds that a daemon must have run to be asked.
    """
    took, reasons, unseen = [], [], 0
    for run in runs:
        for name, log in logs.items():
            before = [line for line in log if line.at < run.killed and (line.peer == run.id or "started" in line.event)]
            if name == run.host or not before or before[-1].event not in ("joined", "recovered", "restarted", "suspect"):
                continue  # it does not list that daemon
            if max(line.at for line in log if "started" in line.event and line.at < run.killed) > run.killed - least:
                continue
            seen = [line for line in log if line.at >= run.killed and (line.peer, line.event) == (run.id, "down")]
            if seen and "started" not in {line.event for line in log if run.killed <= line.at < seen[0].at}:
                took.append(seen[0].at - run.killed)
                reasons.append(seen[0].reason)
            elif not any("started" in line.event and line.at > run.killed for line in log[:-1]):
                unseen += 1  # it was not killed itself meanwhile
    killed = {run.id: run.killed for run in runs}
    false = [
        line for log in logs.values() for line in log
        if line.event == "down" and line.at < killed.get(line.peer, float("inf"))
    ]  # fmt: skip
    for line in false:
        print(f"false: {line.peer}, {line.reason}", file=sys.stderr)
    return sorted(took), reasons, unseen, len(false)


def main() -> int:
    """Measure, and print a table; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="kills, one a second")
    parser.add_argument("--loss", type=int, nargs="+", default=[0, 30], help="per cent of each host's input")
    options = parser.parse_args()
    print("| loss | ran for | seen | p50 | p90 | p99 | most | by its will | never seen | false |\n|---|---|---|---|---|---|---|---|---|---|")
    missed = 0
    for loss in options.loss:
        played = play(options.seconds, loss)
        for least in (0.0, YOUNG):
            missed += report(loss, least, *judge(*played, least))
    return int(missed > 0)


def report(loss: int, least: float, took: list[float], reasons: list[str], unseen: int, false: int) -> bool:
    """Print a line of the table; return whether a bar is missed."""
    hundredths = quantiles(took, n=100, method="inclusive")
    p50, p90, p99 = (1000 * hundredths[place - 1] for place in (50, 90, 99))
    print(f"| {loss} % | {least:g} s | {len(took)} | {p50:.1f} ms | {p90:.1f} ms | {p99:.1f} ms | {1000 * took[-1]:.0f} ms "
          f"| {reasons.count('its process died') / len(took):.1%} | {unseen} | {false} |", flush=True)  # fmt: skip
    bars = (p50 <= 15 and p99 <= 50) if not loss else (p90 <= 500 and took[-1] <= TTL + 0.1)
    return not bars or false > 0 or unseen > 0


if __name__ == "__main__":
    sys.exit(main())
