"""How available a peer was: the arithmetic of stays and watches. Pure; all times are moments (milliseconds)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

Ended = Literal["", "left", "down", "restarted", "unknown"]
"""Why a stay ended: it goes on; a goodbye; silence or proof of absence; a new boot; this node was not there to see."""
Span = tuple[int, int]
"""From a moment to before another."""

SETTLE = 10_000
"""Milliseconds after an absence of our own in which peers are heard again: they are no part of the watch of a peer
before it is heard, and what is missed for no longer around an absence is no outage."""


class Stay(NamedTuple):
    """A time in which a peer was up; `end` of one that goes on is the present moment."""

    start: int
    end: int
    ended: Ended
    boot: str


class Uptime(NamedTuple):
    """What a peer was in some time. Milliseconds, but for the two counts.

    Attributes:
        seen: watched, since the peer was first seen.
        up: of these, up.
        left: of these, away after a goodbye.
        downs: outages that began, without those that a goodbye announced or a new boot ended.
        restarts: new boots.
        longest: the longest time missed in one go, without goodbye; from its beginning, which may be earlier.
    """

    seen: int = 0
    up: int = 0
    left: int = 0
    downs: int = 0
    restarts: int = 0
    longest: int = 0

    def plus(self, other: Uptime) -> Uptime:
        """Return both times together."""
        return Uptime(
            self.seen + other.seen, self.up + other.up, self.left + other.left, self.downs + other.downs,
            self.restarts + other.restarts, max(self.longest, other.longest),
        )  # fmt: skip


def tally(stays: Sequence[Stay], watches: Sequence[Span], begin: int, end: int) -> Uptime:
    """Return what a peer was between two moments.

    Args:
        stays: of the peer, by their start; the one before `begin` too, if there is one. Those of clones overlap.
        watches: of this node, in their order, without overlaps, as `settled` and `heard_soon` give them; from before
            the first outage.
        begin: where the time begins; where the first stay begins later, that is where it does.
        end: where it ends.
    """
    if not stays:
        return Uptime()
    begin = max(begin, stays[0].start)
    if begin >= end:
        return Uptime()
    window = [(begin, end)]
    seen = total(both(watches, window))
    up, left, downs, longest, until = 0, 0, 0, 0, stays[0].start
    for gap, ended in _gaps(stays, end):
        if until < gap[0]:
            up += total(both(watches, both([(until, gap[0])], window)))
        until = gap[1]
        missed = both(watches, [gap])
        if ended == "left":
            left += total(both(missed, window))
        elif missed and gap[1] > begin:
            is_outage = total(missed) > (0 if missed == [gap] else SETTLE)
            longest = max(longest, total(both(missed, [(gap[0], end)])) if is_outage else 0)
            downs += is_outage and ended != "restarted" and begin <= missed[0][0] < end
    up += total(both(watches, both([(until, end)], window)))
    return Uptime(seen, up, left, downs, _restarts(stays, begin, end), longest)


def _gaps(stays: Sequence[Stay], end: int) -> Iterator[tuple[Span, Ended]]:
    """Yield each time without a stay up to `end`, and how the stay before it ended."""
    last = stays[0]
    for stay in stays[1:]:
        if stay.start > last.end and last.ended:
            yield (last.end, stay.start), last.ended
        last = stay if stay.end >= last.end or not stay.ended else last
        if not last.ended:
            return
    if last.ended and last.end < end:
        yield (last.end, end), last.ended


def _restarts(stays: Sequence[Stay], begin: int, end: int) -> int:
    """Count the stays under another boot than the one before; a boot that was there before is a clone, no restart."""
    known, count = {stays[0].boot}, 0
    for stay in stays[1:]:
        count += stay.boot not in known and begin <= stay.start < end
        known.add(stay.boot)
    return count


def settled(watches: Iterable[Span]) -> list[Span]:
    """Return watches without the time in which peers had to be heard first."""
    return [(start + SETTLE, end) for start, end in watches if start + SETTLE < end]


def heard_soon(watches: Sequence[Span], stays: Iterable[Stay]) -> list[Span]:
    """Return what `settled` leaves out, and a peer was watched all the same: from its stay on that began there."""
    found = []
    for stay in stays:
        place = bisect_right(watches, stay.start, key=lambda watch: watch[0]) - 1
        until = min(watches[place][0] + SETTLE, watches[place][1]) if place >= 0 else 0
        if stay.start < until:
            found.append((stay.start, until))
    return found


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return the same times in order, without overlaps, and those that touch as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def both(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Return the times that lie in both; each is in order and without overlaps."""
    found = []
    for start, end in others:
        place = max(0, bisect_left(some, (start,)) - 1)
        while place < len(some) and some[place][0] < end:
            part = max(some[place][0], start), min(some[place][1], end)
            if part[0] < part[1]:
                found.append(part)
            place += 1
    return found


def total(spans: Iterable[Span]) -> int:
    """Return the sum of their lengths."""
    return sum(end - start for start, end in spans)
