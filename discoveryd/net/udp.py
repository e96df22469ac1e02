"""The UDP transport over IPv4: one socket for the life of the daemon, over whatever links there are at the moment.

The socket is bound to the wildcard address. IP_PKTINFO tells by which interface a datagram came in, and chooses the
interface it leaves by, so a link that comes or goes opens and closes nothing. With `Parameters.loopback` there are two
sockets instead: one for the broadcasts that several daemons of this machine share, and one for the own address.
"""

import os
import selectors
import socket
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain

from discoveryd.net import udp_socket
from discoveryd.net.batch import ALONE, BATCH, Many, open_many, parse_origin, read_one
from discoveryd.net.interfaces import Unlinked, doorbell, drain, is_wanted, loopback, name_of, survey, without_broadcast
from discoveryd.net.netlink import Netlink
from discoveryd.net.packet_filter import Portion, set_filter
from discoveryd.net.quiet import PAUSE, Quiet, bind_both
from discoveryd.net.sockets import WakeUp
from discoveryd.net.sources import Sources
from discoveryd.net.stamps import Sample, Stamps, boottime
from discoveryd.net.transport import Arrivals, Datagram, SendChange
from discoveryd.net.witness import Witness
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters


class UdpTransport:
    """HELLOs over UDP, as `discoveryd.net.transport` has it.

    Args:
        parameters: port and loopback.
        clock: of the times of arrival, seconds.
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
        self._receivers: dict[socket.socket, Stamps] = {}
        self._quiet: Quiet | None = None
        self._drop_counters: list[udp_socket.DropCounter] = []
        self._many: Many | None = None
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
            port, own = self._parameters.port, self._parameters.loopback
            patience = udp_socket.PATIENCE if self._parameters.last_will else 0.0
            if own:
                bound = [udp_socket.bind(stack, "127.255.255.255", port, share=True)]
                bound.append(udp_socket.bind(stack, own, port, patience=patience))
            else:
                bound = bind_both(stack, port, patience=patience)
            self._quiet = Quiet(bound[0], bound[1], self._clock()) if len(bound) == 2 and not own else None
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._wake_up.open(stack, self._selector)
            stack.callback(self._netlink.close)
            with suppress(OSError):  # a sandbox without netlink: time alone starts a scan, more often
                self._bell = stack.enter_context(doorbell())
                self._selector.register(self._bell, selectors.EVENT_READ)
                self.has_doorbell = True
                self._netlink.open()  # so that a descriptor is there when no other is left
            for receiver in bound:
                if self._quiet is None or receiver is not self._quiet.socket:
                    self._selector.register(receiver, selectors.EVENT_READ)
            self._many = open_many(bound)
            self._receivers = {receiver: Stamps(self._clock) for receiver in bound}
            self._drop_counters = [udp_socket.DropCounter(receiver) for receiver in bound]
            self._sender.socket = bound[-1]
            if self._parameters.last_will:
                stack.callback(self._witness.close)  # before the sockets, which it holds as well
                self._witness.fork(bound)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close everything. Legal before `open`, and more than once."""
        self._stack.close()
        self._sender.socket = None
        self._receivers, self._quiet, self._drop_counters = {}, None, []

    def rescan(self, patterns: Sequence[str]) -> tuple[Link, ...]:
        """Read the interfaces and return the links there are; an unchanged link stays the same object.

        Where the interfaces cannot be read, `scan_error` says why, and the links are those of the last scan.
        """
        try:
            own = self._parameters.loopback
            here = {loopback(own): ()} if own else survey(patterns, self._netlink, ["ipv4"])
            self.unlinked = () if own else without_broadcast(patterns, self._netlink, ["ipv4"])
        except OSError as error:
            self.scan_error = udp_socket.error_text(error)
            return tuple(self.others)
        self.scan_error = None
        self.drops.changed(_all_names)
        if (patterns, here) != (self._patterns, self.others):
            known = {link: link for link in self.others}
            self._patterns, self.others = patterns, {known.get(link, link): others for link, others in here.items()}
            ours = frozenset(address for link, others in self.others.items() for address in (link.address, *others))
            self._sources.set_links(self.others, ours)
            self._sender.set_links(self.others)
        self._wanted = dict.fromkeys((link.index for link in self.others), True)
        self._sources.relearn(self._clock())
        return tuple(self.others)

    # --- receiving: one thread ------------------------------------------------------------------

    def listen(self, timeout: float, *, is_calm: bool = False) -> Arrivals:
        """Wait for datagrams, for a ring of the doorbell, for `wake`, or for `timeout` seconds.

        Args:
            timeout: seconds.
            is_calm: whether quiet HELLOs may wait.

        Returns:
            at most `BATCH` datagrams of each socket, in the order of arrival.
        """
        longest = timeout
        if self._quiet is not None and not self._quiet.watch(self._selector, is_calm=is_calm):
            longest = min(timeout, PAUSE)
        ready = [key.fileobj for key, _ in self._selector.select(0 if self._held else longest)]
        refused: list[bytes] = []
        if self._quiet is None:
            batches = self._read_all(ready, refused)
        else:
            with self._quiet.reading(self._clock):
                batches = self._read_all(ready, refused)
        rang = False
        for fileobj in ready:
            if fileobj is self._bell:
                rang = drain(self._bell)
            elif fileobj not in self._receivers:
                self._wake_up.drain()
        return Arrivals(self._in_order(batches), refused, self._sources.broadcasts(), rang)

    def _read_all(self, ready: Collection[object], refused: list[bytes]) -> list[list[Datagram]]:
        """Read a batch of each socket: that it was not ready before a pause of ours says nothing."""
        batches = [self._held] if self._held else []
        sample: Sample | None = None
        for receiver, stamps in self._receivers.items():
            # what was held back waits for a socket that was not read to its end
            if not self._held or stamps.emptied <= self.heard_until:
                sample = sample or stamps.sample()
                batch = self._receive(receiver, stamps, sample, refused)
                if batch:
                    batches.append(batch)
                elif receiver in ready:  # what woke us was no datagram
                    refused += udp_socket.refused_datagrams(receiver)
        self.heard_until = min(stamps.emptied for stamps in self._receivers.values())
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

    def _receive(
        self, receiver: socket.socket, stamps: Stamps, sample: Sample, refused: list[bytes]
    ) -> list[Datagram]:
        """Read a batch, or all there is; append what came back to `refused`."""
        many, sources = self._many, self._sources.known
        batch: list[Datagram] = []
        offset, is_empty, left = stamps.begin(sample), False, BATCH
        is_quiet = self._quiet is not None and receiver is self._quiet.socket
        alone = 0 if is_quiet else ALONE
        while left > 0 and not is_empty:
            try:
                if many is None or left > BATCH - alone:
                    arrivals = [read_one(receiver, offset)]
                else:
                    arrivals = many.read(receiver, left, offset)
            except BlockingIOError:
                is_empty = True
                break
            except OSError:  # the error of something we sent; the next call goes on
                refused += udp_socket.refused_datagrams(receiver)
                left -= 1
                continue
            # nothing is sent by the quiet socket: only that it is empty makes a call end early
            is_empty = is_quiet and many is not None and len(arrivals) < left
            left -= len(arrivals)
            batch += [
                (datagram, source, moment)
                for datagram, origin, moment in arrivals
                if (source := sources.get(origin) or self._source(origin))
            ]
        if batch and not stamps.is_sound(batch[0][2], batch[-1][2]):
            batch = [(datagram, source, stamps.corrected(moment)) for datagram, source, moment in batch]
        stamps.end(batch[-1][2] if batch else stamps.emptied, is_empty=is_empty)
        if self._quiet is not None and is_quiet:
            self._quiet.count += BATCH - left
        return batch

    def _source(self, packed: bytes) -> Source | None:
        """Return the source of a datagram; None (and counted) where the interface is excluded."""
        origin = parse_origin(packed)
        fits = origin.port == self._parameters.port
        place = packed if fits else origin._replace(port=0)  # all other ports of a sender are one place
        if place in self._sources.known:
            return self._sources.known[place]
        if not self._is_wanted(origin.interface):
            self.drops.count("excluded", name_of(origin.interface))
            return None
        return self._sources.find(place, origin, self._clock(), port_fits=fits)

    def _is_wanted(self, index: int) -> bool:
        """Return whether an interface has a link, or without one (a tunnel) may bring datagrams of seeds."""
        if index not in self._wanted:
            self._wanted[index] = not self._parameters.loopback and is_wanted(index, self._patterns, self._netlink)
        return self._wanted[index]

    def wake(self) -> None:
        """Make `listen` return; from any thread."""
        self._wake_up.wake()

    def sample(self, known: Iterable[str], share: float) -> str | None:
        """Let the kernel pass only datagrams from these addresses and a share of all others; 1 passes all.

        Returns:
            why it cannot, None if it can.
        """
        ours = (address for link, others in list(self.others.items()) for address in (link.address, *others))
        try:
            known = [*ours, *known]  # what we broadcast ourselves comes back, also in a flood
            for receiver in self._receivers:
                set_filter(receiver, known, share, self._portion(receiver))
        except OSError as error:
            return os.strerror(error.errno or 0)
        if self._quiet is not None:
            self._quiet.is_flooded = share < 1
        return None

    def _portion(self, receiver: socket.socket) -> Portion:
        if self._quiet is None:
            return "every"
        return "quiet" if receiver is self._quiet.socket else "prompt"

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
        return self._quiet is not None

    def kernel_drops(self) -> int:
        """Count the datagrams that a full receive buffer lost, and those that `sample` refused."""
        if self._quiet is not None:
            return self._quiet.lost
        return sum(counter.read() for counter in self._drop_counters)

    def receive_buffer(self) -> tuple[int, int]:
        """Return the bytes of each receive buffer, less than wanted if the kernel allows less, and those wanted."""
        sizes = [one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for one in list(self._receivers)]
        # the kernel doubles what it is asked for, and tells that
        return min(sizes, default=0) // 2, udp_socket.RECEIVE_BUFFER


def _all_names() -> set[str]:
    """Return the names of all interfaces."""
    with suppress(OSError):
        return {"-", *(name for _, name in socket.if_nameindex())}
    return {"-"}


def _arrived(datagram: Datagram) -> float:
    return datagram[2]
