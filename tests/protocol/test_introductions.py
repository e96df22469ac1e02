"""One seed leads to all: who asks whom, who is named, and that only its own answer lists a node."""

from itertools import pairwise

import pytest

from discoveryd.protocol.introductions import AT_ONCE, LIFE
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import MAX_ID, MAX_REALM, Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.meet import (
    FROM_THE_FIRST,
    MAX_INTRO,
    MAX_NAMED,
    MAX_SEALED_INTRO,
    Intro,
    Meet,
    NamedPeer,
    write_named,
)
from tests.protocol.beyond import ALL, KEYED, SEED, kinds, plain_fleet, routed_fleet
from tests.protocol.engine import ping_from, pong
from tests.protocol.samples import ETH0, boot, hello, make_node
from tests.protocol.segment import K1, K2, all_listed, ring


def meet(number=1, after=FROM_THE_FIRST, id="web1", nonce="e" * 16):
    return Meet(realm="default", id=id, boot=boot(number), nonce=nonce, after=after).encode()


def listen(node, source, number, id, now=0.0):
    """Let a node hear another, and get its answer to a PING."""
    node.receive(hello(number, id=id, interval=10, ttl=100).encode(), source, now)
    row = node.table.get(id, boot(number))
    if row is None:  # it had to answer first
        [send] = [send for send in node.poll(now).sends if send.kind == "ping"]
        nonce = decode(send.datagram).nonce
    else:
        nonce, _ = node.ping(row, now)
    node.receive(pong(nonce, number=number), source, now)
    return node


# --- a fleet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [routed_fleet, plain_fleet], ids=["sealed", "plain"])
def test_one_seed_leads_to_all(make):
    segment, stations = make(8)
    segment.run(5.0)
    assert all_listed(stations)
    segment.run(60.0)
    assert [station.lost() for station in stations] == [[]] * 8
    assert all(peer.two_way for peer in stations[-1].node.peers(segment.now))


def test_each_other_question_is_for_a_candidate_that_was_silent():
    segment, stations = routed_fleet(4)
    segment.run(60.0)
    asked = []
    for station in stations[:3]:
        names = station.node.introductions.names
        station.node.introductions.names = lambda meet, *more, names=names: (
            asked.append(meet.after) if meet.id == "n4" else None
        ) or names(meet, *more)
    silent = NamedPeer("10.66.0.1", "x", "f" * 16)
    stations[3].node.introductions.candidates.take(silent, "e" * 16, K1.id, segment.now)
    segment.run(600.0)
    sought = [after == "f" * 15 + "e" for after in asked]
    assert len(sought) >= 9
    assert {later is not sooner for sooner, later in pairwise(sought[2:])} == {True}


def test_a_node_without_a_seed_is_led_to_by_none():
    segment, stations = routed_fleet(4, start=False)
    stations[3].parameters = Parameters()
    for station in stations:
        station.start()
    segment.run(10.0)
    assert all(set(one.peers()) == {"n1", "n2", "n3"} - {one.name} for one in stations[:3])
    assert stations[3].peers() == {}


def test_in_plain_only_named_networks_are_introduced():
    segment, stations = plain_fleet(4, introduce=())
    segment.run(20.0)
    assert [set(one.peers()) for one in stations] == [{"n2", "n3", "n4"}, {"n1"}, {"n1"}, {"n1"}]
    segment, stations = plain_fleet(4, introduce=("10.1.0.0/16",))
    segment.run(20.0)
    assert [set(one.peers()) for one in stations] == [{"n2", "n3", "n4"}, {"n1"}, {"n1"}, {"n1"}]
    assert kinds(segment.tape, b"MEET") == []


def test_nodes_with_another_key_are_not_introduced():
    segment, stations = routed_fleet(4, start=False)
    stations[3].keyring = ring(K2)
    for station in stations:
        station.start()
    segment.run(20.0)
    assert [set(one.peers()) for one in stations] == [{"n2", "n3"}, {"n1", "n3"}, {"n1", "n2"}, set()]


def test_when_the_seed_dies_nobody_else_is_lost():
    segment, stations = routed_fleet(6)
    segment.run(5.0)
    stations[0].crash()
    segment.run(60.0)
    for station in stations[1:]:
        assert {who for _, _, who in station.lost()} == {"n1"}
    assert all_listed(stations[1:])


def test_a_latecomer_finds_all_by_any_of_them():
    segment, stations = routed_fleet(5, seeds=(SEED, "10.0.0.2"))
    segment.run(5.0)
    stations[0].crash()
    segment.run(30.0)
    late = segment.add(KEYED, parameters=Parameters(seeds=(SEED, "10.0.0.2"))).start()
    segment.run(4.0)
    assert set(late.peers()) == {"n2", "n3", "n4", "n5"}
    assert all("n6" in station.peers() for station in stations[1:])


def test_the_new_address_of_a_routed_peer_keeps_its_row():
    segment, stations = routed_fleet(3)
    segment.run(10.0)
    mover = stations[2]
    stamps = {one.name: one.peers()["n3"] for one in stations[:2]}
    segment.stations["10.0.0.33"] = segment.stations.pop("10.0.0.3")
    mover.links = {segment: Link("eth0", 2, "10.0.0.33", 32, "10.0.0.255")}
    mover.set_links(mover.links)
    segment.run(1.5)  # its next HELLO has come, and its PING has not
    assert all("10.0.0.33" in one.node.outbox.aliases for one in stations[:2])
    segment.run(18.5)
    for station in stations[:2]:
        [peer] = [peer for peer in station.node.peers(segment.now) if peer.name == "n3"]
        assert (peer.address, peer.two_way, peer.restarts) == ("10.0.0.33", True, 0)
        assert station.lost() == []
    assert stamps == {one.name: one.peers()["n3"] for one in stations[:2]}
    assert mover.lost() == []


def test_the_hello_of_a_new_address_has_it_asked():
    """Its own PINGs are lost, and so nothing else says that it is there."""
    segment, stations = routed_fleet(3)
    segment.run(10.0)
    mover = stations[2]
    segment.stations["10.0.0.33"] = segment.stations.pop("10.0.0.3")
    mover.links = {segment: Link("eth0", 2, "10.0.0.33", 32, "10.0.0.255")}
    send = mover.send
    mover.send = lambda what: None if what.kind == "ping" else send(what)
    mover.set_links(mover.links)
    segment.run(3.0)
    assert all("10.0.0.33" in one.node.outbox.aliases for one in stations[:2])


# --- naming -----------------------------------------------------------------------------------------


def asked(node, source, **more):
    """Return the peers that a node names when a proved peer asks."""
    sends = node.receive(meet(**more), source, 1.0).sends
    [intro] = [decode(send.datagram) for send in sends if send.kind == "intro"]
    return [(peer.address, peer.id) for peer in intro.peers()]


def greeter(node, address="10.5.0.9"):
    return Source(address, None), listen(node, Source(address, None), 1, "web1")


def introducer(**more):
    return make_node(parameters=Parameters(introduce=ALL, **more))


def test_only_what_answered_and_is_no_address_of_a_link_is_named():
    node = introducer()
    docker = Link("docker0", 7, "172.17.0.1", 16, "172.17.255.255")
    zeroconf = Link("eth9", 9, "169.254.0.1", 16, "169.254.255.255")
    node.set_links([ETH0, docker, zeroconf], 0.0)
    node.introductions.internal = frozenset({"docker0"})
    for number, (address, link) in enumerate([("10.0.0.7", ETH0), ("172.17.0.5", docker), ("169.254.0.5", zeroconf)], 2):
        listen(node, Source(address, link), number, f"n{number}")
    node.receive(hello(9, id="unproved").encode(), Source("10.0.0.99", ETH0), 0.0)
    source, _ = greeter(node)
    assert asked(node, source) == [("10.0.0.7", "n2")]


def test_names_go_on_where_the_last_answer_ended():
    node = introducer()
    for number in range(2, 42):
        listen(node, Source(f"10.0.0.{number}", ETH0), number, f"n{number}")
    source, _ = greeter(node)
    seen, after, now = [], FROM_THE_FIRST, 1.0
    while len(seen) < 40:
        now += 1.0
        [send] = node.receive(meet(after=after), source, now).sends
        peers = decode(send.datagram).peers()
        assert len(send.datagram) <= MAX_INTRO
        seen += [peer.id for peer in peers if peer.id not in seen]
        after = peers[-1].boot
    assert seen == [f"n{number}" for number in range(2, 42)]


@pytest.mark.parametrize(
    ("prepared", "datagram", "reason"),
    [
        (True, meet()[:-9] + b"|", "malformed"),
        (False, meet(), "unproven"),
        (True, Intro(realm="default", boot=boot(1), nonce="e" * 16, named="").encode(), "unexpected"),
    ],
)
def test_what_is_no_fit_question_or_answer_is_dropped(prepared, datagram, reason):
    node = introducer()
    source = Source("10.5.0.9", None)
    if prepared:
        greeter(node)
    assert [send for send in node.receive(datagram, source, 1.0).sends if send.kind in ("intro", "meet")] == []
    assert node.drops[reason, "-"] == 1


def test_an_answer_counts_from_the_peer_that_was_asked_in_time():
    node = make_node(parameters=Parameters(introduce=ALL, seeds=("10.5.0.9",)))
    source = Source("10.5.0.9", None)
    listen(node, source, 1, "web1")
    node.receive(hello(1, id="web1", seq=9, interval=10, ttl=100).encode(), source, 0.0)
    [asked] = [decode(send.datagram) for send in node.poll(0.5).sends if send.kind == "meet"]
    named = f"10.7.0.1,x,{boot(7)}"

    def answered(at=1.0, source=source, **changed):
        said = {"realm": "default", "boot": boot(1), "nonce": asked.nonce, "named": named, **changed}
        node.receive(Intro(**said).encode(), source, at)
        return list(node.introductions.candidates)

    assert answered(nonce="d" * 16) == answered(boot=boot(2)) == answered(source=Source("10.5.0.8", None)) == []
    assert answered(at=0.5 + LIFE) == []
    assert node.drops["unexpected", "-"] == 4
    assert answered() == ["10.7.0.1"]


def test_a_question_from_elsewhere_is_not_answered():
    node = introducer()
    source, _ = greeter(node, "192.0.2.9")
    assert node.receive(meet(), source, 1.0).sends == ()
    assert node.drops["off-link", "-"] >= 1


def test_one_node_is_answered_once_a_second():
    node = introducer()
    source, _ = greeter(node)
    answers = [len(node.receive(meet(), source, 1.0).sends) for _ in range(10)]
    assert answers == [1] * int(AT_ONCE) + [0] * (10 - int(AT_ONCE))
    assert len(node.receive(meet(), source, 2.1).sends) == 1
    assert node.drops["rate", "-"] == 7


# --- the wire ---------------------------------------------------------------------------------------


def test_an_answer_is_never_longer_than_its_question():
    longest = NamedPeer("fd00:1111:2222:3333:4444:5555:6666:7777", "i" * MAX_ID, "f" * 16)
    named = write_named([longest] * 30)
    assert MAX_NAMED - len(",".join(longest)) <= len(named) <= MAX_NAMED
    for id in ("i", "i" * MAX_ID):
        for keyring in (NO_KEYS, KEYED):
            node = Node(Parameters(realm="r" * MAX_REALM), node_id=id, keyring=keyring)
            source = Source("10.5.0.9", None, key=K1.id if keyring.keys else "", boot="b" * 16)
            question = Meet(realm="r" * MAX_REALM, id=id, boot=node.boot, nonce="c" * 16)
            answer = Intro(realm="r" * MAX_REALM, boot=node.boot, nonce="c" * 16, named="n" * MAX_NAMED)
            sizes = [len(node.outbox.unicast(one.encode(), source).datagram) for one in (question, answer)]
            assert sizes[1] <= sizes[0] <= 1024
            assert sizes[1] <= (MAX_SEALED_INTRO if keyring.keys else MAX_INTRO)
            assert sizes[0] >= (MAX_SEALED_INTRO if keyring.keys else MAX_INTRO)


def test_names_that_make_no_sense_are_passed_over():
    good = f"10.2.0.7,db1,{boot(1)}"
    bad = ["", "10.2.0.7", f"10.2.0.700,db1,{boot(1)}", f"fe80::1,db1,{boot(1)}", f"10.2.0.7,,{boot(1)}", "10.2.0.7,db1,zz",
           f"FD00::1,db1,{boot(1)}", f"10.2.0.7,db1,{boot(1)},more"]  # fmt: skip
    intro = Intro(realm="default", boot=boot(2), nonce="e" * 16, named=";".join([*bad, good, *bad]))
    assert intro.peers() == [NamedPeer("10.2.0.7", "db1", boot(1))]


def test_a_ping_from_an_introduced_network_is_answered_in_plain():
    node = introducer()
    source = Source("10.5.0.9", None)
    [answer] = node.receive(ping_from().encode(), source, 0.0).sends
    assert answer.kind == "pong"
    assert make_node().receive(ping_from().encode(), source, 0.0).sends[:1] != (answer,)
