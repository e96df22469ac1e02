"""What is a flood: literal times and totals."""

import pytest

from discoveryd.protocol.flood import CALM, ONSET, SAMPLE, Flood


def seen(flood, *steps):
    """Feed (total, now) pairs; give what each changed."""
    return [flood.see(total, now) for total, now in steps]


def test_the_rate_of_a_busy_network_is_none():
    flood = Flood(4000)
    assert seen(flood, (0, 10.0), (1000, 10.25), (2000, 10.5)) == [False, False, False]
    assert not flood.is_on
    assert flood.share == 1.0


def test_a_flood_is_seen_and_its_share_lets_the_sample_through():
    flood = Flood(4000)
    assert seen(flood, (0, 10.0), (100, 10.25), (12_600, 10.5)) == [False, False, True]
    assert flood.is_on
    assert flood.share == pytest.approx(SAMPLE / 50_000)
    assert flood.since == 10.25 - ONSET


def test_what_came_before_the_first_look_is_no_rate():
    flood = Flood(4000)
    assert seen(flood, (1_000_000, 10.0), (1_000_100, 10.25)) == [False, False]


def test_the_share_follows_a_rate_that_changes_much():
    flood = Flood(4000)
    assert seen(flood, (0, 10.0), (5000, 10.25), (9000, 10.5), (13_000, 10.75)) == [False, True, False, False]
    assert seen(flood, (33_000, 11.0)) == [True]
    assert flood.share == pytest.approx(SAMPLE / 80_000)
    assert flood.since == 10.0 - ONSET  # it began when it began


def test_it_is_over_after_a_calm_and_not_before():
    flood = Flood(4000)
    seen(flood, (0, 10.0), (5000, 10.25))
    assert seen(flood, (5100, 10.5), (5200, 11.0), (5300, 10.5 + CALM - 0.1)) == [False, False, False]
    assert flood.is_on
    assert seen(flood, (5400, 10.5 + CALM)) == [True]
    assert not flood.is_on


@pytest.mark.parametrize("rate", [2500, 5000])
def test_a_calm_that_does_not_last_is_none(rate):
    flood = Flood(4000)
    seen(flood, (0, 10.0), (5000, 10.25), (5100, 10.5))
    seen(flood, (5100 + rate, 11.5))
    seen(flood, (5200 + rate, 12.5))
    assert flood.is_on
    assert seen(flood, (5300 + rate, 12.5 + CALM)) == [True]


def test_a_clock_that_stands_still_is_no_rate():
    flood = Flood(4000)
    assert seen(flood, (0, 10.0), (100_000, 10.0)) == [False, False]
