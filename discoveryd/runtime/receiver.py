"""Reads one transport: late reading, floods, the next scan of its links.

In a flood the kernel lets known peers pass, and a sample of all others.
"""

from collections.abc import Callable, Iterable
from threading import Lock
from time import perf_counter
from typing import NamedTuple

from discoveryd.net.batch import BATCH
from discoveryd.net.transport import NOT_WOKEN, Arrivals, Transport, Woken
from discoveryd.protocol.flood import Flood
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.notices import SCAN_RETRY

LAG = 1.5
"""Seconds that datagrams may wait to be read; past it others may be lost, and the table is brought up to date for
its readers."""
STIRRED = 2.0
"""Seconds after an event in which also quiet HELLOs wake: a live peer that a forged goodbye hid comes back by one."""
PERIOD = 30.0
PERIOD_UNTOLD = 3.0
"""Seconds between two scans: with a doorbell a safety net, without one the only means."""
SETTLE = 0.05
"""Seconds from a ring of the doorbell to the scan: one change rings several times."""
SCAN_GAP = 10
"""A scan waits this many times as long as the last one took: at most 9 % of a core, whatever rings."""
MEASURE_PERIOD = 0.25
"""Seconds between two measurements of the rate: a flood costs a live peer one HELLO at most."""
REVIEW = 1.0
"""Seconds after which the known addresses are read again."""

Known = Callable[[float], Iterable[str]]
"""Returns the addresses of peers heard before a moment."""


class Rescan:
    """Plans the scans. The caller brings the time.

    Attributes:
        at: when the next one is due.
    """

    def __init__(self) -> None:
        self.at = 0.0
        self._earliest = 0.0

    def done(self, now: float, *, took: float, period: float, has_failed: bool) -> None:
        """Plan the next scan after one.

        Args:
            now: the time at its end.
            took: seconds.
            period: seconds to the next one if nothing rings.
            has_failed: whether the scan failed; then a ring does not bring the next one forward.
        """
        gap = min(SCAN_GAP * took, PERIOD)  # a clock that ran on in suspend must not make us deaf
        self._earliest = now + max(gap, SCAN_RETRY if has_failed else 0.0)
        self.at = max(self._earliest, now + (min(SCAN_RETRY, period) if has_failed else period))

    def ring(self, now: float) -> None:
        """Plan a scan soon: something has changed."""
        self.at = min(self.at, max(now + SETTLE, self._earliest))


class FloodTurn(NamedTuple):
    """A flood began or ended.

    Attributes:
        since: when there certainly was no flood yet; None if it ended.
        failure: why the kernel cannot filter; None if it can.
    """

    since: float | None
    failure: str | None


class FloodDetector:
    """Counts what arrives, and has the kernel filter it. For the thread that reads; its counters may be read by any.

    Args:
        transport: where datagrams arrive.
        known: returns the addresses that pass, of peers heard before a moment.

    Attributes:
        dropped: datagrams that the kernel threw away in floods.
    """

    def __init__(self, transport: Transport, known: Known) -> None:
        self.dropped = 0
        self._transport = transport
        self._flood = Flood(float("inf"))
        self._known = known
        self._read = 0
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

    def took(self, count: int, now: float, limit: float, *, has_paused: bool = False) -> FloodTurn | None:
        """Count datagrams that were read now; return the turn when a flood begins or ends.

        Args:
            count: of the datagrams.
            now: the time of reading.
            limit: datagrams within a second, past which it is a flood.
            has_paused: nothing was read for long before: what was thrown away meanwhile is no sign of a flood.
        """
        self._read += count
        self._has_paused |= has_paused
        if now < self._measure_at:
            return None
        self._measure_at = now + MEASURE_PERIOD
        lost = self._transport.kernel_drops()
        was_on = self._flood.is_on
        if was_on:
            self.dropped += lost - self._lost
        elif self._has_paused:
            self._excused += lost - self._lost
        self._lost, self._has_paused = lost, False
        self._flood.limit = limit
        is_changed = self._flood.see(self._read, lost - self._excused, self._transport.heard_until, now)
        if not is_changed and not (was_on and now >= self._review_at):
            return None
        self._review_at = now + REVIEW
        since, is_on = self._flood.since, self._flood.is_on
        failure = self._transport.sample(self._known(since) if is_on else (), self._flood.share)
        return FloodTurn(since if is_on else None, failure) if is_on is not was_on else None


class Receiver:
    """Reads one transport. `wait` and scans are for the thread of that transport; `flood` may be read by any.

    Args:
        transport: to read.
        known: returns the addresses that pass in a flood.
        clock: seconds.

    Attributes:
        reading: held by the thread that reads, until what it read was given to the node.
        given_until: all that arrived before that moment was given to the node; the lock of the driver guards it.
    """

    def __init__(self, transport: Transport, known: Known, clock: Callable[[], float]) -> None:
        self.transport = transport
        self.flood = FloodDetector(transport, known)
        self.reading = Lock()
        self.given_until = 0.0
        self._clock = clock
        self._rescans = Rescan()
        self._read_at = clock()
        self._kernel_drops = 0
        self._wants_scan = False
        self._stirred_until = 0.0

    def wait(self) -> Woken:
        """Wait until something arrives that says something new, or a scan or a measurement is due."""
        now = self._clock()
        patience = self.flood.patience(now)
        left = max(0.0, self._rescans.at - now)
        woken = self.transport.wait(left if patience is None else min(left, patience))
        if woken.has_rung:
            self._rescans.ring(self._clock())
        return woken

    def read(self, limit: float, woken: Woken = NOT_WOKEN) -> tuple[Arrivals, float, bool, FloodTurn | None]:
        """Read what has arrived, and judge it. For the thread that holds `reading`.

        Args:
            limit: datagrams within a second, past which it is a flood.
            woken: what `wait` returned just before.

        Returns:
            the arrivals; the time of reading; whether datagrams waited so long, or in such a crowd, that others may be
            lost; and the turn if a flood began or ended.
        """
        is_flood = self.flood.is_on
        arrivals = self.transport.read(woken, is_calm=self._clock() >= self._stirred_until)
        now, batch = self._clock(), arrivals.datagrams
        is_late = bool(batch) and now > batch[0][2] + LAG
        has_paused = is_late and now > self._read_at + LAG
        self._read_at = now
        turn = self.flood.took(len(batch), now, limit, has_paused=has_paused)
        # the buffer was full only if there is a batch and more to read
        if len(batch) >= BATCH and not is_flood:
            before, self._kernel_drops = self._kernel_drops, self.transport.kernel_drops()
            is_late |= self._kernel_drops > before
        return arrivals, now, is_late, turn

    def stir(self) -> None:
        """Have every datagram read at once for a while, as something has happened; from any thread."""
        now = self._clock()
        was_calm, self._stirred_until = now >= self._stirred_until, now + STIRRED
        if was_calm:
            self.transport.wake()

    def request_scan(self) -> None:
        """Have the interfaces read as soon as may be; from any thread."""
        self._wants_scan = True
        self.transport.wake()

    def is_scan_due(self, now: float) -> bool:
        """Return whether the interfaces are to be read."""
        return self._wants_scan or now >= self._rescans.at

    def scan(self, parameters: Parameters) -> None:
        """Read the interfaces, and plan the next scan."""
        self._wants_scan = False
        began = perf_counter()
        with self.reading:  # it may open sockets, and changes what sources there are
            self.transport.rescan(parameters.interfaces, parameters.spoken)
        period = PERIOD if self.transport.has_doorbell else PERIOD_UNTOLD
        has_failed = self.transport.scan_error is not None
        self._rescans.done(self._clock(), took=perf_counter() - began, period=period, has_failed=has_failed)
