"""One UDP socket of the protocol: its options, its buffers, and the errors that come back to it."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from discoveryd.net.batch import BATCH, IP_PKTINFO, PKTINFO
from discoveryd.net.sockets import explain_bind
from discoveryd.net.stamps import SO_TIMESTAMPNS, STAMP
from discoveryd.protocol.wire.messages import MAX_DATAGRAM

IP_RECVERR = 11
"""linux/in.h; `socket` has no name for it."""
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
SO_MEMINFO = 55
WMEM_ALLOC, SNDBUF, DROPS = 2, 3, 8
"""asm-generic/socket.h and linux/sock_diag.h (SK_MEMINFO_): the send buffer in use and in all, bytes, and how many
datagrams the full receive buffer lost."""

_EXTENDED_ERROR = struct.Struct("@I4B2I")  # errno, origin, type, code, ... (linux/errqueue.h)
_PORT_UNREACHABLE = (errno.ECONNREFUSED, 2, 3, 3)  # origin ICMP, destination unreachable, port
_ERROR_ANCILLARY = sum(map(socket.CMSG_SPACE, (PKTINFO.size, STAMP.size, _EXTENDED_ERROR.size + 16)))

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes: a full second of 4,000 nodes that all answer at once."""
SEND_BUFFER = 1024 * 1024
"""Bytes. Datagrams to absent addresses wait in it for seconds, until ARP gives up."""


def bind(stack: ExitStack, address: str, port: int, *, share: bool = False) -> socket.socket:
    """Return a bound socket, open until `stack` closes.

    Args:
        stack: closes it.
        address: to bind.
        port: to bind.
        share: whether other processes may bind the same address.

    Raises:
        OSError: with the port, and the process that holds it where that can be found.
    """
    bound = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    bound.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    bound.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    with suppress(OSError):  # without stamps the time of reading must do
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
        bound.bind((address, port))
    except OSError as error:
        raise explain_bind(error, "UDP", address, port) from None
    return bound


def refused_datagrams(bound: socket.socket) -> Iterator[bytes]:
    """Read the error queue and yield the datagrams that came back because nothing listens where they went (ICMP)."""
    for _ in range(BATCH):
        try:
            datagram, ancillary, _, _ = bound.recvmsg(MAX_DATAGRAM, _ERROR_ANCILLARY, socket.MSG_ERRQUEUE)
        except OSError:  # empty
            return
        for level, kind, data in ancillary:
            is_error = (level, kind) == (socket.IPPROTO_IP, IP_RECVERR) and len(data) >= _EXTENDED_ERROR.size
            if is_error and _EXTENDED_ERROR.unpack_from(data)[:4] == _PORT_UNREACHABLE:
                yield datagram


def memory(bound: socket.socket, *fields: int) -> list[int]:
    """Return fields of what the kernel says of a socket's memory; zeros before Linux 4.12."""
    try:
        info = struct.unpack("@9I", bound.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    except OSError:
        return [0] * len(fields)
    return [info[field] for field in fields]


def error_text(error: OSError) -> str:
    """Return an error as ``ENETDOWN: Network is down``."""
    number = error.errno or 0
    return f"{errno.errorcode.get(number, '?')}: {os.strerror(number) if number else error}"
