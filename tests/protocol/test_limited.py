"""What neighbours can hear, as their own broadcasts tell."""

import pytest

from discoveryd.protocol.limited import MAX_NEIGHBOURS, MEMORY, SETTLED, Limited, is_elsewhere
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.row import Row

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
ETH1 = Link("eth1", 3, "10.0.0.1", 24, "10.0.0.255")


def peer(*addresses, link=ETH0, now=0.0, kind="node"):
    row = Row("b" * 16, kind=kind, id="peer", boot="b" * 16, now=now)
    row.announce(0.8, 4.0, "d" * 16)
    for address in addresses:
        row.add_way(Source(address, link), now)
    return row


@pytest.fixture
def limited():
    return Limited()


def test_one_heard_by_limited_broadcast_alone_needs_it(limited):
    row = peer("10.0.0.7")
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=True)
    assert limited.is_needed(ETH0, [row], 1.0)
    assert not limited.is_needed(ETH1, [row], 1.0)
    assert not limited.is_needed(ETH0, [], 1.0)
    assert not limited.is_needed(ETH0, [peer("10.0.0.8")], 1.0)
    assert not limited.is_needed(ETH0, [peer("10.0.0.7", kind="bare")], 1.0)
    assert not limited.is_needed(ETH0, [peer("10.0.0.7", link=ETH1)], 1.0)


@pytest.mark.parametrize("first", [True, False])
def test_one_heard_by_our_broadcast_address_too_does_not(limited, first):
    for is_limited in (first, not first, True):
        limited.heard(ETH0, "10.0.0.7", 0.0, limited=is_limited)
    assert not limited.is_needed(ETH0, [peer("10.0.0.7")], 1.0)


def test_it_is_needed_for_ten_minutes(limited):
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=True)
    limited.heard(ETH0, "10.0.0.7", 100.0, limited=True)
    assert limited.is_needed(ETH0, [peer("10.0.0.7", now=100.0)], 100.0 + MEMORY - 1)
    assert not limited.is_needed(ETH0, [peer("10.0.0.7", now=99.0)], 99.0 + MEMORY)  # the peer was not heard since
    assert not limited.is_needed(ETH0, [peer("10.0.0.7", now=200.0)], 100.0 + MEMORY)  # not by broadcast


def test_that_one_hears_us_holds_for_ten_minutes(limited):
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=False)
    limited.heard(ETH0, "10.0.0.7", MEMORY - 1, limited=True)
    assert not limited.is_needed(ETH0, [peer("10.0.0.7", now=MEMORY)], MEMORY)
    limited.heard(ETH0, "10.0.0.7", MEMORY, limited=True)
    assert limited.is_needed(ETH0, [peer("10.0.0.7", now=MEMORY)], MEMORY)


def test_one_that_begins_anew_may_have_another_network(limited):
    limited.doubts(ETH0, "10.0.0.7", 0.0)
    assert len(limited) == 0  # nothing was known of it
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=False)
    limited.doubts(ETH0, "10.0.0.7", 1.0)
    assert limited.is_needed(ETH0, [peer("10.0.0.7")], 2.0)
    limited.heard(ETH0, "10.0.0.7", 3.0, limited=False)
    assert not limited.is_needed(ETH0, [peer("10.0.0.7")], 4.0)


def test_peers_of_our_network_with_another_broadcast_address_are_told_when_it_lasts(limited):
    row = peer("10.0.0.7", "192.0.2.7")
    for at in (0.0, SETTLED - 1):
        for address in ("10.0.0.7", "192.0.2.7"):
            limited.heard(ETH0, address, at, limited=True)
    assert list(limited.others(ETH0, [row], SETTLED - 1)) == []
    assert [way.address for way in limited.others(ETH0, [row], SETTLED)] == ["10.0.0.7"]


def test_a_link_that_is_gone_takes_along_what_was_heard_there(limited):
    for link in (ETH0, ETH1):
        limited.heard(link, "10.0.0.7", 0.0, limited=True)
        limited.heard(link, "10.0.0.8", 0.0, limited=False)
        limited.set_aside(link, "10.0.0.9", 0.0)
    limited.drop_link(ETH0)
    assert len(limited) == 3
    assert limited.is_needed(ETH1, [peer("10.0.0.7", link=ETH1)], 1.0)


def test_neighbours_are_remembered_within_bounds(limited):
    for number in range(MAX_NEIGHBOURS + 9):
        for net, is_limited in ((16, True), (17, False)):
            limited.heard(ETH0, f"172.{net}.{number >> 8}.{number & 255}", float(number), limited=is_limited)
        limited.set_aside(ETH0, f"172.18.{number >> 8}.{number & 255}", float(number))
        limited.heard(ETH0, "172.16.0.0", float(number), limited=True)  # one that goes on is not the first
    assert len(limited) == 3 * MAX_NEIGHBOURS
    assert limited.is_needed(ETH0, [peer("172.16.0.0")], 1.0)
    assert not limited.is_needed(ETH0, [peer("172.16.0.1")], 1.0)


def test_only_a_network_that_is_not_ours_is_elsewhere():
    row = peer("10.0.0.7")
    outside = Source("192.0.2.7", ETH0)
    assert is_elsewhere(row, outside, 1.0)
    assert not is_elsewhere(row, Source("10.0.0.8", ETH0), 1.0)
    assert not is_elsewhere(row, Source("192.0.2.7", ETH1), 1.0)
    assert not is_elsewhere(row, Source("192.0.2.7", None), 1.0)
    assert not is_elsewhere(row, outside, 3.0)  # the other path is silent
    assert not is_elsewhere(peer("192.0.2.7"), outside, 1.0)  # there is none
