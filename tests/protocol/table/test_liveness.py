"""Silence, loss and evidence, by literal numbers."""

from math import isclose

import pytest

from discoveryd.protocol.table.liveness import (
    P_FALSE,
    SUSPECT_INTERVALS,
    is_isolated,
    misses,
    probes_needed,
    silent_together,
)


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


@pytest.mark.parametrize(
    ("moments", "heard", "silent"),
    [([], 5.0, 0), ([1.0, 1.2, 5.0], 5.0, 2), ([1.0, 1.2], 4.9, 2), ([1.0, 1.2], 5.1, 1), ([1.0, 1.2], 60.0, 0)],
)
def test_a_silence_is_ours_until_a_peer_is_heard_a_ttl_later(moments, heard, silent):
    assert silent_together(moments, heard, within=4.0) == silent


@pytest.mark.parametrize(
    ("links", "up", "silent", "verdict"),
    [(0, 5, 0, True), (1, 0, 0, False), (1, 0, 3, False), (1, 2, 2, True), (1, 3, 2, False), (2, 0, 4, True), (1, 9, 1, False)],
)
def test_isolated_without_a_link_or_with_half_silent(links, up, silent, verdict):
    assert is_isolated(links, up, silent) is verdict
