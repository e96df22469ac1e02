"""How silence is judged: pure functions over literal times, in seconds.

The sender says how often it speaks (interval) and how long each HELLO holds (ttl). Silence is measured in
HELLOs that should have come; loss in gaps of their numbers; and a peer is given up before its ttl only on
evidence as strong as the loss of its path makes necessary. The ideas are babeld's (reach history, misses
judged by the announced interval, a late HELLO forgiven) and SWIM's (suspect first, then ask).
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
"""To lose one is a misfortune of any network."""

P_FALSE = 1e-6
"""A peer that is there is given up early at most once in a million suspicions."""
P_DEAF = 1e-4
"""And one that hears us is called deaf at most once in ten thousand turns: that costs nobody a peer."""
LEAST_LOSS = 0.02
"""No path is taken for better than this."""
DEVIATIONS = 2.0
"""What was measured may be wrong by two standard deviations: of 16 HELLOs one may be lost where it is one in five."""
MOST_LOSS = 0.95
"""On a path that is worse thousands of probes would be needed: then the ttl decides."""

PROBE_GAP = 0.2
LEAST_PROBE_GAP = 0.1
"""Seconds between two probes of one suspect: mostly, and on a path so bad that it takes many of them."""

WINDOW = 64
"""HELLOs over which loss is measured: 51 s at the default interval."""
ENOUGH = 8
"""HELLOs after which it can be told, and after each of which it is told anew."""

UNHEARD = 16
"""HELLOs missed in a row by a peer that answers PINGs, after which they count as filtered out, not lost: at half of
loss that happens by chance once in 65,536 beats."""

EVENT_BURST = 10
EVENT_GAP = 5.0
"""Events of one peer at once, and seconds per event for one that flaps on."""
EVENTS_SPARED = 5
"""Of these, how many doubts (suspect and back, new addresses) leave to comings and goings."""


def suspect_after(interval: float) -> float:
    """Say after how much silence the second HELLO in a row has been missed, grace included."""
    return interval * (SUSPECT_MISSES * (1 + JITTER) + GRACE)


def misses(silence: float, interval: float) -> int:
    """Count the HELLOs that should have come in this much silence.

    Args:
        silence: since the last one.
        interval: that the sender announced.
    """
    return max(0, int((silence / interval - GRACE) / (1 + JITTER) + 1e-9))


def probes_needed(loss: float | None, p_false: float = P_FALSE) -> int | None:
    """Say how many unanswered probes prove that a peer is gone.

    A probe fails by chance when the PING or its PONG is lost. All of them do with at most `p_false`.

    Args:
        loss: share of HELLOs lost on its path, at most (`Reach.at_most`); None while not known.
        p_false: how often the proof may be wrong.

    Returns:
        None where no number proves anything: the loss is not known, or nearly everything is lost.
    """
    if loss is None or loss > MOST_LOSS:
        return None
    lost_one_way = max(loss, LEAST_LOSS)
    fails = 1 - (1 - lost_one_way) ** 2
    return ceil(log(p_false) / log(fails))


def probe_gap(loss: float | None, seconds: float) -> float:
    """Say how fast to probe a suspect, so that as many probes as its loss demands go out before its ttl is over.

    Without that a path at 30 % loss would see ten probes where it takes twenty, and the ttl would
    strike down peers that are there.

    Args:
        loss: of the path, at most.
        seconds: from suspicion to the end of the ttl.
    """
    needed = probes_needed(loss) or 0
    return min(PROBE_GAP, max(LEAST_PROBE_GAP, seconds / (needed + 1)))


class Reach:
    """Which of a sender's HELLOs came: a count, with marks to forget what is older than `WINDOW`.

    `seq`, `heard` and `due` are public for the engine's hot path, which does what `hear` does in place
    and calls `mark` when `seq` has reached `due`.
    """

    __slots__ = ("_marks", "due", "heard", "seq")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.heard = 0
        self.due = seq + ENOUGH
        self._marks = [(seq, 0)]

    def hear(self, seq: int) -> None:
        """Take a HELLO. The same one again, and an overtaken one, count for nothing."""
        if seq > self.seq:
            self.seq = seq
            self.heard += 1

    def mark(self) -> None:
        """Let the window move on."""
        self.due = self.seq + ENOUGH
        self._marks.append((self.seq, self.heard))
        while len(self._marks) > 2 and self.seq - self._marks[1][0] >= WINDOW:
            del self._marks[0]

    def loss(self, missing: int = 0) -> tuple[float, float] | tuple[None, None]:
        """Give the share of HELLOs lost in the window, 0 to 1, and what it may be (Wilson's upper bound).

        None before `ENOUGH` were sent.

        Args:
            missing: HELLOs that should have come since the last one.
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
    """Count the peers that fell silent in the last seconds before anything at all was heard last.

    Whoever is heard after that shows that our side works: as long as others are heard, a silence that began
    more than `within` ago is no doubt of ours.

    Args:
        moments: when those that are silent were last heard.
        heard: when anybody was last heard, the silent ones included.
        within: seconds, a ttl.
    """
    return sum(moment > heard - within for moment in moments)


def is_isolated(links: int, up: int, silent: int) -> bool:
    """Doubt ourselves: no link, or at least half of four or more peers fell silent.

    Args:
        links: usable ones; without any, the routed peers that are heard.
        up: peers heard in time.
        silent: peers that fell silent together, without a goodbye, not long ago.
    """
    return links == 0 or (up + silent >= 4 and silent >= up)


class Pace:
    """How fast the events of one peer may come: a few at once, then one in `EVENT_GAP` seconds.

    A peer that flaps is told of less often; its row stays true all the time.
    """

    __slots__ = ("_full",)

    def __init__(self) -> None:
        self._full = float("-inf")  # when the budget is whole again

    def allows(self, now: float, spared: int = 0, events: int = 1) -> bool:
        """Whether an event may be told now that leaves so many to others; if so it counts, for so many.

        To ask changes nothing, not by a rounding either: however often a peer is heard, its event has one moment.
        """
        if now < self.opens(spared):
            return False
        self._full = max(self._full, now) + events * EVENT_GAP
        return True

    def opens(self, spared: int = 0) -> float:
        """Say when the next event may be told that leaves so many to others."""
        return self._full - (EVENT_BURST - 1 - spared) * EVENT_GAP
