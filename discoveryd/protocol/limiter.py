"""How much one source, and all together, may make us do: token buckets, bounded in number."""

from __future__ import annotations


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
        self._all = (everyone - 1, now)
        if source not in self._buckets and len(self._buckets) >= self._sources:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[source] = (mine - 1, now)
        return True


def _filled(bucket: tuple[float, float], rate: float, now: float) -> float:
    tokens, at = bucket
    return min(rate, tokens + (now - at) * rate)
