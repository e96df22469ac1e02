"""The user or machine at the other end of a TCP connection, and the process that holds a port.

TCP has no SO_PEERCRED, but the kernel knows the user of each local socket. It answers for one socket at once, however
many there are (inet_diag over netlink, see sock_diag(7)); where a sandbox forbids netlink, ``/proc/net/tcp`` lists all.
"""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from glob import iglob
from typing import Literal

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
"""linux/netlink.h and linux/sock_diag.h; `socket` has no names for them."""
LIST = "/proc/net/tcp"
LISTENING = "0A"
"""The state of a listening socket in such a list."""
UNKNOWN = "somebody"
"""The owner of a closed socket, or where the kernel tells nothing: all of these count as one owner."""

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_PLACE = struct.Struct("!HH16s16sI8s")  # ports, addresses, interface, cookie
_REPLY = struct.Struct("=BBBB48xIIIII")  # family, state, ..., timer, queues, uid, inode
_ANY_STATE, _ANY_COOKIE = 0xFFFFFFFF, b"\xff" * 8

Address = tuple[str, int]


def owner_of(connection: socket.SocketType) -> str:
    """Return the owner of the other end: ``uid 1000`` on this machine, else the address of the machine.

    Args:
        connection: over IPv4, and accepted.
    """
    try:
        here, there = connection.getsockname(), connection.getpeername()
    except OSError:  # gone already
        return UNKNOWN
    if not there[0].startswith("127.") and there[0] != here[0]:
        return str(there[0])
    try:
        uid = _query_kernel(there, here)
    except OSError:
        uid = _search_list(there, here)
    return UNKNOWN if uid is None else f"uid {uid}"


def holder(port: int, kind: Literal["udp", "tcp"] = "udp", address: str = "0.0.0.0") -> str | None:
    """Return the process that holds a port, as ``avahi-daemon (pid 512)``; None if it is not found.

    With an address, a process that keeps others from that address: several may share a port. Only root sees the
    processes of other users. Slow (reads all of /proc): for error messages.
    """
    inodes = {f"socket:[{inode}]" for inode in _inodes(port, kind, address)}
    if not inodes:
        return None
    for descriptor in iglob("/proc/[0-9]*/fd/*"):
        with suppress(OSError):  # closed meanwhile
            if os.readlink(descriptor) in inodes:
                pid = descriptor.split("/")[2]
                return f"{_program(pid)} (pid {pid})"
    return None


def _inodes(port: int, kind: str, address: str) -> Iterator[str]:
    """Yield the inodes of sockets that are bound to a port, from the lists of all sockets."""
    is_any = address in ("0.0.0.0", "::")
    here = "" if is_any else _in_hex((address, port)).partition(":")[0]
    kept = {here, "0" * 8, "0" * 32, f"{'0' * 16}FFFF0000{here}"}  # itself, any of IPv4 and IPv6, itself by IPv6
    for name in (f"{kind}6",) if address == "::" else (kind, f"{kind}6"):
        for line in read_lines(f"/proc/net/{name}"):
            fields = line.split(maxsplit=10)
            if len(fields) < 10 or (kind == "tcp" and fields[3] != LISTENING):
                continue
            bound, _, in_hex = fields[1].partition(":")
            if in_hex == f"{port:04X}" and (is_any or bound in kept):
                yield fields[9]


def _program(pid: str) -> str:
    """Return the name of a process; from its command line where the kernel's name is cut."""
    name = "".join(read_lines(f"/proc/{pid}/comm")).rstrip("\n") or "process"
    if len(name) >= 15:
        long = os.path.basename("".join(read_lines(f"/proc/{pid}/cmdline")).partition("\0")[0])
        name = long if long.startswith(name) else name
    return name


def read_lines(path: str) -> list[str]:
    """Return the lines of a file; none if it cannot be read."""
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.readlines()
    return []


def _query_kernel(local: Address, remote: Address) -> int | None:
    """Return the user of one socket, from the kernel; None if its program has closed it.

    Raises:
        OSError: netlink is forbidden, or the kernel does not know the socket.
    """
    place = _PLACE.pack(local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0]), 0, _ANY_COOKIE)
    request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + place
    header = _HEADER.pack(_HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.setblocking(False)  # the reply is there once the request is taken
        kernel.send(header + request)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        raise OSError(-number, "the kernel knows no such socket")
    *_, uid, inode = _REPLY.unpack_from(answer, _HEADER.size)
    return int(uid) if inode else None  # one that its program has closed counts as root's there


def _search_list(local: Address, remote: Address) -> int | None:
    """Return the user of one socket, from the list of all."""
    ends = [_in_hex(local), _in_hex(remote)]
    sockets = (line.split(maxsplit=10) for line in read_lines(LIST))
    return next((int(fields[7]) for fields in sockets if fields[1:3] == ends and fields[9] != "0"), None)


def _in_hex(address: Address) -> str:
    """Return an address as the lists have it: the bytes of an integer of this machine, then the port."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
