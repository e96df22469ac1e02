"""A plan: what to simulate, checked, and the times that follow from it."""

from dataclasses import field, replace
from math import ceil

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.protocol.parameters import Parameters

MOST_NODES = 20_000
"""The tables of their sample have 200,000 rows, 600 MB."""
MOST_MINUTES = 24 * 60.0

SETTLE = 3
"""Intervals (and five seconds) after which the start is over."""
GONE = 1.25
"""Of a ttl: after so much silence every crash is seen."""


@frozen
class Plan:
    """What to simulate.

    Attributes:
        nodes: on one segment.
        loss: share of datagrams that each receiver loses, 0 to 1.
        minutes: of virtual time.
        seed: of everything random.
        parameters: of all nodes; seeds and loopback do not count here.
        observers: nodes that run the whole engine; 0 for a default by the number of nodes.

    Raises:
        ConfigError: with every value that is out of its range.
    """

    nodes: int = 20
    loss: float = 0.0
    minutes: float = 5.0
    seed: str = "1"
    parameters: Parameters = field(default_factory=Parameters)
    observers: int = 0

    def __post_init__(self) -> None:
        problems = []
        if not 2 <= self.nodes <= MOST_NODES:
            problems.append(f"--nodes: must be 2 to {MOST_NODES}, not {self.nodes}")
        if not 0 <= self.loss <= 0.95:
            problems.append(f"--loss: must be 0 to 0.95 (or 0% to 95%), not {self.loss:g}")
        if not 0.5 <= self.minutes <= MOST_MINUTES:
            problems.append(f"--minutes: must be 0.5 to {MOST_MINUTES:g}, not {self.minutes:g}")
        if not 0 <= self.observers <= self.nodes:
            problems.append(f"observers: must be 0 to {self.nodes}, not {self.observers}")
        if problems:
            raise ConfigError(*problems)

    @property
    def interval(self) -> float:
        """Return the interval of nodes that list all others, seconds."""
        return max(self.parameters.interval, self.nodes / self.parameters.budget)

    @property
    def ttl(self) -> float:
        """Return the ttl at this interval, seconds."""
        return self.parameters.ttl * self.interval / self.parameters.interval

    @property
    def settled(self) -> float:
        """Return the second at which the steady state begins."""
        return ceil(5 + SETTLE * self.interval)

    @property
    def last_crash(self) -> float:
        """Return the latest second of a crash that is seen before the end."""
        return self.minutes * 60 - GONE * self.ttl

    @property
    def first_crash(self) -> float:
        """Return the second at which the steady state ends and the crashes begin."""
        return max(self.settled, (self.settled + self.last_crash) // 2)

    @property
    def minutes_needed(self) -> int:
        """Return the minutes that it takes to show a steady state of four intervals, and crashes in four more."""
        return ceil((self.settled + 8 * self.interval + GONE * self.ttl) / 60)

    def nodes_parameters(self) -> Parameters:
        """Return the parameters of the nodes, with tables large enough for all."""
        limits = self.parameters.limits
        return replace(
            self.parameters, seeds=(), loopback="", limits=replace(limits, peers=max(limits.peers, 2 * self.nodes))
        )
