"""The UDP transport: a pair of sockets of each family for the life of the daemon, over whatever links there are.

The sockets are bound to the wildcard address. A control message (PKTINFO) tells by which interface a datagram came in,
and chooses the interface it leaves by, so a link that comes or goes opens and closes nothing; with IPv6 the group is
joined there. IPv4 waits for IPv6 nowhere: where the kernel has none, or its port is taken, the other family speaks
alone, and each scan tries again. With `Parameters.loopback` there is IPv4 alone.
"""

import errno
import os
import selectors
import socket
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain

from discoveryd.net import udp_socket
from discoveryd.net.families import SOCKET_FAMILIES, join, leave, parse_origin
from discoveryd.net.icmp import IcmpError, merged
from discoveryd.net.interfaces import Unlinked, doorbell, drain, is_wanted, loopback, name_of, survey, without_broadcast
from discoveryd.net.netlink import Netlink
from discoveryd.net.pair import Pair
from discoveryd.net.sockets import WakeUp
from discoveryd.net.sources import Sources
from discoveryd.net.stamps import boottime
from discoveryd.net.transport import NOT_WOKEN, Arrivals, Datagram, SendChange, Woken
from discoveryd.net.witness import Witness
from discoveryd.protocol.addresses import family_of
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.link import GROUP, Link, Source
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters

MEMBERSHIP = f"membership of {GROUP}"
"""What is named where the group cannot be joined."""
RETRY = 30.0
"""Seconds between two attempts to open the sockets of a family."""
_MISSING = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL)
"""Errors of a kernel or a sandbox without IPv6, which is no fault."""


class UdpTransport:
    """HELLOs over UDP, as `discoveryd.net.transport` has it.

    Args:
        parameters: port, loopback and the families at first.
        clock: of the times of arrival, seconds.

    Attributes:
        family_errors: why a family that is wanted has no sockets, by its name; without that of a kernel that has none.
    """

    def __init__(self, parameters: Parameters, clock: Callable[[], float] = boottime) -> None:
        self.heard_until = clock()
        self.others: dict[Link, tuple[str, ...]] = {}
        self.unlinked: tuple[Unlinked, ...] = ()
        self.scan_error: str | None = None
        self.has_doorbell = False
        self.drops = Drops()
        self._parameters = parameters
        self._clock = clock
        self._patterns: Sequence[str] = ()
        self._sources = Sources()
        self._sender = udp_socket.UdpSender(parameters.port, self.drops, is_local=bool(parameters.loopback))
        self.send_errors, self.outside = self._sender.errors, self._sources.outside
        self.family_errors: dict[str, str] = {}
        self._families: tuple[str, ...] = parameters.spoken
        self._pairs: dict[str, Pair] = {}
        self._try_again = 0.0
        self._bell: socket.socket | None = None
        self._netlink = Netlink()
        self._wake_up = WakeUp()
        self._witness = Witness()
        self._wanted: dict[int, bool] = {}
        self._stack = ExitStack()
        self._selector: selectors.BaseSelector  # once open
        self._held: list[Datagram] = []  # what arrived later than something that may wait in another socket

    def open(self) -> None:
        """Bind the port and begin to listen for changes of the interfaces.

        Raises:
            OSError: with the port, and the process that holds it where that can be found.
        """
        with ExitStack() as stack:
            self._selector = stack.enter_context(selectors.DefaultSelector())
            stack.callback(self._sender.sockets.clear)
            stack.callback(self._pairs.clear)
            failures = self._open_pairs(stack, udp_socket.PATIENCE if self._parameters.last_will else 0.0)
            if failures and ("ipv4" in failures or not self._pairs):
                raise next(iter(failures.values()))
            self._wake_up.open(stack, self._selector)
            stack.callback(self._netlink.close)
            with suppress(OSError):  # a sandbox without netlink: time alone starts a scan, more often
                self._bell = stack.enter_context(doorbell())
                self._selector.register(self._bell, selectors.EVENT_READ)
                self.has_doorbell = True
                self._netlink.open()  # so that a descriptor is there when no other is left
            if self._parameters.last_will:
                stack.callback(self._witness.close)  # before the sockets, which it holds as well
                self._witness.fork([bound for pair in self._pairs.values() for bound in pair.bound])
            self._stack = stack.pop_all()

    def _open_pairs(self, stack: ExitStack, patience: float = 0.0) -> dict[str, OSError]:
        """Open the sockets of each family that has none yet; return the errors."""
        failures: dict[str, OSError] = {}
        self._try_again = self._clock() + RETRY
        for name in [name for name in self._families if name not in self._pairs]:
            pair = Pair(SOCKET_FAMILIES[name], self._clock, self._sources.known, self._source)
            try:
                with ExitStack() as attempt:
                    pair.open(attempt, self._selector, self._parameters, patience)
                    stack.push(attempt.pop_all())
            except OSError as error:
                failures[name] = error
            else:
                self._pairs[name] = pair
                self._sender.sockets[pair.family.family] = pair.bound[-1]
                self._witness.hand(pair.bound)
        self.family_errors = {
            name: str(error.strerror) for name, error in failures.items() if error.errno not in _MISSING
        }
        return failures

    def close(self) -> None:
        """Close everything. Legal before `open`, and more than once."""
        self._stack.close()
        self._netlink.close()  # a scan opens it, too

    def rescan(self, patterns: Sequence[str], families: Sequence[str] | None = None) -> tuple[Link, ...]:
        """Read the interfaces and return the links there are; an unchanged link stays the same object.

        Where the interfaces cannot be read, `scan_error` says why, and the links are those of the last scan.
        """
        own = self._parameters.loopback
        if families is not None and self._families != tuple(families):
            self._families, self._try_again = tuple(families), 0.0
        if self._pairs and self._clock() >= self._try_again:
            self._open_pairs(self._stack)
        spoken = [name for name in self._families if name in self._pairs or not self._pairs]
        try:
            here = {loopback(own): ()} if own else survey(patterns, self._netlink, spoken)
            self.unlinked = () if own else without_broadcast(patterns, self._netlink, spoken)
        except OSError as error:
            self.scan_error = udp_socket.error_text(error)
            return tuple(self.others)
        self.scan_error = None
        self.drops.changed(_all_names)
        self._wanted = dict.fromkeys((link.index for link in here), True)
        if (patterns, here) != (self._patterns, self.others):
            known = {link: link for link in self.others}
            before = self.others
            self._patterns, self.others = patterns, {known.get(link, link): others for link, others in here.items()}
            ours = frozenset(address for link, others in self.others.items() for address in (link.address, *others))
            self._sources.set_links(self.others, ours)
            self._sender.set_links(self.others)
            self._join(before)
        self._sources.relearn(self._clock())
        return tuple(self.others)

    def _join(self, before: Iterable[Link]) -> None:
        """Hear the group on each new link of IPv6, and no more where such a link is not wanted any more."""
        bound = self._pairs["ipv6"].bound if "ipv6" in self._pairs else ()
        for link in self.others:
            if link.family == "ipv6" and link not in before:
                try:
                    for one in bound:
                        join(one, link.index)
                except OSError as error:
                    self.send_errors[link.name, MEMBERSHIP] = udp_socket.error_text(error)
                else:
                    self.send_errors.pop((link.name, MEMBERSHIP), None)
        here = {link.index for link in self.others if link.family == "ipv6"}
        for link in before:
            if link.family == "ipv6" and link not in self.others:
                self.send_errors.pop((link.name, MEMBERSHIP), None)
            is_wanted = "ipv6" in self._families and self._is_wanted(link.index)
            if link.family == "ipv6" and link.index not in here and not is_wanted:
                for one in bound:
                    leave(one, link.index)

    # --- receiving ------------------------------------------------------------------------------

    def wait(self, timeout: float) -> Woken:
        """Wait for datagrams, for a ring of the doorbell, for `wake`, or for `timeout` seconds."""
        ready: list[object] = []
        rang = False
        for key, _ in self._selector.select(0 if self._held else timeout):
            if key.fileobj is self._bell:
                rang = drain(self._bell)
            elif key.data is self._wake_up:
                self._wake_up.drain()
            else:
                ready.append(key.fileobj)
        return Woken(ready, rang)

    def read(self, woken: Woken = NOT_WOKEN, *, is_calm: bool = False) -> Arrivals:
        """Return what has arrived: at most `BATCH` datagrams of each socket, in the order of arrival.

        Args:
            woken: what `wait` returned just before.
            is_calm: whether quiet HELLOs may wait from now on.
        """
        refused: list[bytes] = []
        batches = self._read_all(woken.ready, refused)
        may_wait = is_calm and self.has_quiet_socket  # else the driver does not read by itself
        for pair in self._pairs.values():
            pair.watch(self._selector, is_calm=may_wait)
        return Arrivals(self._in_order(batches), refused, self._sources.broadcasts())

    def _read_all(self, ready: Collection[object], refused: list[bytes]) -> list[list[Datagram]]:
        """Read a batch of each socket."""
        batches = [self._held] if self._held else []
        later = self.heard_until if self._held else None
        for pair in self._pairs.values():
            batches += pair.read(ready, refused, later)
        self.heard_until = min(pair.emptied for pair in self._pairs.values())
        return batches

    def _in_order(self, batches: list[list[Datagram]]) -> list[Datagram]:
        """Merge the batches of several sockets; hold back what is later than something that may wait in another."""
        if len(batches) < 2:
            self._held = []
            return batches[0] if batches else []
        batch = sorted(chain.from_iterable(batches), key=_arrived)
        due = bisect_right(batch, self.heard_until, key=_arrived)
        self._held = batch[due:]
        return batch[:due]

    def _source(self, packed: bytes) -> Source | None:
        """Return the source of a datagram; None (and counted) where the interface is excluded."""
        origin = parse_origin(packed)
        fits = origin.port == self._parameters.port
        place = packed if fits else origin._replace(port=0)  # all other ports of a sender are one place
        if place in self._sources.known:
            return self._sources.known[place]
        if origin.is_forged:
            self.drops.count("hop-limit", name_of(origin.interface))
            return None
        is_spoken = family_of(origin.address) in self._families
        if not is_spoken or not self._is_wanted(origin.interface):
            self.drops.count("excluded", name_of(origin.interface))
            return None
        if origin.is_to_group and not self._sources.has_ipv6(origin.interface):
            self.drops.count("off-link", name_of(origin.interface))  # our address there is not usable yet
            return None
        return self._sources.find(place, origin, self._clock(), port_fits=fits)

    def _is_wanted(self, index: int) -> bool:
        """Return whether an interface has a link, or without one (a tunnel) may bring datagrams of seeds."""
        if index not in self._wanted:
            self._wanted[index] = not self._parameters.loopback and is_wanted(index, self._patterns, self._netlink)
        return self._wanted[index]

    def wake(self) -> None:
        """Make `wait` return; from any thread."""
        self._wake_up.wake()

    def sample(self, known: Iterable[str], share: float) -> str | None:
        """Let the kernel pass only datagrams from these addresses and a share of all others; 1 passes all.

        Returns:
            why it cannot, None if it can.
        """
        ours = (address for link, others in list(self.others.items()) for address in (link.address, *others))
        known = [*ours, *known]  # what we send to all comes back, also in a flood
        try:
            for pair in self._pairs.values():
                pair.sample(known, share)
        except OSError as error:
            return os.strerror(error.errno or 0)
        return None

    # --- any thread -----------------------------------------------------------------------------

    def send(self, sends: Iterable[Send]) -> list[SendChange]:
        """Send datagrams, and return the targets where sending began to fail or works again."""
        return self._sender.send(sends)

    def leave_will(self, rounds: Sequence[Iterable[Send]]) -> int:
        """Have these datagrams sent should this process die, as `discoveryd.net.transport` has it."""
        if self.witness != "watching":
            return 0
        parcels = [parcel for sends in rounds for parcel in self._sender.parcels(sends)]
        self._witness.leave(parcels)
        return len(parcels)

    @property
    def witness(self) -> str:
        """``off``, ``watching`` or ``dead``."""
        return self._witness.state

    @property
    def has_quiet_socket(self) -> bool:
        """Whether quiet HELLOs have a socket of their own."""
        return bool(self._pairs) and all(pair.quiet is not None for pair in list(self._pairs.values()))

    def kernel_drops(self) -> int:
        """Count the datagrams that a full receive buffer lost, and those that `sample` refused."""
        return sum(pair.lost() for pair in list(self._pairs.values()))

    def icmp_errors(self) -> list[tuple[IcmpError, int, float]]:
        """Return the latest ICMP errors of what was sent, each with how often it came, and how many seconds ago."""
        return merged(pair.icmp for pair in list(self._pairs.values()))

    def receive_buffer(self) -> tuple[int, int]:
        """Return the bytes of each receive buffer, less than wanted if the kernel allows less, and those wanted."""
        sizes = [size for pair in list(self._pairs.values()) for size in pair.buffers()]
        return min(sizes, default=0), udp_socket.RECEIVE_BUFFER


def _all_names() -> set[str]:
    """Return the names of all interfaces."""
    with suppress(OSError):
        return {"-", *(name for _, name in socket.if_nameindex())}
    return {"-"}


def _arrived(datagram: Datagram) -> float:
    return datagram[2]
