"""One UDP socket of the protocol: its options, its buffers, what it sends, and the errors that come back."""

import errno
import os
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic

from discoveryd.net.batch import BATCH
from discoveryd.net.families import IPV4, PKTINFO, PKTINFO_IPV6, SOCKET_FAMILIES, Name, SocketFamily
from discoveryd.net.icmp import IcmpError, IcmpErrors, sender_of
from discoveryd.net.sockets import explain_bind
from discoveryd.net.stamps import SO_TIMESTAMPNS
from discoveryd.net.transport import SendChange
from discoveryd.net.witness import Parcel
from discoveryd.protocol.addresses import Family, family_of
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.limited_broadcast import LIMITED
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.wire.messages import MAX_DATAGRAM

SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
SO_MEMINFO = 55
HELD, WMEM_ALLOC, SNDBUF, DROPS = 0, 2, 3, 8
"""asm-generic/socket.h and linux/sock_diag.h (SK_MEMINFO_): bytes received and not read yet, the send buffer in use and
in all, bytes, and how many datagrams did not reach the receive buffer: it was full, or the filter refused them."""
WRAP = 2**32
"""Where those counts begin anew."""
_EXTENDED_ERROR = struct.Struct("@I4B2I")  # errno, origin, type, code, ... (linux/errqueue.h)
_OFFENDER = 28  # bytes of an address with its port at the end of it

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes: a full second of 4,000 nodes that all answer at once."""
SEND_BUFFER = 1024 * 1024
"""Bytes. Datagrams to absent addresses wait in it for seconds, until ARP gives up."""

PATIENCE = 1.0
RETRY = 0.02
"""Seconds for which a taken port is tried again, and between two attempts: the witness of a daemon that has just died
holds it for 0.1 s at most."""

MAX_ERRORS = 2048
"""Targets with a remembered error: broadcast addresses of links, and seeds. Past it the oldest is forgotten."""
_ANYWHERE = PKTINFO.pack(0, bytes(4), bytes(4))
"""The control message by which the kernel chooses the link and our address."""
TRIES = 8
"""Times that a datagram is tried: an error may be that of an earlier datagram, come back by ICMP, which anybody can
forge."""

def bind(
    stack: ExitStack, address: str, port: int, *, share: bool = False, patience: float = 0.0,
    family: SocketFamily = IPV4,
) -> socket.socket:  # fmt: skip
    """Return a bound socket, open until `stack` closes.

    Args:
        stack: closes it.
        address: to bind.
        port: to bind.
        share: whether other processes may bind the same address.
        patience: seconds for which a port that is taken is tried again.
        family: of the address.

    Raises:
        OSError: with the port, and the process that holds it where that can be found.
    """
    bound = make(stack, family)
    if share:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    until = monotonic() + patience
    while True:
        try:
            bound.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or monotonic() >= until:
                raise explain_bind(error, "UDP", address, port) from None
            select.select([], [], [], RETRY)
        else:
            return bound


def make(stack: ExitStack, family: SocketFamily = IPV4) -> socket.socket:
    """Return a socket with all options, not bound yet, open until `stack` closes."""
    bound = stack.enter_context(socket.socket(family.number, socket.SOCK_DGRAM))
    bound.setblocking(False)
    for option in family.options:
        bound.setsockopt(*option)
    for option in family.wishes:
        with suppress(OSError):
            bound.setsockopt(*option)
    with suppress(OSError):  # without stamps the time of reading must do
        bound.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    for forced, modest, size in (
        (SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BUFFER),
        (SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER),
    ):
        try:
            bound.setsockopt(socket.SOL_SOCKET, forced, size)
        except OSError:  # needs CAP_NET_ADMIN; the kernel caps these at net.core.rmem_max and wmem_max
            bound.setsockopt(socket.SOL_SOCKET, modest, size)
    return bound


def refused_datagrams(
    bound: socket.socket, family: SocketFamily = IPV4, errors: IcmpErrors | None = None
) -> Iterator[bytes]:
    """Read the error queue and yield the datagrams that came back because nothing listens where they went (ICMP).

    All that ICMP says is noted in `errors`.
    """
    room = family.control_size + socket.CMSG_SPACE(_EXTENDED_ERROR.size + _OFFENDER)
    for _ in range(BATCH):
        try:
            datagram, ancillary, _, target = bound.recvmsg(MAX_DATAGRAM, room, socket.MSG_ERRQUEUE)
        except OSError:  # empty
            return
        for level, kind, data in ancillary:
            if (level, kind) != (family.level, family.errors) or len(data) < _EXTENDED_ERROR.size:
                continue
            error = _EXTENDED_ERROR.unpack_from(data)[:4]
            if errors is not None and error[1] == family.refusal[1] and target:
                errors.note(IcmpError(str(target[0]), sender_of(data), error[2], error[3]))
            if error == family.refusal:
                yield datagram


def memory(bound: socket.socket, *fields: int) -> list[int]:
    """Return fields of what the kernel says of a socket's memory; zeros before Linux 4.12."""
    try:
        info = struct.unpack("@9I", bound.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    except OSError:
        return [0] * len(fields)
    return [info[field] for field in fields]


class DropCounter:
    """The datagrams that did not reach the receive buffer of a socket, since its start; from any thread.

    The kernel's count has 32 bits: where each quiet HELLO adds to it, it begins anew after some months.
    """

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._count = 0

    def read(self) -> int:
        """Return how many there are by now."""
        [told] = memory(self._socket, DROPS)
        count = self._count
        further = (told - count) % WRAP
        if further < WRAP // 2:  # else another thread has read it since
            self._count = count = count + further
        return count


def error_text(error: OSError) -> str:
    """Return an error as ``ENETDOWN: Network is down``."""
    number = error.errno or 0
    return f"{errno.errorcode.get(number, '?')}: {os.strerror(number) if number else error}"


_CAME_BACK = error_text(OSError(errno.ECONNREFUSED, ""))
"""The error of an earlier datagram, never of the one that is being sent."""


Route = list[tuple[int, int, bytes]]
"""The control messages by which a datagram leaves by a link, from its address."""


class UdpSender:
    """Sends by one socket of each family. For any thread.

    Args:
        port: of all targets that have no other.
        drops: where datagrams that could not be sent are counted.
        is_local: whether everything stays on loopback, which has no limited broadcast.

    Attributes:
        sockets: to send by, by family; for a family that has none nothing is sent.
        errors: of each link and target where sending fails.
    """

    def __init__(self, port: int, drops: Drops, *, is_local: bool) -> None:
        self.sockets: dict[Family, socket.socket] = {}
        self.errors: dict[tuple[str, str], str] = {}
        self._port = port
        self._drops = drops
        self._is_local = is_local
        self._routes: dict[Link | None, Route] = {None: []}

    def set_links(self, links: Iterable[Link]) -> None:
        """Send by these links from now on, and forget the errors of all others."""
        self._routes = {None: [], **{link: _route(link) for link in links}}
        names = {link.name if link else "-" for link in self._routes}
        for key in list(self.errors):
            if key[0] not in names:
                self.errors.pop(key, None)

    def send(self, sends: Iterable[Send]) -> list[SendChange]:
        """Send datagrams, and return the targets where sending began to fail or works again."""
        changes = []
        for send in sends:
            link, bound, route = send.link, self.sockets.get(family_of(send.to)), self._routes.get(send.link)
            if bound is None or route is None:
                continue  # the link has just gone; without it the kernel would send elsewhere
            name = link.name if link else "-"
            is_to_one = link is not None and send.to != link.broadcast
            used, size = memory(bound, WMEM_ALLOC, SNDBUF) if is_to_one else (0, 0)
            if used > size // 2:  # the other half is for HELLOs to all
                self._drops.count("send-failed", name)
                continue
            to = self._aim(send)
            # a neighbour outside our network: without the flag the kernel sends to the gateway
            flags = socket.MSG_DONTROUTE if is_to_one and link and not link.holds(to) else 0
            error = self._try(bound, send, route, flags, to)
            if error is not None:
                self._drops.count("send-failed", name)
            if is_to_one or error == _CAME_BACK:
                continue  # that one address cannot be reached says nothing of the link
            if error != self.errors.get((name, to)):
                changes.append(SendChange(name, to, error))
                self.errors.pop((name, to), None)  # another thread may do the same at this moment
                if error is not None:
                    if len(self.errors) >= MAX_ERRORS:
                        self.errors.pop(next(iter(list(self.errors))), None)
                    self.errors[name, to] = error
            if error is not None and to != send.to:
                self._try(bound, send, route, 0, send.to)  # a firewall may forbid the limited broadcast alone
        return changes

    def parcels(self, sends: Iterable[Send]) -> Iterator[Parcel]:
        """Return how datagrams would be sent, for a process that does it without this object."""
        for send in sends:
            link = send.link
            if (route := self._routes.get(link)) is None:
                continue
            is_near = link is not None and send.to != link.broadcast and not link.holds(send.to)
            to = self._aim(send)
            port = send.port or self._port
            # the socket of that process is connected to loopback, and would send from there
            info = route[0][2] if route else _source_to(to, port) if ":" in to else _ANYWHERE
            yield Parcel(send.datagram, to, send.to, port, socket.MSG_DONTROUTE if is_near else 0, info)

    def _aim(self, send: Send) -> str:
        """Return where a datagram goes first; IPv6 has no limited broadcast, and needs none."""
        has_limited = send.limited and not self._is_local and ":" not in send.to
        return LIMITED if has_limited else send.to

    def _try(self, bound: socket.socket, send: Send, route: Route, flags: int, to: str) -> str | None:
        """Try to send a datagram; return the error."""
        text = ""
        for _ in range(TRIES):
            try:
                bound.sendmsg((send.datagram,), route, flags, _target(send, to, send.port or self._port))
            except OSError as error:
                text = error_text(error)
            else:
                return None
        return text


def _source_to(address: str, port: int) -> bytes:
    """Return the control message that names our address from which the kernel sends to an address of IPv6."""
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.connect((address, port))  # nothing is sent
        return PKTINFO_IPV6.pack(socket.inet_pton(socket.AF_INET6, probe.getsockname()[0].partition("%")[0]), 0)
    return b""


def _target(send: Send, to: str, port: int) -> Name:
    if ":" not in to:
        return to, port
    # by a link the control message names the interface, whatever it is called by now
    return SOCKET_FAMILIES["ipv6"].target(to.partition("%")[0] if send.link else to, port)


def _route(link: Link) -> Route:
    family = SOCKET_FAMILIES[link.family]
    return [(family.level, family.info, family.route(link))]
