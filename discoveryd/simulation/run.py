"""One run of a plan: when nodes start and crash, the figures of the report, and its text.

All nodes start within one second. The steady state follows and is measured. Then nodes crash, alternately by a killed
process (the machine refuses datagrams: port unreachable) and by a vanished machine, and come back.
"""

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from statistics import median
from typing import Any

from discoveryd.simulation.lan import CrashKind, Lan
from discoveryd.simulation.plan import Plan

START = 1.0
"""Seconds within which all nodes start."""
BACK = 1.5
"""Of a ttl: the time after which a crashed node is back."""
CRASHES = 50
"""Most crashes of a run; never more than one in twenty nodes is down at a time."""
ACTIONS = 200
"""Between two calls for progress."""


class Simulation:
    """One run of a plan.

    Args:
        plan: what to simulate.
        stopwatch: reads a fast clock, seconds; one that stands still leaves the processor time 0.
        cpu: reads the processor time of this process, seconds; too slow to be read at each datagram.
    """

    def __init__(
        self, plan: Plan, stopwatch: Callable[[], float] = lambda: 0.0, cpu: Callable[[], float] = lambda: 0.0
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

    def report(self) -> dict[str, Any]:
        """Return the figures up to now as they stand in JSON, None where they are not known yet."""
        plan, lan, now = self.plan, self.lan, self.lan.clock.now
        started = min(plan.settled, now)
        interval = self._interval or self._interval_now()
        suspicions = sum(at >= started for at in lan.suspicions)
        false_downs = sum(at >= started for at in lan.false_downs)
        hours = (now - started) / 3600 * len(lan.observers)
        missing, ghosts = lan.faults()
        return {
            "nodes": plan.nodes,
            "whole_engines": len(lan.observers),
            "loss": plan.loss,
            "minutes": plan.minutes,
            "minutes_played": round(now / 60, 2),
            "minutes_needed": plan.minutes_needed,
            "seed": plan.seed,
            "budget": plan.parameters.budget,
            "interval_s": round(interval, 3),
            "ttl_s": round(plan.parameters.ttl * interval / plan.parameters.interval, 3),
            "limit_peers": lan.parameters.limits.peers,
            "start": self._start(),
            "steady": self._steady(),
            "killed": self._delays("killed"),
            "gone": self._delays("gone"),
            "false_downs": len(lan.false_downs),
            "false_downs_in_start": len(lan.false_downs) - false_downs,
            "false_downs_per_node_hour": round(false_downs / hours, 3) if hours else None,
            "suspicions_per_node_hour": round(suspicions / hours, 2) if hours else None,
            "rows_missing_at_end": missing,
            "ghosts_at_end": ghosts,
        }

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
        return self._cpu(), self._stopwatch(), self.lan.segment.spent

    def _engine_cpu(self) -> float:
        """Return the processor time of the engines in the steady state, by their share of the elapsed time."""
        (cpu, time, spent), (cpu_end, time_end, spent_end) = [*self._marks, self._clocks()][:2]
        return (cpu_end - cpu) * (spent_end - spent) / max(time_end - time, 1e-9)

    def _interval_now(self) -> float:
        """Return the median interval in force at the observers that are up."""
        now = self.lan.clock.now
        return median([engine.interval(now) for engine in self.lan.engines()] or [self.plan.interval])

    # --- figures --------------------------------------------------------------------------------

    def _start(self) -> dict[str, Any]:
        """Return those of the first seconds: of the busiest one, and when tables were full (listed all others)."""
        traffic, filled = self.lan.traffic, sorted(self.lan.filled.values())
        kinds = ("hello", "answer")  # PINGs have a pace of their own, which no start changes
        second = traffic.busiest(0, int(min(self.plan.settled, self.lan.clock.now)) + 1, *kinds)
        tables = len(self.lan.observers)
        return {
            "busiest_second": second,
            "hellos": round(traffic.rate(second, second + 1, "hello")),
            "answers": round(traffic.rate(second, second + 1, "answer")),
            "tables": tables,
            "full_tables": len(filled),
            "full_median_s": round(filled[len(filled) // 2], 2) if filled else None,
            "full_last_s": round(filled[-1], 2) if len(filled) == tables else None,
        }

    def _steady(self) -> dict[str, Any] | None:
        """Return those of the segment, per second; bytes with their UDP and IP headers."""
        begin, end = int(self.plan.settled), int(min(self.plan.first_crash, self.lan.clock.now))
        if end - begin < 2 * self.plan.interval:
            return None
        traffic = self.lan.traffic
        busiest = traffic.busiest(begin, end, "hello")
        return {
            "seconds": end - begin,
            "hellos": round(traffic.rate(begin, end, "hello"), 1),
            "hello_bytes": round(traffic.rate(begin, end, "hello", octets=True)),
            "busiest_second_hellos": round(traffic.rate(busiest, busiest + 1, "hello")),
            "answers": round(traffic.rate(begin, end, "answer"), 1),
            "pings": round(traffic.rate(begin, end, "ping"), 1),
            "pongs": round(traffic.rate(begin, end, "pong"), 1),
            "other_bytes": round(traffic.rate(begin, end, "answer", "ping", "pong", octets=True)),
            "cpu_percent_per_node": round(100 * self._engine_cpu() / (end - begin) / len(self.lan.observers), 4),
        }

    def _delays(self, kind: CrashKind) -> dict[str, Any] | None:
        """Return the seconds until crashes were seen, over all observers."""
        delays = sorted(delay for one, delay in self.lan.detections if one == kind)
        if not delays:
            return None
        last = len(delays) - 1
        return {
            "crashes": sum(one == kind for _, one in self.lan.crashes.values()),
            "seen": len(delays),
            "median_s": round(median(delays), 2),
            "p90_s": round(delays[ceil(last * 0.9)], 2),
            "p99_s": round(delays[ceil(last * 0.99)], 2),
            "longest_s": round(delays[last], 2),
        }


def text_of(report: dict[str, Any]) -> str:
    """Return a report as text for a person."""
    lines = [*_head(report), "", *(f"{title:<16}{text.format_map(figures)}" for title, text, figures in _rows(report))]
    if report["minutes"] < report["minutes_needed"]:
        lines += ["", f"To see everything at this interval takes --minutes {report['minutes_needed']}."]
    return "\n".join(lines)


def _head(report: dict[str, Any]) -> Iterator[str]:
    played = f"{report['minutes']:g} virtual minutes"
    if report["minutes_played"] < report["minutes"]:
        played = f"interrupted after {report['minutes_played']:g} of {played}"
    yield f"{report['nodes']} nodes on one segment, {report['loss']:.0%} loss, {played}, seed {report['seed']}"
    engines = report["whole_engines"]
    if engines == report["nodes"]:
        return
    yield f"{engines} of them run the whole engine with whole tables: what is told of tables is of these."
    yield "The others beat and answer alike but keep no table; their PINGs and answers are reckoned from the sample."
    if report["nodes"] > 4096:
        yield f"limits.peers is raised from 4096 to {report['limit_peers']}: nodes in the field need the same."


def _rows(report: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield title, text and figures of each line; a line without a title continues the line above."""
    start, steady = report["start"], report["steady"]
    yield "in force", "interval {interval_s:g} s, ttl {ttl_s:g} s, budget {budget} HELLOs/s", report
    if steady:
        hello, other = steady["hello_bytes"] / 1000, steady["other_bytes"] / 1000
        steady = {**steady, "hello_kb": hello, "other_kb": other, "kb": hello + other, "kbit": (hello + other) * 8}
        busiest = "(busiest second {busiest_second_hellos}, over {seconds} s)"
        yield "steady state", "{hellos:.1f} HELLOs/s on the segment, {hello_kb:.1f} kB/s " + busiest, steady
        probes = "{pings:.1f} PINGs/s, {pongs:.1f} PONGs/s"
        yield "", probes + ", {answers:.1f} HELLOs/s by unicast, {other_kb:.1f} kB/s", steady
        yield "", "{kb:.1f} kB/s in all, {kbit:.0f} kbit/s with UDP and IP headers", steady
    else:
        yield "steady state", "not reached", report
    full = "full after {full_median_s:g} s (median), {full_last_s:g} s (last)"
    if start["full_last_s"] is None:
        full = "full in {full_tables} of {tables} nodes by the end"
    yield "tables", f"{full}, all nodes starting within one second", start
    yield "", "busiest second (from {busiest_second} s): {hellos} HELLOs broadcast, {answers} by unicast", start
    delays = (
        "seen after {median_s:.2f} s (median), {p90_s:.2f} s (90 %), {p99_s:.2f} s (99 %), "
        "{longest_s:.2f} s (longest); {crashes} crashes, seen {seen} times"
    )
    for title, found in (("process killed", report["killed"]), ("machine gone", report["gone"])):
        yield title, delays if found else "not played", found or report
    alarms = "{false_downs} times a peer that runs was called down"
    if report["false_downs_in_start"]:
        alarms += ", {false_downs_in_start} of them in the start"
    if report["false_downs_per_node_hour"] is not None:
        alarms += "; {false_downs_per_node_hour:g} per node and hour"
    yield "false alarms", alarms, report
    if report["suspicions_per_node_hour"] is not None:
        yield "suspicions", "{suspicions_per_node_hour:g} of peers that run, per node and hour", report
    if report["rows_missing_at_end"] or report["ghosts_at_end"]:
        yield "at the end", "{rows_missing_at_end} rows missing, {ghosts_at_end} of nodes that are gone", report
    if steady:
        cpu = "about {cpu_percent_per_node:.2g} % of one core of this machine per node"
        yield "processor", f"{cpu}, for the engine alone (an estimate)", steady
