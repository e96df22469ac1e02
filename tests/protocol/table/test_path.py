"""Several addresses of one peer: which is the best, and how each of them ages."""

import random
from math import isclose

import pytest

from discoveryd.protocol.table.path import ENOUGH, WINDOW, Reach
from discoveryd.protocol.table.table import MAX_PATHS
from tests.protocol.samples import ETH1, ProvedTable, boot, hello, make_node, row_of, source, states

HERE = source()
THERE = source("10.1.0.7", ETH1)

def told(events):
    return [(event.kind, event.reason) for event in events]


# --- several addresses ------------------------------------------------------------------------------


def test_all_addresses_of_a_peer_are_in_one_row():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    [event] = table.heard(hello(), source("10.1.0.7", ETH1), now=0.01)
    assert told([event]) == [("updated", "addresses 10.0.0.7 -> 10.0.0.7, 10.1.0.7")]
    [peer] = table.peers(0.01)
    assert (peer.address, peer.link, peer.addresses) == ("10.0.0.7", "eth0", ("10.0.0.7", "10.1.0.7"))
    assert [(path.address, path.link, path.last_heard_s) for path in peer.paths] == [
        ("10.0.0.7", "eth0", 0.01),
        ("10.1.0.7", "eth1", 0.01),  # the same beat: it shows no more life than by the other path
    ]


def test_one_address_on_two_links_is_listed_once():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert table.heard(hello(), source("10.0.0.7", ETH1), now=0.01) == ()
    [peer] = table.peers(0.01)
    assert peer.addresses == ("10.0.0.7",)
    assert [path.link for path in peer.paths] == ["eth0", "eth1"]


def two_paths(until):
    """Heard on both links at first, then on the second alone, each 0.8 s."""
    table = ProvedTable()
    second = source("10.1.0.7", ETH1)
    table.heard(hello(seq=1), HERE, now=0.0)
    table.heard(hello(seq=1), second, now=0.0)
    events = []
    for beat in range(1, until):
        while table.next_expiry() <= beat * 0.8:
            events += table.expire(table.next_expiry())
        events += table.heard(hello(seq=1 + beat, full=False), second, now=beat * 0.8)
    return table, events


def test_a_stale_best_address_is_replaced_with_one_event():
    table, events = two_paths(4)  # the last at 2.4
    [event] = events
    assert (event.kind, event.reason) == ("updated", "addresses 10.0.0.7, 10.1.0.7 -> 10.1.0.7, 10.0.0.7")
    assert event.peer.address == "10.1.0.7"
    assert event.peer.paths[1].last_heard_s == pytest.approx(1.76)  # two HELLOs missed
    assert table.peers(2.4)[0].addresses == ("10.1.0.7", "10.0.0.7")


def test_the_best_address_is_right_without_a_timer():
    table = ProvedTable()
    table.heard(hello(seq=1), HERE, now=0.0)
    table.heard(hello(seq=2), source("10.1.0.7", ETH1), now=0.8)
    assert table.peers(1.75)[0].address == "10.0.0.7"
    assert table.peers(1.77)[0].address == "10.1.0.7"
    assert row_of(table, 1).lasting(1.77).address == "10.1.0.7"
    assert row_of(table, 1).lasting(4.0).addresses == ("10.1.0.7",)


def test_a_silent_address_is_forgotten_after_the_ttl():
    table, events = two_paths(7)  # the last at 4.8
    assert told(events)[1:] == [("updated", "addresses 10.1.0.7, 10.0.0.7 -> 10.1.0.7")]
    assert table.peers(4.8)[0].addresses == ("10.1.0.7",)
    assert len(row_of(table, 1).paths) == 1


def test_an_address_that_comes_back_does_not_replace_the_best():
    table, _ = two_paths(4)
    assert table.heard(hello(seq=4, full=False), HERE, now=2.5) == ()
    assert table.peers(2.5)[0].addresses == ("10.1.0.7", "10.0.0.7")


def test_of_silent_addresses_the_last_heard_is_the_best():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(seq=2), source("10.1.0.7", ETH1), now=0.3)
    table.expire(table.next_expiry())
    assert table.peers(3.0)[0].addresses == ("10.1.0.7", "10.0.0.7")
    assert table.peers(4.1)[0].addresses == ("10.1.0.7",)
    [event] = [event for event in table.expire(5.0) if event.kind == "down"]
    assert event.peer.addresses == ("10.1.0.7",)


def test_a_gone_row_of_several_addresses_is_remembered():
    table = ProvedTable(remember=60.0)
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(), source("10.1.0.7", ETH1), now=0.0)
    table.expire(4.0)
    table.heard(hello(2, "b"), source("10.0.0.8"), now=5.0)
    table.expire(9.0)
    assert states(table, 9.0) == {boot(1): "down", boot(2): "down"}
    table.expire(60.0)
    assert states(table, 60.0) == {boot(2): "down"}


def test_a_replaced_row_of_several_addresses_ages_silently():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(1), source("10.1.0.7", ETH1), now=0.5)
    table.heard(hello(2), HERE, now=1.0)
    table.heard(hello(2, seq=2), HERE, now=3.9)
    assert table.expire(4.1) == ()
    assert table.expire(4.5) == ()
    assert len(table) == 1


def test_of_many_addresses_the_longest_silent_is_forgotten():
    table = ProvedTable()
    sources = [source(f"10.0.0.{number + 1}") for number in range(MAX_PATHS + 1)]
    for number, one in enumerate(sources + sources[1:]):
        table.heard(hello(seq=number), one, now=number / 100)
    row = row_of(table, 1)
    assert len(row.paths) == MAX_PATHS
    assert "10.0.0.1" not in [path.address for path in row.paths]
    assert len(table.steady) == MAX_PATHS


# --- loss, and which address is the best ------------------------------------------------------------


def both_ways(lost=(), rtts=(None, None), two_way=(None, None)):
    """Let a peer speak 40 times on both links, of which the first loses these HELLOs."""
    table = ProvedTable()
    events = []
    for seq in range(1, 41):
        for number, where in enumerate((HERE, THERE)):
            if number or seq not in lost:
                events += table.heard(hello(seq=seq), where, now=seq * 0.8 + number * 0.01)
        if seq == 5:
            for number, where in enumerate((HERE, THERE)):
                if rtts[number] is not None:
                    now = seq * 0.8 + 0.1
                    table.answered(row_of(table, 1), where, rtts[number], 0.1, two_way=two_way[number], now=now)
    return table, table.peers(32.1)[0]


def test_loss_is_measured_for_each_path():
    _, peer = both_ways(lost=range(4, 41, 4))
    assert [(path.link, path.loss) for path in peer.paths] == [("eth1", 0.0), ("eth0", 0.25)]
    assert peer.loss == 0.0


def test_loss_is_measured_on_the_fast_path_too():
    node = make_node(proved=True)
    for seq in range(1, 40):
        if seq % 4:
            node.receive(hello(seq=seq, full=seq == 1).encode(), HERE, seq * 0.8)
    row = row_of(node.table, 1)
    assert node.hello_rate.steady > 20
    assert row.peer(31.2).loss == row.lasting(31.2).loss == 0.25


def test_the_best_path_is_two_way():
    _, peer = both_ways(rtts=(0.001, 0.05), two_way=(False, True))
    assert peer.address == "10.1.0.7"


def test_of_two_way_paths_the_best_loses_less():
    _, peer = both_ways(lost=range(4, 41, 4), rtts=(0.001, 0.05), two_way=(True, True))
    assert peer.address == "10.1.0.7"


def test_of_equal_loss_the_best_path_is_nearer():
    _, peer = both_ways(rtts=(0.05, 0.001), two_way=(True, True))
    assert peer.address == "10.1.0.7"


@pytest.mark.parametrize(("lost", "rtts"), [((20,), (0.002, 0.002)), ((), (0.0015, 0.0006)), ((), (0.05, 0.03))])
def test_a_little_better_is_no_reason_to_change(lost, rtts):
    table, peer = both_ways(lost, rtts, (True, True))
    assert peer.address == "10.0.0.7"
    assert row_of(table, 1).paths.used.address == "10.0.0.7"


def test_reading_a_row_changes_nothing():
    tables = [both_ways(lost=range(4, 41, 4))[0] for _ in range(2)]
    for now in (32.2, 33.0, 34.5, 35.5):
        row_of(tables[0], 1).lasting(now)
        assert tables[0].peers(now) == tables[1].peers(now)


# --- loss -------------------------------------------------------------------------------------------


def test_loss_of_a_clean_path_and_of_a_deaf_one():
    reach = Reach(0)
    assert reach.loss() == (None, None)
    for seq in range(1, 30):
        reach.hear(seq)
    assert reach.loss()[0] == 0.0
    reach = Reach(0)
    reach.hear(100)
    assert reach.loss()[0] == 0.99


def test_loss_is_unknown_before_enough_hellos():
    reach = Reach(10)
    reach.hear(10 + ENOUGH - 1)
    assert reach.loss() == (None, None)
    reach.hear(10 + ENOUGH)
    assert isclose(reach.loss()[0], 1 - 2 / ENOUGH)


def test_duplicate_and_overtaken_hellos_do_not_count():
    reach = Reach(0)
    for seq in (2, 2, 1, 4, 3, 4, 6, 8, 10):
        reach.hear(seq)
    assert (reach.seq, reach.heard) == (10, 5)
    assert reach.loss()[0] == 0.5


def test_the_window_forgets():
    reach = Reach(0)
    for seq in range(1, 200, 2):  # half of them
        reach.hear(seq)
        if reach.seq >= reach.due:
            reach.mark()
    assert isclose(reach.loss()[0], 0.5, abs_tol=0.02)
    for seq in range(200, 200 + WINDOW + WINDOW // 4):
        reach.hear(seq)
        if reach.seq >= reach.due:
            reach.mark()
    assert reach.loss()[0] == 0.0
    assert len(reach.marks) < 2 * 12


@pytest.mark.parametrize("truth", [0.0, 0.1, 0.2, 0.3, 0.5])
def test_the_estimate_is_near_the_truth(truth):
    draw = random.Random(f"loss {truth}")
    reach, estimates = Reach(0), []
    for seq in range(1, 5000):
        if draw.random() >= truth:
            reach.hear(seq)
        if reach.seq >= reach.due:
            reach.mark()
            if reach.loss()[0] is not None:
                estimates.append(reach.loss()[0])
    assert abs(sum(estimates) / len(estimates) - truth) < 0.02
