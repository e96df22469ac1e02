"""Interfaces and their addresses as the kernel lists them, by interface index.

They are read by rtnetlink(7), or, those of IPv4 alone, by the ioctls of netdevice(7) where a sandbox forbids that. The
parsers are pure: any bytes give values, and a message that makes no sense gives none. `Netlink` is the socket. It stays
open, so that a process without a free descriptor still sees its interfaces.
"""

import errno
import os
import socket
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl

from discoveryd.frozen import frozen

RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR, RTM_NEWNEIGH, RTM_GETNEIGH = 16, 18, 20, 22, 28, 30
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x10, 0x300
IFLA_IFNAME, IFLA_EXT_MASK, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 3, 29, 52, 53
IFA_ADDRESS, IFA_LOCAL, NDA_DST = 1, 2, 1
RTEXT_FILTER_SKIP_STATS = 8
"""linux/netlink.h, rtnetlink.h, if_link.h and if_addr.h; `socket` has no names for them. Counters are not asked for:
they are half of the cost."""
IFA_F_SECONDARY, IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x01, 0x04, 0x08, 0x40
"""The address shares its prefix with one that was there first (with IPv6: is one for some hours, RFC 8981); may be used
before it is known whether another machine has it; another machine has it; that is not known yet."""
IFF_UP, IFF_BROADCAST, IFF_RUNNING, IFF_NOARP, IFF_MULTICAST = 0x1, 0x2, 0x40, 0x80, 0x1000
"""linux/if.h"""
USABLE, USABLE_IPV6 = IFF_UP | IFF_BROADCAST | IFF_RUNNING, IFF_UP | IFF_MULTICAST | IFF_RUNNING
"""The flags of an interface by which all on its link can be reached, with each family."""
SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFNETMASK, SIOCGIFINDEX = 0x8910, 0x8912, 0x8913, 0x891B, 0x8933
"""linux/sockios.h"""

OF_ALL = (errno.ENOMEM, errno.ENOBUFS, errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)
"""Answers about one interface that say nothing of it: the kernel has no memory, or a sandbox forbids such questions."""
_SIZES = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}
"""Bytes of an address of each family."""
TRIES = 3
"""Dumps until one is not interrupted by a change; past it all of them count together, and the change rings anyway."""
RESOLVED = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
"""linux/neighbour.h: states of a neighbour with a hardware address, or without need of one."""
MAX_SIZE = 1024 * 1024
"""Bytes of addresses that are taken by ioctl: 26,000 of them."""

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
ATTRIBUTE = struct.Struct("=HH")  # length, type
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_NUMBER = struct.Struct("=i")
_TYPE = 0x3FFF  # without the bits for "nested" and "in network order"
_CHUNK = 65536  # more than the kernel puts into one answer
_IFREQ = struct.calcsize("@16sLLHBBB0L")  # struct ifreq: a name, and a struct ifmap as its largest member
_WITH_ADDRESS, _WITH_INDEX, _WITH_FLAGS = struct.Struct("@16s4x4s"), struct.Struct("@16si"), struct.Struct("@16sH")


@frozen(kw_only=False)
class Interface:
    """An interface.

    Attributes:
        index: its number in the kernel; a replugged one gets a new one.
        flags: ``IFF_UP`` and so on.
        names: its name, then its alternative names.
    """

    index: int
    flags: int
    names: tuple[str, ...]


@frozen(kw_only=False)
class Address:
    """An address of an interface.

    Attributes:
        index: of the interface.
        address: the own one, also where the other end of a line has one too; without a zone.
        prefix: length of the network prefix.
        is_secondary: whether an address of the same interface and prefix was there before it, or it is a temporary one.
        is_usable: whether datagrams may come from it: as far as is known no other machine has it.
        is_duplicate: whether another machine has it.
    """

    index: int
    address: str
    prefix: int
    is_secondary: bool
    is_usable: bool = True
    is_duplicate: bool = False


def pieces(data: bytes, header: struct.Struct) -> Iterator[tuple[list[int], bytes]]:
    """Yield header and payload of each message or attribute, up to the first that is not whole.

    Args:
        data: the pieces, each aligned to four bytes.
        header: `HEADER` or `ATTRIBUTE`. It begins with the length of the piece, which is not yielded.
    """
    at = 0
    while at + header.size <= len(data):
        length, *fields = header.unpack_from(data, at)
        if not header.size <= length <= len(data) - at:
            return
        yield fields, data[at + header.size : at + length]
        at += (length + 3) & ~3


def interface(payload: bytes) -> Interface | None:
    """Parse the payload of RTM_NEWLINK; None without index or name."""
    if len(payload) < _LINK.size:
        return None
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    name, others = "", []
    for (kind,), value in pieces(payload[_LINK.size :], ATTRIBUTE):
        if kind & _TYPE == IFLA_IFNAME:
            name = _text(value)
        elif kind & _TYPE == IFLA_PROP_LIST:
            others += [_text(inner) for (kind,), inner in pieces(value, ATTRIBUTE) if kind & _TYPE == IFLA_ALT_IFNAME]
    return Interface(index, flags, (name, *others)) if index > 0 and name else None


def address(payload: bytes) -> Address | None:
    """Parse the payload of RTM_NEWADDR; None if it is of a family that nodes do not speak."""
    if len(payload) < _ADDRESS.size:
        return None
    family, prefix, flags, _, index = _ADDRESS.unpack_from(payload)
    values = {kind & _TYPE: value for (kind,), value in pieces(payload[_ADDRESS.size :], ATTRIBUTE)}
    own = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS, b"")
    if len(own) != _SIZES.get(family) or prefix > 8 * len(own):
        return None
    waits = flags & IFA_F_TENTATIVE and not flags & IFA_F_OPTIMISTIC
    is_duplicate = family == socket.AF_INET6 and bool(flags & IFA_F_DADFAILED)
    is_usable = family == socket.AF_INET or not (waits or is_duplicate)
    text = socket.inet_ntop(family, own)
    return Address(index, text, prefix, bool(flags & IFA_F_SECONDARY), is_usable, is_duplicate)


class Netlink:
    """Asks the kernel for its interfaces and addresses. Used by one thread at a time."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._sequence = 0

    def open(self) -> socket.socket:
        """Open the socket, if it is not, and return it.

        Raises:
            OSError: no descriptor is left, or EAFNOSUPPORT or EPERM where a sandbox forbids netlink.
        """
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._socket.setblocking(False)  # it has answered by the time it has taken the question
        return self._socket

    def close(self) -> None:
        """Close the socket. Safe to call again, and before `open`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def addresses(self, family: int = socket.AF_INET) -> list[Address]:
        """Read all addresses of a family, of both with AF_UNSPEC.

        A dump during which something changed may lack what did not: then what several of them have counts.

        Raises:
            OSError: they cannot be read now; the next call starts anew.
        """
        found: dict[tuple[int, str], Address] = {}
        for _ in range(TRIES):
            messages = self._ask(RTM_GETADDR, NLM_F_DUMP, _ADDRESS.pack(family, 0, 0, 0, 0))
            addresses = [address(payload) for kind, _, payload in messages if kind == RTM_NEWADDR]
            read = {(one.index, one.address): one for one in addresses if one}  # one, however many prefixes it has
            if not any(flags & NLM_F_DUMP_INTR for _, flags, _ in messages):
                return list(read.values())
            found |= read
        return list(found.values())

    def interface(self, index: int) -> Interface | None:
        """Read one interface; None if it is gone, or its driver fails.

        Raises:
            OSError: none can be read now; the next call starts anew.
        """
        body = _LINK.pack(0, 0, index, 0, 0) + ATTRIBUTE.pack(8, IFLA_EXT_MASK) + _NUMBER.pack(RTEXT_FILTER_SKIP_STATS)
        try:
            messages = self._ask(RTM_GETLINK, 0, body)
        except OSError as error:
            if self._socket is None or error.errno in OF_ALL:
                raise
            return None
        return next((interface(payload) for kind, _, payload in messages if kind == RTM_NEWLINK), None)

    def name(self, index: int) -> str:
        """Return the name of an interface, the cheapest thing that can be asked of it; empty if it cannot be read.

        Raises:
            OSError: as `open`.
        """
        sock = self.open()
        with suppress(OSError):
            answer = ioctl(sock, SIOCGIFNAME, _WITH_INDEX.pack(b"", index).ljust(_IFREQ, b"\0"))
            return _text(_WITH_INDEX.unpack_from(answer)[0])
        return ""

    def neighbour(self, address: str, index: int) -> bool | None:
        """Return whether the hardware address of an IPv6 neighbour is known, None where it was not asked for.

        Raises:
            OSError: that cannot be read now.
        """
        packed = socket.inet_pton(socket.AF_INET6, address)
        body = _NEIGHBOUR.pack(socket.AF_INET6, 0, 0, 0, 0)
        for kind, _, payload in self._ask(RTM_GETNEIGH, NLM_F_DUMP, body):
            if kind == RTM_NEWNEIGH and len(payload) >= _NEIGHBOUR.size:
                _, where, state, _, _ = _NEIGHBOUR.unpack_from(payload)
                values = {one & _TYPE: value for (one,), value in pieces(payload[_NEIGHBOUR.size :], ATTRIBUTE)}
                if values.get(NDA_DST) == packed and index in (0, where):
                    return bool(state & RESOLVED)
        return None

    def _ask(self, question: int, flags: int, body: bytes) -> list[tuple[int, int, bytes]]:
        """Send a question and return type, flags and payload of each message of its answer."""
        sock = self.open()
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        header = HEADER.pack(HEADER.size + len(body), question, NLM_F_REQUEST | flags, self._sequence, 0)
        taken: list[tuple[int, int, bytes]] = []
        is_over = False
        try:
            sock.send(header + body)
            while not is_over:
                for (kind, marks, sequence, _), payload in pieces(sock.recv(_CHUNK), HEADER):
                    if sequence == self._sequence:
                        taken.append((kind, marks, payload))
                        is_over = not flags or kind in (NLMSG_ERROR, NLMSG_DONE)
        except OSError:
            self.close()  # what it would still say belongs to no question
            raise
        kind, _, payload = taken[-1]
        if kind in (NLMSG_ERROR, NLMSG_DONE):
            [number] = _NUMBER.unpack_from(payload.ljust(_NUMBER.size, b"\0"))
            if number:
                raise OSError(-number, os.strerror(-number))
        return taken


def flags_by_ioctl(name: str) -> int:
    """Return the flags of an interface.

    Raises:
        OSError: there is none of that name.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        _, flags = _WITH_FLAGS.unpack_from(ioctl(asker, SIOCGIFFLAGS, os.fsencode(name).ljust(_IFREQ, b"\0")))
    return int(flags)


def read_by_ioctl() -> tuple[list[Interface], list[Address]]:
    """Read the interfaces with an IPv4 address, and the addresses. An error concerns one interface alone.

    The ioctls know addresses by label. An address whose label is neither the name of its interface nor that name and
    ``:more`` belongs to no interface here and is left out; alternative names are not known either.

    Raises:
        OSError: there is no list at all.
    """
    interfaces: dict[int, Interface] = {}
    addresses: list[Address] = []
    taken: set[tuple[int, int, int]] = set()
    space = array("B", bytes(MAX_SIZE))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        size, _ = struct.unpack("@iP", ioctl(asker, SIOCGIFCONF, struct.pack("@iP", MAX_SIZE, space.buffer_info()[0])))
        for at in range(0, size - _IFREQ + 1, _IFREQ):
            with suppress(OSError):  # it went away since, or its driver fails
                found, own, prefix = _read_one(asker, space[at : at + _IFREQ].tobytes())
                network = found.index, prefix, int.from_bytes(own, "big") >> (32 - prefix)
                # the kernel lists them in the order in which they came
                addresses.append(Address(found.index, socket.inet_ntoa(own), prefix, network in taken))
                taken.add(network)
                interfaces[found.index] = found
    return list(interfaces.values()), addresses


def _read_one(asker: socket.socket, request: bytes) -> tuple[Interface, bytes, int]:
    """Return what belongs to a listed address: its interface, itself and the length of its prefix."""
    label, own = _WITH_ADDRESS.unpack_from(request)
    # the address goes along: several of one interface may have one label
    _, mask = _WITH_ADDRESS.unpack_from(ioctl(asker, SIOCGIFNETMASK, request))
    name = label.partition(b"\0")[0].partition(b":")[0]  # eth0:1 is a second address of eth0
    asked = name.ljust(_IFREQ, b"\0")
    _, index = _WITH_INDEX.unpack_from(ioctl(asker, SIOCGIFINDEX, asked))
    _, flags = _WITH_FLAGS.unpack_from(ioctl(asker, SIOCGIFFLAGS, asked))
    return Interface(index, flags, (_text(name),)), own, int.from_bytes(mask, "big").bit_count()


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
