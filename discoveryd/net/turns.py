"""A selector that knows how long its thread does not wait in it: what the watch over an event loop needs."""

import selectors
from collections.abc import Callable

LATELY = 60.0
"""Seconds for which the longest turn is told."""


class TimedSelector(selectors.DefaultSelector):
    """Notes each turn of a loop: from the end of a wait to the beginning of the next. It wakes nobody for that.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._began: float | None = None  # the turn of now
        self._longest, self._until = 0.0, 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as any selector does."""
        if self._began is not None:
            now = self._clock()
            if (turn := now - self._began) >= self._longest or now >= self._until:
                self._longest, self._until = turn, now + LATELY
            self._began = None
        try:
            return super().select(timeout)
        finally:
            self._began = self._clock()

    def turn(self) -> float:
        """Return the seconds that the turn of now lasts, 0 while the thread waits. For any thread."""
        began = self._began
        return 0.0 if began is None else self._clock() - began

    def longest(self) -> float:
        """Return the seconds of the longest turn of late, that of now included. For any thread."""
        return max(self.turn(), self._longest if self._clock() < self._until else 0.0)
