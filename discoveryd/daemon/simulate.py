"""``discoveryd simulate``: simulate a network as the command line says, and print the report.

The processor time is measured here, because the simulation itself reads no clock of this machine.
"""

import json
import sys
from collections.abc import Callable
from time import monotonic, perf_counter, process_time

from discoveryd.cli.parse import Arguments
from discoveryd.config import load
from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Parameters
from discoveryd.simulation.plan import Plan
from discoveryd.simulation.run import Simulation, text_of

INTERRUPTED = 130


def simulate(arguments: Arguments) -> int:
    """Simulate and print the report; after Ctrl-C the report of the part that was simulated."""
    plan = plan_of(arguments)
    simulation = Simulation(plan, stopwatch=perf_counter, cpu=process_time)
    progress = Progress(plan.minutes * 60)
    code = 0
    try:
        simulation.run(progress.show)
    except KeyboardInterrupt:
        code = INTERRUPTED
    progress.clear()
    report = simulation.report()
    print(json.dumps(report) if arguments.json else text_of(report))  # noqa: T201 - the output of the command
    return code


def plan_of(arguments: Arguments) -> Plan:
    """Return the plan that the command line describes.

    Raises:
        ConfigError: with every fault of the command line.
    """
    problems: list[str] = []

    def number(option: str, text: str, read: Callable[[str], float], what: str) -> float:
        try:
            return read(text)
        except ValueError:
            problems.append(f"{option}: must be {what}, not {text!r}")
            return 0

    nodes = number("--nodes", arguments.nodes, int, "a number such as 20")
    loss = number("--loss", arguments.loss, _share, "a share such as 0.2 or 20%")
    minutes = number("--minutes", arguments.minutes, float, "a number such as 5")
    parameters = load(arguments.config).parameters if arguments.config else Parameters()
    if problems:
        raise ConfigError(*problems)
    return Plan(nodes=int(nodes), loss=loss, minutes=minutes, seed=arguments.seed, parameters=parameters)


def _share(text: str) -> float:
    return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)


class Progress:
    """Progress on standard error: a bar on a terminal, elsewhere a line every few seconds.

    Args:
        end: virtual seconds of the whole run.
        clock: reads the real time, seconds.
    """

    WIDTH = 40
    REDRAW = 0.2
    LINE = 10.0
    """Seconds of real time between two lines; a run of a few seconds prints none."""

    def __init__(self, end: float, clock: Callable[[], float] = monotonic) -> None:
        self._end = end
        self._clock = clock
        self._is_terminal = sys.stderr.isatty()
        self._begun = clock()
        self._gap = self.REDRAW if self._is_terminal else self.LINE
        self._next = self._begun + (0.0 if self._is_terminal else self.LINE)

    def show(self, now: float) -> None:
        """Show the virtual time, unless the last output is too recent."""
        real = self._clock()
        if real < self._next:
            return
        self._next = real + self._gap
        share, left = now / self._end, "just begun"
        if share >= 0.01:  # the first hundredth tells too little
            left = f"about {(real - self._begun) * (1 - share) / share:.0f} s left"
        text = f"{share:4.0%} of {self._end / 60:g} virtual minutes, {left}"
        done = round(self.WIDTH * share)
        bar = f"\r[{'#' * done}{'-' * (self.WIDTH - done)}] {text}\x1b[K"
        sys.stderr.write(bar if self._is_terminal else f"{text.lstrip()}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Erase the bar."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
