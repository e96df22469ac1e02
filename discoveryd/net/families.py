"""IPv4 and IPv6 at a socket: options, control messages, names of senders, errors, and where a datagram came from."""

import errno
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from discoveryd.net.stamps import STAMP
from discoveryd.protocol.addresses import Family, is_link_local
from discoveryd.protocol.link import GROUP, Link

IP_PKTINFO, IP_RECVERR, IPV6_RECVERR, IPV6_MULTICAST_ALL = 8, 11, 25, 29
"""linux/in.h and linux/in6.h; `socket` has no names for them."""
PKTINFO, PKTINFO_IPV6 = struct.Struct("@i4s4s"), struct.Struct("@16si")
"""Interface index, local address, header address; address, interface index."""
HOPS = 255
"""The hop limit of all we send by IPv6. Each router takes one off, so what arrives with it comes from the link itself
(RFC 5082)."""

_NUMBER = struct.Struct("@i")
_NO_INFO = bytes(PKTINFO.size)
_HOPLIMIT_HEAD = struct.pack("@Nii", socket.CMSG_LEN(_NUMBER.size), socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)
_OF_ICMP, _OF_ICMP6 = 2, 3
"""Origins of an extended error (linux/errqueue.h)."""

Option = tuple[int, int, int]
"""Level, name and value of a socket option."""


class Origin(NamedTuple):
    """Where a datagram came from.

    Attributes:
        address: of the sender, without a zone.
        port: of the sender.
        interface: index of the interface it came in by.
        destination: the address it was sent to.
        hops: the hop limit it came with; of IPv4 nothing is known.
    """

    address: str
    port: int
    interface: int
    destination: str
    hops: int = HOPS

    @property
    def is_forged(self) -> bool:
        """Whether it claims to come from our link by IPv6, and has passed a router."""
        return self.hops != HOPS and (is_link_local(self.address) or self.is_to_group)

    @property
    def is_to_group(self) -> bool:
        """Whether it was sent to a multicast group of IPv6."""
        return self.destination.startswith("ff")


Name = tuple[str, int] | tuple[str, int, int, int]
"""An address with its port, as `socket` takes it."""


class SocketFamily:
    """What sockets of IPv4 need, and what the kernel tells of their datagrams.

    Attributes:
        family: its name here.
        number: its name in the kernel.
        anywhere: the wildcard address.
        nowhere: an address with a port that sends nothing.
        level: of its options and control messages.
        info: the control message that tells and chooses the interface.
        errors: the option, and the control message, of errors that come back.
        refusal: such an error (errno, origin, type, code): no process listens at that port.
        options: those that a socket must have, each with its level and value.
        wishes: those that it may do without.
        control_size: bytes of the control messages of a datagram; that of its stamp comes first.
        name_size: bytes of the struct of an address with its port.
        origin: the content of the further control messages, and that struct (the port in network order), as they lie
            in the memory of `discoveryd.net.batch`.
    """

    family: Family = "ipv4"
    number: int = socket.AF_INET
    anywhere = "0.0.0.0"
    nowhere: Name = ("127.0.0.1", 9)
    level: int = socket.IPPROTO_IP
    info: int = IP_PKTINFO
    errors: int = IP_RECVERR
    refusal = (errno.ECONNREFUSED, _OF_ICMP, 3, 3)
    options: tuple[Option, ...] = (
        (socket.SOL_SOCKET, socket.SO_BROADCAST, 1),
        (socket.IPPROTO_IP, IP_PKTINFO, 1),
        (socket.IPPROTO_IP, IP_RECVERR, 1),
    )
    wishes: tuple[Option, ...] = ()
    control_size = socket.CMSG_SPACE(STAMP.size) + socket.CMSG_SPACE(PKTINFO.size)
    name_size = 16  # struct sockaddr_in
    origin = struct.Struct("=i4s4s4x HH4s8x")

    def pack_origin(self, contents: Mapping[int, bytes], name: tuple[Any, ...]) -> bytes:
        """Return the origin of a datagram, as many read at once have it.

        Args:
            contents: of its control messages, by kind.
            name: of its sender, as `socket` gives it.
        """
        info = PKTINFO.unpack(contents.get(IP_PKTINFO, _NO_INFO))
        return self.origin.pack(*info, self.number, socket.htons(name[1]), socket.inet_aton(name[0]))

    def parse(self, origin: bytes) -> Origin:
        """Return the parts of an origin."""
        interface, _, destination, _, port, address = self.origin.unpack(origin)
        return Origin(socket.inet_ntoa(address), socket.ntohs(port), interface, socket.inet_ntoa(destination))

    def route(self, link: Link) -> bytes:
        """Return the content of the control message by which a datagram leaves by a link, from our address there."""
        return PKTINFO.pack(link.index, link.packed, bytes(4))

    def target(self, address: str, port: int) -> Name:
        """Return an address with a port, to send to."""
        return address, port


class SocketFamilyIpv6(SocketFamily):
    """The same of IPv6. A membership of `GROUP` is for one interface, and for one socket."""

    family: Family = "ipv6"
    number = socket.AF_INET6
    anywhere = "::"
    nowhere = ("::1", 9)
    level = socket.IPPROTO_IPV6
    info = socket.IPV6_PKTINFO
    errors = IPV6_RECVERR
    refusal = (errno.ECONNREFUSED, _OF_ICMP6, 1, 4)
    options = tuple(
        (socket.IPPROTO_IPV6, option, value)
        for option, value in (
            (socket.IPV6_V6ONLY, 1),
            (socket.IPV6_RECVPKTINFO, 1),
            (socket.IPV6_RECVHOPLIMIT, 1),
            (IPV6_RECVERR, 1),
            (socket.IPV6_MULTICAST_HOPS, HOPS),
            (socket.IPV6_UNICAST_HOPS, HOPS),
        )
    )
    wishes = ((socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0),)
    control_size = sum(map(socket.CMSG_SPACE, (STAMP.size, PKTINFO_IPV6.size, _NUMBER.size)))
    name_size = 32  # struct sockaddr_in6, and room to keep what follows aligned
    origin = struct.Struct("=16si4x 16si4x HHI16sI4x")

    def pack_origin(self, contents: Mapping[int, bytes], name: tuple[Any, ...]) -> bytes:
        """Return the origin of a datagram, as many read at once have it."""
        info = PKTINFO_IPV6.unpack(contents.get(socket.IPV6_PKTINFO, bytes(PKTINFO_IPV6.size)))
        hops = _NUMBER.unpack(contents.get(socket.IPV6_HOPLIMIT, bytes(_NUMBER.size)))
        address, port, _, scope = name
        packed = socket.inet_pton(self.number, address)
        return self.origin.pack(*info, _HOPLIMIT_HEAD, *hops, self.number, socket.htons(port), 0, packed, scope)

    def parse(self, origin: bytes) -> Origin:
        """Return the parts of an origin."""
        destination, interface, _, hops, _, port, _, address, _ = self.origin.unpack(origin)
        sender, to = (socket.inet_ntop(self.number, packed) for packed in (address, destination))
        return Origin(sender, socket.ntohs(port), interface, to, hops)

    def route(self, link: Link) -> bytes:
        """Return the content of the control message by which a datagram leaves by a link, from our address there."""
        return PKTINFO_IPV6.pack(link.packed, link.index)

    def target(self, address: str, port: int) -> Name:
        """Return an address with a port, to send to.

        Args:
            address: with its zone, or without where a control message names the interface.
            port: of it.

        Raises:
            OSError: ENODEV: the zone is no interface of this machine.
        """
        plain, _, zone = address.partition("%")
        try:
            return plain, port, 0, socket.if_nametoindex(zone) if zone else 0
        except OSError:  # without a number
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


IPV4, IPV6 = SocketFamily(), SocketFamilyIpv6()
SOCKET_FAMILIES: dict[str, SocketFamily] = {one.family: one for one in (IPV4, IPV6)}
_BY_SIZE = {one.origin.size: one for one in (IPV4, IPV6)}


def parse_origin(origin: bytes) -> Origin:
    """Return the parts of an origin of either family; equal bytes are the same origin."""
    return _BY_SIZE[len(origin)].parse(origin)


def join(bound: socket.socket, index: int) -> None:
    """Have a socket hear the group on an interface; a membership that was there before is renewed.

    What the kernel keeps of a membership outlives the cable, but not every change of the interface, and then it refuses
    another one.

    Raises:
        OSError: ENODEV: the interface is gone; ENOBUFS: the socket has as many as it may have.
    """
    leave(bound, index)
    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _membership(index))


def leave(bound: socket.socket, index: int) -> None:
    """Have a socket hear the group no more on an interface, if it does."""
    with suppress(OSError):
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, _membership(index))


def _membership(index: int) -> bytes:
    return PKTINFO_IPV6.pack(socket.inet_pton(socket.AF_INET6, GROUP), index)  # struct ipv6_mreq has the same members
