"""How many questions are answered: a source address of UDP can be forged, and an answer is longer than its question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from discoveryd.config.listen import is_loopback
from discoveryd.protocol.bounded import TokenBuckets

LOCAL = 5000
"""Questions a second of this machine by UDP, and as many by TCP: the work of half a core."""
FOREIGN = 50
"""The same of any other source."""
SOURCES = 1024
"""Sources that are counted one by one; all of them together have what this machine has."""

WORK = 0.5
AT_ONCE = 0.25
"""Seconds of work a second for all questions together, and at once: the rest is for the other parts on the loop."""

PAUSE = 0.01
"""Seconds that a wait takes at least."""

_THIS_MACHINE = ""

Verdict = Literal["answered", "truncated", "dropped"]


class Rates:
    """What a source may ask. Past its bound it is told to come by TCP, as often once more; then it is not answered.

    Args:
        local: questions a second of this machine.
        foreign: the same of any other source.
        is_local: whether a source is this machine.
    """

    def __init__(
        self, local: float = LOCAL, foreign: float = FOREIGN, is_local: Callable[[str], bool] = is_loopback
    ) -> None:
        self.is_local = is_local
        self._local = [TokenBuckets(local, local, 1) for _ in range(3)]
        self._foreign = [TokenBuckets(foreign, local, SOURCES) for _ in range(3)]

    def of_datagram(self, source: str, now: float) -> Verdict:
        """Return what becomes of a question by UDP."""
        name, (answered, truncated, _) = self._of(source)
        if answered.allows(name, now):
            return "answered"
        return "truncated" if truncated.allows(name, now) else "dropped"

    def of_stream(self, source: str, now: float) -> bool:
        """Return whether a question by TCP is answered."""
        name, (*_, by_tcp) = self._of(source)
        return by_tcp.allows(name, now)

    def _of(self, source: str) -> tuple[str, list[TokenBuckets]]:
        """Return under which name a source is counted, and where; this machine has sixteen million addresses."""
        return (_THIS_MACHINE, self._local) if self.is_local(source) else (source, self._foreign)


class Workload:
    """The time that answers may take of the thread; a question about many peers takes as long as fifty about one.

    Args:
        now: the time.
    """

    def __init__(self, now: float) -> None:
        self._left = AT_ONCE
        self._at = now

    def spend(self, seconds: float) -> None:
        """Note that an answer took so long."""
        self._left -= seconds

    def wait(self, now: float) -> float:
        """Return the seconds until the next question may be answered; 0 for at once."""
        self._left, self._at = min(AT_ONCE, self._left + max(0.0, now - self._at) * WORK), now
        return 0.0 if self._left > 0 else -self._left / WORK + PAUSE
