"""When files keep what they say: while what is known of the peers is less than what there is."""

from math import inf

SETTLING = 2.0
"""Intervals after the end of an isolation in which every peer is heard again."""


class Hold:
    """Keeps files from being emptied by a daemon that does not know yet, or no longer, which peers are there.

    Args:
        started: when the daemon began to hear; seconds of a clock.
    """

    def __init__(self, started: float) -> None:
        self._started = started
        self._was_isolated = False
        self._ended = -inf  # when it was seen that the last isolation is over

    def until(self, now: float, *, interval: float, ttl: float, is_isolated: bool) -> tuple[float, float]:
        """Return when files may follow again: infinity while isolated, a moment of the past if they may.

        Args:
            now: the time.
            interval: in force, seconds.
            ttl: in force: a peer that lives is heard within that time.
            is_isolated: whether this node is cut off.

        Returns:
            that of files that this daemon wrote, and that of files that were there before it.
        """
        if self._was_isolated and not is_isolated:
            self._ended = now
        self._was_isolated = is_isolated
        ours = inf if is_isolated else self._ended + SETTLING * interval
        return ours, max(ours, self._started + ttl)
