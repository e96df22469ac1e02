"""One run of a plan: when nodes start and crash, and the figures of the report.

All nodes start within one second. The steady state follows and is measured. Then nodes crash, alternately by a killed
process (the machine refuses datagrams: port unreachable) and by a vanished machine, and come back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from statistics import median

from discoveryd.protocol.node import Node
from discoveryd.simulation.lan import CrashKind, Lan
from discoveryd.simulation.plan import Plan
from discoveryd.simulation.report import Delays, Report, Start, Steady

START = 1.0
"""Seconds within which all nodes start."""
BACK = 1.5
"""Of a ttl: the time after which a crashed node is back."""
CRASHES = 50
"""Most crashes of a run; never more than one in twenty nodes is down at a time."""
ACTIONS = 200
"""Between two calls for progress."""


def _stopped() -> float:
    """Read a clock that stands still: the report then has no processor time."""
    return 0.0


class Simulation:
    """One run of a plan.

    Args:
        plan: what to simulate.
        stopwatch: reads a fast clock, seconds.
        cpu: reads the processor time of this process, seconds; too slow to be read at each datagram.
    """

    def __init__(
        self, plan: Plan, stopwatch: Callable[[], float] = _stopped, cpu: Callable[[], float] = _stopped
    ) -> None:
        self.plan = plan
        self.lan = Lan(plan, stopwatch)
        self._cpu = cpu
        self._stopwatch = stopwatch
        self._marks: list[tuple[float, float, float]] = []  # at the beginning and the end of the steady state
        self._interval = 0.0  # then
        clock, dice = self.lan.clock, self.lan.random
        for machine in self.lan.machines:
            clock.at(dice.uniform(0, START), machine.start)
        for moment in (plan.settled, plan.first_crash):
            clock.at(moment, self._mark)
        self._plan_crashes()

    def run(self, progress: Callable[[float], None] = lambda _: None) -> None:
        """Run to the end, and report the virtual time from time to time."""
        while self.lan.clock.run(self.plan.minutes * 60, ACTIONS):
            progress(self.lan.clock.now)

    def report(self) -> Report:
        """Return the figures up to now."""
        plan, lan, now = self.plan, self.lan, self.lan.clock.now
        started = min(plan.settled, now)
        interval = self._interval or self._interval_now()
        findings = lan.findings
        suspicions = sum(at >= started for at in findings.suspicions)
        false_downs = sum(at >= started for at in findings.false_downs)
        hours = (now - started) / 3600 * len(lan.observers)
        missing, ghosts = lan.faults()
        return Report(
            nodes=plan.nodes,
            whole_engines=len(lan.observers),
            loss=plan.loss,
            minutes=plan.minutes,
            minutes_played=round(now / 60, 2),
            minutes_needed=plan.minutes_needed,
            seed=plan.seed,
            budget=plan.parameters.budget,
            interval_s=round(interval, 3),
            ttl_s=round(plan.parameters.ttl * interval / plan.parameters.interval, 3),
            limit_peers=lan.parameters.limits.peers,
            start=self._start(),
            steady=self._steady(),
            killed=self._delays("killed"),
            gone=self._delays("gone"),
            false_downs=len(findings.false_downs),
            false_downs_in_start=len(findings.false_downs) - false_downs,
            false_downs_per_node_hour=round(false_downs / hours, 3) if hours else None,
            suspicions_per_node_hour=round(suspicions / hours, 2) if hours else None,
            rows_missing_at_end=missing,
            ghosts_at_end=ghosts,
        )

    # --- crashes --------------------------------------------------------------------------------

    def _plan_crashes(self) -> None:
        """Spread the crashes over their part of the run, at random moments."""
        plan, dice = self.plan, self.lan.random
        together = max(1, plan.nodes // 20)
        gap = max(BACK * plan.ttl / together, (plan.last_crash - plan.first_crash) / CRASHES)
        due = plan.first_crash + gap * dice.random()
        kinds: list[CrashKind] = ["killed", "gone"]
        while due < plan.last_crash:
            self.lan.clock.at(due, partial(self._crash, kinds[0]))
            kinds.reverse()
            due += gap * dice.uniform(0.9, 1.1)

    def _crash(self, kind: CrashKind) -> None:
        """Let a node crash that is no observer, or any node where all are observers."""
        candidates = [machine for machine in self.lan.senders.machines or self.lan.observers if machine.is_up]
        machine = self.lan.random.choice(candidates)
        machine.crash(kind)
        back = self.lan.clock.now + BACK * self.plan.ttl
        if back < self.plan.minutes * 60 - self.plan.ttl:  # at the end no node is so new that loss may hide it
            self.lan.clock.at(back, machine.start)

    def _mark(self) -> None:
        """Read the clocks, at the beginning and at the end of the steady state."""
        self._marks.append(self._clocks())
        self._interval = self._interval_now()

    def _clocks(self) -> tuple[float, float, float]:
        return self._cpu(), self._stopwatch(), self.lan.spent + self.lan.segment.spent

    def _engine_cpu(self) -> float:
        """Return the processor time of the engines in the steady state, by their share of the elapsed time."""
        (cpu, time, spent), (cpu_end, time_end, spent_end) = [*self._marks, self._clocks()][:2]
        return (cpu_end - cpu) * (spent_end - spent) / max(time_end - time, 1e-9)

    def _interval_now(self) -> float:
        """Return the median interval in force at the observers that are up."""
        now, engines = self.lan.clock.now, [machine.engine for machine in self.lan.observers if machine.is_up]
        return median([engine.interval(now) for engine in engines if isinstance(engine, Node)] or [self.plan.interval])

    # --- figures --------------------------------------------------------------------------------

    def _start(self) -> Start:
        traffic, filled = self.lan.traffic, sorted(self.lan.findings.filled.values())
        kinds = ("hello", "answer")  # PINGs have a pace of their own, which no start changes
        second = traffic.busiest(0, int(min(self.plan.settled, self.lan.clock.now)) + 1, *kinds)
        tables = len(self.lan.observers)
        return Start(
            busiest_second=second,
            hellos=round(traffic.rate(second, second + 1, "hello")),
            answers=round(traffic.rate(second, second + 1, "answer")),
            tables=tables,
            full_tables=len(filled),
            full_median_s=round(filled[len(filled) // 2], 2) if filled else None,
            full_last_s=round(filled[-1], 2) if len(filled) == tables else None,
        )

    def _steady(self) -> Steady | None:
        begin, end = int(self.plan.settled), int(min(self.plan.first_crash, self.lan.clock.now))
        if end - begin < 2 * self.plan.interval:
            return None
        traffic = self.lan.traffic
        busiest = traffic.busiest(begin, end, "hello")
        return Steady(
            seconds=end - begin,
            hellos=round(traffic.rate(begin, end, "hello"), 1),
            hello_bytes=round(traffic.byte_rate(begin, end, "hello")),
            busiest_second_hellos=round(traffic.rate(busiest, busiest + 1, "hello")),
            answers=round(traffic.rate(begin, end, "answer"), 1),
            pings=round(traffic.rate(begin, end, "ping"), 1),
            pongs=round(traffic.rate(begin, end, "pong"), 1),
            other_bytes=round(traffic.byte_rate(begin, end, "answer", "ping", "pong")),
            cpu_percent_per_node=round(100 * self._engine_cpu() / (end - begin) / len(self.lan.observers), 4),
        )

    def _delays(self, kind: CrashKind) -> Delays | None:
        delays = sorted(delay for one, delay in self.lan.findings.detections if one == kind)
        if not delays:
            return None
        last = len(delays) - 1
        return Delays(
            crashes=sum(crash.kind == kind for crash in self.lan.crashes.values()),
            seen=len(delays),
            median_s=round(median(delays), 2),
            p90_s=round(delays[ceil(last * 0.9)], 2),
            p99_s=round(delays[ceil(last * 0.99)], 2),
            longest_s=round(delays[last], 2),
        )
