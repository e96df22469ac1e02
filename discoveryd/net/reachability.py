"""What a machine answers to a datagram at a port: the kernel's word, which any user may ask for.

An empty datagram is sent, which says nothing to a daemon, and what the kernel reports of it is read: an ICMP message
with its type and code, or that nobody answers for the address on the link (ARP, neighbour discovery). A port that
nothing listens on is asked besides: a machine without a firewall refuses that.
"""

import errno
import select
import socket
import struct
from contextlib import closing, suppress
from time import monotonic
from typing import Literal, NamedTuple

from discoveryd.net.families import SOCKET_FAMILIES, SocketFamily
from discoveryd.net.netlink import Netlink
from discoveryd.protocol.addresses import family_of

Answer = Literal["refused", "prohibited", "no-machine", "silent", "unreachable"]
"""To the port: refused (nothing listens), prohibited (by a firewall), nobody has the address, nothing, or no way."""

ELSEWHERE = 9
"""The port of the discard service, which nothing listens on as a rule."""
WITHIN, RESOLVED = 0.7, 3.5
"""Seconds in which a machine on the link answers, and in which the kernel gives up looking for it."""
GAP = 0.2
"""Seconds between two datagrams: one may be lost."""

_ERROR = struct.Struct("@IBBBBII")  # errno, origin, type, code, ... (linux/errqueue.h)
_LOCAL = 1
"""Origin: our own kernel."""
_PROHIBITED = {"ipv4": ((3, 9), (3, 10), (3, 13)), "ipv6": ((1, 1), (1, 5), (1, 6))}
"""ICMP types with their codes that a firewall sends."""


class Reachability(NamedTuple):
    """What a machine answered.

    Attributes:
        answer: at the port.
        elsewhere: at a port that nothing listens on.
        has_neighbour: whether the kernel knows a hardware address for it; None where it is not on a link of ours.
    """

    answer: Answer
    elsewhere: Answer
    has_neighbour: bool | None


def probe(address: str, port: int) -> Reachability:
    """Ask a machine, for at most `RESOLVED` seconds.

    Raises:
        OSError: no socket can be had.
    """
    family = SOCKET_FAMILIES[family_of(address)]
    with socket.socket(family.number, socket.SOCK_DGRAM) as asking, socket.socket(
        family.number, socket.SOCK_DGRAM
    ) as beside:
        found: dict[int, Answer] = {}
        began = sent = monotonic()
        places = {asking: port, beside: ELSEWHERE}
        for one, where in places.items():
            one.setsockopt(family.level, family.errors, 1)
            one.setblocking(False)
            try:
                one.connect(family.target(address, where))
                one.send(b"")
            except OSError as error:
                found[where] = _of(error)
        while len(found) < len(places):
            now = monotonic()
            has_neighbour = _neighbour(address)
            if now > began + (RESOLVED if has_neighbour is False else WITHIN):
                break
            waiting = [one for one, where in places.items() if where not in found]
            for one in select.select([], [], waiting, 0.05)[2] or waiting:
                if (answer := _reported(one, family)) is not None:
                    found[places[one]] = answer
            if now > sent + GAP:
                sent = now
                for one in waiting:
                    with suppress(OSError):  # what came meanwhile is read by the next turn
                        one.send(b"")
        return Reachability(found.get(port, "silent"), found.get(ELSEWHERE, "silent"), _neighbour(address))


class Way(NamedTuple):
    """How other programs of this machine send to an address.

    Attributes:
        source: our address that they send from.
        interfaces: those that have it, as a rule one.
    """

    source: str
    interfaces: frozenset[str]


def way_to(address: str) -> Way | None:
    """Return how the routes of this machine lead to an address, None where that cannot be read, or none does.

    The daemon names the interface of each datagram, so that its own do not go by the routes. An IPv6 address that is
    heard on a link names its interface.
    """
    if ":" in address:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, closing(Netlink()) as netlink:
        try:
            asking.connect((address, ELSEWHERE))
            source = str(asking.getsockname()[0])
            found = frozenset(netlink.name(one.index) for one in netlink.addresses() if one.address == source)
        except OSError:
            return None
    return Way(source, found) if found else None


def _reported(asking: socket.socket, family: SocketFamily) -> Answer | None:
    """Return what the kernel reports of a datagram, None for nothing yet."""
    try:
        _, ancillary, _, _ = asking.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    except OSError:
        return None
    for level, kind, content in ancillary:
        if (level, kind) == (family.level, family.errors):
            number, origin, what, code, *_ = _ERROR.unpack_from(content)
            if origin == _LOCAL:
                return "no-machine" if number == errno.EHOSTUNREACH else "unreachable"
            if (what, code) in _PROHIBITED[family.family]:
                return "prohibited"
            return "refused" if number == errno.ECONNREFUSED else _of(OSError(number, ""))
    return None


def _of(error: OSError) -> Answer:
    if error.errno == errno.ECONNREFUSED:
        return "refused"
    return "no-machine" if error.errno == errno.EHOSTUNREACH else "unreachable"


def _neighbour(address: str) -> bool | None:
    """Return whether the kernel has found the hardware address, False while it looks; None if it is not to be found."""
    if ":" in address:
        plain, _, zone = address.partition("%")
        with suppress(OSError), closing(Netlink()) as netlink:
            return netlink.neighbour(plain, socket.if_nametoindex(zone) if zone else 0)
        return None
    try:
        with open("/proc/thread-self/net/arp", encoding="ascii") as table:
            lines = table.read().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if fields[0] == address:
            return int(fields[2], 16) & 2 > 0  # ATF_COM
    return None
