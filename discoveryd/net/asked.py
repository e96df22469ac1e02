"""The sockets of a server that is asked by UDP and by TCP at one address, bound here and served elsewhere."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import Any

from discoveryd.net.families import IP_PKTINFO, PKTINFO, PKTINFO_IPV6
from discoveryd.net.sockets import IP_FREEBIND, explain_bind

BACKLOG = 128
"""Connections that may wait to be accepted."""
_CONTROL = socket.CMSG_SPACE(PKTINFO.size) + socket.CMSG_SPACE(PKTINFO_IPV6.size)
_MAPPED = "::ffff:"
_OF_IPV4 = (socket.IPPROTO_IP, IP_PKTINFO)
_OF_IPV6 = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
_MULTICAST = 0xFF

Sender = tuple[Any, list[tuple[int, int, bytes]]]
"""The name of a sender, and the control messages by which an answer leaves from the address that was asked."""


class AskedSocket:
    """A UDP socket that answers from the very address that it was asked at, also where it listens at all of them.

    Args:
        bound: the socket; not blocking.
    """

    def __init__(self, bound: socket.socket) -> None:
        self._bound = bound

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._bound.fileno()

    def receive(self, most: int) -> tuple[bytes, Sender] | None:
        """Return the next datagram, cut after `most` bytes, and its sender; None where none waits.

        What was sent to a broadcast or multicast address has no bytes: it is not for one server to answer.
        """
        try:
            data, controls, _, source = self._bound.recvmsg(most, _CONTROL)
        except OSError:  # none waits; or an error of what was sent before
            return None
        answers, is_to_us = _way_back({one[:2]: bytes(one[2]) for one in controls})
        return (data if is_to_us else b""), (source, answers)

    def send(self, data: bytes, sender: Sender) -> None:
        """Answer a sender, if the system can."""
        source, controls = sender
        with suppress(OSError):  # no route back, no room, port 0: a resolver asks again
            self._bound.sendmsg([data], controls, 0, source)


def _way_back(controls: dict[tuple[int, int], bytes]) -> tuple[list[tuple[int, int, bytes]], bool]:
    """Return the control messages of an answer, and whether the question was for this machine alone."""
    if info := controls.get(_OF_IPV6):
        local, index = PKTINFO_IPV6.unpack(info)
        return [(*_OF_IPV6, PKTINFO_IPV6.pack(local, index))], local[0] != _MULTICAST
    if info := controls.get(_OF_IPV4):
        _, local, header = PKTINFO.unpack(info)
        return [(*_OF_IPV4, PKTINFO.pack(0, local, bytes(4)))], local == header
    return [], False


def address_in(name: Any) -> str:
    """Return the address in the name of a sender, without a zone; of IPv4 also where a socket of IPv6 got it."""
    address = str(name[0]).partition("%")[0]
    return address.removeprefix(_MAPPED) if "." in address else address


def open_asked(stack: ExitStack, address: tuple[str, int]) -> tuple[AskedSocket, socket.socket]:
    """Return both sockets, not blocking, open until `stack` closes; that of TCP listens.

    The machine need not have the address yet.

    Args:
        stack: closes them.
        address: where to listen; ``::`` is every address, those of IPv4 too.

    Raises:
        OSError: with the port, and its holder where that can be found.
    """
    made = []
    is_ipv6 = ":" in address[0]
    for kind, name in ((socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")):
        bound = stack.enter_context(socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, kind))
        bound.setblocking(False)
        bound.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        if is_ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            option = socket.IPV6_RECVPKTINFO if is_ipv6 else IP_PKTINFO
            bound.setsockopt(socket.IPPROTO_IPV6 if is_ipv6 else socket.IPPROTO_IP, option, 1)
        try:
            bound.bind(address)
        except OSError as error:
            raise explain_bind(error, name, *address) from None
        made.append(bound)
    made[1].listen(BACKLOG)
    return AskedSocket(made[0]), made[1]
