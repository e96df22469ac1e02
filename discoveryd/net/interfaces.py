"""Which interfaces can be used now, and a bell that rings when that may have changed.

`scan` is the truth and reads everything anew, by netlink, or by ioctl where a sandbox forbids that. `Doorbell` only
says "look again": what the kernel writes on it is thrown away unread, so a lost or truncated message costs nothing.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase, translate
from typing import Self

from discoveryd.net import ifconf
from discoveryd.net.netlink import IFF_BROADCAST, IFF_RUNNING, IFF_UP, Address, Interface, Netlink
from discoveryd.protocol.link import Link

INTERNAL = (
    "lo",           # this machine alone
    "docker*",      # Docker: docker0, docker_gwbridge
    "br-" + "[0-9a-f]" * 12,  # Docker's own networks; not br-lan and the like, which are real LANs
    "veth*",        # one end of a pair into a container
    "podman*",      # Podman
    "nerdctl*",     # containerd
    "cni*",         # container network interface: cni0, cni-podman0
    "flannel*",     # Kubernetes overlays and bridges, from here ...
    "cali*",
    "vxlan.calico",
    "cilium*",
    "weave*",
    "antrea*",
    "kube-*",       # ... to here; kube-ipvs0 carries the address of every service
    "lxc*",         # LXC's bridge lxcbr0, Cilium's ends of pairs
    "lxdbr*",       # LXD
    "incusbr*",     # Incus
    "v[ebz]-*",     # systemd-nspawn: ends of pairs and zone bridges
    "waydroid*",    # Android in a container
    "virbr*",       # libvirt's NAT bridge and taps
    "vnet*",
    "mpqemubr*",    # Multipass
    "vmnet*",       # VMware's host-only and NAT networks; vmbr0 of Proxmox is a real LAN
    "vboxnet*",     # VirtualBox's host-only networks
)  # fmt: skip
"""Names of interfaces whose network exists inside this machine only, or is a container overlay.

They often have the same address on every machine, so a HELLO there names an address that leads
elsewhere. The bare pattern ``*`` leaves them out; naming one (``docker0``) brings it in.
"""
_is_internal = re.compile("|".join(map(translate, INTERNAL))).match

_FORBIDDEN = (
    errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL,
)  # fmt: skip
"""Errors of a kernel or sandbox without netlink; any other one will pass."""

_USABLE = IFF_UP | IFF_RUNNING | IFF_BROADCAST

_GROUPS = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR of linux/rtnetlink.h; `socket` does not name them."""

_RINGS_PER_DRAIN = 256
"""Messages taken off the doorbell at once: a flood of them must not keep its reader from other work."""


def matches(name: str, patterns: Sequence[str], others: Sequence[str] = ()) -> bool:
    """Say whether the interface is wanted: the last pattern that matches decides, none means no.

    ``!`` before a pattern excludes. The bare ``*`` matches every interface but those of `INTERNAL`;
    any other pattern means what it says. ``["*", "docker0"]`` adds docker0, ``["*", "!wl*"]`` leaves
    Wi-Fi out, ``["!eth1"]`` alone wants nothing.

    Args:
        name: of the interface.
        patterns: what is wanted.
        others: its alternative names. They count as its name does, except that its name alone makes it internal.
    """
    for pattern in reversed(patterns):
        if pattern == "*":
            if not _is_internal(name):
                return True
        elif any(fnmatchcase(one, pattern.removeprefix("!")) for one in (name, *others)):
            return not pattern.startswith("!")
    return False


def is_excluded_by_name(name: str, patterns: Sequence[str]) -> bool:
    """Return whether an interface of this name is not wanted, whatever its alternative names are."""
    for pattern in reversed(patterns):
        if pattern == "*":
            if not _is_internal(name):
                return False
        elif pattern.startswith("!"):
            if fnmatchcase(name, pattern[1:]):
                return True
        else:  # an alternative name may match, if the name does not
            return False
    return True


class Reader:
    """Reads interfaces and addresses. Used by one thread at a time."""

    def __init__(self) -> None:
        self._netlink = Netlink()

    def open(self) -> None:
        """Take the descriptor that reading needs, so that it is there when no other is left."""
        with suppress(OSError):  # `read` tries again
            self._netlink.open()

    def close(self) -> None:
        """Close it. Safe to call again, and before `open`."""
        self._netlink.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(
        self, family: int = socket.AF_INET, patterns: Sequence[str] | None = None
    ) -> list[tuple[Interface, list[Address]]]:
        """Read each interface with an address of this family, and its addresses, in the order the kernel has them.

        Args:
            family: ``AF_INET`` or ``AF_INET6``.
            patterns: what is wanted; an interface that its name excludes is left out, and costs 2 us instead of 20.

        Raises:
            OSError: they cannot be read now.
        """
        try:
            found = self._netlink.addresses(family)
            indices = {address.index for address in found}
            if patterns is not None:
                indices = {index for index in indices if not self._is_excluded(index, patterns)}
            interfaces = self._netlink.interfaces(indices)
        except OSError as error:
            if error.errno not in _FORBIDDEN:
                raise
            interfaces, found = ifconf.read()
        addresses: dict[int, list[Address]] = {}
        for address in found:
            addresses.setdefault(address.index, []).append(address)
        return [(interface, addresses[interface.index]) for interface in interfaces if interface.index in addresses]

    def _is_excluded(self, index: int, patterns: Sequence[str]) -> bool:
        name = self._netlink.name(index)
        return bool(name) and is_excluded_by_name(name, patterns)

    def is_wanted(self, index: int, patterns: Sequence[str]) -> bool:
        """Say whether an interface is wanted, whatever it can do."""
        names: tuple[str, ...] = ()
        with suppress(OSError):
            names = interface.names if (interface := self._netlink.interface(index)) else ()
        name, *others = names or (name_of(index),)
        return matches(name, patterns, others)


def scan(patterns: Sequence[str], reader: Reader | None = None) -> tuple[Link, ...]:
    """List the links that can be used now, without their further addresses, as `survey`."""
    return tuple(survey(patterns, reader))


def survey(patterns: Sequence[str], reader: Reader | None = None) -> dict[Link, tuple[str, ...]]:
    """List the links that can be used now: up, running, able to broadcast, with an IPv4 address.

    One link for each network of an interface, by interface index and address, and with each the further addresses
    that the interface has in that network. Addresses of /31 and /32 networks have no broadcast address and are left
    out.

    Args:
        patterns: which interfaces are wanted.
        reader: open already; one for this call alone if None.

    Raises:
        OSError: the interfaces cannot be read now.
    """
    if reader is None:
        with Reader() as own:
            return survey(patterns, own)
    found: dict[Link, tuple[str, ...]] = {}
    for interface, addresses in reader.read(patterns=patterns):
        if interface.flags & _USABLE == _USABLE and matches(interface.names[0], patterns, interface.names[1:]):
            found |= grouped(interface.names[0], addresses)
    return dict(sorted(found.items(), key=lambda one: (one[0].index, socket.inet_aton(one[0].address))))


def grouped(name: str, addresses: Iterable[Address]) -> dict[Link, tuple[str, ...]]:
    """Make one link of the addresses that an interface has in one network: a host that hears one hears all of them.

    The primary address speaks: the one that the kernel had first, and sends from by itself. The others go with it.
    """
    links: dict[tuple[int, str], Link] = {}  # by prefix and broadcast address, which is a network
    others: dict[Link, tuple[str, ...]] = {}
    for address in sorted(addresses, key=lambda one: one.is_secondary):
        link = _link(name, address)
        if link is None:
            continue
        first = links.setdefault((link.prefix, link.broadcast), link)
        others[first] = (*others.get(first, ()), *(() if first is link else (link.address,)))
    return others


def name_of(index: int) -> str:
    """Give the name of an interface, ``#7`` if it has none any more."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"


def loopback(address: str) -> Link:
    """Make the link over which several daemons on one machine hear each other."""
    return Link("lo", socket.if_nametoindex("lo"), address, 8, "127.255.255.255")


def compare(old: Sequence[Link], new: Sequence[Link]) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    """Give the links that are gone and those that have come; an unchanged one is in neither.

    A link changed in anything (a replugged interface has a new index) is gone and has come.
    """
    return tuple(link for link in old if link not in new), tuple(link for link in new if link not in old)


class Doorbell:
    """Rings when a link or an address comes, goes or changes. Used by one thread at a time."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Begin to listen to the kernel.

        Raises:
            OSError: EAFNOSUPPORT or EPERM where a sandbox forbids netlink; a re-scan by time must do.
        """
        if self._socket is not None:
            return
        bell = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            bell.setblocking(False)
            bell.bind((0, _GROUPS))
        except OSError:
            bell.close()
            raise
        self._socket = bell

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when it rings; -1 while closed, as sockets do."""
        return -1 if self._socket is None else self._socket.fileno()

    def drain(self) -> bool:
        """Take what has rung off the bell, without waiting; False if nothing had."""
        rang = False
        if self._socket is None:
            return rang
        for _ in range(_RINGS_PER_DRAIN):
            try:
                self._socket.recv(1)  # what was left of the message is dropped by the kernel
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.ENOMEM):
                    raise
                # more rang than there is room for: that is a ring too
            rang = True
        return rang

    def close(self) -> None:
        """Stop listening. Safe to call again, and before `open`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _link(name: str, address: Address) -> Link | None:
    if address.prefix > 30:
        return None  # RFC 3021: a point-to-point network of two addresses has no broadcast address
    everybody = int.from_bytes(socket.inet_aton(address.address), "big") | (0xFFFFFFFF >> address.prefix)
    broadcast = socket.inet_ntoa(everybody.to_bytes(4, "big"))
    return Link(name, address.index, address.address, address.prefix, broadcast)
