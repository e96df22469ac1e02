"""How many HELLOs a second are heard: what a segment carries, whoever they are from."""

from __future__ import annotations

from collections import deque

SPAN = 2.0
"""Seconds over which the rate is measured."""
STEP = 0.25
"""Seconds between two looks at the counter at least."""


class HelloRate:
    """Measures the rate of HELLOs from a counter that is looked at now and then. Time is an argument, in seconds."""

    __slots__ = ("_looks",)

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def see(self, total: int, now: float) -> None:
        """Take the number of HELLOs that were ever heard."""
        looks = self._looks
        if looks and now < looks[-1][0] + STEP:
            return
        looks.append((now, total))
        while len(looks) > 1 and looks[1][0] <= now - SPAN:
            looks.popleft()

    def rate(self, total: int, now: float) -> float:
        """Return HELLOs a second, over the last `SPAN` seconds or a little longer."""
        if not self._looks:
            return 0.0
        began, before = self._looks[0]
        return (total - before) / max(SPAN, now - began)
