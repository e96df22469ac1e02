"""The peers of another site that no gateway lists, or that left a moment ago."""

from __future__ import annotations

from typing import Final, NamedTuple

from discoveryd.protocol.bounded import put_last

MAX_GONE = 1024
"""Peers of one site that are remembered; past it the first is forgotten."""
DOMINANT = 10.0
"""Seconds within which the other gateways of a site hear of a goodbye too, or of a new boot."""
EVIDENT: Final = frozenset(("left", "replaced"))
"""States for which there is evidence, and not only silence."""
_RANKS: Final = {"unknown": 1, "down": 2, "left": 3, "replaced": 3}


class GonePeer(NamedTuple):
    """A peer that is gone: its state, its text, and when that was told."""

    state: str
    text: str
    at: float


class GonePeers(dict[str, GonePeer]):
    """Peers that are gone, by key."""

    def end(self, key: str, state: str, text: str, now: float) -> None:
        """Remember a peer that is gone; what says less than is known already changes nothing."""
        known = self.get(key)
        if text and (known is None or _RANKS[state] >= _RANKS[known.state]):
            put_last(self, key, GonePeer(state, text, now), MAX_GONE)

    def forget(self, since: float) -> None:
        """Forget the peers of which the end was told before a moment."""
        for key in [key for key, gone in self.items() if gone.at <= since]:
            del self[key]
