"""The transports of a node as one network, and the receiver of each: late reading, floods, the next scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from time import perf_counter

from discoveryd.net.batch import BATCH
from discoveryd.net.transport import Arrivals, Outside, SendChange, Transport
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Send
from discoveryd.query.status import ReceiveBuffer
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

    Attributes:
        given_until: all that arrived before that moment was given to the node; the lock of the driver guards it.
    """

    def __init__(
        self, transport: Transport, known: Callable[[float], Iterable[str]], clock: Callable[[], float]
    ) -> None:
        self.transport = transport
        self.flood = FloodDetector(transport, known)
        self.given_until = 0.0
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


class Network:
    """The transports, with a receiver for each. The receivers belong to their threads, all else is for any thread.

    Args:
        transports: what carries datagrams.
        known: returns the addresses that pass in a flood, of peers heard before a moment.
        clock: seconds.
    """

    def __init__(
        self, transports: Sequence[Transport], known: Callable[[float], Iterable[str]], clock: Callable[[], float]
    ) -> None:
        self._transports = tuple(transports)
        self.receivers = tuple(Receiver(transport, known, clock) for transport in self._transports)

    def open(self, stack: ExitStack, patterns: Sequence[str]) -> None:
        """Open the transports until `stack` closes, and read the interfaces.

        Raises:
            OSError: from a transport.
        """
        for receiver in self.receivers:
            stack.callback(receiver.transport.close)
            receiver.transport.open()
            receiver.scan(patterns)

    def wake(self) -> None:
        """Have the receivers return from their waiting."""
        for transport in self._transports:
            transport.wake()

    def request_scan(self) -> None:
        """Have the interfaces read as soon as may be."""
        for receiver in self.receivers:
            receiver.request_scan()

    def send(self, sends: Sequence[Send]) -> list[SendChange]:
        """Send datagrams, and return the targets where sending began to fail or works again."""
        return [change for transport in self._transports for change in transport.send(sends)]

    @property
    def links(self) -> dict[Link, tuple[str, ...]]:
        """The links there are, each with the further addresses of ours there."""
        return {link: others for transport in self._transports for link, others in transport.others.items()}

    @property
    def given_until(self) -> float:
        """All that arrived before that moment was given to the node, from every transport."""
        return min(receiver.given_until for receiver in self.receivers)

    @property
    def has_doorbell(self) -> bool:
        """Whether every transport is told of changes of the interfaces."""
        return all(transport.has_doorbell for transport in self._transports)

    @property
    def scan_error(self) -> str | None:
        """Why the interfaces cannot be read; None if they can."""
        return next((one.scan_error for one in self._transports if one.scan_error is not None), None)

    @property
    def is_flooded(self) -> bool:
        """Whether there is a flood at any transport."""
        return any(receiver.flood.is_on for receiver in self.receivers)

    @property
    def flood_drops(self) -> int:
        """Datagrams that the kernel threw away in floods."""
        return sum(receiver.flood.dropped for receiver in self.receivers)

    def drops(self) -> Counter[tuple[str, str]]:
        """Count what never came to the engine, or never left, by reason and link."""
        drops: Counter[tuple[str, str]] = Counter()
        for transport in self._transports:
            drops.update(dict(list(transport.drops.items())))  # copied first: other threads go on counting
        lost = sum(transport.kernel_drops() for transport in self._transports)
        flooded = self.flood_drops
        drops += Counter({("kernel", "-"): lost - flooded, ("flood", "-"): flooded})
        return drops

    def send_errors(self) -> dict[tuple[str, str], str]:
        """Return the error of each link and target where sending fails."""
        return {key: error for transport in self._transports for key, error in list(transport.send_errors.items())}

    def outside(self) -> dict[tuple[str, int], Outside]:
        """Return the neighbours outside our networks, by address and interface."""
        return {key: found for transport in self._transports for key, found in list(transport.outside.items())}

    def receive_buffer(self) -> ReceiveBuffer:
        """Return the bytes of the smallest receive buffer, and the bytes wanted."""
        size, wanted = min(transport.receive_buffer() for transport in self._transports)
        return {"bytes": size, "wanted": wanted}
