"""Flood detection at one transport: in a flood the kernel lets known peers pass, and a sample of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from discoveryd.protocol.flood import Flood

PERIOD = 0.25
"""Seconds between two measurements of the rate: a flood costs a live peer one HELLO at most."""
REVIEW = 1.0
"""Seconds after which the known addresses are read again."""


class Filtered(Protocol):
    """What a flood detector needs of a transport."""

    def kernel_drops(self) -> int:
        """Count the datagrams that a full receive buffer lost."""

    def sample(self, known: Iterable[str], share: float) -> str | None:
        """Let known addresses pass, and a share of all others; return what failed."""


class FloodTurn(NamedTuple):
    """A flood began or ended.

    Attributes:
        since: when there certainly was no flood yet; None if it ended.
        failure: why the kernel cannot filter; None if it can.
    """

    since: float | None
    failure: str | None


class FloodDetector:
    """Counts what arrives, and has the kernel filter it. For the receiving thread; its counters may be read by any.

    Args:
        transport: where datagrams arrive.
        known: returns the addresses that pass, of peers heard before a moment.

    Attributes:
        dropped: datagrams that the kernel threw away in floods.
    """

    def __init__(self, transport: Filtered, known: Callable[[float], Iterable[str]]) -> None:
        self.dropped = 0
        self._transport = transport
        self._flood = Flood(float("inf"))
        self._known = known
        self._taken = 0
        self._lost = 0
        self._excused = 0  # of those lost
        self._has_paused = False  # since the last measurement
        self._measure_at = 0.0
        self._review_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether there is a flood."""
        return self._flood.is_on

    def patience(self, now: float) -> float | None:
        """Return the seconds until the next measurement; None while there is no flood."""
        return max(0.0, self._measure_at - now) if self._flood.is_on else None

    def took(
        self, count: int, now: float, limit: float, *, is_late: bool = False, has_paused: bool = False
    ) -> FloodTurn | None:
        """Count datagrams that were read now; return the turn when a flood begins or ends.

        Args:
            count: of the datagrams.
            now: the time of reading. The time of arrival would not do: of a flood that fills the buffer faster than it
                is read, what is read is always old, and hardly gets younger.
            limit: datagrams within a second, past which it is a flood.
            is_late: they waited for long, and so say nothing of the rate now; what the kernel throws away does.
            has_paused: nothing was read for long before: what was thrown away meanwhile is no sign of a flood either.
        """
        self._taken += 0 if is_late else count
        self._has_paused |= has_paused
        if now < self._measure_at:
            return None
        self._measure_at = now + PERIOD
        lost = self._transport.kernel_drops()
        was_on = self._flood.is_on
        if was_on:
            self.dropped += lost - self._lost
        elif self._has_paused:
            self._excused += lost - self._lost
        self._lost, self._has_paused = lost, False
        self._flood.limit = limit
        is_changed = self._flood.see(self._taken + lost - self._excused, now)
        if not is_changed and not (was_on and now >= self._review_at):
            return None
        self._review_at = now + REVIEW
        since, is_on = self._flood.since, self._flood.is_on
        failure = self._transport.sample(self._known(since) if is_on else (), self._flood.share)
        return FloodTurn(since if is_on else None, failure) if is_on is not was_on else None
