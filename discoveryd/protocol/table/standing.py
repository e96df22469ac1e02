"""What a row has proved, and what that is worth: pure functions over literal times, in seconds.

Without keys anybody can say HELLO in any name, often from any address. Only an answer to a PING shows that a peer is
there, since the nonce of the PING cannot be foreseen; a seal shows it too. A row with neither is unproven: it is
listed, but not for long, and nothing else follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discoveryd.protocol.table.peer import LIVE

if TYPE_CHECKING:
    from discoveryd.protocol.link import Source
    from discoveryd.protocol.table.row import Row
    from discoveryd.protocol.wire.messages import Hello

LEAST_LIFE = 10.0
LIFE_INTERVALS = 4
"""Longest life of what is not proved: 10 s, or 4 of our own intervals where those are long."""
MAX_UNPROVED = 16
"""Unproven rows of one id: for restarts, and a clone or two. Rows that answered a PING are not limited by this."""
BEATS = 3
BEATS_INTERVALS = 2
"""Beats, and the intervals of ours that they span at least, after which an unproven row counts for the interval."""
DOUBT = 60.0
"""Seconds for which the next goodbye of a peer is asked about first, after a goodbye that was not its own."""
GIVEN_UP = 3
"""Beats without a HELLO in the variant (key or plain) of a peer after which it has given that variant up."""


def longest_life(interval: float) -> float:
    """Return how long something that is not proved holds at most.

    Args:
        interval: ours, seconds.
    """
    return max(LEAST_LIFE, LIFE_INTERVALS * interval)


def life(row: Row, interval: float) -> float:
    """Return how long the last HELLO of a row holds: its ttl; four beats of an unproven row.

    Forged: without a seal another ttl than the proved one may be. A shorter ttl must not hide the peer, and a longer
    ttl must not keep it when it is dead: both wait for an answer (`Row.prove`).

    Args:
        row: a bare one cannot prove anything, and its ttl is set here.
        interval: ours, seconds.
    """
    if row.sealed_with or row.interval is None:
        return row.ttl
    if row.proved:
        return max(row.agreed, min(row.ttl, longest_life(interval)))
    return min(row.ttl, LIFE_INTERVALS * row.interval, longest_life(interval))


def holds_until(row: Row, now: float, interval: float) -> float:
    """Return until when the end of a boot is believed, if it was announced now."""
    return now + (row.ttl if row.sealed_with else min(row.ttl, longest_life(interval)))


def keeps_speaking(row: Row, now: float, interval: float) -> bool:
    """Return whether an unproven row has said HELLO a few times, and still does: only then it counts for the interval.

    Args:
        row: a live one.
        now: seconds.
        interval: ours, seconds.
    """
    spans = row.last_hello - row.began >= BEATS_INTERVALS * interval
    return spans and row.beats >= BEATS and now < row.suspect_at()


def changes_variant(row: Row, hello: Hello, source: Source, ranks: dict[str, int], now: float) -> bool:
    """Return whether a peer is heard in the variant (key or plain) of this HELLO from now on.

    Args:
        row: heard in another variant so far.
        hello: the HELLO.
        source: where it came from.
        ranks: of the variants; the lowest is the best.
        now: seconds.
    """
    worst = len(ranks)
    is_better = ranks.get(source.key, worst) < ranks.get(row.sealed_with, worst)
    is_news = bool(source.key) or hello.seq > row.seq  # a plain one may be a recording
    if row.state_at(now) in LIVE:
        return is_better or (is_news and hello.seq >= row.seq + GIVEN_UP)
    return is_news
