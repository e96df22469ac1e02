"""Interfaces and their IPv4 addresses without netlink, by the ioctls of netdevice(7).

They know addresses by label. An address whose label is neither the name of its interface nor that name and ``:more``
belongs to no interface here and is left out; alternative names and IPv6 are not known either.
"""

from __future__ import annotations

import socket
import struct
from array import array
from contextlib import suppress
from fcntl import ioctl

from discoveryd.net.netlink import IFA_F_SECONDARY, Address, Interface

SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFNETMASK, SIOCGIFINDEX = 0x8912, 0x8913, 0x891B, 0x8933
"""linux/sockios.h"""

MAX_SIZE = 1024 * 1024
"""Bytes of addresses that are taken: 26,000 of them."""

_REQUEST = struct.calcsize("@16sLLHBBB0L")  # struct ifreq: a name, and a struct ifmap as its largest member
_NAME = 16
_LIST = struct.Struct("@iP")
_SOCKET_ADDRESS = struct.Struct("@H2x4s")
_SHORT, _NUMBER = struct.Struct("@H"), struct.Struct("@i")


def read() -> tuple[list[Interface], list[Address]]:
    """Read the interfaces with an IPv4 address, and the addresses. An error concerns one interface alone.

    Raises:
        OSError: there is no list at all.
    """
    interfaces: dict[int, Interface] = {}
    addresses: list[Address] = []
    taken: set[tuple[int, int, int]] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        listed = _listed(asker)
        for at in range(0, len(listed) - _REQUEST + 1, _REQUEST):
            with suppress(OSError):  # it went away since, or its driver fails
                interface, address, prefix = _one(asker, listed[at : at + _REQUEST])
                number = int.from_bytes(socket.inet_aton(address), "big")
                network = interface.index, prefix, number >> (32 - prefix)
                flags = IFA_F_SECONDARY if network in taken else 0  # the kernel lists them in this order
                taken.add(network)
                interfaces[interface.index] = interface
                addresses.append(Address(interface.index, socket.AF_INET, address, prefix, flags))
    return list(interfaces.values()), addresses


def _listed(asker: socket.socket) -> bytes:
    """Return a struct ifreq for each address."""
    size = 256 * _REQUEST
    while True:
        space = array("B", bytes(size))
        (used,) = _NUMBER.unpack_from(ioctl(asker, SIOCGIFCONF, _LIST.pack(size, space.buffer_info()[0])))
        if used <= size - _REQUEST or size >= MAX_SIZE:  # else there may be more
            return space.tobytes()[:used]
        size *= 2


def _one(asker: socket.socket, request: bytes) -> tuple[Interface, str, int]:
    """Return what belongs to a listed address: its interface, itself and the length of its prefix."""
    (_, address) = _SOCKET_ADDRESS.unpack_from(request, _NAME)
    # the address goes along: several of one interface may have one label
    _, mask = _SOCKET_ADDRESS.unpack_from(ioctl(asker, SIOCGIFNETMASK, request), _NAME)
    label = request[:_NAME].partition(b"\0")[0]
    name = label.partition(b":")[0]  # eth0:1 is a second address of eth0
    asked = name.ljust(_REQUEST, b"\0")
    (index,) = _NUMBER.unpack_from(ioctl(asker, SIOCGIFINDEX, asked), _NAME)
    (flags,) = _SHORT.unpack_from(ioctl(asker, SIOCGIFFLAGS, asked), _NAME)
    interface = Interface(index, flags, (name.decode("utf-8", "replace"),))
    return interface, socket.inet_ntoa(address), int.from_bytes(mask, "big").bit_count()
