"""Which seqs show that a sender still sends, although a HELLO can be repeated, and a plain HELLO can be forged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from discoveryd.protocol.table.liveness import JITTER, NEVER
from discoveryd.protocol.table.peer import LIVE

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Row

NEAR = 4
"""A seq less than so far above the last counted seq counts at once: up to three HELLOs in a row were lost."""
FAR = 64
"""Beats by which the seq of a live peer may be above what the time since its last HELLO explains; above that a seq
does not count at once."""
BELIEVED = 3
BELIEVED_INTERVALS = 1.5
"""HELLOs in a row, each newer than the one before, and the intervals they span at least, after which they count: in
that time a peer that lives, and has another seq, would have been heard."""


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


def counts(row: Row, seq: int, now: float) -> bool:
    """Return whether a seq shows that the peer lives; make it the one to continue from where that is needed.

    A newer seq counts. An older seq may come from a loop or a recording, and would come for ever: it does not. But a
    single forged HELLO with the highest seq must not make all true HELLOs look old. So a seq that is too far ahead
    counts after several in a row. So do older seqs if, besides, they are newer than the seq from which a leap began,
    or the peer answered a PING meanwhile: no recording can do that.
    """
    ahead = seq - row.seq
    if row.seq < 0 or 0 < ahead < NEAR:
        return True
    if ahead == 0:
        return False
    if ahead > 0 and (ahead < FAR + _beats_since(row, now) or row.state not in LIVE):
        row.leap = (row.seq, seq)
        return True
    run = (row.ahead if ahead > 0 else row.behind).extended(row.seq, seq, now)
    if ahead > 0:
        row.ahead = run
    else:
        row.behind = run
    if run.times < BELIEVED or now - run.since < BELIEVED_INTERVALS * (row.interval or 0.0):
        return False
    if ahead < 0 and not _has_leapt_over(row, seq) and not _has_answered_since(row, run.since):
        return False
    row.leap = (row.seq, seq) if ahead > 0 else (-1, -1)
    row.restart_count(seq)
    return True


def _beats_since(row: Row, now: float) -> float:
    return (1 + JITTER) * (now - row.last_hello) / (row.interval or NEVER)


def _has_leapt_over(row: Row, seq: int) -> bool:
    begun, landed = row.leap
    return begun < seq < landed and row.seq < landed + BELIEVED


def _has_answered_since(row: Row, moment: float) -> bool:
    """Return whether the peer answered a PING since then, at a time when none of its HELLOs counted."""
    since = max(moment, row.last_hello + row.suspect_after)
    return any(path.answered_at > since for path in row.paths.values())
