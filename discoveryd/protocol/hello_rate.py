"""How many HELLOs a second are heard: what a segment carries, whoever sends it."""

from __future__ import annotations

from collections import deque

SPAN = 2.0
"""Seconds over which the rate is measured."""
STEP = 0.25
"""Seconds between two readings of the counters at least."""


class HelloRate:
    """Counts the heartbeats of others, each once, and measures their rate. Time is an argument, in seconds.

    Attributes:
        steady: HELLOs that took the fast path.
        beats: further heartbeats; less those steady HELLOs that repeated a heartbeat.
    """

    __slots__ = ("_readings", "beats", "steady")

    def __init__(self) -> None:
        self.steady = 0
        self.beats = 0
        self._readings: deque[tuple[float, int]] = deque()

    def read(self, now: float) -> None:
        """Remember how many there were by now."""
        readings = self._readings
        if readings and now < readings[-1][0] + STEP:
            return
        readings.append((now, self.steady + self.beats))
        while len(readings) > 1 and readings[1][0] <= now - SPAN:
            readings.popleft()

    def rate(self, now: float) -> float:
        """Return HELLOs a second, over the last `SPAN` seconds or a little longer."""
        if not self._readings:
            return 0.0
        began, before = self._readings[0]
        return (self.steady + self.beats - before) / max(SPAN, now - began)
