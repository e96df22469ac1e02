"""A way out for our HELLOs, and what is counted there."""

from __future__ import annotations

from discoveryd.protocol.link import Link

BURST = (0.0, 0.1, 0.3)
"""Seconds after a start or a change at which the full HELLO is sent: one of three gets through."""
PLACES = (0.5, 1.5)
"""Where in a stretched burst a node may have its place: those of a crowd that began together come apart."""


class LinkState:
    """A way out for our HELLOs and what is counted there: a link, or the seeds."""

    __slots__ = (
        "begun", "burst", "has_beaten", "last_heard", "limited", "link", "place", "received", "sent", "since",
        "solicits", "targets",
    )  # fmt: skip

    def __init__(self, link: Link | None, targets: tuple[str, ...], now: float) -> None:
        self.link = link
        self.targets = targets
        self.since = now
        self.sent = 0
        self.received = 0
        self.last_heard: float | None = None
        self.burst: list[float] = []
        self.begun = now
        self.place = 1.0
        self.solicits = False
        self.limited = False  # whether every HELLO goes to 255.255.255.255, since the last beat
        self.has_beaten = False

    @property
    def name(self) -> str:
        """The interface, or ``-`` for what is routed."""
        return self.link.name if self.link else "-"

    def begin_burst(self, now: float, *, solicits: bool, place: float = 1.0) -> None:
        """Schedule the full HELLO a few times."""
        self.begun = now
        self.place = place
        self.burst = [now + offset for offset in BURST]
        self.solicits = self.solicits or solicits

    def stretch(self, times: float) -> None:
        """Spread what is left of the burst as the interval is, so many times: a crowd shall not shout."""
        left = BURST[-len(self.burst) :]
        self.burst = [self.begun + offset * (1 + (times - 1) * self.place) for offset in left]
