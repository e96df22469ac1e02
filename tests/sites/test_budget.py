"""The budgets of sites, at sizes that an ordinary run has time for; docs/sites.md has them at their full size."""

from tests.simulation.sites import Budget


def test_beats_stretch_with_the_number_of_gateways():
    row = Budget(6, 3, beats=5).run(10.0)
    assert row["interval, s"] == 2.4  # 12 gateways, 5 beats a second
    assert row["heard by one node, 1/s"] <= 6
    assert row["ttl, s"] >= 5 * row["interval, s"]
    assert row["missing at the end"] == 0


def test_a_cold_start_takes_seconds_and_lists_all():
    row = Budget(4, 100).run(10.0)
    assert row["interval, s"] == 2.0
    assert row["cold start, s"] <= 10
    assert row["missing at the end"] == 0
