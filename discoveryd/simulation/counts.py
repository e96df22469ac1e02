"""The figures that are counted on the simulated LAN."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from discoveryd.protocol.outcome import Send

HEADERS = 28
"""Bytes of IPv4 and UDP before each datagram."""

CrashKind = Literal["killed", "gone"]
"""A killed process, whose machine answers port unreachable; or a machine that is gone, and silent."""


@dataclass(slots=True)
class Traffic:
    """Datagrams, and bytes with their headers, by virtual second and kind.

    The kinds are ``hello`` (broadcast), ``answer`` (a HELLO by unicast), ``ping`` and ``pong``.
    """

    datagrams: dict[tuple[int, str], float] = field(default_factory=dict)
    octets: dict[tuple[int, str], float] = field(default_factory=dict)

    def count(self, send: Send, now: float, weight: float) -> None:
        """Count a datagram as many times as its weight."""
        kind = "hello" if send.is_to_all else "answer"
        key = int(now), {b"PI": "ping", b"PO": "pong"}.get(send.datagram[:2], kind)
        self.datagrams[key] = self.datagrams.get(key, 0) + weight
        self.octets[key] = self.octets.get(key, 0) + weight * (len(send.datagram) + HEADERS)

    def rate(self, begin: int, end: int, *kinds: str) -> float:
        """Return datagrams of these kinds per second, between two seconds."""
        return _mean(self.datagrams, begin, end, kinds)

    def byte_rate(self, begin: int, end: int, *kinds: str) -> float:
        """Return bytes of these kinds per second, between two seconds."""
        return _mean(self.octets, begin, end, kinds)

    def busiest(self, begin: int, end: int, *kinds: str) -> int:
        """Return the second with the most datagrams of these kinds."""
        return max(range(begin, end), key=lambda second: self.rate(second, second + 1, *kinds))


@dataclass(frozen=True, slots=True)
class Crash:
    """The end of one boot."""

    at: float
    kind: CrashKind


@dataclass(slots=True)
class Findings:
    """The events of the observers, compared with the truth.

    Attributes:
        detections: for each crash and observer, the kind of crash and the seconds until the `down`.
        false_downs: times at which a running peer was reported down.
        suspicions: times at which a running peer was suspected.
        filled: number of an observer -> time at which its table first listed all others.
    """

    detections: list[tuple[CrashKind, float]] = field(default_factory=list)
    false_downs: list[float] = field(default_factory=list)
    suspicions: list[float] = field(default_factory=list)
    filled: dict[int, float] = field(default_factory=dict)


def _mean(counts: dict[tuple[int, str], float], begin: int, end: int, kinds: tuple[str, ...]) -> float:
    return sum(counts.get((second, kind), 0) for second in range(begin, end) for kind in kinds) / (end - begin)
