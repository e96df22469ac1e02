"""An hour of a lossy LAN on which machines come and go.

``python -m tests.simulation.hour SEED MINUTES [INTERVAL]`` plays it, and ``… INTERVAL early`` its beginning alone.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter

from discoveryd.protocol.parameters import Parameters
from tests.simulation.machine import Lan, Machine
from tests.simulation.medium import Medium, Segment

MACHINES = int(os.environ.get("DISCOVERYD_HOUR_MACHINES") or 9)
"""DISCOVERYD_HOUR_MACHINES=50 is the long run."""
LOSS = 0.2
LIFE = 240.0
"""Seconds between two changes of one machine, on average."""


EARLY = 600.0
"""Seconds of the beginning that is compared: what differs between two interpreters differs from the first change on."""


@dataclass(frozen=True)
class Early:
    """What came of the beginning."""

    digest: str
    sent: int
    delivered: int
    events: int


@dataclass(frozen=True)
class Hour:
    """What came of it; `seconds` is the only figure that another run may not repeat."""

    early: Early
    digest: str
    sent: int
    delivered: int
    events: int
    boots: int
    survivors: int
    samples: int
    false_downs: int
    transiently_missing: int
    seconds: float


class Play:
    """Changes until two minutes before the end; loss until one minute before the end.

    The last minute is without loss, so that what the tables must equal at the end is the truth itself,
    tags included. What is wrong at no moment is checked at every moment.
    """

    def __init__(self, seed: int, minutes: int = 60, interval: float = 0.8) -> None:
        self.medium = Medium(seed)
        self.lan = Lan(self.medium, Parameters(interval=interval, ttl=5 * interval))
        self.segment = Segment(self.medium, loss=LOSS)
        self.end = minutes * 60.0
        self.samples = 0
        self.missing = 0
        for _ in range(MACHINES):
            machine = self.lan.add(self.segment)
            self.medium.at(self.medium.random.uniform(0, 10), machine.start)
            self._plan(machine, 10.0)

    def run(self) -> Hour:
        """Play."""
        began = perf_counter()
        early = self.early()
        self.medium.run(self.end - 120 + 1.6 * self.lan.parameters.ttl)
        self._settled()
        self.medium.run(self.end - 60)
        self.segment.loss = 0.0
        self.medium.run(self.end)
        self.lan.check_truth()
        return Hour(
            early=early,
            digest=self.medium.digest(),
            sent=self.medium.sent,
            delivered=self.medium.delivered,
            events=self.lan.events,
            boots=len(self.lan.boots),
            survivors=len(self.lan.up()),
            samples=self.samples,
            false_downs=self.lan.false_downs,
            transiently_missing=self.missing,
            seconds=round(perf_counter() - began, 2),
        )

    def early(self) -> Early:
        """Play the beginning."""
        self._sample()
        self.medium.run(min(EARLY, self.end - 120))
        return Early(
            digest=self.medium.digest(), sent=self.medium.sent, delivered=self.medium.delivered, events=self.lan.events
        )

    def _sample(self) -> None:
        """Check all tables, at moments that keep step with nothing."""
        self.lan.check()
        self.samples += 1
        self.medium.after(self.medium.random.uniform(2, 6), self._sample)

    def _settled(self) -> None:
        """A good ttl and a half after the last change, still at full loss: no table lists one that is gone."""
        running = self.lan.running
        for machine in self.lan.up():
            listed = {row.boot for row in machine.node.table.rows(self.medium.now)}
            assert listed <= running, f"{machine.name} lists ghosts: {listed - running}"
            self.missing += len(running - listed - {machine.node.boot})

    # --- what befalls a machine -----------------------------------------------------------------

    def _plan(self, machine: Machine, least: float) -> None:
        due = self.medium.now + least + self.medium.random.expovariate(1 / LIFE)
        if due < self.end - 120:
            self.medium.at(due, partial(self._change, machine))

    def _change(self, machine: Machine) -> None:
        dice = self.medium.random
        away = 0.0
        match dice.choice(("leave", "crash", "bounce", "update")):
            case "leave":
                machine.leave()
                away = dice.uniform(0.5, 180)
            case "crash":
                machine.crash()
                away = dice.uniform(0.5, 180)
            case "bounce":  # back with a new boot before its ttl ran out
                machine.crash()
                away = dice.uniform(0.2, 3)
            case "update":
                machine.set_tag(str(self.medium.now))
        if away and self.medium.now + away < self.end - 120:
            self.medium.after(away, machine.start)
        self._plan(machine, away + 0.2)


def play(seed: int, minutes: int = 60, interval: float = 0.8) -> Hour:
    """Play once."""
    return Play(seed, minutes, interval).run()


def main() -> None:
    """Play as the command line says, and print the figures."""
    seed, minutes, *more = sys.argv[1:]
    interval = float(more[0]) if more else 0.8
    found = Play(int(seed), int(minutes), interval).early() if "early" in more else play(int(seed), int(minutes), interval)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
