"""Interfaces and their addresses as the kernel lists them: rtnetlink(7) dumps, by interface index.

The parsers are pure: any bytes give values, and a message that makes no sense gives none. `Netlink` is the socket. It
stays open, so that a process without a free descriptor still sees its interfaces.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fcntl import ioctl
from typing import TypeVar

RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x10, 0x300
IFLA_IFNAME, IFLA_EXT_MASK, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 3, 29, 52, 53
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
RTEXT_FILTER_SKIP_STATS = 8
"""linux/netlink.h, rtnetlink.h, if_link.h and if_addr.h; `socket` has no names for them. Counters are not asked for:
they are half of the cost."""
IFA_F_SECONDARY = 0x01
"""For IPv4: the address shares its prefix with one that was there first. For IPv6 the same bit means temporary."""
IFF_UP, IFF_BROADCAST, IFF_RUNNING = 0x1, 0x2, 0x40
IFNAMSIZ = 16
"""linux/if.h"""
SIOCGIFNAME = 0x8910
"""linux/sockios.h"""

SINGLY = 64
"""Interfaces that are asked for one by one: a dump of hundreds costs more, and one that fails ends it for all."""
OF_ALL = (errno.ENOMEM, errno.ENOBUFS, errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)
"""Answers about one interface that say nothing of it: the kernel has no memory, or a sandbox forbids such questions."""
TRIES = 3
"""Dumps until one is not interrupted by a change; past it all of them count together, and the change rings anyway."""

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_NUMBER = struct.Struct("=i")
_FLAGS = struct.Struct("=I")
_IFREQ = struct.Struct(f"={IFNAMSIZ}si20x")  # name, index, the rest of the union
_PROPERTIES = struct.pack("=H", 0x8000 | IFLA_PROP_LIST)  # the bit for "nested"
_TYPE = 0x3FFF  # without the bits for "nested" and "in network order"
_LENGTHS = {socket.AF_INET: 4, socket.AF_INET6: 16}
_CHUNK = 65536  # more than the kernel puts into one answer

_Value = TypeVar("_Value")
Parser = Callable[[bytes], "tuple[object, _Value] | None"]
"""Payload of a message to a key, the same in each dump, and a value."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface, of any family.

    Attributes:
        index: of the interface.
        family: ``AF_INET`` or ``AF_INET6``.
        address: the own one, also where the other end of a line has one too.
        prefix: length of the network prefix.
        flags: ``IFA_F_SECONDARY`` and so on.
    """

    index: int
    family: int
    address: str
    prefix: int
    flags: int

    @property
    def is_secondary(self) -> bool:
        """Whether an IPv4 address of the same interface and prefix was there before it."""
        return self.family == socket.AF_INET and bool(self.flags & IFA_F_SECONDARY)


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield type, flags, sequence number and payload of each message, up to the first that is not whole."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            return
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += _aligned(length)


def attributes(payload: bytes, at: int, wanted: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of the wanted attributes from an offset on, up to the first that is not whole."""
    while at + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, at)
        if not _ATTRIBUTE.size <= length <= len(payload) - at:
            return
        if kind & _TYPE in wanted:
            yield kind & _TYPE, payload[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def interface(payload: bytes) -> tuple[object, Interface] | None:
    """Parse the payload of RTM_NEWLINK: the index as key, and the interface; None without index or name."""
    if len(payload) < _LINK.size:
        return None
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    name, others = "", []
    has_others = _PROPERTIES in payload  # some 35 attributes need not be looked at one by one
    for kind, value in attributes(payload, _LINK.size, (IFLA_IFNAME, IFLA_PROP_LIST)):
        if kind == IFLA_IFNAME:
            name = _text(value)
            if not has_others:
                break
        else:
            others += [_text(inner) for _, inner in attributes(value, 0, (IFLA_ALT_IFNAME,))]
    return (index, Interface(index, flags, (name, *others))) if index > 0 and name else None


def address(payload: bytes) -> tuple[object, Address] | None:
    """Parse the payload of RTM_NEWADDR: index and address as key, and the address; None if it is of another family."""
    if len(payload) < _ADDRESS.size:
        return None
    family, prefix, flags, _, index = _ADDRESS.unpack_from(payload)
    length = _LENGTHS.get(family)
    own = remote = b""
    for kind, value in attributes(payload, _ADDRESS.size, (IFA_LOCAL, IFA_ADDRESS, IFA_FLAGS)):
        if kind == IFA_LOCAL:
            own = value
        elif kind == IFA_ADDRESS:
            remote = value
        elif len(value) == _FLAGS.size:
            (flags,) = _FLAGS.unpack(value)
    own = own or remote  # IPv6 has no IFA_LOCAL but on a line with two ends
    if length is None or len(own) != length or prefix > 8 * length:
        return None
    return (index, own), Address(index, family, socket.inet_ntop(family, own), prefix, flags)


class Netlink:
    """Asks the kernel for its interfaces and addresses. Used by one thread at a time."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._sequence = 0

    def open(self) -> None:
        """Open the socket, if it is not.

        Raises:
            OSError: no descriptor is left, or EAFNOSUPPORT or EPERM where a sandbox forbids netlink.
        """
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._socket.setblocking(False)  # it has answered by the time it has taken the question

    def close(self) -> None:
        """Close the socket. Safe to call again, and before `open`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def interfaces(self, wanted: Collection[int]) -> list[Interface]:
        """Read the interfaces with these indices; one that cannot be read is left out.

        Raises:
            OSError: none can be read now; the next call starts anew.
        """
        if len(wanted) <= SINGLY:
            return [found for index in wanted if (found := self.interface(index))]

        def parse(payload: bytes) -> tuple[object, Interface] | None:
            is_wanted = len(payload) >= _LINK.size and _LINK.unpack_from(payload)[2] in wanted
            return interface(payload) if is_wanted else None

        return self._read(RTM_GETLINK, RTM_NEWLINK, parse)

    def addresses(self, family: int = socket.AF_UNSPEC) -> list[Address]:
        """Read all addresses, or those of a family.

        Raises:
            OSError: as `interfaces`.
        """
        return self._read(RTM_GETADDR, RTM_NEWADDR, address, family)

    def interface(self, index: int) -> Interface | None:
        """Read one interface; None if it is gone, or its driver fails.

        Raises:
            OSError: as `interfaces`.
        """
        try:
            found, _ = self._ask(RTM_GETLINK, 0, RTM_NEWLINK, interface, index=index)
        except OSError as error:
            if self._socket is None or error.errno in OF_ALL:
                raise
            return None
        return found.get(index)

    def name(self, index: int) -> str:
        """Return the name of an interface, the cheapest thing that can be asked of it; empty if it cannot be read.

        Raises:
            OSError: as `open`.
        """
        self.open()
        assert self._socket is not None
        try:
            answer = ioctl(self._socket, SIOCGIFNAME, _IFREQ.pack(b"", index))
        except OSError:
            return ""
        return _text(answer[:IFNAMSIZ].partition(b"\0")[0])

    def _read(self, ask: int, answer: int, parse: Parser[_Value], family: int = socket.AF_UNSPEC) -> list[_Value]:
        """Dump until nothing changed meanwhile.

        A dump during which something changed may lack what did not: then what several of them have counts.
        """
        all_found: dict[object, _Value] = {}
        for _ in range(TRIES):
            found, is_consistent = self._ask(ask, NLM_F_DUMP, answer, parse, family=family)
            if is_consistent:
                return list(found.values())
            all_found |= found
        return list(all_found.values())

    def _ask(
        self, ask: int, flags: int, answer: int, parse: Parser[_Value], *, family: int = 0, index: int = 0
    ) -> tuple[dict[object, _Value], bool]:
        """Send a question and take its answer, and whether that is consistent."""
        self.open()
        assert self._socket is not None
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        body = _ADDRESS.pack(family, 0, 0, 0, index)
        if ask == RTM_GETLINK:
            body = _LINK.pack(family, 0, index, 0, 0) + _ATTRIBUTE.pack(8, IFLA_EXT_MASK)
            body += _NUMBER.pack(RTEXT_FILTER_SKIP_STATS)
        header = _HEADER.pack(_HEADER.size + len(body), ask, NLM_F_REQUEST | flags, self._sequence, 0)
        found: dict[object, _Value] = {}
        is_consistent = True
        for kind, marks, payload in self._talk(header + body, is_dump=bool(flags)):
            is_consistent = is_consistent and not marks & NLM_F_DUMP_INTR
            if kind == answer and (parsed := parse(payload)):
                found[parsed[0]] = parsed[1]
            elif kind in (NLMSG_ERROR, NLMSG_DONE):
                _check(payload)
        return found, is_consistent

    def _talk(self, question: bytes, *, is_dump: bool) -> list[tuple[int, int, bytes]]:
        """Send a question and give type, flags and payload of each message of its answer."""
        assert self._socket is not None
        taken: list[tuple[int, int, bytes]] = []
        try:
            self._socket.send(question)
            while True:
                for kind, flags, sequence, payload in messages(self._socket.recv(_CHUNK)):
                    if sequence != self._sequence:
                        continue
                    taken.append((kind, flags, payload))
                    if not is_dump or kind in (NLMSG_ERROR, NLMSG_DONE):
                        return taken
        except OSError:
            self.close()  # what it would still say belongs to no question
            raise


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def _check(payload: bytes) -> None:
    """Raise the error that ends an answer, if it is one."""
    number = -_NUMBER.unpack_from(payload)[0] if len(payload) >= _NUMBER.size else 0
    if number > 0:
        raise OSError(number, os.strerror(number))
    if number < 0:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
