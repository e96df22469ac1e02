"""What every benchmark shares: the machine in words, a figure with its floor, the table they print."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
# the scripts are run by their path, which makes only their own folder importable
sys.path.insert(0, str(REPOSITORY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity.

    Attributes:
        what: is measured.
        unit: of the samples.
        samples: one per run.
        most: target, an upper bound.
        least: target, a lower bound.
        by_worst: the target holds for the worst sample; else for the median.
        floor: what the machine itself takes for the least of it, measured in the same runs.
        most_of_floor: target for the ratio to the floor.
        least_of_floor: the same, a lower bound.
    """

    what: str
    unit: str
    samples: Sequence[float]
    most: float | None = None
    least: float | None = None
    by_worst: bool = False
    floor: Figure | None = None
    most_of_floor: float | None = None
    least_of_floor: float | None = None

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def ratio(self) -> float | None:
        """The median in floors; None where the floor is nothing."""
        return self.middle / self.floor.middle if self.floor and self.floor.middle else None

    @property
    def is_met(self) -> bool | None:
        """Whether each target is met; None without one."""
        ratio = self.ratio or 0.0
        verdicts = [
            value <= bound if is_upper else value >= bound
            for value, bound, is_upper in (
                (max(self.samples) if self.by_worst else self.middle, self.most, True),
                (min(self.samples) if self.by_worst else self.middle, self.least, False),
                (ratio, self.most_of_floor, True),
                (ratio, self.least_of_floor, False),
            )
            if bound is not None
        ]
        return all(verdicts) if verdicts else None

    @property
    def target(self) -> str:
        """The targets, as the table shows them."""
        worst = "each " if self.by_worst else ""
        texts = [
            text
            for text, bound in (
                (f"{worst}≤ {_number(self.most)} {self.unit}", self.most),
                (f"{worst}≥ {_number(self.least)} {self.unit}", self.least),
                (f"≤ {_number(self.most_of_floor)} floors", self.most_of_floor),
                (f"≥ {_number(self.least_of_floor)} floors", self.least_of_floor),
            )
            if bound is not None
        ]
        return ", ".join(texts)

    def to_json(self) -> dict[str, Any]:
        """Give all that is known of it."""
        return {
            "what": self.what,
            "unit": self.unit,
            "median": self.middle,
            "min": min(self.samples),
            "max": max(self.samples),
            "runs": len(self.samples),
            "target": self.target or None,
            "met": self.is_met,
            "floor": self.floor.to_json() if self.floor else None,
            "ratio": self.ratio,
        }


def parser(document: str | None, *, runs: int, environment: bool = False) -> argparse.ArgumentParser:
    """Make a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=_positive, default=runs, help=f"samples of each figure (default {runs})")
    made.add_argument("--json", action="store_true", help="print JSON")
    if environment:
        made.add_argument(
            "--python",
            metavar="FILE",
            help="interpreter of an environment with the package in it; without it one is made for this run",
        )
    return made


def report(figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print the figures, for people or for run.py."""
    found = [figure.to_json() for figure in figures]
    if as_json:
        print(json.dumps({"machine": describe(), "figures": found}))
        return
    print(f"{describe()}\n")
    print(markdown(found))


def describe() -> str:
    """Describe the machine in one line."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    cores = os.cpu_count()
    return (
        f"{names[0] if names else platform.machine()}, {cores} cores, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, {load}"
    )


def markdown(figures: Sequence[dict[str, Any]]) -> str:
    """Lay out figures, as `Figure.to_json` gives them, as a table in Markdown."""
    rows: list[tuple[str, ...]] = [("figure", "median", "min to max", "runs", "floor", "ratio", "target", "")]
    for figure in figures:
        floor = figure["floor"]
        rows.append(
            (
                figure["what"],
                f"{_number(figure['median'])} {figure['unit']}",
                f"{_number(figure['min'])} to {_number(figure['max'])}",
                str(figure["runs"]),
                f"{floor['what']}: {_number(floor['median'])} {floor['unit']}" if floor else "",
                f"{figure['ratio']:.2f}" if figure["ratio"] is not None else "",
                figure["target"] or "",
                {True: "met", False: "**missed**", None: ""}[figure["met"]],
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _number(value: float | None) -> str:
    """Write with three digits that mean something."""
    if value is None:
        return ""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
