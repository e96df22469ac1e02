"""Entries and buckets are bounded in number."""

from discoveryd.protocol.bounded import TokenBuckets


def take(limiter, source, count, now):
    return sum(limiter.allows(source, now) for _ in range(count))


def test_a_quiet_source_may_have_a_second_of_it_at_once():
    limiter = TokenBuckets(8, 1000)
    assert take(limiter, "a", 20, now=5.0) == 8


def test_it_fills_again_with_time_up_to_the_rate():
    limiter = TokenBuckets(8, 1000)
    take(limiter, "a", 8, now=0.0)
    assert take(limiter, "a", 8, now=0.25) == 2
    assert take(limiter, "a", 20, now=100.0) == 8


def test_what_was_refused_costs_nothing():
    limiter = TokenBuckets(1, 1000)
    assert take(limiter, "a", 1, now=0.0) == 1
    assert take(limiter, "a", 50, now=0.5) == 0
    assert take(limiter, "a", 1, now=1.0) == 1


def test_sources_do_not_share_but_all_together_are_bounded():
    limiter = TokenBuckets(8, 20)
    assert [take(limiter, source, 10, now=0.0) for source in "abcd"] == [8, 8, 4, 0]
    assert take(limiter, "d", 10, now=0.1) == 2


def test_the_number_of_sources_is_bounded():
    limiter = TokenBuckets(1, 1000, sources=2)
    assert [limiter.allows(source, 0.0) for source in "aab"] == [True, False, True]
    assert limiter.allows("c", 0.0)
    assert [limiter.has_one(source, 0.0) for source in "abc"] == [True, False, False], "a is forgotten"
    assert limiter.allows("a", 0.0)
    assert [limiter.has_one(source, 0.0) for source in "abc"] == [False, True, False], "b is forgotten"
