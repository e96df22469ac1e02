"""The transports of a node as one network, and the receiver of each: late reading, floods, the next scan of links.

In a flood the kernel lets known peers pass, and a sample of all others.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import NamedTuple

from discoveryd.net.batch import BATCH
from discoveryd.net.icmp import IcmpError
from discoveryd.net.interfaces import Unlinked, is_internal
from discoveryd.net.transport import Arrivals, Outside, SendChange, Transport
from discoveryd.protocol.flood import Flood
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.query.status import ReceiveBuffer, WillStatus
from discoveryd.runtime.notices import SCAN_RETRY

LAG = 1.0
"""Seconds that datagrams may wait to be read; past it others may be lost, and readers of the table wait too."""
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
    """Counts what arrives, and has the kernel filter it. For the receiving thread; its counters may be read by any.

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
    """Reads one transport. For the thread of that transport; `flood` may be read by any.

    Args:
        transport: to read.
        known: returns the addresses that pass in a flood.
        clock: seconds.

    Attributes:
        given_until: all that arrived before that moment was given to the node; the lock of the driver guards it.
    """

    def __init__(self, transport: Transport, known: Known, clock: Callable[[], float]) -> None:
        self.transport = transport
        self.flood = FloodDetector(transport, known)
        self.given_until = 0.0
        self._clock = clock
        self._rescans = Rescan()
        self._read_at = clock()
        self._kernel_drops = 0
        self._wants_scan = False
        self._stirred_until = 0.0

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
        is_calm = before >= self._stirred_until
        arrivals = self.transport.listen(left if patience is None else min(left, patience), is_calm=is_calm)
        now, batch = self._clock(), arrivals.datagrams
        is_late = bool(batch) and now > batch[0][2] + LAG
        has_paused = is_late and now > self._read_at + LAG
        self._read_at = now
        turn = self.flood.took(len(batch), now, limit, has_paused=has_paused)
        # the buffer was full only if there is a batch and more to read
        if len(batch) >= BATCH and patience is None:
            before, self._kernel_drops = self._kernel_drops, self.transport.kernel_drops()
            is_late |= self._kernel_drops > before
        if arrivals.has_rung:
            self._rescans.ring(now)
        return arrivals, now, is_late, turn

    def stir(self) -> None:
        """Have every datagram read at once for a while, as something has happened; from any thread."""
        self._stirred_until = self._clock() + STIRRED

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
        self.transport.rescan(parameters.interfaces, parameters.spoken)
        period = PERIOD if self.transport.has_doorbell else PERIOD_UNTOLD
        has_failed = self.transport.scan_error is not None
        self._rescans.done(self._clock(), took=perf_counter() - began, period=period, has_failed=has_failed)


class Network:
    """The transports, with a receiver for each. The receivers belong to their threads, all else is for any thread.

    Args:
        transports: what carries datagrams.
        known: returns the addresses that pass in a flood.
        clock: seconds.
    """

    def __init__(self, transports: Sequence[Transport], known: Known, clock: Callable[[], float]) -> None:
        self._transports = tuple(transports)
        self.receivers = tuple(Receiver(transport, known, clock) for transport in self._transports)
        self._left = 0  # datagrams of the will

    def open(self, stack: ExitStack, parameters: Parameters) -> None:
        """Open the transports until `stack` closes, and read the interfaces.

        Raises:
            OSError: from a transport.
        """
        for receiver in self.receivers:
            stack.callback(receiver.transport.close)
            receiver.transport.open()
            receiver.scan(parameters)

    def stir(self) -> None:
        """Have every datagram read at once for a while: what is all as it was becomes news after an event."""
        for receiver in self.receivers:
            receiver.stir()

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

    def leave_will(self, rounds: Sequence[Sequence[Send]]) -> None:
        """Have these datagrams sent should this process die."""
        self._left = sum(transport.leave_will(rounds) for transport in self._transports)

    def last_will(self) -> WillStatus:
        """Return whether a witness is there to send the will, or ended before us, and how many datagrams it has."""
        states = {transport.witness for transport in self._transports}
        witness = next((state for state in ("dead", "watching") if state in states), "off")
        return {"witness": witness, "datagrams": self._left if witness == "watching" else 0}

    @property
    def links(self) -> dict[Link, tuple[str, ...]]:
        """The links there are, each with the further addresses of ours there."""
        return {link: others for transport in self._transports for link, others in transport.others.items()}

    @property
    def unlinked(self) -> list[Unlinked]:
        """Our addresses on interfaces without broadcast."""
        return [found for transport in self._transports for found in transport.unlinked]

    @property
    def elsewhere(self) -> list[str]:
        """Our addresses on no link."""
        return [found.address for found in self.unlinked]

    @property
    def internal(self) -> list[str]:
        """The names of links inside this machine, as those of containers are."""
        return [link.name for link in self.links if is_internal(link.name)]

    @property
    def given_until(self) -> float:
        """All that arrived before that moment was given to the node, from every transport."""
        return min(receiver.given_until for receiver in self.receivers)

    @property
    def scan_error(self) -> str | None:
        """Why the interfaces cannot be read; None if they can."""
        return next((one.scan_error for one in self._transports if one.scan_error is not None), None)

    @property
    def family_errors(self) -> dict[str, str]:
        """Why a family of addresses that is wanted has no sockets, by its name."""
        return {name: error for one in self._transports for name, error in one.family_errors.items()}

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
        lost, flooded = sum(transport.kernel_drops() for transport in self._transports), self.flood_drops
        return drops + Counter({("kernel", "-"): lost - flooded, ("flood", "-"): flooded})

    def send_errors(self) -> dict[tuple[str, str], str]:
        """Return the error of each link and target where sending fails."""
        return {key: error for transport in self._transports for key, error in list(transport.send_errors.items())}

    def icmp_errors(self) -> list[tuple[IcmpError, int, float]]:
        """Return the latest ICMP errors of what was sent, each with how often it came, and how many seconds ago."""
        return [one for transport in self._transports for one in transport.icmp_errors()]

    def outside(self) -> dict[tuple[str, int], Outside]:
        """Return the neighbours outside our networks, by address and interface."""
        return {key: found for transport in self._transports for key, found in list(transport.outside.items())}

    def receive_buffer(self) -> ReceiveBuffer:
        """Return the bytes of the smallest receive buffer, those wanted, and whether quiet HELLOs have another."""
        size, wanted = min(transport.receive_buffer() for transport in self._transports)
        return {"bytes": size, "wanted": wanted, "quiet": all(one.has_quiet_socket for one in self._transports)}
