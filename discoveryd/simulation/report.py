"""The report of ``discoveryd simulate``: its figures, and the text for a person."""

from __future__ import annotations

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
    lines = [
        _headline(report),
        *_sample(report),
        "",
        _line("in force", f"interval {report.interval_s:g} s, ttl {report.ttl_s:g} s, budget {report.budget} HELLOs/s"),
        *_steady(report),
        *_start(report),
        *_crashes(report),
        *_alarms(report),
    ]
    if report.steady is not None:
        cpu = f"about {report.steady.cpu_percent_per_node:.2g} % of one core of this machine per node"
        lines.append(_line("processor", f"{cpu}, for the engine alone (an estimate)"))
    if report.minutes < report.minutes_needed:
        lines += ["", f"To see everything at this interval takes --minutes {report.minutes_needed}."]
    return "\n".join(lines)


def _line(title: str, text: str) -> str:
    return f"{title:<16}{text}"


def _headline(report: Report) -> str:
    played = f"{report.minutes:g} virtual minutes"
    if report.minutes_played < report.minutes:
        played = f"interrupted after {report.minutes_played:g} of {played}"
    return f"{report.nodes} nodes on one segment, {report.loss:.0%} loss, {played}, seed {report.seed}"


def _sample(report: Report) -> list[str]:
    if report.whole_engines == report.nodes:
        return []
    lines = [
        f"{report.whole_engines} of them run the whole engine with whole tables: what is told of tables is of these.",
        "The others beat and answer alike but keep no table; their PINGs and answers are reckoned from the sample.",
    ]
    if report.nodes > 4096:
        lines.append(f"limits.peers is raised from 4096 to {report.limit_peers}: nodes in the field need the same.")
    return lines


def _steady(report: Report) -> list[str]:
    steady = report.steady
    if steady is None:
        return [_line("steady state", "not reached")]
    total = steady.hello_bytes + steady.other_bytes
    return [
        _line(
            "steady state",
            f"{steady.hellos:.1f} HELLOs/s on the segment, {_bytes(steady.hello_bytes)} "
            f"(busiest second {steady.busiest_second_hellos}, over {steady.seconds} s)",
        ),
        _line(
            "",
            f"{steady.pings:.1f} PINGs/s, {steady.pongs:.1f} PONGs/s, {steady.answers:.1f} HELLOs/s by unicast, "
            f"{_bytes(steady.other_bytes)}",
        ),
        _line("", f"{_bytes(total)} in all, {total * 8 / 1000:.0f} kbit/s with UDP and IP headers"),
    ]


def _start(report: Report) -> list[str]:
    start = report.start
    if start.full_last_s is None:
        full = f"full in {start.full_tables} of {start.tables} nodes by the end"
    else:
        full = f"full after {start.full_median_s:g} s (median), {start.full_last_s:g} s (last)"
    return [
        _line("tables", f"{full}, all nodes starting within one second"),
        _line(
            "",
            f"busiest second (from {start.busiest_second} s): {start.hellos} HELLOs broadcast, "
            f"{start.answers} by unicast",
        ),
    ]


def _crashes(report: Report) -> list[str]:
    return [
        _line(title, _delays(delays))
        for title, delays in (("process killed", report.killed), ("machine gone", report.gone))
    ]


def _delays(delays: Delays | None) -> str:
    if delays is None:
        return "not played"
    return (
        f"seen after {delays.median_s:.2f} s (median), {delays.p90_s:.2f} s (90 %), {delays.p99_s:.2f} s (99 %), "
        f"{delays.longest_s:.2f} s (longest); {delays.crashes} crashes, seen {delays.seen} times"
    )


def _alarms(report: Report) -> list[str]:
    in_start = f", {report.false_downs_in_start} of them in the start" if report.false_downs_in_start else ""
    alarms = f"{report.false_downs} times a peer that runs was called down{in_start}"
    if report.false_downs_per_node_hour is not None:
        alarms += f"; {report.false_downs_per_node_hour:g} per node and hour"
    lines = [_line("false alarms", alarms)]
    if report.suspicions_per_node_hour is not None:
        lines.append(_line("suspicions", f"{report.suspicions_per_node_hour:g} of peers that run, per node and hour"))
    if report.rows_missing_at_end or report.ghosts_at_end:
        text = f"{report.rows_missing_at_end} rows missing, {report.ghosts_at_end} of nodes that are gone"
        lines.append(_line("at the end", text))
    return lines


def _bytes(octets: float) -> str:
    return f"{octets / 1000:.1f} kB/s"
