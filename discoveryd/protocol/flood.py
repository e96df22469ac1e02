"""When more datagrams come in than a network of nodes has to say, and how many of them to look at then.

Datagrams that were read count by when they arrived: a busy machine reads late, and after a pause it reads in a moment
what came in over a minute. Those that were lost count by when the loss was seen.
"""

from collections import deque
from typing import NamedTuple

SAMPLE = 100.0
"""Datagrams a second from unknown senders that are read in a flood all the same: a newcomer gets in sooner or later."""
CALM = 2.0
"""Seconds below half the limit, after which a flood is over."""
ONSET = 2.0
"""Seconds before it was seen, in which a flood may have begun: the first of it wait in a long buffer."""
ADJUST = 2.0
"""The share is set anew when the rate is this many times more or less than it was set for."""


class Gain(NamedTuple):
    """What a total has gained, and in how many seconds."""

    more: int
    seconds: float


class Recent:
    """The last second of a total that grows."""

    __slots__ = ("_looks",)

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def add(self, total: int, at: float) -> Gain:
        """Note the total at a moment; return what it has gained in the last second."""
        looks = self._looks
        looks.append((at, total))
        while len(looks) > 2 and looks[1][0] <= at - 1.0:
            looks.popleft()
        first, before = looks[0]
        return Gain(total - before, at - first)

    @property
    def former(self) -> float:
        """The moment before the last one noted; that one if there is none before."""
        return self._looks[-2 if len(self._looks) > 1 else -1][0]


class Flood:
    """Judges how much comes in. Time is an argument, in seconds.

    Args:
        limit: datagrams within a second, past which it is a flood. A thousand nodes that start at one moment
            are none, though they say a thousand things in a few milliseconds.
    """

    __slots__ = ("_calm_since", "_lost", "_read", "_set_for", "limit", "share", "since")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.share = 1.0
        """Of the datagrams of unknown senders that is to be let through."""
        self.since = 0.0
        """When there certainly was none yet: a peer heard before that is no part of it."""
        self._read, self._lost = Recent(), Recent()
        self._set_for = 0.0
        self._calm_since: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is a flood."""
        return self.share < 1

    def see(self, read: int, lost: int, heard_until: float, now: float) -> bool:
        """Judge by totals, and return whether `share` has changed.

        Args:
            read: datagrams that were ever read.
            lost: datagrams that ever came in and could not be read.
            heard_until: all that arrived before that moment is read or lost.
            now: the time of this call.
        """
        gains = (self._read.add(read, heard_until), self._lost.add(lost, now))
        rate = sum(gain.more / max(gain.seconds, 1.0) for gain in gains)
        if rate > self.limit:
            self._calm_since = None
            if not self.is_on:
                self.since = self._read.former - ONSET
            return self._sample(sum(gain.more / max(gain.seconds, 0.001) for gain in gains))
        if not self.is_on or rate > self.limit / 2:
            self._calm_since = None
            return False
        if self._calm_since is None:
            self._calm_since = now
        if now < self._calm_since + CALM:
            return False
        self.share = 1.0
        return True

    def _sample(self, rate: float) -> bool:
        """Set the share that is a sample at this rate; return whether it has changed."""
        if self.is_on and self._set_for / ADJUST < rate < self._set_for * ADJUST:
            return False
        self._set_for = rate
        self.share = min(0.5, SAMPLE / rate)
        return True
