"""What a row has proved, and what that is worth: pure functions over literal times, in seconds.

Without keys anybody may say HELLO in any name, often from any address. Only to answer a PING shows that somebody is
there, for its nonce cannot be foreseen; so does to seal. A row that did neither is unproven: it is listed, but not for
long, and nothing else follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Row

LEAST_LIFE = 10.0
LIFE_INTERVALS = 4
"""Longest life of what is not proved: 10 s, or 4 of our own intervals where those are long."""
MAX_UNPROVED = 16
"""Unproven rows of one id: for restarts, and a clone or two. Of those that answered a PING there may be any number."""
BEATS = 3
BEATS_INTERVALS = 2
"""Beats, and the intervals of ours that they span at least, after which an unproven row counts for the interval."""
DOUBT = 60.0
"""Seconds for which a peer is asked first when it says goodbye again, after one that was not its own."""


def longest_life(interval: float) -> float:
    """Return how long at most something holds that is not proved.

    Args:
        interval: ours, seconds.
    """
    return max(LEAST_LIFE, LIFE_INTERVALS * interval)


def life(row: Row, interval: float) -> float:
    """Return how long the last HELLO of a row holds: its ttl; four beats of a row that is unproven.

    Without a seal another ttl than the one that was proved may be forged in the name of a peer. A shorter one must not
    hide it, and a longer one not keep it when it is dead: both wait for an answer (`agree`).

    Args:
        row: a bare one cannot prove anything, and its ttl is set here.
        interval: ours, seconds.
    """
    if row.sealed_with or row.interval is None:
        return row.ttl
    if row.proved:
        return max(row.agreed, min(row.ttl, longest_life(interval)))
    return min(row.ttl, LIFE_INTERVALS * row.interval, longest_life(interval))


def agree(row: Row, now: float) -> None:
    """Take over what a row announces, as it answered: it would have said otherwise by now if it meant otherwise.

    The ttl that is in force may be forged, and a row answers whatever was said in its name, so it has to stand for a
    while; no longer than `LEAST_LIFE`, for the one before may have been forged too.
    """
    if now >= row.announced_at + min(row.agreed, LEAST_LIFE):
        row.agreed = row.ttl


def holds_until(row: Row, now: float, interval: float) -> float:
    """Return until when it is believed that a boot is over, if that was told now."""
    return now + (row.ttl if row.sealed_with else min(row.ttl, longest_life(interval)))


def goes_on(row: Row, now: float, interval: float) -> bool:
    """Return whether an unproven row has said HELLO a few times, and still does: only then it counts for the interval.

    Args:
        row: a live one.
        now: seconds.
        interval: ours, seconds.
    """
    spans = row.last_hello - row.began >= BEATS_INTERVALS * interval
    return spans and row.beats >= BEATS and now < row.suspect_at()
