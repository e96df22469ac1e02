"""Which interfaces can be used now, the kernel's filter there, and a bell that rings when interfaces change.

`survey` is the truth and reads everything anew, by netlink, or by ioctl where a sandbox forbids that. The doorbell only
says "look again": what the kernel writes on it is thrown away unread, so a lost or truncated message costs nothing.

A link that comes back is used again in this order: the doorbell; `Receiver.wait`, whose `Rescan` says when to look;
`UdpTransport.rescan` surveys, and gives the links to `Sources.set_links`, which takes datagrams from then on;
`LinkKeeper.take`; `Node.set_links` of the engine, which greets there (`Beacon.set_links`) and counts its paths again
(`PeerTable.set_links`).
"""

import errno
import re
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from fnmatch import fnmatchcase, translate
from typing import NamedTuple

from discoveryd.net.netlink import (
    IFF_NOARP,
    IFF_RUNNING,
    IFF_UP,
    USABLE,
    USABLE_IPV6,
    Address,
    Interface,
    Netlink,
    flags_by_ioctl,
    read_by_ioctl,
)
from discoveryd.net.owner import read_lines
from discoveryd.protocol.addresses import FAMILIES, family_of, is_link_local, pack_address
from discoveryd.protocol.link import GROUP, Link

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

_NEEDED = {"ipv4": USABLE, "ipv6": USABLE_IPV6}
_UP = IFF_UP | IFF_RUNNING

_GROUPS = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR of linux/rtnetlink.h; `socket` does not name them."""

_RINGS_PER_DRAIN = 256
"""Messages taken off the doorbell at once: a flood of them must not keep its reader from other work."""

RP_FILTERS = "/proc/sys/net/ipv4/conf"
COUNTERS = "/proc/net/netstat"


def is_internal(name: str) -> bool:
    """Return whether the network of an interface of this name exists inside this machine only."""
    return _is_internal(name) is not None


def matches(name: str, patterns: Sequence[str], others: Sequence[str] = ()) -> bool:
    """Return whether the interface is wanted: the last pattern that matches decides, none means no.

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
            if not is_internal(name):
                return True
        elif any(fnmatchcase(one, pattern.removeprefix("!")) for one in (name, *others)):
            return not pattern.startswith("!")
    return False


def is_excluded_by_name(name: str, patterns: Sequence[str]) -> bool:
    """Return whether an interface of this name is not wanted, whatever its alternative names are."""
    # an alternative name may match any pattern that includes, but the bare one
    return not matches(name, [one if one == "*" or one.startswith("!") else "**" for one in patterns])


def read(
    patterns: Sequence[str], netlink: Netlink, families: Sequence[str] = FAMILIES
) -> list[tuple[Interface, list[Address]]]:
    """Read each interface with an address of these families, and its addresses, in the order the kernel has them.

    An interface that its name excludes is left out, and costs 2 us instead of 20. Where a sandbox forbids netlink,
    there are addresses of IPv4 alone.

    Raises:
        OSError: they cannot be read now.
    """
    wanted = socket.AF_UNSPEC if len(families) > 1 else socket.AF_INET6 if "ipv6" in families else socket.AF_INET
    try:
        found = netlink.addresses(wanted)
        indices = dict.fromkeys(one.index for one in found)
        asked = [index for index in indices if not is_excluded_by_name(netlink.name(index), patterns)]
        interfaces = [one for index in asked if (one := netlink.interface(index))]
    except OSError as error:
        if error.errno not in _FORBIDDEN:
            raise
        interfaces, found = read_by_ioctl() if "ipv4" in families else ([], [])
    addresses: defaultdict[int, list[Address]] = defaultdict(list)
    for address in found:
        addresses[address.index].append(address)
    return [(interface, addresses[interface.index]) for interface in interfaces]


def is_wanted(index: int, patterns: Sequence[str], netlink: Netlink) -> bool:
    """Return whether an interface is wanted, whatever it can do."""
    interface = None
    with suppress(OSError):
        interface = netlink.interface(index)
    name, *others = interface.names if interface else (name_of(index),)
    return matches(name, patterns, others)


def survey(
    patterns: Sequence[str], netlink: Netlink, families: Sequence[str] = FAMILIES
) -> dict[Link, tuple[str, ...]]:
    """Return the links that can be used now: up, running, able to reach all there, with an address of ours.

    Of IPv4 one link for each network of an interface, and with each the further addresses that the interface has in
    that network. Addresses of /31 and /32 networks have no broadcast address and are left out. Of IPv6 one link for
    each interface with a link-local address that may be used. Sorted by interface index, family and address.

    Args:
        patterns: which interfaces are wanted.
        netlink: to ask.
        families: those to speak.

    Raises:
        OSError: the interfaces cannot be read now.
    """
    found: dict[Link, tuple[str, ...]] = {}
    for interface, addresses in read(patterns, netlink, families):
        if matches(interface.names[0], patterns, interface.names[1:]):
            can = [family for family in families if interface.flags & _NEEDED[family] == _NEEDED[family]]
            found |= grouped(interface.names[0], [one for one in addresses if family_of(one.address) in can])
    return dict(sorted(found.items(), key=lambda one: (one[0].index, one[0].family, pack_address(one[0].address))))


class Unlinked(NamedTuple):
    """An address of ours by which no broadcast goes, on an interface that is up: it is used for unicast alone.

    Attributes:
        name: the interface.
        address: ours there.
        prefix: length of its network prefix.
        reason: ``no-broadcast`` (WireGuard, tun, a point-to-point line), ``no-broadcast-address`` (/31 and /32), or
            ``duplicate`` (IPv6: another machine has it, so nothing goes by it).
    """

    name: str
    address: str
    prefix: int
    reason: str


def without_broadcast(
    patterns: Sequence[str], netlink: Netlink, families: Sequence[str] = FAMILIES
) -> tuple[Unlinked, ...]:
    """Return the addresses of wanted interfaces that are up, by which no broadcast or multicast can go.

    Raises:
        OSError: the interfaces cannot be read now.
    """
    found: list[Unlinked] = []
    for interface, addresses in read(patterns, netlink, families):
        name = interface.names[0]
        if interface.flags & _UP != _UP or not matches(name, patterns, interface.names[1:]):
            continue
        for one in addresses:
            family = family_of(one.address)
            can = interface.flags & _NEEDED[family] == _NEEDED[family]
            if can and not one.is_duplicate and (family == "ipv6" or one.prefix <= 30):
                continue
            reason = "duplicate" if one.is_duplicate else "no-broadcast-address" if can else "no-broadcast"
            found.append(Unlinked(name, with_zone(one.address, name), one.prefix, reason))
    return tuple(found)


def grouped(name: str, addresses: Iterable[Address]) -> dict[Link, tuple[str, ...]]:
    """Make one link of the addresses that an interface has in one network: a host that hears one hears all of them.

    The primary address speaks: the one that the kernel had first, and sends from by itself. The others go with it.
    With IPv6 that is the first link-local one, and every other address of the interface goes with it.
    """
    ordered = sorted(addresses, key=lambda one: one.is_secondary)
    return _of_ipv4(name, ordered) | _of_ipv6(name, ordered)


def _of_ipv4(name: str, addresses: Iterable[Address]) -> dict[Link, tuple[str, ...]]:
    links: dict[tuple[int, str], Link] = {}  # by prefix and broadcast address, which is a network
    others: dict[Link, tuple[str, ...]] = {}
    for one in addresses:
        if ":" in one.address or one.prefix > 30:
            continue  # RFC 3021: a point-to-point network of two addresses has no broadcast address
        everybody = int.from_bytes(socket.inet_aton(one.address), "big") | (0xFFFFFFFF >> one.prefix)
        broadcast = socket.inet_ntoa(everybody.to_bytes(4, "big"))
        link = Link(name, one.index, one.address, one.prefix, broadcast)
        first = links.setdefault((one.prefix, broadcast), link)
        others[first] = (*others.get(first, ()), *(() if first is link else (one.address,)))
    return others


def _of_ipv6(name: str, addresses: Iterable[Address]) -> dict[Link, tuple[str, ...]]:
    ours = {with_zone(one.address, name): one for one in addresses if ":" in one.address}
    for address, one in ours.items():
        if one.is_usable and is_link_local(address):
            others = tuple(other for other in ours if other != address)
            return {Link(name, one.index, address, one.prefix, GROUP): others}
    return {}


def with_zone(address: str, name: str) -> str:
    """Return an address as it is called on an interface: a link-local one with its zone."""
    return f"{address}%{name}" if is_link_local(address) else address


def name_of(index: int) -> str:
    """Return the name of an interface, ``#7`` if it has none any more."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"


def loopback(address: str) -> Link:
    """Return the link over which several daemons on one machine hear each other."""
    return Link("lo", socket.if_nametoindex("lo"), address, 8, "127.255.255.255")


def compare(old: Sequence[Link], new: Sequence[Link]) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    """Return the links that are gone and those that have come, for the log; an unchanged one is in neither.

    A link changed in anything (a replugged interface has a new index) is gone and has come.
    """
    return tuple(link for link in old if link not in new), tuple(link for link in new if link not in old)


def rp_filter_mode(name: str) -> int:
    """Return the mode of the kernel's reverse path filter at an interface: 0 none, 1 strict, 2 loose.

    It drops datagrams from addresses to which no route by that interface leads. What cannot be read is 0.
    """
    modes = ["".join(read_lines(f"{RP_FILTERS}/{one}/rp_filter")).strip() for one in ("all", name)]
    return max(int(mode) if mode.isdecimal() else 0 for mode in modes)


def has_arp(name: str) -> bool | None:
    """Return whether an interface uses ARP (IFF_NOARP of netdevice(7)), None where that cannot be read."""
    with suppress(OSError):
        return not flags_by_ioctl(name) & IFF_NOARP
    return None


def rp_filter_drops() -> int:
    """Return how many datagrams that filter dropped since this network exists, of all programs; 0 where unknown."""
    lines = [line.split() for line in read_lines(COUNTERS) if line.startswith("TcpExt:")]
    with suppress(ValueError, IndexError):  # a sandbox may have the line of names alone
        return int(lines[1][lines[0].index("IPReversePathFilter")])
    return 0


def doorbell() -> socket.socket:
    """Return a socket that becomes readable when a link or an address comes, goes or changes.

    Raises:
        OSError: EAFNOSUPPORT or EPERM where a sandbox forbids netlink; a re-scan by time must do.
    """
    with ExitStack() as stack:
        bell = stack.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
        bell.setblocking(False)
        bell.bind((0, _GROUPS))
        stack.pop_all()
    return bell


def drain(bell: socket.socket) -> bool:
    """Take what has rung off the doorbell, without waiting; False if nothing had."""
    rang = False
    with suppress(BlockingIOError):
        for _ in range(_RINGS_PER_DRAIN):
            try:
                bell.recv(1)  # what was left of the message is dropped by the kernel
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.ENOMEM):
                    raise
                # more rang than there is room for: that is a ring too
            rang = True
    return rang
