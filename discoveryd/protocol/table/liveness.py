"""How silence is judged: pure functions over literal times, in seconds.

A HELLO says when the next is due (interval) and how long it holds (ttl). Silence is measured in HELLOs that should
have come, loss in gaps of their seqs, and a peer is given up before its ttl only on evidence as strong as the loss of
its path makes necessary. The ideas are babeld's (reach history, misses judged by the announced interval, a late HELLO
forgiven) and SWIM's (suspect first, then ask).
"""

from math import ceil, log

NEVER = float("inf")
"""The time of what is not going to happen; `-NEVER` of what has not happened."""

JITTER = 0.1
"""HELLOs come up to 10 % early or late, so that nodes started together do not stay together."""
GRACE = 0.25
"""Of an interval: a HELLO this much later than jitter explains is late (a busy sender), not lost."""
SUSPECT_MISSES = 2
"""HELLOs missed in a row after which a peer is suspect: any network loses a single one."""
SUSPECT_INTERVALS = SUSPECT_MISSES * (1 + JITTER) + GRACE
"""Intervals of silence after which that many have been missed, grace included."""

LAST_CHANCE = 1.0
"""Seconds before the end of a HELLO in which the peer is asked, though it missed fewer: a ttl that is not believed yet
may be shorter than two stretched intervals."""

P_FALSE = 1e-6
"""A peer that is there is given up early at most once in a million suspicions."""
P_DEAF = 1e-4
"""A peer that hears us is called deaf at most once in ten thousand PINGs: it stays listed all the same."""
ASSUMED_LOSS = 0.3
MUTE_PINGS = 15
"""PINGs without an answer after which a newcomer that never answered is called deaf, though its loss is not measured
yet: where 30 % are lost each way, 15 in a row fail by chance once in 24,000 times."""
LEAST_LOSS = 0.02
"""The least loss that is assumed of any path."""
MOST_LOSS = 0.95
"""A path with more loss would need thousands of probes: there the ttl decides."""

PROBE_GAP = 0.2
LEAST_PROBE_GAP = 0.1
"""Seconds between two probes of one suspect: usually, and on a path with so much loss that many are needed."""

UNHEARD = 16
"""HELLOs missed in a row by a peer that answers PINGs, after which they count as filtered out, not lost: at a loss of
one half that happens by chance once in 65,536 beats."""


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
