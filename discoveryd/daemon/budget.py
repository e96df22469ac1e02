"""How many log lines peers may cost that nobody has seen to be there."""

from __future__ import annotations

from discoveryd.protocol.table.events import Event

RATE = 50.0
"""Lines a second about peers that answered no PING and do not seal; as many at once after a calm second."""
TELL_EVERY = 1.0
"""Seconds between two lines that say how many were left out."""


class Budget:
    """Decides which events are logged. Peers that anybody can make up must not fill the disk.

    Attributes:
        unlogged: events left out since the start.
    """

    __slots__ = ("_at", "_tokens", "_told", "_told_at", "unlogged")

    def __init__(self) -> None:
        self.unlogged = 0
        self._tokens, self._at = RATE, 0.0
        self._told, self._told_at = 0, 0.0

    def allows(self, event: Event, now: float) -> bool:
        """Return whether an event is logged; one that is not is counted."""
        if event.peer.rtt_ms is not None or event.peer.key:
            return True
        self._tokens = min(RATE, self._tokens + max(0.0, now - self._at) * RATE)
        self._at = now
        if self._tokens < 1:
            self.unlogged += 1
            return False
        self._tokens -= 1
        return True

    def untold(self, now: float) -> int:
        """Return how many events were left out since this was told last; 0 if that was less than `TELL_EVERY` ago."""
        count = self.unlogged - self._told
        if not count or now < self._told_at + TELL_EVERY:
            return 0
        self._told, self._told_at = self.unlogged, now
        return count
