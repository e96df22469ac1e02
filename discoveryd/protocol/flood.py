"""When more datagrams come in than a network of nodes has to say, and how many of them to look at then."""

from collections import deque

SAMPLE = 100.0
"""Datagrams a second from unknown senders that are read in a flood all the same: a newcomer gets in sooner or later."""
CALM = 2.0
"""Seconds below half the limit, after which a flood is over."""
ONSET = 2.0
"""Seconds before it was seen, in which a flood may have begun: the first of it wait in a long buffer."""
ADJUST = 2.0
"""The share is set anew when the rate is this many times more or less than it was set for."""


class Flood:
    """Judges how much comes in. Time is an argument, in seconds.

    Args:
        limit: datagrams within a second, past which it is a flood. A thousand nodes that start at one moment
            are none, though they say a thousand things in a few milliseconds.
    """

    __slots__ = ("_calm_since", "_looks", "_set_for", "limit", "share", "since")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.share = 1.0
        """Of the datagrams of unknown senders that is to be let through."""
        self.since = 0.0
        """When there certainly was none yet: a peer heard before that is no part of it."""
        self._looks: deque[tuple[float, int]] = deque()
        self._set_for = 0.0
        self._calm_since: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is a flood."""
        return self.share < 1

    def see(self, total: int, now: float) -> bool:
        """Read the number of all datagrams that ever came in, dropped ones too; return whether `share` has changed."""
        looks = self._looks
        looks.append((now, total))
        while len(looks) > 2 and looks[1][0] <= now - 1.0:
            looks.popleft()
        (first, before), (last, _) = looks[0], looks[-2 if len(looks) > 1 else -1]
        came = total - before
        rate = came / max(1.0, now - first)
        if rate > self.limit:
            self._calm_since = None
            if not self.is_on:
                self.since = last - ONSET
            return self._sample(came / max(now - first, 0.001))
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
