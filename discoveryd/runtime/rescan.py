"""When to read the interfaces next: by time, soon after a change, and never so often that it costs a core."""

from __future__ import annotations

PERIOD = 30.0
PERIOD_UNTOLD = 3.0
"""Seconds between two scans: with a doorbell a safety net, without one the only means."""
RETRY = 3.0
"""Seconds from a scan that failed to the next."""
SETTLE = 0.05
"""Seconds from a ring of the doorbell to the scan: one change rings several times."""
GAP = 10
"""A scan waits this many times as long as the last one took: at most 9 % of a core, whatever rings."""


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
            has_failed: whether the scan failed; then a ring does not bring the next one forward.
        """
        gap = min(GAP * took, PERIOD)  # a clock that ran on in suspend must not make us deaf
        self._earliest = now + max(gap, RETRY if has_failed else 0.0)
        self.at = max(self._earliest, now + (min(RETRY, period) if has_failed else period))

    def ring(self, now: float) -> None:
        """Plan a scan soon: something has changed."""
        self.at = min(self.at, max(now + SETTLE, self._earliest))
