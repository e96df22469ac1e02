"""Which interfaces can be used now, and a bell that rings when that may have changed.

`scan` is the truth and reads everything anew. `Doorbell` only says "look again": what the kernel
writes on it is thrown away unread, so a lost or truncated message costs nothing.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, Self

import psutil

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

_GROUPS = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR of linux/rtnetlink.h; `socket` does not name them."""

_RINGS_PER_DRAIN = 256
"""Messages taken off the doorbell at once: a flood of them must not keep its reader from other work."""


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Say whether the interface is wanted: the last pattern that matches decides, none means no.

    ``!`` before a pattern excludes. The bare ``*`` matches every interface but those of `INTERNAL`;
    any other pattern means what it says. ``["*", "docker0"]`` adds docker0, ``["*", "!wl*"]`` leaves
    Wi-Fi out, ``["!eth1"]`` alone wants nothing.
    """
    for pattern in reversed(patterns):
        if pattern == "*":
            if not _is_internal(name):
                return True
        elif fnmatchcase(name, pattern.removeprefix("!")):
            return not pattern.startswith("!")
    return False


def scan(patterns: Sequence[str]) -> tuple[Link, ...]:
    """List the links that can be used now: up, running, able to broadcast, with an IPv4 address.

    One link per address, by interface index and address. Addresses of /31 and /32 networks have no
    broadcast address and are left out.
    """
    addresses = psutil.net_if_addrs()
    stats = psutil.net_if_stats()
    found = []
    for label, entries in addresses.items():
        name = label.partition(":")[0]  # eth0:1 is a second address of eth0
        if name not in stats or not _is_usable(stats[name].flags) or not matches(name, patterns):
            continue
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            continue  # it went away since: the doorbell rings for that too
        found += [
            link
            for entry in entries
            if entry.family == socket.AF_INET and entry.netmask
            if (link := _link(name, index, entry.address, entry.netmask))
        ]
    return tuple(sorted(found, key=lambda link: (link.index, socket.inet_aton(link.address))))


def loopback(address: str) -> Link:
    """Make the link over which several daemons on one machine hear each other."""
    return Link("lo", socket.if_nametoindex("lo"), address, 8, "127.255.255.255")


def compare(old: Sequence[Link], new: Sequence[Link]) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    """Give the links that are gone and those that have come; an unchanged one is in neither.

    A link changed in anything (a replugged interface has a new index) is gone and has come.
    """
    return tuple(link for link in old if link not in new), tuple(link for link in new if link not in old)


def holder(port: int, kind: Literal["udp", "tcp"] = "udp", address: str = "0.0.0.0") -> str | None:
    """Name the process that holds a port, as ``avahi-daemon (pid 512)``; None where it cannot be found.

    With an address, one that keeps others from it: several may share a port. Other people's processes
    are seen by root only. Slow (reads all of /proc): for error messages.
    """
    try:
        for connection in psutil.net_connections(kind):
            is_held = kind == "udp" or connection.status == psutil.CONN_LISTEN
            if not is_held or not connection.pid or not connection.laddr or connection.laddr.port != port:
                continue
            if address == "0.0.0.0" or connection.laddr.ip in (address, "0.0.0.0", "::"):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass  # no permission, or it ended meanwhile
    return None


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
                if error.errno != errno.ENOBUFS:
                    raise
                # more rang than the buffer holds: that is a ring too
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


def _is_internal(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in INTERNAL)


def _is_usable(flags: str) -> bool:
    return {"up", "running", "broadcast"}.issubset(flags.split(","))


def _link(name: str, index: int, address: str, netmask: str) -> Link | None:
    mask = int.from_bytes(socket.inet_aton(netmask), "big")
    prefix = mask.bit_count()
    if prefix > 30:
        return None  # RFC 3021: a point-to-point network of two addresses has no broadcast address
    everybody = int.from_bytes(socket.inet_aton(address), "big") | (mask ^ 0xFFFFFFFF)
    return Link(name, index, address, prefix, socket.inet_ntoa(everybody.to_bytes(4, "big")))
