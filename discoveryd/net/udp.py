"""The UDP side: one socket for the life of the daemon, over whatever links there are at the moment.

The socket is bound to the wildcard address. IP_PKTINFO tells by which interface a datagram came in and
chooses the one it leaves by, so a link that comes or goes opens and closes nothing. With
`Parameters.loopback` there are two sockets instead, one for the broadcasts that several daemons of this
machine share and one for the own address.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain

from discoveryd.net import packet_filter as sluice
from discoveryd.net.batch import ALONE, BATCH, IP_PKTINFO, PKTINFO, Many, open_many, parse_origin, read_one
from discoveryd.net.interfaces import Doorbell, Reader, loopback, name_of, survey
from discoveryd.net.senders import Senders
from discoveryd.net.sockets import explain_bind
from discoveryd.net.stamps import SO_TIMESTAMPNS, STAMP, Stamps, boottime
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.limited_broadcast import LIMITED
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.hello import MAX_DATAGRAM

IP_RECVERR = 11
"""linux/in.h; `socket` has no name for it."""
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
SO_MEMINFO = 55
SK_MEMINFO_WMEM_ALLOC, SK_MEMINFO_SNDBUF, SK_MEMINFO_DROPS = 2, 3, 8
"""asm-generic/socket.h and linux/sock_diag.h: the send buffer in use and in all, bytes, and how many datagrams
the full receive buffer lost."""

_EXTENDED_ERROR = struct.Struct("@I4B2I")  # errno, origin, type, code, ... (linux/errqueue.h)
_PORT_UNREACHABLE = (errno.ECONNREFUSED, 2, 3, 3)  # origin ICMP, destination unreachable, port
_ERROR_ANCILLARY = sum(map(socket.CMSG_SPACE, (PKTINFO.size, STAMP.size, _EXTENDED_ERROR.size + 16)))

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes: a full second of 4,000 nodes that all answer at once."""
SEND_BUFFER = 1024 * 1024
"""Bytes. Datagrams to addresses where nobody is wait in it for seconds, until ARP gives up."""
MAX_ERRORS = 256
"""Targets whose error is remembered: broadcast addresses of links, and seeds. Past it the first one is forgotten."""

TRIES = 8
"""Times that a datagram is tried: an error may be that of another one, come back by ICMP, which anybody can forge."""

Datagram = tuple[bytes, Source, float]
"""What came, from where, and when it arrived."""


class Links:
    """Sends and receives on every link, and says when the links may have changed.

    Nothing is opened by the constructor. One thread listens; any may send.

    Args:
        parameters: port, loopback and interfaces.
        clock: that arrivals are told by, seconds.

    Attributes:
        heard_until: all that arrived before that moment was given by `listen`.
    """

    def __init__(self, parameters: Parameters, clock: Callable[[], float] = boottime) -> None:
        self._port = parameters.port
        self._loopback = parameters.loopback
        self._patterns: Sequence[str] = parameters.interfaces
        self._has_new_patterns = False
        self._links: tuple[Link, ...] = ()
        self.others: dict[Link, tuple[str, ...]] = {}
        self.senders = Senders()
        self._sender: socket.socket | None = None
        self._receivers: list[socket.socket] = []
        self._bell = Doorbell()
        self._reader = Reader()
        self._many: Many | None = None
        self._wanted: dict[int, bool] = {}
        self._stack = ExitStack()
        self._selector: selectors.BaseSelector | None = None
        self._wake_read: socket.socket | None = None
        self._wake_write: socket.socket | None = None
        self._clock = clock
        self._stamps: dict[socket.socket, Stamps] = {}
        self._held: list[Datagram] = []  # what arrived later than something that may wait in another socket
        self.heard_until = clock()
        self._sources = self.senders.known
        self._routes: dict[Link, list[tuple[int, int, bytes]]] = {}
        self._refused: list[bytes] = []
        self.has_doorbell = False
        self.scan_error: str | None = None
        self.drops = Drops()  # of what came in, and of what did not go out
        self.last_errors: dict[tuple[str, str], str] = {}

    def open(self) -> None:
        """Bind the port and begin to listen for changes of the interfaces.

        Raises:
            OSError: with the port, and who holds it where that can be found.
        """
        with ExitStack() as stack:
            if self._loopback:
                shared = self._bind(stack, "127.255.255.255", share=True)
                self._sender = self._bind(stack, self._loopback)
                self._receivers = [shared, self._sender]
            else:
                self._sender = self._bind(stack, "0.0.0.0")
                self._receivers = [self._sender]
            self._wake_read, self._wake_write = socket.socketpair()
            stack.enter_context(self._wake_read)
            stack.enter_context(self._wake_write)
            self._wake_read.setblocking(False)
            self._wake_write.setblocking(False)
            try:
                self._bell.open()
            except OSError:  # a sandbox without netlink: look again by time alone, more often
                self.has_doorbell = False
            else:
                self.has_doorbell = True
                stack.callback(self._bell.close)
            stack.callback(self._reader.close)
            self._reader.open()
            self._selector = stack.enter_context(selectors.DefaultSelector())
            for receiver in self._receivers:
                self._selector.register(receiver, selectors.EVENT_READ)
            self._many = open_many(self._receivers)
            self._stamps = {receiver: Stamps(self._clock) for receiver in self._receivers}
            self._selector.register(self._wake_read, selectors.EVENT_READ)
            if self.has_doorbell:
                self._selector.register(self._bell, selectors.EVENT_READ)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close everything; legal before `open` and more than once."""
        self._stack.close()
        self._sender = self._selector = self._wake_read = self._wake_write = None
        self._receivers = []

    def set_patterns(self, patterns: Sequence[str]) -> None:
        """Use other interfaces from the next `rescan` on."""
        self._patterns = patterns
        self._has_new_patterns = True

    def rescan(self) -> tuple[Link, ...]:
        """Look at the interfaces anew and give the links there are; an unchanged one stays the same object.

        Where they cannot be read, `scan_error` says why, and the links are those that there were.
        """
        try:
            found = self._read()
        except OSError as error:
            self.scan_error = _named(error)
            return self._links
        self.scan_error = None
        self._wanted.clear()
        self.drops.changed(_all_names)
        known = {link: link for link in self._links}
        links = tuple(known.get(link, link) for link in found)
        is_new, self._has_new_patterns = self._has_new_patterns or found != self.others, False
        self._links = links
        self.others = {link: found[link] for link in links}
        if is_new:
            own = frozenset(address for link in links for address in (link.address, *self.others[link]))
            self.senders.set_links(links, own)
        self.senders.relearn(self._clock())
        self._routes = {
            link: [(socket.IPPROTO_IP, IP_PKTINFO, PKTINFO.pack(link.index, socket.inet_aton(link.address), bytes(4)))]
            for link in links
        }
        names = {link.name for link in links}
        for name, target in list(self.last_errors):
            if name not in names and name != "-":
                self.last_errors.pop((name, target), None)
        return links

    def _read(self) -> dict[Link, tuple[str, ...]]:
        if self._loopback:
            return self.others or {loopback(self._loopback): ()}
        return survey(self._patterns, self._reader)

    # --- receiving: one thread ------------------------------------------------------------------

    def listen(self, timeout: float) -> tuple[list[Datagram], bool]:
        """Wait for datagrams, for a ring of the doorbell, for `wake`, or until `timeout` (seconds).

        Returns:
            what came in, at most `BATCH` of each socket, and whether the interfaces may have changed.
        """
        assert self._selector is not None
        ready = [key.fileobj for key, _ in self._selector.select(0 if self._held else timeout)]
        batches = [self._held] if self._held else []
        # none is passed over: that it was not ready before a pause of ours says nothing
        for receiver, stamps in self._stamps.items():
            # what was held back waits for a socket that was not read to its end
            if not self._held or stamps.emptied <= self.heard_until:
                batch = self._receive(receiver, stamps)
                if batch:
                    batches.append(batch)
                elif receiver in ready:  # what woke us was no datagram
                    self._receive_errors(receiver)
        self.heard_until = min([stamps.emptied for stamps in self._stamps.values()])
        if self._wake_read in ready and self._wake_read is not None:
            self._wake_read.recv(4096)
        rang = self._bell in ready and self._bell.drain()
        return self._in_order(batches), rang

    def _in_order(self, batches: list[list[Datagram]]) -> list[Datagram]:
        """Merge what several sockets brought; hold back what may be later than something that still waits in one."""
        if len(batches) < 2:
            self._held = []
            return batches[0] if batches else []
        batch = sorted(chain.from_iterable(batches), key=_arrived)
        due = bisect_right(batch, self.heard_until, key=_arrived)
        self._held = batch[due:]
        return batch[:due]

    def _receive(self, receiver: socket.socket, clock: Stamps) -> list[Datagram]:
        """Read a batch, or all there is."""
        many, sources = self._many, self._sources
        batch: list[Datagram] = []
        offset, is_empty, left = clock.begin(), False, BATCH
        while left > 0:
            try:
                if many is None or left > BATCH - ALONE:
                    arrivals = [read_one(receiver, offset)]
                else:
                    arrivals = many.read(receiver, left, offset)
            except BlockingIOError:
                is_empty = True
                break
            except OSError:  # the error of something we sent; the next call goes on
                self._receive_errors(receiver)
                left -= 1
                continue
            left -= len(arrivals)
            batch += [
                (datagram, source, moment)
                for datagram, origin, moment in arrivals
                if (source := sources.get(origin) or self._source(origin))
            ]
        if batch and not clock.is_sound(batch[0][2], batch[-1][2]):
            batch = [(datagram, source, clock.corrected(moment)) for datagram, source, moment in batch]
        clock.end(batch[-1][2] if batch else clock.emptied, is_empty=is_empty)
        return batch

    def _receive_errors(self, receiver: socket.socket) -> None:
        """Read what ICMP says of datagrams we sent: of a PING that nobody listens there, of others nothing new."""
        for _ in range(BATCH):
            try:
                datagram, ancillary, _, _ = receiver.recvmsg(MAX_DATAGRAM, _ERROR_ANCILLARY, socket.MSG_ERRQUEUE)
            except OSError:  # empty
                return
            for level, kind, data in ancillary:
                if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR) and len(data) >= _EXTENDED_ERROR.size:
                    number, origin, icmp, code, *_ = _EXTENDED_ERROR.unpack_from(data)
                    if (number, origin, icmp, code) == _PORT_UNREACHABLE:
                        self._refused.append(datagram)

    def refused(self) -> list[bytes]:
        """Give the datagrams that came back since the last call: nobody listens where they went."""
        found, self._refused = self._refused, []
        return found

    def _source(self, sender: bytes) -> Source | None:
        """Tell where a datagram came from; None (and counted) where the interface is excluded."""
        origin = parse_origin(sender)
        fits = origin.port == self._port
        place = sender if fits else origin._replace(port=0)  # of one that tries all ports there is but one
        if place in self._sources:
            return self._sources[place]
        if not self.senders.has_link(origin.interface) and not self._is_wanted(origin.interface):
            self.drops.count("excluded", name_of(origin.interface))
            return None
        return self.senders.find(
            place, origin.address, origin.interface, origin.destination, self._clock(), port_fits=fits
        )

    def _is_wanted(self, index: int) -> bool:
        """Whether an interface that is no link (a tunnel, without broadcast) may bring seeds' datagrams."""
        if index not in self._wanted:
            self._wanted[index] = not self._loopback and self._reader.is_wanted(index, self._patterns)
        return self._wanted[index]

    def wake(self) -> None:
        """Make `listen` return; from any thread."""
        if self._wake_write is not None:
            with suppress(BlockingIOError):  # it is full of wakes already
                self._wake_write.send(b"w")

    def sample(self, known: Iterable[str], share: float) -> str | None:
        """Let the kernel pass only datagrams from these addresses and a share of all others; 1 passes all.

        Returns:
            why it cannot, None if it can.
        """
        try:
            for receiver in self._receivers:
                if share < 1:
                    sluice.attach(receiver, sluice.program(known, share))
                else:
                    sluice.detach(receiver)
        except OSError as error:
            return os.strerror(error.errno or 0)
        return None

    # --- sending: any thread --------------------------------------------------------------------

    def send(self, sends: Iterable[Send]) -> list[tuple[str, str, str | None]]:
        """Send, and take every error as one that will pass.

        Returns:
            the links and targets to which sending began to fail (with the error) or works again (None).
        """
        changes = []
        for one in sends:
            name = one.link.name if one.link else "-"
            is_to_one = one.link is not None and one.to != one.link.broadcast
            if is_to_one and self._is_clogged():
                self.drops.count("send-failed", name)
                continue
            to = LIMITED if one.limited and not self._loopback else one.to
            # one outside our network that is on the link: without the flag the kernel sends to the gateway
            flags = socket.MSG_DONTROUTE if is_to_one and one.link and not one.link.holds(to) else 0
            error = self._send(one, to, flags)
            if error is not None:
                self.drops.count("send-failed", name)
            if is_to_one or error == _COME_BACK:
                continue  # that one address cannot be reached says nothing of the link
            if error != self.last_errors.get((name, to)):
                changes.append((name, to, error))
                self._remember(name, to, error)
            if error is not None and to != one.to:
                self._send(one)  # a firewall may forbid the one, and not the other
        return changes

    def _remember(self, name: str, target: str, error: str | None) -> None:
        # another thread may do the same at this moment
        if error is None:
            self.last_errors.pop((name, target), None)
            return
        if len(self.last_errors) >= MAX_ERRORS:
            self.last_errors.pop(next(iter(list(self.last_errors))), None)
        self.last_errors[name, target] = error

    def _send(self, one: Send, to: str = "", flags: int = 0) -> str | None:
        if self._sender is None:
            return None
        route = self._routes.get(one.link) if one.link else ()
        if route is None:
            return None  # the link has just gone; without it the kernel would send elsewhere
        failure: OSError | None = None
        for _ in range(TRIES):
            try:
                self._sender.sendmsg((one.datagram,), route, flags, (to or one.to, self._port))
            except OSError as error:
                failure = error
            else:
                return None
        return _named(failure or OSError())

    def _is_clogged(self) -> bool:
        """Whether half of the send buffer is in use: the other half is for HELLOs to all, whoever is answered."""
        if self._sender is None:
            return False
        used, size = _memory(self._sender, SK_MEMINFO_WMEM_ALLOC, SK_MEMINFO_SNDBUF)
        return used > size // 2

    # --- counters -------------------------------------------------------------------------------

    def kernel_drops(self) -> int:
        """Count what the kernel threw away because a receive buffer was full."""
        return sum(_memory(receiver, SK_MEMINFO_DROPS)[0] for receiver in self._receivers)

    def receive_buffer(self) -> int:
        """Return the bytes of each receive buffer: `RECEIVE_BUFFER` unless the kernel allows less; 0 if closed."""
        sizes = [one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for one in self._receivers]
        return min(sizes, default=0) // 2  # the kernel doubles what it is asked for, and tells that

    def _bind(self, stack: ExitStack, address: str, *, share: bool = False) -> socket.socket:
        bound = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        bound.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        bound.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        with suppress(OSError):  # without it the moment of reading must do
            bound.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for forced, modest, size in (
            (SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BUFFER),
            (SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER),
        ):
            try:
                bound.setsockopt(socket.SOL_SOCKET, forced, size)
            except OSError:  # needs CAP_NET_ADMIN; the kernel caps these at net.core.rmem_max and wmem_max
                bound.setsockopt(socket.SOL_SOCKET, modest, size)
        try:
            bound.bind((address, self._port))
        except OSError as error:
            raise explain_bind(error, "UDP", address, self._port) from None
        return bound


def _memory(sock: socket.socket, *fields: int) -> list[int]:
    """Give what the kernel says of a socket's memory; zeros before Linux 4.12."""
    try:
        info = struct.unpack("@9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    except OSError:
        return [0] * len(fields)
    return [info[field] for field in fields]


def _all_names() -> set[str]:
    """Return the names of all interfaces."""
    with suppress(OSError):
        return {"-", *(name for _, name in socket.if_nameindex())}
    return {"-"}


def _arrived(datagram: Datagram) -> float:
    return datagram[2]


def _named(error: OSError) -> str:
    """Give an error as ``ENETDOWN: Network is down``."""
    number = error.errno or 0
    return f"{errno.errorcode.get(number, '?')}: {os.strerror(number) if number else error}"


_COME_BACK = _named(OSError(errno.ECONNREFUSED, ""))
"""The error of a datagram sent before, never of the one that is being sent."""
