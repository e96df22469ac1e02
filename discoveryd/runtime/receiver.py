"""The receiving side of one transport: when it is read late, when it is flooded, when its interfaces are read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter

from discoveryd.net.batch import BATCH
from discoveryd.net.transport import Arrivals, Transport
from discoveryd.protocol.link import Link
from discoveryd.runtime.flood_detection import FloodDetector, FloodTurn
from discoveryd.runtime.rescan import PERIOD, PERIOD_UNTOLD, Rescan

LAG = 1.0
"""Seconds that datagrams may wait to be read; past it others may be lost, and readers of the table wait too."""


class Receiver:
    """Reads one transport. For the thread of that transport; `flood` may be read by any.

    Args:
        transport: to read.
        known: returns the addresses that pass in a flood, of peers heard before a moment.
        clock: seconds.
    """

    def __init__(
        self, transport: Transport, known: Callable[[float], Iterable[str]], clock: Callable[[], float]
    ) -> None:
        self.transport = transport
        self.flood = FloodDetector(transport, known)
        self._clock = clock
        self._rescans = Rescan()
        self._read_at = clock()
        self._kernel_drops = 0
        self._wants_scan = False

    def read(self, limit: float) -> tuple[Arrivals, float, bool, FloodTurn | None]:
        """Wait for arrivals, or until something is due, and judge them.

        Args:
            limit: datagrams within a second, past which it is a flood.

        Returns:
            the arrivals; the time of reading; whether datagrams waited so long, or in such a crowd, that others may be
            lost; and the turn if a flood began or ended.
        """
        before = self._clock()
        patience = self.flood.patience(before)
        left = max(0.0, self._rescans.at - before)
        arrivals = self.transport.listen(left if patience is None else min(left, patience))
        now, batch = self._clock(), arrivals.datagrams
        is_late = bool(batch) and now > batch[0][2] + LAG
        has_paused = is_late and now > self._read_at + LAG
        self._read_at = now
        turn = self.flood.took(len(batch), now, limit, is_late=is_late, has_paused=has_paused)
        # the buffer was full only if there is a batch and more to read
        is_late |= len(batch) >= BATCH and patience is None and self._has_lost()
        if arrivals.has_rung:
            self._rescans.ring(now)
        return arrivals, now, is_late, turn

    def _has_lost(self) -> bool:
        """Return whether the kernel has lost datagrams since the last call."""
        before, self._kernel_drops = self._kernel_drops, self.transport.kernel_drops()
        return self._kernel_drops > before

    def request_scan(self) -> None:
        """Have the interfaces read as soon as may be; from any thread."""
        self._wants_scan = True
        self.transport.wake()

    def is_scan_due(self, now: float) -> bool:
        """Return whether the interfaces are to be read."""
        return self._wants_scan or now >= self._rescans.at

    def scan(self, patterns: Iterable[str]) -> tuple[Link, ...]:
        """Read the interfaces, and plan the next scan."""
        self._wants_scan = False
        began = perf_counter()
        links = self.transport.rescan(tuple(patterns))
        period = PERIOD if self.transport.has_doorbell else PERIOD_UNTOLD
        has_failed = self.transport.scan_error is not None
        self._rescans.done(self._clock(), took=perf_counter() - began, period=period, has_failed=has_failed)
        return links
