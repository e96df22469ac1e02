"""A candidate gets three PINGs, whoever names it: a liar can make nobody flood a third party, nor list anybody."""

import os
from itertools import pairwise

import pytest

from discoveryd.protocol.candidates import (
    AT_ONE,
    MAX_CANDIDATES,
    MAX_OF_ONE,
    PINGS_PER_SECOND,
    RENEWAL,
    SILENCE,
    WAITS,
    is_global,
)
from discoveryd.protocol.link import Source
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.meet import NamedPeer
from tests.protocol.beyond import ALL, KEYED, busiest, plain_fleet, routed_fleet
from tests.protocol.engine import ping_from, run
from tests.protocol.samples import ETH0, boot, hello, make_node, source
from tests.protocol.segment import K1, all_listed

LIAR = boot(99)
NODES = int(os.environ.get("DISCOVERYD_ROUTED_NODES", "16"))
SEEDS = range(1, 1 + int(os.environ.get("DISCOVERYD_ROUTED_SEEDS", "1")))
"""More of both: tests/long."""


def node_with(*, names=(), by=LIAR, now=0.0, node=None, **more):
    """Return a node to which a peer named these addresses, all with different boots."""
    node = node or make_node(parameters=Parameters(introduce=ALL), **more)
    node.taken = [
        node.introductions.candidates.take(NamedPeer(address, f"c{number}", boot(number)), by, "", now)
        for number, address in enumerate(names, 200)
    ]
    return node


def pings(sent, *addresses):
    return [at for at, send in sent if send.kind == "ping" and (not addresses or send.to in addresses)]


def test_a_candidate_gets_three_pings_an_hour_whoever_names_it():
    node = node_with(names=["10.7.0.1"])
    sent = pings(run(node, 0.0, 60.0))
    assert len(sent) == len(WAITS) == 3
    assert sent[0] <= WAITS[0]
    assert [round(later - sooner, 6) for sooner, later in pairwise(sent)] == [1.0, 4.0]
    for number in range(20):
        node_with(names=["10.7.0.1"], by=boot(number), now=60.0 + number, node=node)
    assert pings(run(node, 80.0, SILENCE - 1.0)) == []
    node_with(names=["10.7.0.1"], now=SILENCE + 1.0, node=node)
    assert len(pings(run(node, SILENCE + 1.0, SILENCE + 60.0))) == 3
    assert node.peers(SILENCE + 60.0, gone=True) == ()


def test_one_that_seals_gets_a_ping_more_for_each_other_name():
    node = make_node()
    node.set_keyring(KEYED)
    candidates = node.introductions.candidates

    def named(by, now, number=7):
        candidates.take(NamedPeer("10.7.0.1", "n7", boot(number)), boot(by), K1.id, now)
        return len(pings(run(node, now, now + 40.0)))

    assert named(50, 0.0) == 3
    assert candidates.sought() == boot(7)
    assert [named(by, 100.0 + by, number) for by, number in ((50, 7), (51, 8), (51, 7), (51, 7))] == [0, 0, 1, 0]
    assert [named(by, 100.0 * by) for by in range(3, 9)] == [1, 1, 1, 1, 0, 0]
    assert candidates.sought() is None
    assert sum(named(by, 1000.0 + 10.0 * by) for by in range(60, 80)) == 0


def test_others_are_asked_for_each_silent_candidate_in_turn():
    node = make_node()
    node.set_keyring(KEYED)
    for number in (7, 8):
        node.introductions.candidates.take(NamedPeer(f"10.7.0.{number}", "n", boot(number)), LIAR, K1.id, 0.0)
    assert node.introductions.candidates.sought() is None
    run(node, 0.0, 40.0)
    assert [node.introductions.candidates.sought() for _ in range(4)] == [boot(7), boot(8), boot(7), boot(8)]


def test_a_pong_with_the_nonce_is_needed_and_its_own_hello():
    node = node_with(names=["10.7.0.1"])
    [(at, send)] = [(at, send) for at, send in run(node, 0.0, 1.0) if send.kind == "ping"][:1]
    assert send.to == "10.7.0.1"
    assert node.peers(at) == ()
    node.receive(hello(200, id="c200").encode(), Source("10.7.0.1", None), at + 0.1)
    assert [peer.id for peer in node.peers(at + 0.1)] == ["c200"]


def test_what_is_known_or_no_address_is_no_candidate():
    node = make_node(parameters=Parameters(introduce=ALL), proved=True)
    node.receive(hello(201, id="c201").encode(), source("10.0.0.7"), 0.0)
    names = ["10.7.0.1", "10.0.0.7", ETH0.address, "fe80::1%eth0", "169.254.0.1", "127.0.0.1", "224.0.0.1", "192.0.2.1"]
    node_with(names=names, node=node)
    assert node.taken == [True, False, False, False, False, False, False, False]
    assert not node.introductions.candidates.take(NamedPeer("10.8.0.1", node.id, node.boot), LIAR, "", 0.0)
    for address, is_taken in (("192.0.2.1", True), ("169.254.0.1", False), ("127.0.0.9", False)):  # from one that seals
        assert node.introductions.candidates.take(NamedPeer(address, "x", boot(5)), LIAR, "k" * 8, 0.0) is is_taken


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "2001:db8::1"])
def test_global_addresses_are_told(address):
    assert is_global(address)


def test_ten_thousand_names_cause_twenty_pings_a_second():
    node = make_node(parameters=Parameters(introduce=ALL))
    sent = []
    for second in range(120):
        names = [f"10.{second + 1}.0.{number}" for number in range(1, 84)]
        node_with(names=names, node=node, now=float(second))
        sent += run(node, float(second), second + 1.0)
    times = pings(sent)
    assert busiest(times) <= PINGS_PER_SECOND + 1
    assert len(times) <= MAX_OF_ONE * len(WAITS)
    candidates = node.introductions.candidates
    assert (len(candidates), candidates.refused) == (MAX_OF_ONE, 120 * 83 - MAX_OF_ONE)
    assert node.peers(120.0, gone=True) == ()
    assert {send.kind for _, send in sent if not send.is_to_all} == {"ping"}


def test_candidates_of_all_are_bounded():
    node = make_node(parameters=Parameters(introduce=ALL))
    for number in range(8):
        names = [f"10.{number}.{last >> 8}.{last & 255}" for last in range(300)]
        node_with(names=names, by=boot(number), node=node)
    assert len(node.introductions.candidates) == MAX_CANDIDATES
    for number in range(100):
        node.introductions.candidates.knock(("k", boot(number)), Source(f"10.99.0.{number}", None), 0.0)
    assert len(node.introductions.candidates) == MAX_CANDIDATES


def test_a_knock_of_an_unknown_boot_is_asked_back_at_once():
    node = make_node(parameters=Parameters(introduce=ALL))
    node.receive(ping_from().encode(), Source("10.7.0.9", None), 0.0)
    ask, *_ = [send for send in node.poll(0.0).sends if send.kind == "ping"]
    assert (ask.to, decode(ask.datagram).id) == ("10.7.0.9", node.id)
    assert len(pings(run(node, 0.0, 60.0), "10.7.0.9")) == 2
    node.receive(ping_from().encode(), Source("10.7.0.9", None), 60.0)  # in plain that may be forged
    assert pings(run(node, 60.0, 90.0), "10.7.0.9") == []
    node.receive(ping_from().encode(), Source("192.0.2.9", None), 90.0)  # from no network that is introduced
    assert "192.0.2.9" not in node.introductions.candidates


def test_a_sealed_knock_renews_pings_ever_more_seldom():
    node = make_node()
    source_ = Source("10.7.0.9", None, key="k" * 8, boot=boot(7))
    candidates, now, renewed = node.introductions.candidates, 0.0, []
    for _ in range(2000):
        candidates.knock(("n7", boot(7)), source_, now)
        candidate = candidates["10.7.0.9"]
        if candidate.tries == 0 and candidate.renewals > len(renewed):
            renewed.append(now)
        candidate.tries = 3
        now += 1.0
    assert renewed == [1.0, 1.0 + RENEWAL, 1.0 + 5 * RENEWAL, 1.0 + 21 * RENEWAL, 1.0 + 85 * RENEWAL]


def liars(segment, stations, names, count=1):
    """Let the first stations name these peers to whoever asks."""
    for liar in stations[:count]:
        liar.node.introductions.names = lambda *_: names


def test_a_liar_lists_nobody():
    segment, stations = routed_fleet(4)
    segment.run(5.0)
    made_up = [NamedPeer(f"10.66.0.{number}", f"x{number}", boot(number)) for number in range(1, 200)]
    liars(segment, stations, made_up)
    before = len(segment.tape)
    segment.run(300.0)
    assert all(set(one.peers()) | {one.name} == {"n1", "n2", "n3", "n4"} for one in stations)
    assert all(station.lost() == [] for station in stations)
    asked = [(at, to) for at, _, to, _ in segment.tape[before:] if to.startswith("10.66.")]
    assert 0 < busiest([at for at, _ in asked]) <= 3 * (PINGS_PER_SECOND + 1)
    assert len(asked) <= 3 * 199 * len(WAITS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_victim_gets_five_pings_a_second_of_all(seed):
    segment, stations = plain_fleet(count := NODES, seed=seed, routed_budget=max(7, NODES // 5))
    for _ in range(7):
        segment.run(count / 10)
    assert all_listed(stations)
    victim = NamedPeer("10.66.0.1", "victim", boot(1))
    liars(segment, stations, [victim], count=count)  # all of them, so that all are told at once
    for station in stations:
        station.node.introductions.candidates.take(victim, LIAR, "", segment.now)
    before = len(segment.tape)
    for _ in range(10):
        segment.run(count / 10)
    asked = [at for at, _, to, _ in segment.tape[before:] if to == victim.address]
    assert len(asked) == count * len(WAITS)
    assert busiest(asked) <= 5
    print(f"{count} nodes told at once: {busiest(asked)} PINGs in the busiest second, {busiest(asked, 5.0) / 5:g} a second in 5 s")


def test_no_node_is_the_last_to_ask_all():
    segment, stations = plain_fleet(8)
    segment.run(20.0)
    firsts = []
    for number in range(1, 9):
        peer = NamedPeer(f"10.66.0.{number}", "x", boot(number))
        for station in stations:
            station.node.introductions.candidates.take(peer, LIAR, "", segment.now)
        firsts.append(min(stations, key=lambda one, peer=peer: one.node.introductions.candidates[peer.address].due))
    assert len({station.name for station in firsts}) == 8


def test_after_a_restart_a_fleet_is_as_large_as_before():
    """When all start again at once, each knows of few others yet."""
    node = make_node(parameters=Parameters(introduce=ALL))
    node.remember([f"10.5.0.{number}" for number in range(1, 70)], 0.0)
    names = [f"10.7.0.{number}" for number in range(1, 101)]
    node_with(names=names, node=node)
    due = [node.introductions.candidates[name].due for name in names]
    assert 15.0 < max(due) <= 70 / AT_ONE
    assert sum(at < 5.0 for at in due) < 50
