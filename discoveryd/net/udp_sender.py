"""Sending over UDP: by which link, to which broadcast address, and what is remembered of errors."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from discoveryd.net.batch import IP_PKTINFO, PKTINFO
from discoveryd.net.transport import SendChange
from discoveryd.net.udp_socket import SNDBUF, WMEM_ALLOC, error_text, memory
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.limited_broadcast import LIMITED
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Send

MAX_ERRORS = 256
"""Targets whose error is remembered: broadcast addresses of links, and seeds. Past it the oldest is forgotten."""
TRIES = 8
"""Times that a datagram is tried: an error may be that of an earlier datagram, come back by ICMP, which anybody can
forge."""
_CAME_BACK = error_text(OSError(errno.ECONNREFUSED, ""))
"""The error of an earlier datagram, never of the one that is being sent."""


class UdpSender:
    """Sends by one socket. For any thread.

    Args:
        port: of all targets.
        drops: where datagrams that could not be sent are counted.
        is_local: whether everything stays on loopback, which has no limited broadcast.

    Attributes:
        socket: to send by; None while there is none, and nothing is sent.
        errors: of each link and target where sending fails.
    """

    def __init__(self, port: int, drops: Drops, *, is_local: bool) -> None:
        self.socket: socket.socket | None = None
        self.errors: dict[tuple[str, str], str] = {}
        self._port = port
        self._drops = drops
        self._is_local = is_local
        self._routes: dict[Link | None, list[tuple[int, int, bytes]]] = {None: []}

    def set_links(self, links: Iterable[Link]) -> None:
        """Send by these links from now on, and forget the errors of all others."""
        self._routes = {None: [], **{link: [(socket.IPPROTO_IP, IP_PKTINFO, _info(link))] for link in links}}
        names = {"-", *(link.name for link in self._routes if link)}
        for name, target in list(self.errors):
            if name not in names:
                self.errors.pop((name, target), None)

    def send(self, sends: Iterable[Send]) -> list[SendChange]:
        """Send datagrams, and return the targets where sending began to fail or works again."""
        changes = []
        for send in sends:
            link = send.link
            if self.socket is None or link not in self._routes:
                continue  # the link has just gone; without it the kernel would send elsewhere
            name = link.name if link else "-"
            is_to_one = link is not None and send.to != link.broadcast
            if is_to_one and self._is_clogged():
                self._drops.count("send-failed", name)
                continue
            to = LIMITED if send.limited and not self._is_local else send.to
            # a neighbour outside our network: without the flag the kernel sends to the gateway
            flags = socket.MSG_DONTROUTE if is_to_one and link and not link.holds(to) else 0
            error = self._send(send, to, flags)
            if error is not None:
                self._drops.count("send-failed", name)
            if is_to_one or error == _CAME_BACK:
                continue  # that one address cannot be reached says nothing of the link
            if error != self.errors.get((name, to)):
                changes.append(SendChange(name, to, error))
                self._remember((name, to), error)
            if error is not None and to != send.to:
                self._send(send, send.to)  # a firewall may forbid the limited broadcast alone
        return changes

    def _remember(self, key: tuple[str, str], error: str | None) -> None:
        # another thread may do the same at this moment
        if error is None:
            self.errors.pop(key, None)
            return
        if len(self.errors) >= MAX_ERRORS:
            self.errors.pop(next(iter(list(self.errors))), None)
        self.errors[key] = error

    def _send(self, send: Send, to: str, flags: int = 0) -> str | None:
        """Try to send a datagram; return the error."""
        bound, route = self.socket, self._routes.get(send.link)
        if bound is None or route is None:
            return None
        failure = OSError()
        for _ in range(TRIES):
            try:
                bound.sendmsg((send.datagram,), route, flags, (to, self._port))
            except OSError as error:
                failure = error
            else:
                return None
        return error_text(failure)

    def _is_clogged(self) -> bool:
        """Return whether half of the send buffer is in use: the other half is for HELLOs to all."""
        if self.socket is None:
            return False
        used, size = memory(self.socket, WMEM_ALLOC, SNDBUF)
        return used > size // 2


def _info(link: Link) -> bytes:
    return PKTINFO.pack(link.index, socket.inet_aton(link.address), bytes(4))
