"""How silence is judged: pure functions over literal times, in seconds.

The sender says how often it speaks (interval) and how long each HELLO holds (ttl). Silence is measured in
HELLOs that should have come; loss in gaps of their numbers; and a peer is given up before its ttl only on
evidence as strong as the loss of its path makes necessary. The ideas are babeld's (reach history, misses
judged by the announced interval, a late HELLO forgiven) and SWIM's (suspect first, then ask).
"""

from __future__ import annotations

from math import ceil, log

JITTER = 0.1
"""HELLOs come up to 10 % early or late, so that nodes started together do not stay together."""
GRACE = 0.25
"""Of an interval: a HELLO this much later than jitter explains is late (a busy sender), not lost."""
SUSPECT_MISSES = 2
"""To lose one is a misfortune of any network."""

P_FALSE = 1e-6
"""A peer that is there is given up early at most once in a million suspicions."""
LEAST_LOSS = 0.02
"""No path is taken for better than this, whatever was measured: 64 HELLOs cannot tell."""

WINDOW = 64
"""HELLOs over which loss is measured: 51 s at the default interval."""
ENOUGH = 8
"""HELLOs after which it can be told."""
_MARKS = 8

EVENT_BURST = 10
EVENT_GAP = 5.0
"""Events of one peer at once, and seconds per event for one that flaps on."""


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


def probes_needed(loss: float | None) -> int | None:
    """Say how many unanswered probes prove that a peer is gone.

    A probe fails by chance when the PING or its PONG is lost. All of them do with at most `P_FALSE`.

    Args:
        loss: measured share of its HELLOs that were lost, None while not known.

    Returns:
        None where no number proves anything: the loss is not known, or everything is lost.
    """
    if loss is None or loss >= 1:
        return None
    lost_one_way = max(loss, LEAST_LOSS)
    fails = 1 - (1 - lost_one_way) ** 2
    return ceil(log(P_FALSE) / log(fails))


class Reach:
    """Which of a sender's HELLOs came: a count, with marks to forget what is older than `WINDOW`.

    `seq` and `heard` are public for the engine's hot path, which does what `hear` does in place.
    """

    __slots__ = ("_marks", "heard", "seq")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.heard = 0
        self._marks = [(seq, 0)]

    def hear(self, seq: int) -> None:
        """Take a HELLO. The same one again, and an overtaken one, count for nothing."""
        if seq > self.seq:
            self.seq = seq
            self.heard += 1

    def mark(self) -> None:
        """Let the window move on; to be called now and then, more often than once in `WINDOW` HELLOs."""
        if self.seq - self._marks[-1][0] < WINDOW // _MARKS:
            return
        self._marks.append((self.seq, self.heard))
        while len(self._marks) > 2 and self.seq - self._marks[1][0] >= WINDOW:
            del self._marks[0]

    def loss(self) -> float | None:
        """Give the share of HELLOs lost in the window, 0 to 1; None before `ENOUGH` were sent."""
        seq, heard = self._marks[0]
        sent = self.seq - seq
        if sent < ENOUGH:
            return None
        return max(0.0, 1 - (self.heard - heard) / sent)


def is_isolated(links: int, up: int, silent: int) -> bool:
    """Doubt ourselves: no link, or at least half of four or more peers fell silent.

    Args:
        links: usable ones.
        up: peers heard in time.
        silent: peers that are suspect or went down without a goodbye, not long ago.
    """
    return links == 0 or (up + silent >= 4 and silent >= up)


class Pace:
    """How fast the events of one peer may come: a few at once, then one in `EVENT_GAP` seconds.

    A peer that flaps is told of less often; its row stays true all the time.
    """

    __slots__ = ("_at", "_tokens", "held")

    def __init__(self) -> None:
        self._tokens = float(EVENT_BURST)
        self._at = 0.0
        self.held = 0  # events not told since the last one that was

    def allows(self, now: float) -> bool:
        """Whether an event may be told now; if so it counts."""
        self._tokens = min(EVENT_BURST, self._tokens + max(0.0, now - self._at) / EVENT_GAP)
        self._at = now
        if self._tokens < 1 - 1e-9:
            self.held += 1
            return False
        self._tokens -= 1
        self.held = 0
        return True

    def opens(self) -> float:
        """Say when the next event may be told."""
        return self._at + max(0.0, 1 - self._tokens) * EVENT_GAP
