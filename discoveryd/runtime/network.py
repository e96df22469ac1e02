"""The transports of a node, as one: what is sent goes to all of them, and what they know is put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from discoveryd.net.transport import Outside, SendChange, Transport
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Send
from discoveryd.query.status import ReceiveBuffer
from discoveryd.runtime.receiver import Receiver


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
    def heard_until(self) -> float:
        """All that arrived before that moment was read."""
        return min(transport.heard_until for transport in self._transports)

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
