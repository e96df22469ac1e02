"""The source of a datagram, and neighbours on a link that are not in its network."""

from itertools import count

import pytest

from discoveryd.net import sources as module
from discoveryd.net.families import Origin
from discoveryd.net.sources import MAX_OUTSIDE, RELEARN, Outside, Sources
from discoveryd.protocol.limited_broadcast import LIMITED, MEMORY
from discoveryd.protocol.link import Link

HERE = Link("eth0", 2, "10.0.0.130", 25, "10.0.0.255")
SECOND = Link("eth0", 2, "10.9.0.1", 24, "10.9.0.255")
OTHER = Link("eth1", 3, "10.1.0.1", 24, "10.1.0.255")
places = count()


@pytest.fixture
def sources():
    made = Sources()
    made.set_links([HERE, SECOND, OTHER], frozenset((HERE.address, SECOND.address, OTHER.address)))
    return made


def hear(sources, address, to, *, index=2, now=0.0, **more):
    return sources.find(next(places), Origin(address, 3400, index, to), now, **more)


def test_limited_and_directed_broadcasts_share_one_source(sources):
    first = hear(sources, "10.0.0.131", LIMITED)
    assert (first.address, first.link, first.unicast) == ("10.0.0.131", HERE, False)
    assert hear(sources, "10.0.0.131", HERE.broadcast) is first
    assert hear(sources, "10.0.0.131", LIMITED, now=1000.0) is first
    assert hear(sources, "10.0.0.131", HERE.address) is not first
    assert hear(sources, "10.0.0.131", LIMITED, port_fits=False) is not first


def test_each_network_of_an_interface_is_its_own_link(sources):
    assert hear(sources, "10.9.0.7", LIMITED).link is SECOND
    assert hear(sources, "10.1.0.7", LIMITED, index=3).link is OTHER
    assert hear(sources, "10.1.0.7", "10.1.0.1", index=4).link is None  # a tunnel without a link of ours


def test_who_is_heard_by_limited_broadcast_is_on_the_link(sources):
    for to in (HERE.address, HERE.broadcast):  # through a router, for all we know
        assert hear(sources, "10.0.0.1", to).link is None
    near = hear(sources, "10.0.0.1", LIMITED)
    assert near.link is HERE
    assert hear(sources, "10.0.0.1", HERE.broadcast) is near
    unicast = hear(sources, "10.0.0.1", HERE.address)
    assert (unicast.link, unicast.unicast) == (HERE, True)
    assert hear(sources, "10.0.0.1", OTHER.address, index=3).link is None  # not on that one
    assert hear(sources, "192.0.2.1", HERE.address).link is None


def test_a_first_limited_broadcast_renews_the_other_variants(sources):
    hear(sources, "10.0.0.1", HERE.address)
    assert len(sources.known) == 1
    hear(sources, "10.0.0.1", LIMITED)
    assert [source.link for source in sources.known.values()] == [HERE]
    hear(sources, "10.0.0.1", LIMITED)
    assert len(sources.known) == 2


def test_without_limited_broadcast_a_neighbour_is_on_no_link(sources):
    hear(sources, "10.0.0.1", LIMITED, now=0.0)
    hear(sources, "10.0.0.2", LIMITED, now=0.0)
    hear(sources, "10.0.0.2", LIMITED, now=MEMORY - 1)
    sources.relearn(MEMORY)
    assert sources.outside == {("10.0.0.2", 2): Outside(HERE, MEMORY - 1, is_near=True)}
    assert hear(sources, "10.0.0.1", HERE.address, now=MEMORY).link is None
    assert hear(sources, "10.0.0.2", HERE.address, now=MEMORY).link is HERE


def test_broadcasts_are_noted_once_for_each_variant(sources):
    source = hear(sources, "10.0.0.131", LIMITED)
    assert hear(sources, "10.0.0.131", HERE.broadcast) is source
    for address, to, more in (
        ("10.0.0.131", HERE.address, {}),  # to us alone
        (HERE.address, LIMITED, {}),  # ours, come back
        ("10.0.0.131", SECOND.broadcast, {}),  # of another network of ours
        ("10.0.0.131", LIMITED, {"port_fits": False}),  # no node
    ):
        hear(sources, address, to, **more)
    assert sources.broadcasts() == [(source, True), (source, False)]
    assert sources.broadcasts() == []
    sources.relearn(RELEARN)
    assert sources.known == {}
    assert hear(sources, "10.0.0.131", LIMITED, now=RELEARN) is source
    sources.relearn(2 * RELEARN - 1)
    assert len(sources.known) == 1
    assert sources.broadcasts() == [(source, True)]


def test_neighbours_outside_our_prefix_are_bounded(sources):
    for number in range(MAX_OUTSIDE):
        assert hear(sources, f"172.16.{number >> 8}.{number & 255}", LIMITED).link is HERE
    assert hear(sources, "172.17.0.1", LIMITED).link is None
    assert len(sources.outside) == MAX_OUTSIDE
    assert hear(sources, "10.0.0.131", LIMITED).link is HERE


def test_sources_and_their_variants_are_bounded(sources, monkeypatch):
    monkeypatch.setattr(module, "MAX_PLACES", 4)
    monkeypatch.setattr(module, "MAX_SENDERS", 3)
    seen = [hear(sources, f"10.0.0.{number}", LIMITED) for number in range(131, 141)]
    assert list(sources.known.values()) == seen[-4:]
    assert hear(sources, "10.0.0.140", LIMITED) is seen[-1]
    assert hear(sources, "10.0.0.131", LIMITED) is not seen[0]
    sources.relearn(RELEARN)
    kept = [hear(sources, f"10.0.0.{number}", LIMITED) is seen[number - 131] for number in (140, 139, 138)]
    assert kept == [True, True, False]  # the third place is that of 131, which came last


def test_other_links_make_all_sources_anew(sources):
    first = hear(sources, "10.0.0.1", LIMITED)
    sources.set_links([HERE], frozenset([HERE.address]))
    assert (sources.known, sources.outside) == ({}, {})
    assert hear(sources, "10.0.0.1", LIMITED) is not first
