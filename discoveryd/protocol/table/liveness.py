"""How silence is judged: pure functions over literal times, in seconds.

A HELLO says when the next is due (interval) and how long it holds (ttl). Silence is measured in HELLOs that should
have come, loss in gaps of their seqs, and a peer is given up before its ttl only on evidence as strong as the loss of
its path makes necessary. The ideas are babeld's (reach history, misses judged by the announced interval, a late HELLO
forgiven) and SWIM's (suspect first, then ask).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log, sqrt

NEVER = float("inf")
"""The time of what is not going to happen; `-NEVER` of what has not happened."""

JITTER = 0.1
"""HELLOs come up to 10 % early or late, so that nodes started together do not stay together."""
GRACE = 0.25
"""Of an interval: a HELLO this much later than jitter explains is late (a busy sender), not lost."""
SUSPECT_MISSES = 2
"""HELLOs missed in a row after which a peer is suspect: any network loses a single one."""

P_FALSE = 1e-6
"""A peer that is there is given up early at most once in a million suspicions."""
P_DEAF = 1e-4
"""A peer that hears us is called deaf at most once in ten thousand PINGs: it stays listed all the same."""
LEAST_LOSS = 0.02
"""The least loss that is assumed of any path."""
DEVIATIONS = 2.0
"""A measurement may be wrong by two standard deviations: of 16 HELLOs one may be lost where the loss is one in five."""
MOST_LOSS = 0.95
"""A path with more loss would need thousands of probes: there the ttl decides."""

PROBE_GAP = 0.2
LEAST_PROBE_GAP = 0.1
"""Seconds between two probes of one suspect: usually, and on a path with so much loss that many are needed."""

WINDOW = 64
"""HELLOs over which loss is measured: 51 s at the default interval."""
ENOUGH = 8
"""HELLOs after which the loss is known, and after each of which it is calculated anew."""

UNHEARD = 16
"""HELLOs missed in a row by a peer that answers PINGs, after which they count as filtered out, not lost: at a loss of
one half that happens by chance once in 65,536 beats."""

EVENT_BURST = 10
EVENT_GAP = 5.0
"""Events of one peer at once, and seconds per event of a peer that goes on to flap."""
EVENTS_SPARED = 5
"""Events of the burst that doubts (suspect and back, new addresses) leave to comings and goings."""


def suspect_after(interval: float) -> float:
    """Return the seconds of silence after which the second HELLO in a row has been missed, grace included."""
    return interval * (SUSPECT_MISSES * (1 + JITTER) + GRACE)


def misses(silence: float, interval: float) -> int:
    """Return how many HELLOs should have come in so much silence.

    Args:
        silence: seconds since the last HELLO.
        interval: announced by the sender.
    """
    return max(0, int((silence / interval - GRACE) / (1 + JITTER) + 1e-9))


def probes_needed(loss: float | None, p_false: float = P_FALSE) -> int | None:
    """Return how many unanswered probes prove that a peer is gone.

    A probe fails by chance when the PING or its PONG is lost. That all of them fail so has at most `p_false`.

    Args:
        loss: upper bound of the share of HELLOs lost on its path; None while not known.
        p_false: probability that the proof is wrong.

    Returns:
        None where no number proves anything: the loss is not known, or nearly everything is lost.
    """
    if loss is None or loss > MOST_LOSS:
        return None
    lost_one_way = max(loss, LEAST_LOSS)
    fails = 1 - (1 - lost_one_way) ** 2
    return ceil(log(p_false) / log(fails))


def probe_gap(loss: float | None, seconds: float) -> float:
    """Return the seconds between two probes of a suspect, so that as many as its loss demands fit into its ttl.

    Otherwise a path with 30 % loss would see ten probes where twenty are needed, and the ttl would end peers that are
    there.

    Args:
        loss: upper bound of the loss of the path.
        seconds: from suspicion to the end of the ttl.
    """
    needed = probes_needed(loss) or 0
    return min(PROBE_GAP, max(LEAST_PROBE_GAP, seconds / (needed + 1)))


class Reach:
    """Which HELLOs of a sender came: a count, with marks to forget what is older than `WINDOW`.

    `seq`, `heard` and `due` are public for the fast path of the engine, which does what `hear` does in place, and calls
    `mark` when `seq` has reached `due`.
    """

    __slots__ = ("_marks", "due", "heard", "seq")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.heard = 0
        self.due = seq + ENOUGH
        self._marks = [(seq, 0)]

    def hear(self, seq: int) -> None:
        """Count a HELLO. A duplicate, and a HELLO that was overtaken, do not count."""
        if seq > self.seq:
            self.seq = seq
            self.heard += 1

    def mark(self) -> None:
        """Move the window."""
        self.due = self.seq + ENOUGH
        self._marks.append((self.seq, self.heard))
        while len(self._marks) > 2 and self.seq - self._marks[1][0] >= WINDOW:
            del self._marks[0]

    def loss(self, missing: int = 0) -> tuple[float, float] | tuple[None, None]:
        """Return the share of HELLOs lost in the window, 0 to 1, and its upper bound (Wilson).

        None before `ENOUGH` were sent.

        Args:
            missing: HELLOs that should have come since the last.
        """
        sent, lost = self._lately(missing)
        if sent < ENOUGH:
            return None, None
        spread = DEVIATIONS * sqrt(lost * (sent - lost) / sent + DEVIATIONS**2 / 4)
        return lost / sent, (lost + DEVIATIONS**2 / 2 + spread) / (sent + DEVIATIONS**2)

    def _lately(self, missing: int) -> tuple[int, int]:
        """Return how many were sent in the window, and how many of them were lost."""
        if missing >= WINDOW:
            return missing, missing
        begin = self.seq + missing - WINDOW
        seq, heard = self._marks[0]
        for mark in self._marks[1:]:
            if mark[0] > begin:
                break
            seq, heard = mark
        sent = self.seq - seq + missing
        return sent, max(0, sent - (self.heard - heard))


def silent_together(moments: Iterable[float], heard: float, within: float) -> int:
    """Return how many peers fell silent in the last seconds before any peer was heard last.

    A peer that is heard after that shows that our side works: as long as others are heard, a silence that began more
    than `within` ago is no reason to doubt ourselves.

    Args:
        moments: when the silent peers were last heard.
        heard: when any peer was last heard, the silent ones included.
        within: seconds, a ttl.
    """
    return sum(moment > heard - within for moment in moments)


def is_isolated(links: int, up: int, silent: int) -> bool:
    """Return whether we are rather cut off ourselves: no link, or at least half of four or more peers fell silent.

    Args:
        links: usable links; without any, the routed peers that are heard.
        up: peers heard in time.
        silent: peers that fell silent together, without a goodbye, not long ago.
    """
    return links == 0 or (up + silent >= 4 and silent >= up)


class Pace:
    """The budget of events of one peer: a few at once, then one in `EVENT_GAP` seconds.

    A peer that flaps has fewer events; its row is true all the time.
    """

    __slots__ = ("_full",)

    def __init__(self) -> None:
        self._full = float("-inf")  # when the budget is whole again

    def allows(self, now: float, spared: int = 0, events: int = 1) -> bool:
        """Return whether an event is allowed now that leaves so many to others; if so, take it from the budget.

        A refusal changes nothing, not by a rounding either: however often a peer is heard, its event has one moment.
        """
        if now < self.opens(spared):
            return False
        self._full = max(self._full, now) + events * EVENT_GAP
        return True

    def opens(self, spared: int = 0) -> float:
        """Return the time from which on an event is allowed that leaves so many to others."""
        return self._full - (EVENT_BURST - 1 - spared) * EVENT_GAP
