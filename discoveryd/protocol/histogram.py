"""A distribution that is cheap to keep: the number of observations at or below each bound."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

RTT_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds. A switched LAN answers in 0.2 to 1 ms, a sleeping Wi-Fi in 100; past 1 s it is no LAN."""

LOSS_BOUNDS: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Shares. None lost; a cable's; a Wi-Fi's on a bad day is 0.3."""


class Histogram:
    """Counts observations by their size; as big with a million of them as with one.

    Args:
        bounds: upper bounds, ascending, each inclusive. What is above the last is counted in `count` alone.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._tallies = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count an observation."""
        self._tallies[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self._tallies)

    def to_json(self) -> dict[str, Any]:
        """Return what ``status`` shows: each bucket counts all up to its bound, as Prometheus has it."""
        return {
            "count": self.count,
            "sum": round(self.sum, 6),
            "buckets": [
                {"le": bound, "count": count}
                for bound, count in zip(self._bounds, accumulate(self._tallies), strict=False)
            ],
        }
