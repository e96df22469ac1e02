"""What a row has proved, what that is worth, and which seqs show that a sender still sends.

Without keys any sender can say HELLO in any name, often from any address. Only an answer to a PING shows that a peer is
there, since the nonce of the PING cannot be foreseen; a seal shows it too. A row with neither is unproven: it is
listed, but not for long, and nothing else follows from it. Times are literal, in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from discoveryd.protocol.table.liveness import JITTER, NEVER
from discoveryd.protocol.table.peer import LIVE

if TYPE_CHECKING:
    from discoveryd.protocol.link import Source
    from discoveryd.protocol.table.row import Row
    from discoveryd.protocol.wire.messages import GoodbyeReason, Hello

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

NEAR = 4
"""A seq less than so far above the last counted seq counts at once: up to three HELLOs in a row were lost."""
FAR = 64
"""Beats by which the seq of a live peer may be above what the time since its last HELLO explains; above that a seq
does not count at once."""
BELIEVED = 3
BELIEVED_INTERVALS = 1.5
"""HELLOs in a row, each newer than the one before, and the intervals they span at least, after which they count: in
that time a peer that lives, and has another seq, would have been heard."""


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
        return is_better or (is_news and hello.seq >= row.seq + GIVEN_UP * row.every)
    return is_news


class Run(NamedTuple):
    """HELLOs that do not continue from the last counted seq, but each from the one before."""

    base: int = -1  # the last counted seq
    seq: int = -1
    times: int = 0
    since: float = 0.0

    def extended(self, base: int, seq: int, now: float) -> Run:
        """Return this run with one more HELLO, or a new run that begins with it."""
        if base == self.base and 0 <= seq - self.seq < FAR:
            return self if seq == self.seq else Run(base, seq, self.times + 1, self.since)
        return Run(base, seq, 1, now)


NO_RUN = Run()


class Farewell(NamedTuple):
    """The last goodbye of a peer: its seq, up to which the HELLOs of that boot are over, and the reason it gave."""

    seq: int = -1
    reason: GoodbyeReason = "stop"

    @property
    def text(self) -> str:
        """What the peer did, in words."""
        return "said goodbye" if self.reason == "stop" else f"said goodbye: {self.reason}"


NO_FAREWELL = Farewell()


def counts(row: Row, seq: int, now: float) -> bool:
    """Return whether a seq shows that the peer lives; make it the one to continue from where that is needed.

    A newer seq counts. An older seq may come from a loop or a recording, and would come for ever: it does not. But a
    single forged HELLO with the highest seq must not make all true HELLOs look old. So a seq that is too far ahead
    counts after several in a row. So do older seqs if, besides, they are newer than the seq from which a leap began,
    or the peer answered a PING meanwhile: no recording can do that.
    """
    ahead = seq - row.seq
    if row.seq < 0 or 0 < ahead < NEAR * row.every:
        return True
    if ahead == 0:
        return False
    beats = (1 + JITTER) * (now - row.last_hello) / (row.interval or NEVER) * row.every
    if ahead > 0 and (ahead < FAR + beats or row.state not in LIVE):
        row.leap = (row.seq, seq)
        return True
    run = (row.ahead if ahead > 0 else row.behind).extended(row.seq, seq, now)
    if ahead > 0:
        row.ahead = run
    else:
        row.behind = run
    if run.times < BELIEVED or now - run.since < BELIEVED_INTERVALS * (row.interval or 0.0):
        return False
    if ahead < 0:
        begun, landed = row.leap
        # at a time when none of its HELLOs counted
        answered = max(run.since, row.last_hello + row.suspect_after)
        if not (
            (begun < seq < landed and row.seq < landed + BELIEVED * row.every)
            or any(path.answered_at > answered for path in row.paths)
        ):
            return False
    row.leap = (row.seq, seq) if ahead > 0 else (-1, -1)
    row.restart_count(seq)
    return True
