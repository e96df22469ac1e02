"""Histograms: what is counted where, and what they take."""

from itertools import pairwise

import pytest

from discoveryd.protocol.histogram import LOSS_BOUNDS, RTT_BOUNDS, Histogram


def test_each_bucket_counts_all_up_to_its_bound():
    histogram = Histogram((1.0, 2.0, 5.0))
    for value in (0.5, 1.0, 1.5, 5.0, 7.0):
        histogram.observe(value)
    assert histogram.to_json() == {
        "count": 5, "sum": 15.0,
        "buckets": [{"le": 1.0, "count": 2}, {"le": 2.0, "count": 3}, {"le": 5.0, "count": 4}],
    }  # fmt: skip


def test_an_empty_one_is_all_zeros():
    assert Histogram((1.0,)).to_json() == {"count": 0, "sum": 0.0, "buckets": [{"le": 1.0, "count": 0}]}


@pytest.mark.parametrize("bounds", [RTT_BOUNDS, LOSS_BOUNDS])
def test_our_bounds_ascend(bounds):
    assert all(low < high for low, high in pairwise(bounds))


def test_the_bounds_are_those_of_a_lan():
    assert (RTT_BOUNDS[0], RTT_BOUNDS[-1]) == (0.0001, 1.0)
    assert (LOSS_BOUNDS[0], LOSS_BOUNDS[-1]) == (0.0, 1.0)
