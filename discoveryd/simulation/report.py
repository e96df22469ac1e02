"""The report of ``discoveryd simulate``: its figures, and the text for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first seconds. The busiest one has the most HELLOs; tables are full when they list all others."""

    busiest_second: int
    hellos: int
    answers: int
    tables: int
    full_tables: int
    full_median_s: float | None
    full_last_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """The segment, per second; bytes with their UDP and IP headers."""

    seconds: int
    hellos: float
    hello_bytes: float
    busiest_second_hellos: int
    answers: float
    pings: float
    pongs: float
    other_bytes: float
    cpu_percent_per_node: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds until crashes were seen, over all observers."""

    crashes: int
    seen: int
    median_s: float
    p90_s: float
    p99_s: float
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures at some moment; None where they are not known yet."""

    nodes: int
    whole_engines: int
    loss: float
    minutes: float
    minutes_played: float
    minutes_needed: int
    seed: str
    budget: int
    interval_s: float
    ttl_s: float
    limit_peers: int
    start: Start
    steady: Steady | None
    killed: Delays | None
    gone: Delays | None
    false_downs: int
    false_downs_in_start: int
    false_downs_per_node_hour: float | None
    suspicions_per_node_hour: float | None
    rows_missing_at_end: int
    ghosts_at_end: int


def text_of(report: Report) -> str:
    """Return the report as text."""
    lines = [*_head(report), "", *(f"{title:<16}{text}" for title, text in _rows(report))]
    if report.minutes < report.minutes_needed:
        lines += ["", f"To see everything at this interval takes --minutes {report.minutes_needed}."]
    return "\n".join(lines)


def _head(report: Report) -> Iterator[str]:
    played = f"{report.minutes:g} virtual minutes"
    if report.minutes_played < report.minutes:
        played = f"interrupted after {report.minutes_played:g} of {played}"
    yield f"{report.nodes} nodes on one segment, {report.loss:.0%} loss, {played}, seed {report.seed}"
    if report.whole_engines == report.nodes:
        return
    yield f"{report.whole_engines} of them run the whole engine with whole tables: what is told of tables is of these."
    yield "The others beat and answer alike but keep no table; their PINGs and answers are reckoned from the sample."
    if report.nodes > 4096:
        yield f"limits.peers is raised from 4096 to {report.limit_peers}: nodes in the field need the same."


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    """Yield title and text of each line; a line without a title continues the line above."""
    yield "in force", f"interval {report.interval_s:g} s, ttl {report.ttl_s:g} s, budget {report.budget} HELLOs/s"
    yield from _steady(report.steady) if report.steady else [("steady state", "not reached")]
    yield from _start(report.start)
    yield "process killed", _delays(report.killed)
    yield "machine gone", _delays(report.gone)
    yield from _alarms(report)
    if report.steady:
        cpu = f"about {report.steady.cpu_percent_per_node:.2g} % of one core of this machine per node"
        yield "processor", f"{cpu}, for the engine alone (an estimate)"


def _steady(steady: Steady) -> Iterator[tuple[str, str]]:
    total = steady.hello_bytes + steady.other_bytes
    busiest = f"(busiest second {steady.busiest_second_hellos}, over {steady.seconds} s)"
    yield "steady state", f"{steady.hellos:.1f} HELLOs/s on the segment, {_bytes(steady.hello_bytes)} {busiest}"
    probes = f"{steady.pings:.1f} PINGs/s, {steady.pongs:.1f} PONGs/s"
    yield "", f"{probes}, {steady.answers:.1f} HELLOs/s by unicast, {_bytes(steady.other_bytes)}"
    yield "", f"{_bytes(total)} in all, {total * 8 / 1000:.0f} kbit/s with UDP and IP headers"


def _start(start: Start) -> Iterator[tuple[str, str]]:
    if start.full_last_s is None:
        full = f"full in {start.full_tables} of {start.tables} nodes by the end"
    else:
        full = f"full after {start.full_median_s:g} s (median), {start.full_last_s:g} s (last)"
    yield "tables", f"{full}, all nodes starting within one second"
    counts = f"{start.hellos} HELLOs broadcast, {start.answers} by unicast"
    yield "", f"busiest second (from {start.busiest_second} s): {counts}"


def _delays(delays: Delays | None) -> str:
    if delays is None:
        return "not played"
    return (
        f"seen after {delays.median_s:.2f} s (median), {delays.p90_s:.2f} s (90 %), {delays.p99_s:.2f} s (99 %), "
        f"{delays.longest_s:.2f} s (longest); {delays.crashes} crashes, seen {delays.seen} times"
    )


def _alarms(report: Report) -> Iterator[tuple[str, str]]:
    alarms = f"{report.false_downs} times a peer that runs was called down"
    if report.false_downs_in_start:
        alarms += f", {report.false_downs_in_start} of them in the start"
    if report.false_downs_per_node_hour is not None:
        alarms += f"; {report.false_downs_per_node_hour:g} per node and hour"
    yield "false alarms", alarms
    if report.suspicions_per_node_hour is not None:
        yield "suspicions", f"{report.suspicions_per_node_hour:g} of peers that run, per node and hour"
    if report.rows_missing_at_end or report.ghosts_at_end:
        yield "at the end", f"{report.rows_missing_at_end} rows missing, {report.ghosts_at_end} of nodes that are gone"


def _bytes(octets: float) -> str:
    return f"{octets / 1000:.1f} kB/s"
