"""What is counted on the virtual LAN."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from discoveryd.protocol.outcome import Send

HEADERS = 28
"""Bytes of IPv4 and UDP before each datagram."""

CrashKind = Literal["killed", "gone"]
"""The process alone, whose machine says that nobody listens; or the machine, which says nothing."""


@dataclass(slots=True)
class Traffic:
    """Datagrams, and bytes with their headers, by virtual second and kind.

    The kinds are ``hello`` (broadcast), ``answer`` (a HELLO by unicast), ``ping`` and ``pong``.
    """

    datagrams: dict[tuple[int, str], float] = field(default_factory=dict)
    octets: dict[tuple[int, str], float] = field(default_factory=dict)

    def count(self, send: Send, now: float, weight: float) -> None:
        """Count a datagram, for as many as it stands for."""
        kind = "hello" if send.is_to_all else "answer"
        key = int(now), {b"PI": "ping", b"PO": "pong"}.get(send.datagram[:2], kind)
        self.datagrams[key] = self.datagrams.get(key, 0) + weight
        self.octets[key] = self.octets.get(key, 0) + weight * (len(send.datagram) + HEADERS)

    def rate(self, begin: int, end: int, *kinds: str) -> float:
        """Give datagrams of these kinds per second, from one second up to another."""
        return _mean(self.datagrams, begin, end, kinds)

    def byte_rate(self, begin: int, end: int, *kinds: str) -> float:
        """Give bytes of these kinds per second."""
        return _mean(self.octets, begin, end, kinds)

    def busiest(self, begin: int, end: int, *kinds: str) -> int:
        """Give the second with the most datagrams of these kinds."""
        return max(range(begin, end), key=lambda second: self.rate(second, second + 1, *kinds))


@dataclass(frozen=True, slots=True)
class Crash:
    """The end of one boot."""

    at: float
    kind: CrashKind


@dataclass(slots=True)
class Findings:
    """What observers said, held against the truth.

    Attributes:
        detections: for each crash and observer: what kind, after how long.
        false_downs: when a peer that ran was given up.
        suspicions: when a peer that ran was suspected.
        filled: number of an observer -> when its table first listed all.
    """

    detections: list[tuple[CrashKind, float]] = field(default_factory=list)
    false_downs: list[float] = field(default_factory=list)
    suspicions: list[float] = field(default_factory=list)
    filled: dict[int, float] = field(default_factory=dict)


def _mean(counts: dict[tuple[int, str], float], begin: int, end: int, kinds: tuple[str, ...]) -> float:
    return sum(counts.get((second, kind), 0) for second in range(begin, end) for kind in kinds) / (end - begin)
