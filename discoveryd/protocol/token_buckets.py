"""Token buckets, bounded in number: how much each source, and all together, may make us do."""

from __future__ import annotations


class TokenBuckets:
    """A token bucket per source address, over one for all.

    Args:
        rate: tokens per second and source; a source that was quiet may have as many at once.
        total: tokens per second for all sources together, because source addresses can be forged.
        sources: buckets kept; past it the bucket that was used longest ago is forgotten (`total` still holds).
        burst: tokens of a source that was quiet; as many as in a second if it is not given.
    """

    __slots__ = ("_all", "_buckets", "_burst", "_rate", "_refill", "_sources", "_total")

    def __init__(self, rate: float, total: float, sources: int = 1024, *, burst: float = 0.0) -> None:
        self._rate = rate
        self._burst = burst or rate
        self._refill = self._burst / rate  # seconds until an empty bucket is full again: then to have none is as good
        self._total = total
        self._sources = sources
        self._all = (total, 0.0)
        self._buckets: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        """Return the number of buckets kept."""
        return len(self._buckets)

    def allows(self, source: str, now: float) -> bool:
        """Take a token of this source and return whether it and all together had one left."""
        mine = _filled(self._buckets.get(source, (self._burst, now)), self._rate, self._burst, now)
        everyone = _filled(self._all, self._total, self._total, now)
        if mine < 1 or everyone < 1:
            return False
        self._all = (everyone - 1, max(now, self._all[1]))
        self._buckets.pop(source, None)
        self._buckets[source] = (mine - 1, now)  # at the end: they stand in the order of their last use
        self._forget(now)
        return True

    def has_one(self, source: str, now: float) -> bool:
        """Return whether this source has a token left."""
        bucket = self._buckets.get(source)
        return bucket is None or _filled(bucket, self._rate, self._burst, now) >= 1

    def _forget(self, now: float) -> None:
        """Forget the sources that were quiet longest: one too many, and two whose buckets are full again."""
        for _ in range(2):
            oldest = next(iter(self._buckets))
            if len(self._buckets) <= self._sources and now < self._buckets[oldest][1] + self._refill:
                return
            del self._buckets[oldest]


def _filled(bucket: tuple[float, float], rate: float, burst: float, now: float) -> float:
    tokens, at = bucket
    return min(burst, tokens + max(0.0, now - at) * rate)  # what arrived earlier may be given later
