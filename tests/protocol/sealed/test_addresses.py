"""At which address: what is sealed on a link counts only from the address it was sealed at."""


import pytest

from discoveryd.protocol.link import Link
from discoveryd.protocol.parameters import Parameters
from tests.protocol.segment import K1, Segment, all_listed, fleet, ring

REQUIRE = ring(K1)
DTIM = 0.1
"""Seconds for which a Wi-Fi access point holds broadcasts back, and unicasts not."""


class Wire(Segment):
    """A segment where somebody may do something with what passes."""

    def __init__(self, *more, **named):
        super().__init__(*more, **named)
        self.taps = []
        self.nat = {}  # address -> what others see instead

    def carry(self, sender, to, datagram):
        for tap in self.taps:
            tap(sender, to, datagram)
        to = next((inside for inside, outside in self.nat.items() if outside == to), to)
        super().carry(self.nat.get(sender, sender), to, datagram)


def wire(*keyrings, parameters=(), **more):
    segment = Wire(1, **more)
    parameters = parameters or [None] * len(keyrings)
    return segment, [segment.add(one, parameters=how).start() for one, how in zip(keyrings, parameters, strict=True)]


def addresses(station):
    return {peer.id: peer.addresses for peer in station.node.peers(station.segment.now)}


# --- somebody beside the two ----------------------------------------------------------------------------------


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_quick_relay_is_not_taken_for_the_peer(from_the_start):
    """He repeats each broadcast of n2 to n1 by unicast from his own address, and carries what comes to him."""
    segment = Wire(1)
    victim, peer = segment.add(REQUIRE), segment.add(REQUIRE)
    stranger = "10.0.0.3"

    def relay(sender, to, datagram):
        if sender == peer.address and to == "10.0.0.255":
            segment.deliver(datagram, stranger, victim, unicast=True, after=0.0002)
        if to == stranger:
            other = peer if sender == victim.address else victim
            segment.deliver(datagram, stranger, other, unicast=True, after=0.0004)

    carry = segment.deliver

    def deliver(datagram, sender, station, *, unicast=False, after=0.0):
        late = DTIM if station is victim and not unicast else 0.0
        carry(datagram, sender, station, unicast=unicast, after=after + late)

    segment.deliver = deliver
    if from_the_start:
        segment.taps.append(relay)
    victim.start()
    peer.start()
    segment.run(30.0)
    segment.taps[:] = [relay]
    segment.run(120.0)
    [seen] = victim.node.peers(segment.now)
    assert (seen.addresses, seen.two_way, seen.key) == (("10.0.0.2",), True, K1.id)
    assert victim.drops()["bad-seal"] > 100
    assert {kind for _, kind, _ in victim.told} <= {"joined", "updated"}


def test_a_recorded_ping_is_not_answered_to_a_third_node():
    """A newcomer's challenge, repeated with the address of a third node, was answered each time."""
    segment, (a, _, c) = wire(REQUIRE, REQUIRE, REQUIRE)
    segment.run(10.0)
    d = segment.add(REQUIRE).start()
    segment.run(3.0)
    d.crash()
    segment.run(30.0)  # its boot is forgotten
    pings = [datagram for _, who, to, datagram in segment.tape if (who, to) == (d.address, a.address)]
    assert pings
    sent = a.node.sent["pong"]
    for _ in range(60):
        for datagram in pings:
            segment.deliver(datagram, c.address, a, unicast=True)
        segment.run(1.0)
    in_turn = segment.recorded(segment.now - 60.0, sender=a.address)
    assert a.node.sent["pong"] - sent <= 8  # those of b and c in their turn
    assert in_turn
    assert a.drops()["bad-seal"] >= 60 * len(pings)
    assert "bad-seal" not in c.drops()
    assert all(peer.two_way for peer in c.node.peers(segment.now))


def test_recordings_from_another_address_use_up_no_questions():
    segment, (a, b) = wire(REQUIRE, REQUIRE)
    said = []
    for _ in range(12):  # 12 former runs
        segment.run(3.0)
        said += segment.recorded(segment.now - 3.0, sender=b.address, to="10.0.0.255")
        b.crash()
        b.start()
    segment.run(20.0)
    b.crash()
    segment.run(20.0)
    asked = a.node.challenges.asked
    for number in range(4 * 431):
        segment.deliver(said[number % len(said)], "10.0.0.66", a)
        segment.run(1 / 431)
    assert a.node.challenges.asked == asked
    began = segment.now
    b.start()
    while "n2" not in a.peers():
        segment.deliver(said[0], "10.0.0.66", a)
        segment.run(1 / 431)
        assert segment.now < began + 2.0


def test_a_change_of_address_costs_only_what_is_under_way():
    segment, (a, b) = wire(REQUIRE, REQUIRE)
    segment.run(20.0)
    b.address = "10.0.0.22"
    segment.stations[b.address] = b
    b.links = {segment: b.links[segment]._replace(address=b.address)}
    b.node.set_links(b.links.values(), segment.now)
    segment.run(10.0)
    assert addresses(a) == {"n2": ("10.0.0.22",)}
    assert addresses(b) == {"n1": ("10.0.0.1",)}
    assert a.lost() == b.lost() == []
    assert a.drops().get("bad-seal", 0) <= 1


# --- on the link, or not -------------------------------------------------------------------------------------


def scopes(segment, to):
    return {datagram.rpartition(b"|")[2][:1] for datagram in segment.recorded(to=to)}


def test_a_seed_on_our_own_segment_is_greeted_on_it():
    segment, (a, b) = wire(REQUIRE, REQUIRE, parameters=[Parameters(seeds=("10.0.0.2",)), None])
    segment.run(30.0)
    assert all_listed([a, b])
    assert scopes(segment, "10.0.0.2") == {b"b", b"u"}
    assert scopes(segment, "10.0.0.1") == {b"u"}
    assert {reason for one in (a, b) for reason in one.drops()} <= {"unproven"}
    assert addresses(a) == {"n2": ("10.0.0.2",)}
    assert addresses(b) == {"n1": ("10.0.0.1",)}
    [peer] = a.node.peers(segment.now)
    assert [(path.address, path.link) for path in peer.paths] == [("10.0.0.2", "eth0")]


def test_seals_to_seeds_on_a_link_are_bound_to_it():
    segment, (a, b) = wire(
        REQUIRE, REQUIRE, parameters=[Parameters(seeds=("10.0.0.2",)), Parameters(seeds=("10.0.0.1",))]
    )
    segment.mute = {a.address, b.address}
    segment.run(30.0)
    assert all_listed([a, b])
    assert (scopes(segment, "10.0.0.2"), scopes(segment, "10.0.0.1")) == ({b"b", b"u"}, {b"b", b"u"})


def test_what_goes_beyond_the_links_is_bound_to_no_address():
    """So that a router may translate it: both sides see the other where they can answer."""
    segment, (a, b) = wire(
        REQUIRE, REQUIRE, parameters=[Parameters(seeds=("10.0.0.2",)), Parameters(seeds=("192.0.2.7",))], routed=True
    )
    segment.nat = {a.address: "192.0.2.7"}
    segment.run(30.0)
    assert (addresses(a), addresses(b)) == ({"n2": ("10.0.0.2",)}, {"n1": ("192.0.2.7",)})
    assert scopes(segment, "10.0.0.2") == {b"s"}
    assert all(peer.two_way for one in (a, b) for peer in one.node.peers(segment.now))
    assert a.lost() == b.lost() == []


def test_address_translation_into_our_link_is_named():
    segment = Wire(1)
    a, b = segment.add(REQUIRE, parameters=Parameters(seeds=("10.0.0.2",))), segment.add(REQUIRE)
    a.links = {segment: Link("eth0", 2, "192.168.0.1", 24, "192.168.0.255")}
    segment.stations["192.168.0.1"] = a
    segment.nat = {"192.168.0.1": "10.0.0.254"}
    a.start()
    b.start()
    segment.run(10.0)
    assert b.drops().keys() == {"unbound"}
    assert b.peers() == {}
    assert b.node.challenges.asked == 0


@pytest.mark.parametrize("knows", [False, True])
def test_prefixes_that_differ_on_one_wire(knows):
    """n1 has a /24 without n2; n2 has a /16 with n1. Where n1 takes n2 to be on its link (it heard its limited
    broadcast) they list each other; else what they say is told to be unbound, and nobody is listed."""
    segment = Wire(1)
    a, b = segment.add(REQUIRE), segment.add(REQUIRE)
    b.address = "10.0.5.2"
    b.links = {segment: Link("eth0", 2, b.address, 16, "10.0.0.255")}
    segment.stations = {a.address: a, b.address: b}
    segment.is_on_link = lambda station, sender: knows or station.links[segment].holds(sender)
    a.start()
    b.start()
    segment.run(20.0)
    if knows:
        assert all_listed([a, b])
        assert (addresses(a), addresses(b)) == ({"n2": ("10.0.5.2",)}, {"n1": ("10.0.0.1",)})
    else:
        assert (a.peers(), b.peers()) == ({}, {})
        assert a.drops()["unbound"] > 15


def test_two_that_hear_each_other_say_nothing_unbound():
    segment, stations = fleet(4, REQUIRE)
    segment.run(60.0)
    assert all_listed(stations)
    assert {reason for one in stations for reason in one.drops()} <= {"unproven"}
