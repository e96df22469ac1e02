"""Nodes with keys find each other; what one node with keys does."""

from random import Random

import pytest

from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, MAX_SEALED_PING, MAX_SEALED_PONG, MAX_SEALED_STEADY
from discoveryd.protocol.wire.record import MAX_RECORD, Record
from tests.protocol.samples import ETH0, hello, make_node, source
from tests.protocol.sealed.fleets import ACCEPT, OFF, REQUIRE, TTL
from tests.protocol.segment import DELAY, K1, K2, Segment, all_listed, fleet, ring


@pytest.mark.parametrize("keyring", [OFF, ACCEPT, REQUIRE], ids=lambda ring: ring.mode)
def test_two_nodes_with_a_key_find_each_other_at_once(keyring):
    segment, (a,) = fleet(1, keyring)
    segment.run(3.0)
    b = segment.add(keyring).start()
    segment.run(16 * DELAY)
    key = K1.id if keyring.sends else None
    assert (a.peers(), b.peers()) == ({"n2": key}, {"n1": key})
    segment.run(20.0)
    assert [kind for _, kind, _ in a.told + b.told] == ["joined", "joined"]
    assert a.drops().keys() | b.drops().keys() <= {"unproven"}
    assert all(peer.two_way for peer in a.node.peers(segment.now))


def test_what_is_sealed_takes_the_short_way():
    segment, (a, _) = fleet(2, REQUIRE)
    segment.run(60.0)
    assert a.node.hello_rate.steady > 60


@pytest.mark.parametrize("loss", [0.3, 0.6])
def test_they_find_each_other_where_much_is_lost(loss):
    segment, stations = fleet(3, REQUIRE)
    segment.loss = loss
    segment.run(10.0)
    segment.loss = 0
    segment.run(2.0)
    assert all_listed(stations)


def test_a_restart_is_one_event():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    a.told.clear()
    b.crash()
    b.start()
    segment.run(16 * DELAY)
    assert [kind for _, kind, _ in a.told] == ["restarted"]  # its record is known, whatever datagram was the first
    segment.run(10.0)
    assert [kind for _, kind, _ in a.told] == ["restarted"]
    assert a.peers() == {"n2": K1.id}


def test_a_goodbye_counts_at_once_and_is_not_asked_about():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    asked = a.node.sent["ping"]
    b.leave()
    segment.run(2 * DELAY)
    assert a.told[-1][1:] == ("left", "n2")
    segment.run(10.0)
    assert (a.peers(), a.node.sent["ping"]) == ({}, asked)


def test_who_is_refused_by_its_machine_is_down_before_its_ttl():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    silent = segment.now
    b.crash()
    while not a.lost():
        before = len(segment.tape)
        segment.run(0.05)
        for _, sender, to, datagram in segment.tape[before:]:
            if (sender, to) == (a.address, b.address):
                a.act(a.node.refused(datagram, segment.now))
        assert segment.now < silent + TTL
    assert segment.now < silent + 3.0


def test_seeds_find_each_other_where_no_broadcast_passes():
    segment = Segment(routed=True)
    seeds = [Parameters(seeds=(address,)) for address in ("10.0.0.2", "10.0.0.1")]
    stations = [segment.add(REQUIRE, parameters=one).start() for one in seeds]
    segment.run(3.0)
    assert all_listed(stations)
    for station, keyring in ((stations[0], ACCEPT), (stations[0], OFF), (stations[1], ACCEPT), (stations[1], OFF)):
        station.set(keyring)
        segment.run(5.0)
    assert all(station.lost() == [] for station in stations)


def test_a_seed_that_is_not_heard_is_greeted_in_each_way_in_turn():
    """It may be restarted while we have changed: it knows the old key only, and does not know of us."""
    segment = Segment(routed=True)
    segment.add(ring(K1, K2, mode="accept"), parameters=Parameters(seeds=("10.0.0.2",))).start()
    b = segment.add(ring(K2), parameters=Parameters(seeds=()))
    segment.run(10.0)
    said = {datagram[:17] for datagram in segment.recorded(5.0, to="10.0.0.2")}
    assert {one[:17] for one in (b"SEALED|2|%b" % K1.id.encode(), b"SEALED|2|%b" % K2.id.encode())} <= said
    assert any(one.startswith(b"HELLO|2|") for one in said)
    assert len(segment.recorded(5.0, to="10.0.0.2")) <= 2 * (5.0 / 0.72 + 1)
    b.start()
    segment.run(4.0)
    assert b.peers() == {"n1": K2.id}


def test_sizes():
    empty = len(Record(name="x", tags={"a": "", "b": "", "c": ""}).encoded)
    longest = Record(name="x", tags={"a": "v" * 255, "b": "v" * 255, "c": "v" * (MAX_RECORD - empty - 510)})
    parameters = Parameters(realm="r" * 16, interval=600.0, ttl=3600.0, seeds=("192.0.2.1",))
    node = Node(parameters, longest, node_id="i" * 32, random=Random(1), keyring=REQUIRE)
    node.set_links([ETH0], now=0.0)
    node.outbox.seq = 2**32 - 20
    node.outbox.sealing.sealer.counter = 2**40
    sends, now = [], 0.0
    while now < 20_000:
        sends += node.poll(now).sends
        now = node.next_deadline()
    sizes = sorted({len(send.datagram) for send in sends})
    assert 150 < sizes[0] <= MAX_SEALED_STEADY
    assert not [size for size in sizes if MAX_SEALED_STEADY < size < 1000]
    assert 1000 < sizes[-1] <= MAX_DATAGRAM
    assert all(send.datagram.isascii() for send in sends)


def test_nothing_is_answered_with_more_than_was_asked():
    segment, _ = fleet(3, REQUIRE)
    segment.run(100.0)
    probes = {len(datagram) for _, _, to, datagram in segment.tape if datagram.endswith(b"|u") and len(datagram) <= MAX_SEALED_PING}
    assert max(probes) <= MAX_SEALED_PING
    assert min(probes) <= MAX_SEALED_PONG
    assert min(len(datagram) for datagram in segment.recorded(to="10.0.0.255")) >= MAX_SEALED_PING


def test_keys_that_come_and_go_leave_boot_and_counter():
    node = make_node()
    boot = node.boot
    assert node.outbox.sealing is None
    node.set_keyring(REQUIRE)
    node.poll(1.0)
    counter = node.outbox.sealing.sealer.counter
    assert counter > 0
    node.set_keyring(NO_KEYS)
    node.set_keyring(REQUIRE)
    assert (node.boot, node.outbox.sealing.sealer.counter) == (boot, counter)


def test_plain_peers_are_not_heard_once_keys_are_required():
    node, here = make_node(), source()
    for seq in (1, 2, 3):
        node.receive(hello(seq=seq, full=seq == 1).encode(), here, 1.0)
    assert node.hello_rate.steady == 2
    node.set_keyring(REQUIRE)
    node.receive(hello(seq=4, full=False).encode(), here, 1.1)
    assert node.drops["plain", "eth0"] == 1
    sends = [node.ping(node.table.get("web1", hello().boot), 1.2)[1].sends[0]]
    assert all(send.datagram.startswith(b"SEALED|") for send in sends), "nothing is said in plain either"


def test_a_flood_lets_in_who_seals():
    segment, (a,) = fleet(1, REQUIRE)
    segment.run(3.0)
    a.node.begin_flood(since=2.0, now=segment.now)
    segment.add(REQUIRE).start()
    segment.run(16 * DELAY)
    assert a.peers() == {"n2": K1.id}
    a.act(a.node.begin_flood(since=2.0, now=segment.now))
    assert a.peers() == {"n2": K1.id}, "it has proved to live"


def test_a_former_boot_that_repeats_a_beat_is_no_clone():
    segment, (a, b) = fleet(2, REQUIRE)
    segment.run(10.0)
    last = segment.now
    segment.loss = 1.0
    segment.run(0.9)  # a beat that a does not hear
    beat = segment.recorded(last, b.address, "10.0.0.255")[0]
    segment.loss = 0.0
    b.crash()
    b.start()
    segment.run(0.1)
    for _ in range(3):
        segment.deliver(beat, b.address, a)
    segment.run(1.0)
    assert a.peers() == {"n2": K1.id}
    assert not a.node.peers(segment.now)[0].clone


def test_a_keyring_is_what_it_takes():
    ranks = ring(K1, K2, mode="accept", send_with=K2).ranks()
    assert list(ranks) == [K2.id, K1.id, ""]
    assert list(ring(K1, K2).ranks()) == [K1.id, K2.id]
    assert list(ring(K1, mode="off").ranks()) == ["", K1.id]
    assert list(Keyring().ranks()) == [""]
