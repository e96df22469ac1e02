"""The peers of another site that no gateway lists, or that left a moment ago."""

from __future__ import annotations

from typing import Final, NamedTuple

from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wills import DIED
from discoveryd.sites.changes import Shown
from discoveryd.sites.wire import End

MAX_GONE = 1024
"""Peers of one site that are remembered; past it the first is forgotten."""
DOMINANT = 10.0
"""Seconds within which the other gateways of a site hear of a goodbye too, a new boot, or a process that died; or are
silent themselves, if it was one of them."""
EVIDENT: Final = frozenset(("left", "died", "replaced"))
"""States for which there is evidence, and not only silence."""
_RANKS: Final = {"unknown": 1, "down": 2, "died": 3, "left": 4, "replaced": 4}


class GonePeer(NamedTuple):
    """A peer that is gone: how it ended, its text, and when that was told."""

    end: End
    text: str
    at: float

    @property
    def state(self) -> str:
        """That of its end."""
        return self.end.state

    @property
    def shown(self) -> Shown:
        """What is shown of it."""
        if self.state == "died":
            return "down", self.text, DIED
        return self.state, self.text, self.end.reason if self.state == "left" else ""


class GonePeers(dict[str, GonePeer]):
    """Peers that are gone, by key.

    Attributes:
        due: when the next evident end ceases to count more than a list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.due = NEVER
        self._latest = -NEVER

    def end(self, key: str, end: End, text: str, now: float) -> None:
        """Remember a peer that is gone; what says less than is known already changes nothing."""
        known = self.get(key)
        if text and (known is None or _RANKS[end.state] >= _RANKS[known.state]):
            put_last(self, key, GonePeer(end, text, now), MAX_GONE)
            self._latest = now
            if end.state in EVIDENT:
                self.due = min(self.due, now + DOMINANT)

    def listed(self, key: str) -> None:
        """Note that a gateway lists a peer: against evidence that counts, but not for ever."""
        gone = self.get(key)
        if gone is not None and gone.state in EVIDENT:
            self.due = min(self.due, gone.at + DOMINANT)
        else:
            self.pop(key, None)

    def since(self, moment: float, now: float) -> list[str]:
        """Return the peers of which the end was told since a moment: one of these may be listed by now."""
        if moment > self._latest:
            return []
        self.due = min(self.due, now)
        return [key for key, gone in self.items() if gone.at >= moment]

    def doubtful(self, now: float) -> list[str]:
        """Return the evident ends that count no more than a list by now; the next one is `due`."""
        ends = [(key, gone.at + DOMINANT) for key, gone in self.items() if gone.state in EVIDENT]
        self.due = min([end for _, end in ends if end > now], default=NEVER)
        return [key for key, end in ends if end <= now]

    def forget(self, since: float) -> None:
        """Forget the peers of which the end was told before a moment."""
        for key in [key for key, gone in self.items() if gone.at <= since]:
            del self[key]
