"""The floodgate: in a flood the kernel lets known peers through and a few of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from discoveryd.protocol.flood import Flood

PERIOD = 0.25
"""Seconds between two looks at the rate: a flood costs a live peer one HELLO at most."""
REVIEW = 1.0
"""Seconds after which the known addresses are looked up anew."""


class Links(Protocol):
    """What it opens and closes."""

    def kernel_drops(self) -> int:
        """Count what the kernel threw away."""

    def sample(self, known: Iterable[str], share: float) -> str | None:
        """Let only these through, and a share of the others; all for a share of 1. Give what failed."""


class FloodDetector:
    """Counts what comes in, and acts. For the receiving thread; its counters may be read by any.

    Args:
        links: where it comes in.
        limit: datagrams a second.
        turned: told that there is a flood since then, or that it is over (None).
        known: gives the addresses to let through, of those heard before that.
    """

    def __init__(
        self,
        links: Links,
        limit: float,
        turned: Callable[[float | None, str | None], None],
        known: Callable[[float], Iterable[str]],
    ) -> None:
        self.dropped = 0
        self._links = links
        self._flood = Flood(limit)
        self._turned = turned
        self._known = known
        self._taken = 0
        self._lost = 0
        self._excused = 0  # of those lost
        self._has_paused = False  # since the last look
        self._look_at = 0.0
        self._review_at = 0.0

    @property
    def limit(self) -> float:
        """Datagrams within a second, past which it is a flood."""
        return self._flood.limit

    @limit.setter
    def limit(self, limit: float) -> None:
        self._flood.limit = limit

    def patience(self, now: float) -> float | None:
        """Give the seconds until it must look again; None while there is no flood."""
        return max(0.0, self._look_at - now) if self._flood.is_on else None

    def took(self, count: int, now: float, *, is_late: bool = False, has_paused: bool = False) -> None:
        """Take it that so many datagrams were read now.

        Args:
            count: of them.
            now: the moment of reading. That of their arrival would not do: of a flood that fills the buffer faster than
                it is read, what is read is always old, and hardly gets younger.
            is_late: they waited for long, and so say nothing of the rate now; what the kernel throws away does.
            has_paused: nothing was read for long before: what was thrown away meanwhile is no sign of a flood either.
        """
        self._taken += 0 if is_late else count
        self._has_paused |= has_paused
        if now < self._look_at:
            return
        self._look_at = now + PERIOD
        lost = self._links.kernel_drops()
        was_on = self._flood.is_on
        if was_on:
            self.dropped += lost - self._lost
        elif self._has_paused:
            self._excused += lost - self._lost
        self._lost, self._has_paused = lost, False
        is_changed = self._flood.see(self._taken + lost - self._excused, now)
        if is_changed or (was_on and now >= self._review_at):
            self._review_at = now + REVIEW
            since, is_on = self._flood.since, self._flood.is_on
            failure = self._links.sample(self._known(since) if is_on else (), self._flood.share)
            if is_on is not was_on:
                self._turned(since if is_on else None, failure)
