"""Silence, loss and evidence, by literal numbers."""

from math import isclose

import pytest

from discoveryd.protocol.table.liveness import P_FALSE, SUSPECT_INTERVALS, misses, probes_needed


@pytest.mark.parametrize(
    ("interval", "seconds"), [(0.8, 1.96), (1.0, 2.45), (5.0, 12.25)]
)
def test_the_silence_that_makes_suspect(interval, seconds):
    assert isclose(SUSPECT_INTERVALS * interval, seconds)


@pytest.mark.parametrize(
    ("silence", "interval", "count"),
    [
        (0.0, 0.8, 0),
        (0.8, 0.8, 0),
        (1.07, 0.8, 0),  # 10 % late and a quarter of an interval on top: still only late
        (1.08, 0.8, 1),
        (1.95, 0.8, 1),
        (1.96, 0.8, 2),
        (4.0, 0.8, 4),
        (4.0, 2.0, 1),  # a slower sender has missed less in the same time
        (60.0, 0.05, 1090),
    ],
)
def test_misses_are_judged_by_the_senders_interval(silence, interval, count):
    assert misses(silence, interval) == count


@pytest.mark.parametrize(
    ("loss", "probes"),
    [(None, None), (0.0, 5), (0.02, 5), (0.05, 6), (0.1, 9), (0.2, 14), (0.3, 21), (0.5, 49), (0.9, 1375), (1.0, None)],
)
def test_probes_that_a_loss_demands(loss, probes):
    assert probes_needed(loss) == probes
    if loss and probes:
        fails = 1 - (1 - loss) ** 2
        assert fails**probes <= P_FALSE < fails ** (probes - 1) or loss < 0.02
