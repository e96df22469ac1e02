"""Bounds of what others can make us keep, and do: dicts that keep the latest entries, and token buckets."""

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def put_last(kept: dict[Key, Value], key: Key, value: Value, limit: int) -> None:
    """Put an entry at the end; past the limit, which may have become lower, the first ones are dropped."""
    kept.pop(key, None)
    while len(kept) >= limit:
        del kept[next(iter(kept))]
    kept[key] = value


def drop_first(kept: dict[Key, Value], is_over: Callable[[Value], bool]) -> None:
    """Drop the first entries as long as they are over."""
    while kept and is_over(kept[first := next(iter(kept))]):
        del kept[first]


class TokenBuckets:
    """A token bucket per source address, over one for all: how much each source, and all together, may make us do.

    Args:
        rate: tokens per second and source; a source that was quiet may have as many at once.
        total: tokens per second for all sources together, because source addresses can be forged.
        sources: buckets kept; past it the bucket that was used longest ago is forgotten (`total` still holds).
        burst: tokens of a source that was quiet; as many as in a second if it is not given.
    """

    def __init__(self, rate: float, total: float, sources: int = 1024, *, burst: float = 0.0) -> None:
        self._rate = rate
        self._burst = burst or rate
        self._refill = self._burst / rate  # seconds until an empty bucket is full again: then to have none is as good
        self._total = total
        self._sources = sources
        self._all = (total, 0.0)
        self._buckets: dict[str, tuple[float, float]] = {}  # in the order of their last use

    def allows(self, source: str, now: float) -> bool:
        """Take a token of this source and return whether it and all together had one left."""
        mine = _filled(self._buckets.get(source, (self._burst, now)), self._rate, self._burst, now)
        everyone = _filled(self._all, self._total, self._total, now)
        if mine < 1 or everyone < 1:
            return False
        self._all = (everyone - 1, max(now, self._all[1]))
        put_last(self._buckets, source, (mine - 1, now), self._sources)
        drop_first(self._buckets, lambda bucket: now >= bucket[1] + self._refill)
        return True

    def has_one(self, source: str, now: float) -> bool:
        """Return whether this source has a token left."""
        bucket = self._buckets.get(source)
        return bucket is None or _filled(bucket, self._rate, self._burst, now) >= 1


def _filled(bucket: tuple[float, float], rate: float, burst: float, now: float) -> float:
    tokens, at = bucket
    return min(burst, tokens + max(0.0, now - at) * rate)  # what arrived earlier may be given later
