"""Whose the other end of a TCP connection is: a user of this machine, or another machine.

TCP has no SO_PEERCRED. The kernel tells of each socket here whose it is: asked for one (inet_diag over netlink, see
sock_diag(7)) at once, however many there are; where a sandbox allows no netlink, in a list of all, ``/proc/net/tcp``.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
"""linux/netlink.h and linux/sock_diag.h; `socket` has no names for them."""
LIST = "/proc/net/tcp"
UNKNOWN = "somebody"
"""The owner of what has none any more, or where the kernel tells nothing: all of these are counted as one."""

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_ASK = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_PLACE = struct.Struct("!HH16s16sI8s")  # ports, addresses, interface, cookie
_TOLD = struct.Struct("=BBBB48xIIIII")  # family, state, ..., timer, queues, uid, inode
_ANY_STATE, _ANY_COOKIE = 0xFFFFFFFF, b"\xff" * 8

Address = tuple[str, int]


def owner_of(connection: socket.socket) -> str:
    """Give the owner of the other end: ``uid 1000`` here, the address of a machine elsewhere.

    Args:
        connection: accepted, over IPv4.
    """
    try:
        here, there = connection.getsockname(), connection.getpeername()
    except OSError:  # gone already
        return UNKNOWN
    is_local = there[0].startswith("127.") or there[0] == here[0]
    if not is_local:
        return str(there[0])
    try:
        uid = _ask(there, here)
    except OSError:
        uid = _look_up(there, here)
    return UNKNOWN if uid is None else f"uid {uid}"


def _ask(local: Address, remote: Address) -> int | None:
    """Ask the kernel for one socket.

    Raises:
        OSError: it does not answer such questions.
    """
    place = _PLACE.pack(local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0]), 0, _ANY_COOKIE)
    ask = _ASK.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + place
    header = _HEADER.pack(_HEADER.size + len(ask), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.setblocking(False)  # it has answered by the time it has taken the question
        kernel.send(header + ask)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        raise OSError(-number, "the kernel knows no such socket")
    *_, uid, inode = _TOLD.unpack_from(answer, _HEADER.size)
    return int(uid) if inode else None  # one that its program has closed counts as root's there


def _look_up(local: Address, remote: Address) -> int | None:
    """Look for a socket in the list of all."""
    ends = [_in_hex(local), _in_hex(remote)]
    with suppress(OSError), open(LIST, encoding="ascii") as sockets:
        for line in sockets:
            fields = line.split(maxsplit=10)
            if fields[1:3] == ends and fields[9] != "0":
                return int(fields[7])
    return None


def _in_hex(address: Address) -> str:
    """Write an address as the list has it: the bytes of an integer of this machine, then the port."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
