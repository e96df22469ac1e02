"""How much one source, and all together, may make us do: token buckets, bounded in number."""

from __future__ import annotations

REFILL = 1.0
"""Seconds in which an empty bucket is full again: then to have none is as good."""


class Limiter:
    """A token bucket per source address, over one for all.

    Args:
        rate: per second and source; a source that was quiet may have as many at once.
        total: per second for all sources together, because source addresses can be forged.
        sources: buckets kept; past it the source that came first is forgotten (`total` still holds).
    """

    __slots__ = ("_all", "_buckets", "_rate", "_sources", "_total")

    def __init__(self, rate: float, total: float, sources: int = 1024) -> None:
        self._rate = rate
        self._total = total
        self._sources = sources
        self._all = (total, 0.0)
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, source: str, now: float) -> bool:
        """Take one token of this source, if it and all together have one left."""
        mine = _filled(self._buckets.get(source, (self._rate, now)), self._rate, now)
        everyone = _filled(self._all, self._total, now)
        if mine < 1 or everyone < 1:
            return False
        self._all = (everyone - 1, max(now, self._all[1]))
        self._buckets.pop(source, None)
        self._buckets[source] = (mine - 1, now)  # at the end: they stand in the order of their last use
        self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        """Let go of the sources that were quiet longest: one too many, and two whose buckets are full again."""
        for _ in range(2):
            oldest = next(iter(self._buckets))
            if len(self._buckets) <= self._sources and now < self._buckets[oldest][1] + REFILL:
                return
            del self._buckets[oldest]


def _filled(bucket: tuple[float, float], rate: float, now: float) -> float:
    tokens, at = bucket
    return min(rate, tokens + max(0.0, now - at) * rate)  # what arrived earlier may be given later
