"""Who is greeted beyond our links, within a budget: peers there, seeds that are silent in turns, and former peers."""

import os
from itertools import pairwise

import pytest

from discoveryd.protocol.link import Source
from discoveryd.protocol.outbox import MAX_BEQUEATHED
from discoveryd.protocol.outcome import LIMITED
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.routed import FORMER_LIFE, LIVE_SHARE, MAX_FORMER
from tests.protocol.beyond import ALL, KEYED, busiest, counted, plain_fleet, routed_fleet
from tests.protocol.engine import crowd, fresh, pong, run
from tests.protocol.samples import ETH0, hello, make_node
from tests.protocol.segment import Segment, all_listed


def with_routed(count, **more):
    """Return a node that lists so many proved peers beyond its links."""
    node = make_node(parameters=Parameters(introduce=ALL, **more))
    node.poll(0.0)
    for number in range(1, count + 1):
        source = Source(f"10.{number >> 8}.1.{number & 255}", None)
        node.outbox.aliases.admit(source.address)
        node.credit.prove(source.address, 0.0)
        node.table.heard(hello(number, f"n{number}", interval=10, ttl=100), source, 0.0, proved=True)
    return node


def beats(sent):
    """Return the times at which HELLOs went to all on the link."""
    return [at for at, send in sent if send.kind == "hello" and send.to in (ETH0.broadcast, LIMITED)]


def beyond(sent, kind="hello"):
    return [(at, send.to) for at, send in sent if send.link is None and send.kind == kind]


def test_each_routed_peer_gets_each_hello():
    node = with_routed(3)
    sent = run(node, 0.0, 10.0)
    routed = counted([(at, "", to, b"") for at, to in beyond(sent)])
    assert set(routed) == {"10.0.1.1", "10.0.1.2", "10.0.1.3"}
    assert set(routed.values()) == {len(set(beats(sent)))}
    assert {send.to for send in node.goodbye().sends} >= set(routed)
    assert {send.to for send in node.will()} >= set(routed)


def test_the_interval_stretches_for_the_routed_budget():
    node = with_routed(90, routed_budget=20)
    run(node, 0.0, 1.0)
    assert node.interval(1.0) == pytest.approx(90 / (LIVE_SHARE * 20), abs=0.1)
    assert node.ttl(node.interval(1.0)) == pytest.approx(5 * node.interval(1.0))
    sent = beyond(run(node, 1.0, 50.0))
    assert len(sent) / 49 <= 20
    assert len(sent) / 49 >= 13


def test_routed_peers_take_nothing_of_the_budget_of_a_link():
    node = with_routed(150, budget=200, routed_budget=1000)
    crowd(node, 10)
    run(node, 0.0, 2.0)
    assert node.interval(2.0) == 0.8
    assert with_routed(150, budget=200, routed_budget=100).interval(0.0) == 0.8  # before the first beat
    node = make_node()
    crowd(node, 300)
    run(node, 0.0, 2.0)
    assert node.interval(2.0) > 1.4


def test_five_hundred_dead_seeds_delay_no_beat():
    seeds = tuple(f"192.0.{number >> 8}.{number & 255}" for number in range(1, 501))
    node = fresh(ETH0, parameters=Parameters(seeds=seeds))
    sent = run(node, 0.0, 30.0)
    gaps = [later - sooner for sooner, later in pairwise(beats(sent)[3:])]
    assert max(gaps) <= 0.8 * 1.1 + 1e-6
    greeted = beyond(sent)
    assert {to for _, to in greeted} == set(seeds)
    assert busiest([at for at, _ in greeted]) <= 2 * 200
    assert len(greeted) / 30 <= 210
    counts = counted([(at, "", to, b"") for at, to in greeted])
    assert max(counts.values()) - min(counts.values()) <= 2


def test_live_peers_leave_a_tenth_to_silent_seeds():
    node = with_routed(90, routed_budget=20, seeds=tuple(f"192.0.2.{number}" for number in range(1, 21)))
    sent = beyond(run(node, 0.0, 100.0))
    silent = [to for _, to in sent if to.startswith("192.0.2.")]
    assert set(silent) == {f"192.0.2.{number}" for number in range(1, 21)}
    assert len(silent) / 100 == pytest.approx(2.0, abs=0.7)


def test_a_former_peer_is_greeted_for_a_day():
    node = with_routed(1)
    assert list(node.beyond.known(0.0)) == ["10.0.1.1"]
    sent = [at for at, _ in beyond(run(node, 0.0, 5000.0)) if at > 101.0]  # its ttl is 100 s
    gaps = [round(later - sooner) for sooner, later in pairwise(sent)]
    assert gaps[0] <= 3
    assert 60 <= gaps[6] <= 61
    assert 500 <= gaps[-1] <= 620
    assert len(node.beyond.former) == 1
    run(node, FORMER_LIFE, FORMER_LIFE + 700.0)
    assert node.beyond.former == {}
    assert beyond(run(node, FORMER_LIFE + 700.0, FORMER_LIFE + 2000.0)) == []


def test_a_peer_that_said_goodbye_is_greeted_no_more():
    node = with_routed(2)
    run(node, 0.0, 1.0)
    node.receive(hello(1, "n1", goodbye=True, seq=50).encode(), Source("10.0.1.1", None), 1.0)
    run(node, 1.0, 3.0)
    assert (list(node.beyond.live), node.beyond.former) == (["10.0.1.2"], {})


def test_former_peers_are_bounded():
    node = make_node()
    node.remember([f"10.{number >> 8}.0.{number & 255}" for number in range(400)], 0.0)
    assert len(node.beyond.former) == MAX_FORMER
    assert len(node.beyond.known(0.0)) == MAX_FORMER
    assert next(iter(node.beyond.former)) == "10.0.0.144"


def test_what_was_known_before_a_restart_is_greeted():
    segment, stations = routed_fleet(4)
    segment.run(5.0)
    known = stations[3].node.beyond.known(segment.now)
    assert set(known) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    stations[3].crash()
    stations[0].crash()  # the seed
    segment.run(60.0)
    stations[3].start()
    stations[3].node.remember(known, segment.now)
    segment.run(5.0)
    assert set(stations[3].peers()) == {"n2", "n3"}
    assert all_listed(stations[1:])


@pytest.mark.parametrize("make", [routed_fleet, plain_fleet], ids=["sealed", "plain"])
def test_halves_come_together_without_the_seed(make):
    segment, stations = make(6)
    segment.run(10.0)
    stations[0].crash()
    halves = {f"10.0.0.{number}": number % 2 for number in range(1, 7)}
    carry = segment.carry
    segment.carry = lambda sender, to, datagram: halves[sender] == halves.get(to) and carry(sender, to, datagram)
    segment.run(120.0)
    assert [len(station.peers()) for station in stations[1:]] == [2, 1, 2, 1, 2]
    segment.carry = carry
    segment.run(70.0)
    assert all_listed(stations[1:])


@pytest.mark.parametrize("seed", range(1, 1 + int(os.environ.get("DISCOVERYD_ROUTED_SEEDS", "1"))))
def test_at_20_percent_loss_all_are_found_and_none_lost(seed):
    """Of 100 nodes, with several seeds: tests/long."""
    count = int(os.environ.get("DISCOVERYD_ROUTED_NODES", "8"))
    segment, stations = routed_fleet(count, seed=seed, routed_budget=max(7, count // 5))
    segment.loss = 0.2
    while not all_listed(stations):
        assert segment.now < 600.0
        segment.run(5.0)
    found = segment.now
    segment.run(60.0)
    assert all_listed(stations)
    assert [station.lost() for station in stations] == [[]] * count
    assert sum(len(station.node.beyond.live) for station in stations) == count * (count - 1)
    print(f"{count} nodes complete after {found:g} s, interval {stations[0].node.interval(segment.now):g} s")


def test_budget_and_networks_can_be_changed_while_it_runs():
    node = with_routed(90, routed_budget=200)
    run(node, 0.0, 2.0)
    assert node.interval(2.0) == 0.8
    node.set_parameters(Parameters(routed_budget=20, introduce=("192.0.2.0/24",)), 2.0)
    run(node, 2.0, 4.0)
    assert node.interval(4.0) == pytest.approx(5.0, abs=0.1)
    assert (node.outbox.introduced.hold("192.0.2.9"), node.outbox.introduced.hold("10.0.1.1")) == (True, False)


def test_the_will_goes_to_so_many_routed_peers():
    node = with_routed(150, seeds=tuple(f"192.0.2.{number}" for number in range(1, 100)))
    run(node, 0.0, 1.0)
    targets = [send.to for send in node.will() if send.link is None]
    assert len(targets) == MAX_BEQUEATHED
    assert all(to.startswith("10.") for to in targets)
    state = node.will_state()
    assert state == node.will_state()


def test_a_seed_on_a_link_is_no_routed_peer():
    lan = Segment(2)
    a, b = (lan.add(KEYED, parameters=Parameters(seeds=("10.0.0.2",))) for _ in range(2))
    a.start()
    b.start()
    lan.run(5.0)
    assert set(a.peers()) == {"n2"}
    assert (a.node.beyond.live, a.node.beyond.former) == ({}, {})


def test_a_pong_alone_makes_no_former_peer_live():
    node = make_node()
    node.remember(["10.7.0.1"], 0.0)
    node.receive(pong("0" * 16), Source("10.7.0.1", None), 0.0)
    run(node, 0.0, 5.0)
    assert list(node.beyond.former) == ["10.7.0.1"]
