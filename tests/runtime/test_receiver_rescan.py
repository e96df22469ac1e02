"""When the interfaces are read, over literal times."""

import pytest

from discoveryd.runtime.receiver import PERIOD, PERIOD_UNTOLD, SCAN_GAP, SCAN_RETRY, SETTLE, Rescan


def done(now, *, took=0.0, period=PERIOD, has_failed=False):
    plan = Rescan()
    plan.done(now, took=took, period=period, has_failed=has_failed)
    return plan


def test_the_first_scan_is_due_at_once():
    assert Rescan().at == 0.0


@pytest.mark.parametrize("period", [PERIOD, PERIOD_UNTOLD])
def test_without_a_ring_the_next_scan_comes_by_time(period):
    assert done(100.0, took=0.01, period=period).at == 100.0 + period


def test_a_ring_brings_a_scan_soon_and_further_rings_no_sooner():
    plan = done(100.0)
    plan.ring(110.0)
    assert plan.at == 110.0 + SETTLE
    plan.ring(110.04)
    assert plan.at == 110.0 + SETTLE


@pytest.mark.parametrize("took", [0.02, 0.5, 2.0])
def test_the_gap_is_ten_times_what_a_scan_took(took):
    plan = done(100.0, took=took)
    plan.ring(100.0)
    assert plan.at == 100.0 + SCAN_GAP * took
    plan.ring(100.0 + SCAN_GAP * took)
    assert plan.at == 100.0 + SCAN_GAP * took


def test_a_scan_that_takes_little_costs_no_wait():
    plan = done(100.0, took=0.001)
    plan.ring(100.0)
    assert plan.at == 100.0 + SETTLE


def test_a_scan_in_which_the_machine_slept_makes_nobody_deaf():
    plan = done(100.0, took=36_000.0)
    plan.ring(101.0)
    assert plan.at == 100.0 + PERIOD


@pytest.mark.parametrize("period", [PERIOD, PERIOD_UNTOLD])
def test_a_failed_scan_is_repeated_after_three_seconds(period):
    plan = done(100.0, period=period, has_failed=True)
    assert plan.at == 100.0 + SCAN_RETRY
    plan.ring(100.1)
    assert plan.at == 100.0 + SCAN_RETRY


def test_five_changes_a_second_cost_no_more_than_their_share():
    """Each scan takes 50 ms: whatever rings, at most a tenth of the time goes into them."""
    plan, now, spent = Rescan(), 0.0, 0.0
    plan.done(now, took=0.05, period=PERIOD, has_failed=False)
    while now < 60.0:
        now = round(now + 0.01, 2)
        plan.ring(now)
        if now >= plan.at:
            spent += 0.05
            now += 0.05
            plan.done(now, took=0.05, period=PERIOD, has_failed=False)
    assert 4.0 < spent < 6.0
