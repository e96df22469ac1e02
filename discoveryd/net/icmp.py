"""ICMP messages about datagrams of ours that did not arrive: what they say, about which target, and their sender."""

import socket
from collections.abc import Iterable
from time import monotonic
from typing import NamedTuple

from discoveryd.protocol.bounded import put_last

MAX_ICMP = 64
"""Errors remembered, by target, type and code; past it the one that came longest ago is forgotten."""
_OFFENDER = 16
"""Where the address of the sender begins, behind the struct sock_extended_err (linux/errqueue.h)."""


class IcmpError(NamedTuple):
    """An ICMP message, of ICMPv6 where the addresses are of IPv6.

    Attributes:
        target: the address that the datagram was for.
        sender: the router or machine that answered; our own address where nobody answers for the target on the link.
        type: of the message, such as 3: unreachable.
        code: such as 3: port; 1: host; 9, 10 and 13: prohibited by a firewall.
    """

    target: str
    sender: str
    type: int
    code: int


class IcmpErrors:
    """The latest errors; written by one thread, read by any."""

    def __init__(self) -> None:
        self._errors: dict[tuple[str, int, int], tuple[IcmpError, int, float]] = {}

    def note(self, error: IcmpError) -> None:
        """Note an error."""
        key = (error.target, error.type, error.code)
        _, count, _ = self._errors.get(key, (error, 0, 0.0))
        put_last(self._errors, key, (error, count + 1, monotonic()), MAX_ICMP)

    def latest(self) -> list[tuple[IcmpError, int, float]]:
        """Return each error, how often it came, and how many seconds ago the last one came, the latest first."""
        now = monotonic()
        return [(error, count, now - at) for error, count, at in reversed(list(self._errors.values()))]


def sender_of(data: bytes) -> str:
    """Return the address of the machine that an extended error comes from, empty where it names none."""
    family = int.from_bytes(data[_OFFENDER : _OFFENDER + 2], "little" if socket.htons(1) != 1 else "big")
    if family == socket.AF_INET:
        return socket.inet_ntop(family, data[_OFFENDER + 4 : _OFFENDER + 8])
    if family == socket.AF_INET6 and len(data) >= _OFFENDER + 24:
        return socket.inet_ntop(family, data[_OFFENDER + 8 : _OFFENDER + 24])
    return ""


def merged(errors: Iterable[IcmpErrors]) -> list[tuple[IcmpError, int, float]]:
    """Return the latest errors of several sockets together, the latest first."""
    return sorted((one for each in errors for one in each.latest()), key=lambda one: one[2])[:MAX_ICMP]
