"""The seam between the driver and a network: a transport carries datagrams on links.

The driver (`discoveryd.runtime.driver`) holds a list of transports and knows no socket. What it relies on:

- Nothing is open before `open` and after `close`. `open` raises OSError and leaves nothing open.
- `wait` and `rescan` are called by one thread, the receiver of this transport. `read` is for any thread, but there is
  one `read` or `rescan` at a time; `send`, `wake` and the counters are for any. No call but `wait` waits.
- A `Link` is one network of one interface. `rescan` returns the links there are at the moment; an unchanged link stays
  the same object, and a link that changed in anything is another link. Where the interfaces cannot be read, the links
  stay as they are and `scan_error` says why.
- `wait` returns for what says something new. With `has_quiet_socket` datagrams that say that all is as it was end no
  wait after a `read` with `is_calm`: the driver reads at least each `QUIET_PAUSE`.
- `read` returns datagrams in the order of their arrival. All that arrived before `heard_until` has been returned: the
  driver judges no peer by its silence after that moment.
- The same sender on the same link is the same `Source` object, until the links change: the engine compares sources by
  identity.
- `send` never raises: an error of sending passes, and is returned when it begins and ends. What is for a link of
  another transport, or for a link that has gone, is left alone.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from discoveryd.net.icmp import IcmpError
from discoveryd.net.interfaces import Unlinked
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outcome import Send

QUIET_PAUSE = 0.9
"""Seconds for which quiet HELLOs may wait: a little more than from one beat of ours to the next."""
Datagram = tuple[bytes, Source, float]
"""The bytes, the source, and the time of arrival."""


class Woken(NamedTuple):
    """Why `Transport.wait` returned.

    Attributes:
        ready: sockets that have something to be read.
        has_rung: whether the interfaces may have changed.
    """

    ready: Collection[object] = ()
    has_rung: bool = False


NOT_WOKEN = Woken()


class Arrivals(NamedTuple):
    """What one call of `Transport.read` brought.

    Attributes:
        datagrams: in the order of arrival.
        refused: datagrams of ours that came back: nothing listens where they went.
        broadcasts: sources that broadcast for the first time, or again after a while; True for a broadcast to
            255.255.255.255, False for one to the broadcast address of the link.
    """

    datagrams: Sequence[Datagram] = ()
    refused: Sequence[bytes] = ()
    broadcasts: Sequence[tuple[Source, bool]] = ()


class SendChange(NamedTuple):
    """Sending to a target began to fail, or works again.

    Attributes:
        link: its name, ``-`` for a target beyond the links.
        target: the address.
        error: such as ``ENETDOWN: Network is down``; None if it works again.
    """

    link: str
    target: str
    error: str | None


class Outside(NamedTuple):
    """A sender of broadcasts that is not in our network on the link where it is heard.

    Attributes:
        link: where it is heard.
        at: when that was noted last.
        is_near: whether it was heard by limited broadcast, and so is on the link.
    """

    link: Link
    at: float
    is_near: bool


class Transport(Protocol):
    """Carries datagrams on links. The contract stands above.

    Attributes:
        heard_until: all that arrived before that moment was returned by `read`.
        others: the links of the last scan, each with the further addresses of ours there.
        unlinked: our addresses on interfaces without broadcast, as of the last scan: for unicast alone.
        scan_error: why the last scan failed; None if it did not.
        has_doorbell: whether `wait` tells of changes of the interfaces; without, only time does.
        drops: datagrams that never came to the engine, or never left, by reason and link.
        send_errors: of each link and target where sending fails.
        outside: neighbours outside our networks, by address and interface.
        family_errors: why a family of addresses that is wanted has no sockets, by its name.
        has_quiet_socket: whether there are such datagrams, that wake nobody; else each ends a `wait`.
        witness: ``off``, ``watching`` where a process will send the will that was left, or ``dead``.
    """

    heard_until: float
    others: dict[Link, tuple[str, ...]]
    unlinked: tuple[Unlinked, ...]
    scan_error: str | None
    has_doorbell: bool
    drops: Drops
    send_errors: dict[tuple[str, str], str]
    outside: dict[tuple[str, int], Outside]
    family_errors: dict[str, str]

    @property
    def witness(self) -> str: ...  # noqa: D102 - stands above

    @property
    def has_quiet_socket(self) -> bool: ...  # noqa: D102 - stands above

    def open(self) -> None:
        """Open what receiving and sending need.

        Raises:
            OSError: with the port, and the process that holds it where that can be found.
        """

    def close(self) -> None:
        """Close everything. Legal before `open`, and more than once."""

    def rescan(self, patterns: Sequence[str], families: Sequence[str] | None = None) -> tuple[Link, ...]:
        """Read the interfaces and return the links there are.

        Args:
            patterns: of the interfaces to use, as `Parameters.interfaces`.
            families: to speak from now on, as `Parameters.families`; None for those as before.
        """

    def wait(self, timeout: float) -> Woken:
        """Wait for datagrams, for a change of the interfaces, for `wake`, or for `timeout` seconds."""

    def read(self, woken: Woken = NOT_WOKEN, *, is_calm: bool = False) -> Arrivals:
        """Return what has arrived.

        Args:
            woken: what `wait` returned just before.
            is_calm: whether nothing has happened lately.
        """

    def wake(self) -> None:
        """Make `wait` return."""

    def send(self, sends: Iterable[Send]) -> list[SendChange]:
        """Send datagrams, and return the targets where sending began to fail or works again."""

    def leave_will(self, rounds: Sequence[Iterable[Send]]) -> int:
        """Have these datagrams sent, a round after the other, should this process die; none end that.

        Returns:
            how many there are; 0 without a witness.
        """

    def sample(self, known: Iterable[str], share: float) -> str | None:
        """Let only datagrams from known addresses pass, and a share of all others; 1 passes all.

        Returns:
            why that cannot be had, None if it can.
        """

    def kernel_drops(self) -> int:
        """Count the datagrams that a full receive buffer lost, since `open`."""

    def icmp_errors(self) -> list[tuple[IcmpError, int, float]]:
        """Return the latest ICMP errors of what was sent, each with how often it came, and how many seconds ago."""

    def receive_buffer(self) -> tuple[int, int]:
        """Return the bytes of the receive buffer, 0 if closed, and the bytes that were wanted."""
