"""A way out for our HELLOs, and what is counted there."""

from __future__ import annotations

from discoveryd.protocol.link import Link

BURST = (0.0, 0.1, 0.3)
"""Seconds after a start or a change at which the full HELLO is sent: one of three gets through."""


class Outlet:
    """A way out for our HELLOs and what is counted there: a link, or the seeds."""

    __slots__ = ("burst", "last_heard", "link", "received", "sent", "since", "solicits", "targets")

    def __init__(self, link: Link | None, targets: tuple[str, ...], now: float) -> None:
        self.link = link
        self.targets = targets
        self.since = now
        self.sent = 0
        self.received = 0
        self.last_heard: float | None = None
        self.burst: list[float] = []
        self.solicits = False

    @property
    def name(self) -> str:
        """The interface, or ``-`` for what is routed."""
        return self.link.name if self.link else "-"

    def begin_burst(self, now: float, *, solicits: bool) -> None:
        """Schedule the full HELLO a few times."""
        self.burst = [now + offset for offset in BURST]
        self.solicits = self.solicits or solicits
