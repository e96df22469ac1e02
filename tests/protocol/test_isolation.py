"""Isolation is an output of the engine: told when it happens, taken back when its time is over."""

import pytest

from discoveryd.protocol.isolation import RECHECK, Isolation, is_isolated, silent_together
from discoveryd.protocol.table.liveness import PROBE_GAP, SUSPECT_INTERVALS
from tests.protocol.segment import fleet

INTERVAL, TTL = 0.8, 4.0


def watch(station):
    """Return the list into which each change of `isolated` goes that the engine tells, with its moment."""
    told, act = [], station.act

    def noted(outcome):
        if outcome.isolated is not None:
            told.append((station.segment.now, outcome.isolated))
        act(outcome)

    station.act = noted
    return told


@pytest.fixture
def seven():
    """Return a segment and seven stations, each of which has proved all the others."""
    segment, stations = fleet(7)
    segment.run(20.0)
    return segment, stations


def test_isolation_is_told_and_taken_back_in_time(seven):
    segment, [node, *peers] = seven
    told = watch(node)
    last_heard = segment.now
    for peer in peers[:4]:
        peer.crash()
    segment.run(30.0)
    [(began, first), (ended, last)] = told
    assert (first, last) == (True, False)
    earliest = last_heard - 1.1 * INTERVAL + SUSPECT_INTERVALS * INTERVAL + 2 * PROBE_GAP
    assert earliest <= began <= earliest + 1.2 * INTERVAL
    assert last_heard + TTL - 1.1 * INTERVAL <= ended <= last_heard + TTL + 1.1 * INTERVAL + RECHECK


def test_what_is_told_is_what_can_be_asked(seven):
    segment, [node, *peers] = seven
    told = watch(node)
    for peer in peers[:4]:
        peer.crash()
    was = False
    for _ in range(100):
        segment.run(0.1)
        is_now = node.node.is_isolated(segment.now)
        told_now = told[-1][1] if told else False
        assert told_now in (is_now, was), "at most one step late"
        was = told_now
    assert len(told) == 2


def test_a_peer_that_comes_back_ends_isolation(seven):
    segment, [node, *peers] = seven
    told = watch(node)
    for peer in peers:
        peer.crash()
    segment.run(10.0)
    assert [isolated for _, isolated in told] == [True]
    back = segment.now
    for peer in peers:
        peer.start()
    segment.run(2.0)
    [_, (ended, isolated)] = told
    assert not isolated
    assert back <= ended <= back + 2 * RECHECK


def test_goodbyes_are_no_isolation(seven):
    segment, [node, *peers] = seven
    told = watch(node)
    for peer in peers[:4]:
        peer.leave()
    segment.run(10.0)
    assert told == []


def test_the_end_of_all_links_ends_isolation(seven):
    segment, [node, *peers] = seven
    told = watch(node)
    for peer in peers:
        peer.crash()
    segment.run(6.0)
    node.node.set_links([], segment.now)
    segment.run(0.1)
    assert [isolated for _, isolated in told] == [True, False]
    node.node.set_links(node.links.values(), segment.now)
    segment.run(0.1)
    assert [isolated for _, isolated in told] == [True, False, True]


def test_a_quiet_network_needs_no_judgement(seven, monkeypatch):
    _, [node, *_] = seven
    assert node.node.next_deadline() > node.segment.now
    monkeypatch.setattr(Isolation, "silent_together", pytest.fail)
    node.segment.run(5.0)
    monkeypatch.undo()


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
