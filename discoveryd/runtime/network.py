"""The transports of a node as one network, with the receiver of each."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from discoveryd.net.icmp import IcmpError
from discoveryd.net.interfaces import Unlinked, is_internal
from discoveryd.net.transport import Outside, SendChange, Transport
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.query.status import ReceiveBuffer, WillStatus
from discoveryd.runtime.receiver import Known, Receiver


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
    def has_quiet_socket(self) -> bool:
        """Whether a transport has datagrams that wake nobody."""
        return any(transport.has_quiet_socket for transport in self._transports)

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
