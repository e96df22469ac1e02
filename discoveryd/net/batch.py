"""Read what waits in a socket, one datagram or many by one system call, each with its origin and its stamp.

`recvmmsg` costs a third of as many calls of `recvmsg`. Python has no name for it: it is called through ctypes, in
memory that is laid out once. Where it is not to be had, datagrams are read one by one, with the same result.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from discoveryd.net.stamps import SO_TIMESTAMPNS, STAMP, UNSTAMPED
from discoveryd.protocol.wire.messages import MAX_DATAGRAM

IP_PKTINFO = 8
"""linux/in.h; `socket` has no name for it."""
PKTINFO = struct.Struct("@i4s4s")  # interface index, local address, header address

BATCH = 128
"""Datagrams taken at once, within a millisecond: few enough that a flood leaves time for the rest."""
ALONE = 2
"""Calls that read one datagram, before one that reads many: most come alone, and then the second finds nothing."""
SIZE = MAX_DATAGRAM + 1
"""Bytes of a datagram that are read: a datagram that is too long is known by the last byte."""

_HEAD = socket.CMSG_LEN(0)
_STAMP_SPACE, _PKTINFO_SPACE = socket.CMSG_SPACE(STAMP.size), socket.CMSG_SPACE(PKTINFO.size)
_CONTROL = _STAMP_SPACE + _PKTINFO_SPACE
_NAME = struct.Struct("=HH4s8x")  # struct sockaddr_in: family, port (network order), address
_ORIGIN = struct.Struct(f"{PKTINFO.format}{_PKTINFO_SPACE - _HEAD - PKTINFO.size}x{_NAME.format[1:]}")

Arrival = tuple[bytes, bytes, float]
"""A datagram, its origin as `parse_origin` takes it, and the moment of its stamp, `UNSTAMPED` if there is none."""


class Origin(NamedTuple):
    """Where a datagram came from.

    Attributes:
        address: of the sender.
        port: of the sender.
        interface: index of the interface it came in by.
        destination: the address it was sent to.
    """

    address: str
    port: int
    interface: int
    destination: str


def parse_origin(origin: bytes) -> Origin:
    """Return the parts of an origin; equal bytes are the same origin."""
    interface, _, destination, _, port, address = _ORIGIN.unpack(origin)
    return Origin(socket.inet_ntoa(address), socket.ntohs(port), interface, socket.inet_ntoa(destination))


def read_one(receiver: socket.socket, offset: float) -> Arrival:
    """Read one datagram of a socket that does not block.

    Args:
        receiver: with IP_PKTINFO, and if it can be SO_TIMESTAMPNS.
        offset: seconds that the clock of the stamps is ahead of that of the moment given.

    Raises:
        BlockingIOError: the socket is empty.
        OSError: the error of a datagram that was sent by this socket; the next call goes on.
    """
    datagram, ancillary, _, (address, port) = receiver.recvmsg(SIZE, _CONTROL)
    moment, info = UNSTAMPED, bytes(PKTINFO.size)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            second, nano = STAMP.unpack(data)
            moment = second - offset + nano * 1e-9
        elif (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            info = data
    name = (socket.AF_INET, socket.htons(port), socket.inet_aton(address))
    return datagram, _ORIGIN.pack(*PKTINFO.unpack(info), *name), moment


_MESSAGE = struct.Struct("@PIPNPNi0P")  # struct msghdr: name, size; parts, their count; control messages, size; flags
_PART = struct.Struct("@PN")  # struct iovec: base, size
_LENGTH = struct.Struct(f"@{_MESSAGE.size}xI0P")  # struct mmsghdr: a msghdr, and the length of the datagram
# what the kernel tells of one datagram: both control messages, then the name of the sender
_TOLD = struct.Struct(f"@{_HEAD}x{STAMP.format[1:]}{_STAMP_SPACE - _HEAD - STAMP.size}x{_HEAD}x{_ORIGIN.size}s")
_STARTS = range(0, BATCH * SIZE, SIZE)


class Many:
    """Reads up to `BATCH` datagrams by one call. For one thread, and any number of sockets with stamps.

    Raises:
        AttributeError: the C library has no recvmmsg.
    """

    def __init__(self) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._data = ctypes.create_string_buffer(BATCH * SIZE)
        data = ctypes.addressof(self._data)
        self._parts = ctypes.create_string_buffer(b"".join(_PART.pack(data + start, SIZE) for start in _STARTS))
        parts = ctypes.addressof(self._parts)
        # the memory that the kernel reads and writes at each call, besides the datagrams
        table = ctypes.create_string_buffer(BATCH * (_LENGTH.size + _TOLD.size))
        self._address = ctypes.addressof(table)
        told = self._address + BATCH * _LENGTH.size
        blank = bytearray(len(table))
        for number in range(BATCH):
            control, part = told + number * _TOLD.size, parts + number * _PART.size
            fields = control + _CONTROL, _NAME.size, part, 1, control, _CONTROL, 0
            _MESSAGE.pack_into(blank, number * _LENGTH.size, *fields)
        self._blank = bytes(blank)
        self._table = memoryview(table).cast("B")
        self._lengths, self._told = self._table[: BATCH * _LENGTH.size], self._table[BATCH * _LENGTH.size :]

    def read(self, receiver: socket.socket, limit: int, offset: float) -> list[Arrival]:
        """Read at least one datagram, and at most `limit` (at least 1) or `BATCH` of them; the rest as `read_one`."""
        self._table[:] = self._blank  # nothing told of one datagram may be taken for that of the next
        count = self._call(receiver.fileno(), self._address, min(limit, BATCH), socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        data: bytes = self._data  # type: ignore[assignment] # a slice of an array of c_char is bytes
        told = _TOLD.iter_unpack(self._told[: count * _TOLD.size])
        lengths = _LENGTH.iter_unpack(self._lengths[: count * _LENGTH.size])
        return [
            (data[start : start + length], origin, second - offset + nano * 1e-9)
            for start, (length,), (second, nano, origin) in zip(_STARTS, lengths, told, strict=False)
        ]


def open_many(receivers: Iterable[socket.socket]) -> Many | None:
    """Return the reader of many datagrams of these sockets at once, None where the system has none."""
    try:
        # without stamps the control messages are not where they are expected
        is_stamped = all(receiver.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS) for receiver in receivers)
        return Many() if is_stamped else None
    except (OSError, AttributeError):
        return None
