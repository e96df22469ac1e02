"""Read what waits in a socket, one datagram or many by one system call, each with its origin and its stamp.

`recvmmsg` costs a third of as many calls of `recvmsg`. Python has no name for it: it is called through ctypes, in
memory that is laid out once. Where it is not to be had, datagrams are read one by one, with the same result.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterable

from discoveryd.net.families import IPV4, SocketFamily
from discoveryd.net.stamps import SO_TIMESTAMPNS, STAMP, UNSTAMPED
from discoveryd.protocol.wire.messages import MAX_DATAGRAM

BATCH = 128
"""Datagrams taken at once, within a millisecond: few enough that a flood leaves time for the rest."""
ALONE = 2
"""Calls that read one datagram, before one that reads many: most come alone, and then the second finds nothing."""
SIZE = MAX_DATAGRAM + 1
"""Bytes of a datagram that are read: a datagram that is too long is known by the last byte."""

_HEAD, _STAMP_SPACE = socket.CMSG_LEN(0), socket.CMSG_SPACE(STAMP.size)

Arrival = tuple[bytes, bytes, float]
"""A datagram, its origin as `parse_origin` takes it, and the moment of its stamp, `UNSTAMPED` if there is none."""


def read_one(receiver: socket.socket, offset: float, family: SocketFamily = IPV4) -> Arrival:
    """Read one datagram of a socket that does not block.

    Args:
        receiver: with the options of its family, and if it can be SO_TIMESTAMPNS.
        offset: seconds that the clock of the stamps is ahead of that of the moment given.
        family: of the socket.

    Raises:
        BlockingIOError: the socket is empty.
        OSError: the error of a datagram that was sent by this socket; the next call goes on.
    """
    datagram, ancillary, _, name = receiver.recvmsg(SIZE, family.control_size)
    moment, contents = UNSTAMPED, {}
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            second, nano = STAMP.unpack(data)
            moment = second - offset + nano * 1e-9
        elif level == family.level:
            contents[kind] = data
    return datagram, family.pack_origin(contents, name), moment


_MESSAGE = struct.Struct("@PIPNPNi0P")  # struct msghdr: name, size; parts, their count; control messages, size; flags
_PART = struct.Struct("@PN")  # struct iovec: base, size
_LENGTH = struct.Struct(f"@{_MESSAGE.size}xI0P")  # struct mmsghdr: a msghdr, and the length of the datagram
_STARTS = range(0, BATCH * SIZE, SIZE)


class Many:
    """Reads up to `BATCH` datagrams by one call. For one thread, and any number of sockets with stamps of one family.

    Raises:
        AttributeError: the C library has no recvmmsg.
    """

    def __init__(self, family: SocketFamily = IPV4) -> None:
        # what the kernel tells of one datagram: all control messages, then the name of the sender
        padding = _STAMP_SPACE - _HEAD - STAMP.size
        self._one = struct.Struct(f"@{_HEAD}x{STAMP.format[1:]}{padding}x{_HEAD}x{family.origin.size}s")
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._data = ctypes.create_string_buffer(BATCH * SIZE)
        data = ctypes.addressof(self._data)
        self._parts = ctypes.create_string_buffer(b"".join(_PART.pack(data + start, SIZE) for start in _STARTS))
        parts = ctypes.addressof(self._parts)
        # the memory that the kernel reads and writes at each call, besides the datagrams
        table = ctypes.create_string_buffer(BATCH * (_LENGTH.size + self._one.size))
        self._address = ctypes.addressof(table)
        told = self._address + BATCH * _LENGTH.size
        blank, size = bytearray(len(table)), family.control_size
        for number in range(BATCH):
            control, part = told + number * self._one.size, parts + number * _PART.size
            fields = control + size, family.name_size, part, 1, control, size, 0
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
        told = self._one.iter_unpack(self._told[: count * self._one.size])
        lengths = _LENGTH.iter_unpack(self._lengths[: count * _LENGTH.size])
        return [
            (data[start : start + length], origin, second - offset + nano * 1e-9)
            for start, (length,), (second, nano, origin) in zip(_STARTS, lengths, told, strict=False)
        ]


def open_many(receivers: Iterable[socket.socket], family: SocketFamily = IPV4) -> Many | None:
    """Return the reader of many datagrams of these sockets at once, None where the system has none."""
    try:
        # without stamps the control messages are not where they are expected
        is_stamped = all(receiver.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS) for receiver in receivers)
        return Many(family) if is_stamped else None
    except (OSError, AttributeError):
        return None
