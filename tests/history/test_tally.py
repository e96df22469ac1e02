"""How available a peer was, with literal times in seconds."""

import pytest

from discoveryd.history.tally import SETTLE, Stay, Uptime, both, heard_soon, joined, settled, tally


def stays(*found):
    return [Stay(start * 1000, end * 1000, ended, boot) for start, end, ended, boot in found]


def spans(*found):
    return [(start * 1000, end * 1000) for start, end in found]


def seconds(found):
    return Uptime(found.seen // 1000, found.up // 1000, found.left // 1000, found.downs, found.restarts, found.longest // 1000)


def told(found, watched, begin, end):
    return seconds(tally(stays(*found), spans(*watched), begin * 1000, end * 1000))


ALWAYS = [(0, 10_000)]


def test_a_peer_that_was_never_seen_was_nothing():
    assert tally([], spans(*ALWAYS), 0, 1000) == Uptime()
    assert told([(500, 600, "", "b1")], ALWAYS, 0, 500) == Uptime()


def test_a_peer_counts_from_its_first_hello():
    assert told([(100, 1000, "", "b1")], ALWAYS, 0, 1000) == Uptime(900, 900, 0, 0, 0, 0)


def test_each_outage_lasts_from_the_last_hello_to_the_next_one():
    script = [(0, 100, "down", "b1"), (130, 400, "down", "b1"), (490, 1000, "", "b1")]
    assert told(script, ALWAYS, 0, 1000) == Uptime(1000, 880, 0, 2, 0, 90)


def test_what_goes_on_counts_until_now():
    assert told([(0, 100, "down", "b1")], ALWAYS, 0, 160) == Uptime(160, 100, 0, 1, 0, 60)


def test_a_goodbye_is_no_outage():
    assert told([(0, 100, "left", "b1"), (300, 1000, "", "b2")], ALWAYS, 0, 1000) == Uptime(1000, 800, 200, 0, 1, 0)


def test_a_restart_is_the_gap_between_two_boots():
    assert told([(0, 100, "restarted", "b1"), (103, 200, "", "b2")], ALWAYS, 0, 200) == Uptime(200, 197, 0, 0, 1, 3)


def test_an_outage_that_began_before_counts_whole_and_once():
    script = [(0, 100, "down", "b1"), (300, 1000, "", "b1")]
    assert told(script, ALWAYS, 200, 1000) == Uptime(800, 700, 0, 0, 0, 200)
    assert told(script, ALWAYS, 50, 200) == Uptime(150, 50, 0, 1, 0, 100)


def test_days_add_up_to_the_whole():
    script = [(0, 100, "down", "b1"), (300, 700, "left", "b1"), (800, 1000, "", "b2")]
    parts = [tally(stays(*script), spans(*ALWAYS), start * 1000, start * 1000 + 250_000) for start in (0, 250, 500, 750)]
    whole = parts[0].plus(parts[1]).plus(parts[2]).plus(parts[3])
    assert seconds(whole) == told(script, ALWAYS, 0, 1000) == Uptime(1000, 700, 100, 1, 1, 200)


def test_our_own_absence_changes_nothing():
    """We stop for an hour; the peer may have been up or not: that hour is not counted."""
    script = [(0, 1000, "unknown", "b1"), (4601, 6000, "", "b1")]
    watched = spans((0, 1000), (4600, 6000))
    found = seconds(tally(stays(*script), settled(watched), 0, 6_000_000))
    assert found == Uptime(2380, 2380, 0, 0, 0, 0)


def test_a_peer_missed_after_our_absence_is_an_outage():
    script = [(0, 1000, "unknown", "b1")]
    found = seconds(tally(stays(*script), settled(spans((0, 1000), (4600, 4700))), 0, 4_700_000))
    assert found == Uptime(1080, 990, 0, 1, 0, 90)


@pytest.mark.parametrize("ended", ["down", "unknown"])
def test_what_is_missed_around_an_absence_is_no_outage(ended):
    """Silent since 2 s before we were cut off, and heard a second after that was over."""
    script = [(0, 998, ended, "b1"), (4601, 6000, "", "b1")]
    found = seconds(tally(stays(*script), settled(spans((0, 1000), (4600, 6000))), 0, 6_000_000))
    assert found == Uptime(2380, 2378, 0, 0, 0, 0)


def test_clones_are_up_while_either_is():
    script = [(0, 500, "down", "b1"), (100, 800, "down", "b2"), (900, 1000, "", "b1")]
    assert told(script, ALWAYS, 0, 1000) == Uptime(1000, 900, 0, 1, 1, 100)
    script = [(0, 1000, "", "b1"), (100, 200, "down", "b2")]
    assert told(script, ALWAYS, 0, 1000) == Uptime(1000, 1000, 0, 0, 1, 0)


def test_nothing_is_seen_where_nobody_watched():
    assert told([(0, 1000, "", "b1")], [], 0, 1000) == Uptime()


def test_watches_begin_once_peers_had_time_to_be_heard():
    assert settled([(0, SETTLE), (50_000, 70_000)]) == [(60_000, 70_000)]


def test_a_peer_is_watched_from_its_first_hello_after_our_start():
    """Heard after 2 s, silent from 20 s on: a person reckons 18 of 23 s."""
    script, watches = stays((2, 20, "down", "b1")), spans((0, 25))
    seen = joined([*settled(watches), *heard_soon(watches, script)])
    assert seconds(tally(script, seen, 0, 25_000)) == Uptime(23, 18, 0, 1, 0, 5)


@pytest.mark.parametrize(
    ("begun", "found"),
    [
        ((0, 3, 100), [(0, 10), (3, 10)]),
        ((10, 99, 110, 205), []),
        ((103,), [(103, 110)]),
        ((201,), [(201, 204)]),  # we were gone again
    ],
)
def test_only_stays_that_begin_soon_lengthen_a_watch(begun, found):
    script = stays(*((start, start + 1, "down", "b1") for start in begun))
    watches = spans((0, 90), (100, 150), (200, 204))
    assert heard_soon(watches, script) == spans(*found, *([(100, 110)] if 100 in begun else []))


def test_times_that_touch_are_joined():
    assert joined([(10, 20), (2, 10), (3, 10), (30, 40)]) == [(2, 20), (30, 40)]


def test_times_that_lie_in_both():
    some, others = [(0, 10), (20, 30), (40, 50)], [(5, 25), (45, 60), (70, 80)]
    assert both(some, others) == both(others, some) == [(5, 10), (20, 25), (45, 50)]
    assert both(some, []) == []
