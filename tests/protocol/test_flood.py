"""What is a flood: literal times and totals."""

import pytest

from discoveryd.protocol.flood import CALM, ONSET, SAMPLE, Flood


def seen(flood, *steps):
    """Feed (total, now) pairs; give what each changed."""
    return [flood.see(total, 0, now, now) for total, now in steps]


def steady(rate, start, seconds, total=0, step=0.25):
    """Return (total, now) pairs of a rate that holds."""
    return [(total + round(rate * number * step), start + number * step) for number in range(round(seconds / step) + 1)]


def test_the_rate_of_a_busy_network_is_none():
    flood = Flood(4000)
    assert not any(seen(flood, *steady(4000, 10.0, 20)))
    assert not flood.is_on
    assert flood.share == 1.0


def test_a_thousand_nodes_that_start_at_one_moment_are_none():
    flood = Flood(4000)
    assert not any(seen(flood, (0, 10.0), (1000, 10.01), (2000, 10.11), (3000, 10.31), (4000, 10.9), (4100, 11.2)))


def test_a_flood_is_seen_at_once_and_sampled():
    flood = Flood(4000)
    assert seen(flood, (0, 10.0), (100, 10.25), (12_600, 10.5)) == [False, False, True]
    assert flood.is_on
    assert flood.share == pytest.approx(SAMPLE / 25_200)  # as much as is known of its rate so far
    assert flood.since == 10.25 - ONSET


def test_a_small_flood_is_seen_within_two_seconds():
    flood = Flood(4000)
    told = seen(flood, *steady(4500, 10.0, 2))
    assert told.count(True) == 1


def test_what_came_before_the_first_look_is_no_rate():
    flood = Flood(4000)
    assert seen(flood, (1_000_000, 10.0), (1_000_100, 10.25)) == [False, False]


def test_the_share_follows_a_rate_that_changes_much():
    flood = Flood(4000)
    seen(flood, *steady(20_000, 10.0, 2))
    assert flood.share == pytest.approx(SAMPLE / 20_000)
    assert not any(seen(flood, *steady(30_000, 12.25, 2, total=40_000)))
    seen(flood, *steady(80_000, 14.5, 2, total=100_000))
    assert SAMPLE / 80_000 <= flood.share < SAMPLE / 40_000
    assert flood.since == 10.0 - ONSET  # it began when it began


def test_it_is_over_after_a_calm_and_not_before():
    flood = Flood(4000)
    seen(flood, (0, 10.0), (5000, 10.25), (5100, 11.0))
    calm = 11.5  # the first second without it
    assert seen(flood, (5200, calm), (5300, calm + CALM - 0.1)) == [False, False]
    assert flood.is_on
    assert seen(flood, (5400, calm + CALM)) == [True]
    assert not flood.is_on


@pytest.mark.parametrize("rate", [2500, 5000])
def test_a_calm_that_does_not_last_is_none(rate):
    flood = Flood(4000)
    seen(flood, (0, 10.0), (5000, 10.25), (5100, 11.5))
    seen(flood, (5100 + rate, 12.5))
    assert not any(seen(flood, (5200 + rate, 13.5), (5300 + rate, 13.4 + CALM)))
    assert flood.is_on
    assert seen(flood, (5400 + rate, 13.5 + CALM)) == [True]


def test_a_clock_that_stands_still_is_no_failure():
    flood = Flood(4000)
    assert seen(flood, (0, 10.0), (100_000, 10.0)) == [False, True]
    assert 0 < flood.share < 1


def test_what_is_read_and_what_is_lost_count_together():
    flood = Flood(4000)
    assert not flood.see(0, 0, 10.0, 10.0)
    assert not flood.see(3000, 900, 11.0, 11.0)
    assert flood.see(6000, 2000, 12.0, 12.0)


def test_what_is_read_late_counts_by_when_it_arrived():
    """It reads 2,000 a second of 8,000 that arrive."""
    flood = Flood(4000)
    told = [flood.see(500 * quarter, 0, 10.0 + quarter / 16, 10.0 + quarter / 4) for quarter in range(12)]
    assert told.index(True) == 9
    assert flood.since == 10.5 - ONSET, "by the time at which peers are heard"


def test_what_came_in_a_minute_and_is_read_at_once_is_none():
    flood = Flood(4000)
    flood.see(0, 0, 10.0, 10.0)
    assert not any(flood.see(3000 * quarter, 0, 10.0 + 6 * quarter, 70.0 + quarter / 4) for quarter in range(11))
