"""What neighbours can hear, as their own broadcasts tell."""

import pytest

from discoveryd.protocol.limited_broadcast import MAX_NEIGHBOURS, MEMORY, NEW, SETTLED, LimitedBroadcast, is_elsewhere
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.table.liveness import SUSPECT_INTERVALS
from discoveryd.protocol.table.row import Row

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
ETH1 = Link("eth1", 3, "10.0.0.1", 24, "10.0.0.255")


def peer(*addresses, link=ETH0, now=0.0, kind="node"):
    row = Row(kind=kind, id="peer", boot="b" * 16, now=now)
    row.interval, row.ttl, row.suspect_after = 0.8, 4.0, SUSPECT_INTERVALS * 0.8
    for address in addresses:
        row.refresh(row.paths.add(Source(address, link), now), 4.0, now)
    return row


def make(*rows):
    """Return what is known where these are the peers, asked long after anybody was new."""
    return LimitedBroadcast(lambda _: rows)


def is_needed(limited, link, now):
    limited.is_needed(link, now)
    return limited.is_needed(link, now)


@pytest.mark.parametrize(
    ("row", "needed"),
    [
        (peer("10.0.0.7"), True),
        (peer("10.0.0.8"), False),
        (peer("10.0.0.7", kind="bare"), False),
        (peer("10.0.0.7", link=ETH1), False),
    ],
    ids=["a peer", "another", "a bare one", "on another link"],
)
def test_a_peer_heard_by_limited_broadcast_alone_needs_it(row, needed):
    limited = make(row)
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=True)
    assert is_needed(limited, ETH0, NEW) == needed
    assert not is_needed(limited, ETH1, NEW)


@pytest.mark.parametrize("first", [True, False])
def test_one_heard_by_our_broadcast_address_too_does_not(first):
    limited = make(peer("10.0.0.7"))
    for is_limited in (first, not first, True):
        limited.heard(ETH0, "10.0.0.7", 0.0, limited=is_limited)
    assert not limited.is_needed(ETH0, 1.0)


def test_one_that_is_new_is_served_before_it_is_a_peer():
    limited = make()
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=True)
    assert limited.is_needed(ETH0, 0.5)
    assert limited.is_needed(ETH0, NEW - 0.1)
    assert not limited.is_needed(ETH0, NEW)
    assert not limited.is_needed(ETH1, 0.5)
    limited.heard(ETH0, "10.0.0.7", NEW, limited=True)
    assert not limited.is_needed(ETH0, NEW + 0.1)
    limited.heard(ETH0, "10.0.0.8", 20.0, limited=True)
    assert limited.is_needed(ETH0, 60.0)  # the first beat since
    assert not limited.is_needed(ETH0, 90.0)


def test_it_is_needed_for_ten_minutes():
    row = peer("10.0.0.7", now=100.0)
    limited = make(row)
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=True)
    limited.heard(ETH0, "10.0.0.7", 100.0, limited=True)
    assert is_needed(limited, ETH0, 100.0 + MEMORY - 1)
    assert not is_needed(limited, ETH0, 100.0 + MEMORY)
    limited.heard(ETH0, "10.0.0.7", 100.0 + MEMORY, limited=True)
    assert not is_needed(limited, ETH0, 100.0 + MEMORY + NEW)  # the peer was not heard since
    row.refresh(row.paths.of(Source("10.0.0.7", ETH0)), 4.0, 100.0 + MEMORY)
    assert is_needed(limited, ETH0, 100.0 + MEMORY + NEW)


def test_that_one_hears_us_holds_for_ten_minutes():
    row = peer("10.0.0.7", now=MEMORY)
    limited = make(row)
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=False)
    limited.heard(ETH0, "10.0.0.7", MEMORY - 1, limited=True)
    assert not limited.is_needed(ETH0, MEMORY)
    limited.heard(ETH0, "10.0.0.7", MEMORY, limited=True)
    assert limited.is_needed(ETH0, MEMORY)


def test_one_that_begins_anew_may_have_another_network():
    limited = make(peer("10.0.0.7"))
    limited.doubts(ETH0, "10.0.0.7", 0.0)
    assert len(limited) == 0  # nothing was known of it
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=False)
    limited.doubts(ETH0, "10.0.0.7", 1.0)
    assert limited.is_needed(ETH0, 2.0)
    limited.heard(ETH0, "10.0.0.7", 3.0, limited=False)
    assert not limited.is_needed(ETH0, 4.0)


def test_lasting_other_broadcast_addresses_are_told():
    row = peer("10.0.0.7", "192.0.2.7")
    limited = make(row)
    for at in (0.0, SETTLED - 1):
        for address in ("10.0.0.7", "192.0.2.7"):
            limited.heard(ETH0, address, at, limited=True)
            row.refresh(row.paths.of(Source(address, ETH0)), 4.0, at)
    assert list(limited.others(ETH0, SETTLED - 1)) == []
    assert [path.address for path in limited.others(ETH0, SETTLED)] == ["10.0.0.7"]
    assert list(limited.others(ETH0, SETTLED + 5)) == []  # it is down


def test_who_was_heard_by_broadcast_is_known_there():
    limited = make()
    limited.heard(ETH0, "10.0.0.7", 0.0, limited=False)
    limited.heard(ETH0, "192.0.2.7", 0.0, limited=True)
    limited.set_aside(ETH0, "192.0.2.8", 0.0)
    for address in ("10.0.0.7", "192.0.2.7", "192.0.2.8"):
        assert limited.knows(ETH0, address)
        assert not limited.knows(ETH1, address)
    limited.is_needed(ETH0, MEMORY)
    assert not limited.knows(ETH0, "192.0.2.7")


def test_a_link_that_is_gone_takes_along_what_was_heard_there():
    limited = make(peer("10.0.0.7", link=ETH1))
    for link in (ETH0, ETH1):
        limited.heard(link, "10.0.0.7", 0.0, limited=True)
        limited.heard(link, "10.0.0.8", 0.0, limited=False)
        limited.set_aside(link, "10.0.0.9", 0.0)
    limited.drop_link(ETH0)
    assert len(limited) == 3
    assert is_needed(limited, ETH1, NEW)


def test_neighbours_are_remembered_within_bounds():
    rows = [peer("172.16.0.0")]
    limited = LimitedBroadcast(lambda _: rows)
    for number in range(MAX_NEIGHBOURS + 9):
        for net, is_limited in ((16, True), (17, False)):
            limited.heard(ETH0, f"172.{net}.{number >> 8}.{number & 255}", 0.0, limited=is_limited)
        limited.set_aside(ETH0, f"172.18.{number >> 8}.{number & 255}", 0.0)
        limited.heard(ETH0, "172.16.0.0", 0.0, limited=True)  # one that goes on is not the first
    assert len(limited) == 3 * MAX_NEIGHBOURS
    assert is_needed(limited, ETH0, NEW)
    rows[:] = [peer("172.16.0.1")]
    assert not is_needed(limited, ETH0, NEW)


def test_only_a_network_that_is_not_ours_is_elsewhere():
    row = peer("10.0.0.7")
    outside = Source("192.0.2.7", ETH0)
    assert is_elsewhere(row, outside, 1.0)
    assert not is_elsewhere(row, Source("10.0.0.8", ETH0), 1.0)
    assert not is_elsewhere(row, Source("192.0.2.7", ETH1), 1.0)
    assert not is_elsewhere(row, Source("192.0.2.7", None), 1.0)
    assert not is_elsewhere(row, outside, 3.0)  # the other path is silent
    assert not is_elsewhere(peer("192.0.2.7"), outside, 1.0)  # there is none
