"""A fleet begins to use a key, changes it, or goes back, node by node."""

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest

from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.messages import Ping, Pong
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import hello
from tests.protocol.sealed.fleets import ACCEPT, OFF, REQUIRE, TTL, drain
from tests.protocol.segment import K1, K2, K3, Segment, all_listed, fleet, others, ring


def test_nobody_who_seals_is_believed_in_plain():
    segment, (a, b) = fleet(2, ACCEPT)
    segment.run(10.0)
    boot, seq = b.node.boot, b.node.seq
    forged = replace(hello(seq=seq + 1, record=Record(name="evil")), id="n2", boot=boot)
    said = [
        forged.encode(), replace(forged, goodbye=True).encode(), replace(forged, record=None).encode(),
        Ping(realm="default", id="n2", boot=boot, nonce="b" * 16, to=a.node.boot).encode(),
        Pong(realm="default", boot=boot, nonce="b" * 16, heard_ms=1).encode(),
    ]  # fmt: skip
    assert drain(segment, a, said) == ({"downgrade": 5}, [])
    assert a.peers() == {"n2": K1.id}


def test_plain_hellos_keep_no_recordings_fresh():
    """In mode off a dead peer can be kept by forging; it must not seem to seal."""
    segment, (a, b) = fleet(2, OFF)
    segment.run(5.0)
    b.set(ACCEPT)
    segment.run(5.0)
    since = segment.now
    segment.mute = {b.address}
    segment.run(8.0)
    said = [one for one in segment.recorded(since, b.address, "10.0.0.255") if one.startswith(b"SEALED")]
    boot = b.node.boot
    b.crash()
    for number in range(5):
        forged = replace(hello(seq=30 + number), id="n2", boot=boot)
        segment.deliver(forged.encode(), b.address, a)
        segment.run(0.8)
    assert a.peers() == {"n2": None}
    assert drain(segment, a, said[-3:], b.address)[0] == {"unproven": 3}


def test_a_plain_forged_seq_hides_no_sealed_hello():
    segment, (a, b) = fleet(2, OFF)
    segment.run(10.0)
    a.set(ACCEPT)
    forged = replace(hello(seq=b.node.seq + 60, record=Record(name="evil")), id="n2", boot=b.node.boot)
    drain(segment, a, [forged.encode()])
    b.set(REQUIRE)
    segment.run(20.0)
    assert a.lost() == []
    assert [(peer.name, peer.key) for peer in a.node.peers(segment.now)] == [("n2", K1.id)]


def test_a_change_of_key_is_told():
    segment, (a, b) = fleet(2, OFF)
    segment.run(5.0)
    a.told.clear()
    events = []
    emit = a.node.table.event_log.emit
    a.node.table.event_log.emit = lambda *said: events.append(said[:2]) or emit(*said)
    for keyring in (ACCEPT, OFF):
        a.set(keyring)
        b.set(keyring)
        segment.run(3.0)
    assert ("updated", f"sealed with key {K1.id}") in events
    assert ("updated", "no longer sealed") in events


def test_no_hello_is_repeated_for_peers_that_are_not_heard():
    segment, (a, b) = fleet(2, OFF)
    segment.run(5.0)
    b.set(NO_KEYS)
    a.set(REQUIRE)
    since = segment.now
    segment.run(2.0)
    assert len(segment.recorded(since, a.address, "10.0.0.255")) <= 3


@pytest.mark.parametrize("who", ["id", "boot", "both"])
def test_plain_datagrams_in_a_sealed_peers_name_are_dropped(who):
    segment, (a, b) = fleet(2, ACCEPT)
    segment.run(10.0)
    id, boot = ("evil" if who == "boot" else "n2"), ("e" * 16 if who == "id" else b.node.boot)
    forged = [replace(hello(seq=99, **more), id=id, boot=boot).encode() for more in ({}, {"goodbye": True}, {"solicit": True})]
    forged.append(Ping(realm="default", id=id, boot=boot, nonce="b" * 16).encode())
    for sender in (b.address, "10.0.0.66"):
        assert drain(segment, a, forged, sender) == ({"downgrade": 4}, [])
    assert a.peers() == {"n2": K1.id}


def test_a_node_that_has_lost_its_keys_is_back_within_its_ttl():
    segment, (a, b) = fleet(2, ACCEPT)
    segment.run(10.0)
    changed = segment.now
    b.set(NO_KEYS)
    segment.run(20.0)
    assert a.peers() == {"n2": None}
    kinds = [(kind, at - changed) for at, kind, _ in a.told if at > changed]
    assert [kind for kind, _ in kinds] == ["suspect", "down", "recovered"]
    assert kinds[2][1] - kinds[1][1] < 0.9
    assert kinds[2][1] < TTL + 0.9


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_back_from_require_to_off_in_any_order(order):
    segment, stations = fleet(3, REQUIRE)
    segment.run(5.0)
    for keyring in (ACCEPT, OFF):
        for number in order:
            stations[number].set(keyring)
            segment.run(3.0)
    segment.run(10.0)
    assert all(station.lost() == [] for station in stations)
    assert {key for station in stations for key in station.peers().values()} == {None}
    assert all(not one.startswith(b"SEALED") for one in segment.recorded(segment.now - 2.0)), "nothing is said twice"


def roll(segment, stations, keyrings, random, pause):
    """Take all stations through these keyrings, one step after the other, within a step in any order."""
    for keyring in keyrings:
        for station in random.sample(stations, len(stations)):
            station.set(keyring)
            segment.run(random.uniform(*pause))
        segment.run(2.0)
        for station in stations:
            assert set(station.peers()) >= others(stations, station)


STEPS = (NO_KEYS, OFF, ACCEPT, REQUIRE)
CHANGE = (REQUIRE, ring(K1, K2), ring(K1, K2, send_with=K2), ring(K2))


@pytest.mark.parametrize("pause", [(0.0, 0.1), (0.0, 3.0), (5.0, 9.0)])
@pytest.mark.parametrize("steps", [STEPS, CHANGE, tuple(reversed(CHANGE)), (REQUIRE, ACCEPT, OFF)], ids=["on", "change", "back", "off"])
def test_a_fleet_changes_over_and_nobody_is_lost(steps, pause):
    segment, stations = fleet(5, steps[0], seed=str(pause))
    segment.run(5.0)
    roll(segment, stations, steps[1:], Random(str(pause)), pause)
    assert all(station.lost() == [] for station in stations)
    segment.run(10.0)
    assert {key for station in stations for key in station.peers().values()} == {steps[-1].sends or None}
    # and in the end everything is said once
    beats = segment.recorded(segment.now - 8.0, to="10.0.0.255")
    assert len(beats) <= 5 * 8.0 / 0.72


def test_a_node_away_during_a_key_change_comes_back():
    segment, stations = fleet(5, REQUIRE)
    segment.run(5.0)
    away = stations[4]
    away.leave()
    segment.run(1.0)
    here = stations[:4]
    roll(segment, here, CHANGE[1:3], Random(1), (0.1, 1.0))
    away.start()
    segment.run(2.0)
    assert all_listed(stations)
    assert {station.peers()["n5"] for station in here} == {K1.id}
    assert {key for station in here for who, key in station.peers().items() if who != "n5"} == {K2.id}
    for keyring in CHANGE[1:]:
        away.set(keyring)
        segment.run(3.0)
    roll(segment, here, CHANGE[3:], Random(2), (0.1, 1.0))
    assert {who for station in here for _, _, who in station.lost()} == {"n5"}
    assert away.lost() == []
    assert set(away.peers().values()) == {K2.id}


def test_a_node_with_a_removed_key_is_told_by_its_key():
    segment, stations = fleet(3, ring(K2))
    old = segment.add(REQUIRE).start()
    segment.run(5.0)
    assert old.peers() == {}
    assert all_listed(stations[:3])
    assert stations[0].drops()["unknown-key"] > 3
    assert old.drops()["unknown-key"] > 9


def test_two_keys_that_all_have_are_not_both_used():
    segment, stations = fleet(4, ring(K1, K2, K3))
    segment.run(5.0)
    for number, station in enumerate(stations):
        station.set(ring(K1, K2, K3, send_with=(K1, K2, K3, K2)[number]))
    segment.run(60.0)
    assert all(station.lost() == [] for station in stations)
    assert all_listed(stations)
    for station in stations:
        station.set(ring(K1, K2, K3, send_with=K3))
    segment.run(10.0)
    assert {key for station in stations for key in station.peers().values()} == {K3.id}


def test_many_ways_stretch_the_interval_as_many_peers_do():
    segment = Segment()
    slow = Parameters(budget=5)
    stations = [segment.add(ACCEPT, parameters=slow).start() for _ in range(3)]
    segment.run(20.0)
    assert stations[0].node.interval(segment.now) == pytest.approx(0.8)
    segment.add(parameters=slow).start()
    segment.run(20.0)
    assert stations[0].node.interval(segment.now) == pytest.approx(4 * 2 / 5)


def test_a_bare_peer_keeps_plain_hellos_coming():
    segment, stations = fleet(2, ACCEPT)
    for _ in range(10):
        segment.run(0.8)
        for station in stations:
            segment.deliver(b"HELLO|", "10.0.0.50", station)
    said = segment.recorded(segment.now - 4.0, to="10.0.0.255")
    assert any(one.startswith(b"HELLO|2|") for one in said)
    segment.run(10.0)
    assert all(one.startswith(b"SEALED|") for one in segment.recorded(segment.now - 4.0, to="10.0.0.255"))
