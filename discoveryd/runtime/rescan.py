"""When the interfaces are read next: by time, soon after a change, and never so often that it costs a core."""

from __future__ import annotations

PERIOD = 30.0
PERIOD_UNTOLD = 3.0
"""Seconds between two scans: with a doorbell as a safety net, without one as all there is."""
RETRY = 3.0
"""Seconds from a scan that failed to the next."""
SETTLE = 0.05
"""Seconds from a ring of the doorbell to the scan: one change rings several times."""
GAP = 10
"""A scan starts no earlier than so many times after the last as that took: at most 9 % of a core, whatever rings."""


class Rescan:
    """Plans the scans. The caller brings the time.

    Attributes:
        at: when the next one is due.
    """

    def __init__(self) -> None:
        self.at = 0.0
        self._earliest = 0.0

    def done(self, now: float, *, took: float, period: float, has_failed: bool) -> None:
        """Plan the next scan after one.

        Args:
            now: the time at its end.
            took: seconds.
            period: seconds to the next one if nothing rings.
            has_failed: whether it told nothing; then a ring does not make it tell more.
        """
        gap = min(GAP * took, PERIOD)  # a clock that ran on in suspend must not make us deaf
        self._earliest = now + max(gap, RETRY if has_failed else 0.0)
        self.at = max(self._earliest, now + (min(RETRY, period) if has_failed else period))

    def ring(self, now: float) -> None:
        """Something has changed."""
        self.at = min(self.at, max(now + SETTLE, self._earliest))
