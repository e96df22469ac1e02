"""The engine: its deadlines, and what it does in a flood."""

import doctest
from dataclasses import replace
from random import Random

import discoveryd.protocol.node
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.turns import FIRST_TURN
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Pong, mark
from discoveryd.protocol.wire.record import Record
from tests.protocol.engine import HERE, drops, fresh, run
from tests.protocol.samples import ETH0, WEB, boot, hello, kinds, make_node, row_of, source


def test_the_docstring_is_right():
    assert doctest.testmod(discoveryd.protocol.node).attempted > 5
    assert doctest.testmod(discoveryd.protocol.node).failed == 0


def test_the_next_deadline_is_the_first_thing_due():
    node = make_node()
    beat = node.next_deadline()
    node.receive(hello(ttl=0.2, interval=0.1).encode(), HERE, 0.05)
    assert 0.05 + FIRST_TURN[0] <= node.next_deadline() <= 0.25 < beat  # a PING, or its end
    node.set_record(Record(name="new"), now=0.1)
    assert node.next_deadline() == 0.1


def test_many_addresses_of_one_peer_are_bound():
    node = make_node()
    for number in range(1, 40):
        node.receive(hello(seq=number).encode(), source(f"10.0.0.{number}"), number / 1000)
    assert len(row_of(node.table, 1).paths) == 16


def answer(node, to, number, now):
    """Answer the PING that the node sends in turn."""
    ping = [decode(send.datagram) for send in run_until_ping(node, now) if send.to == to][-1]
    pong = Pong(realm="default", boot=boot(number), nonce=ping.nonce, heard_ms=10)
    return node.receive(pong.encode(), source(to), now + 1.1)


def run_until_ping(node, now):
    return [send for _, send in run(node, now, now + 1.1) if send.datagram.startswith(b"PING")]


def test_a_flood_takes_only_peers_that_came_with_it():
    node = fresh(ETH0)
    node.table.heard(hello(1, "old", ttl=60), source("10.0.0.8"), 1.0, proved=True)
    node.receive(hello(2, "forged", ttl=60).encode(), source("10.0.0.9"), 10.0)
    outcome = node.begin_flood(since=9.0, now=10.5)
    assert [(event.kind, event.peer.id, event.reason) for event in outcome.events] == [
        ("down", "forged", "came with a flood, and answered no PING")
    ]
    assert [peer.id for peer in node.peers(10.5, gone=True)] == ["old"]
    assert not node.is_isolated(10.5)


def test_who_answered_a_ping_is_no_forgery():
    node = fresh(ETH0)
    node.receive(hello(2, "true", ttl=60).encode(), source("10.0.0.9"), 10.0)
    answer(node, "10.0.0.9", 2, 10.0)
    assert node.begin_flood(since=9.0, now=11.5).events == ()
    assert node.known_addresses(9.0, 9.0) == ("10.0.0.9",)


def test_nobody_new_is_listed_until_it_is_over():
    node = fresh(ETH0, parameters=Parameters(seeds=("192.0.2.1",)))
    node.receive(hello(1, "old", seq=1).encode(), source("10.0.0.8"), 1.0)
    node.begin_flood(since=2.0, now=2.0)
    outcomes = [node.receive(kind, source("10.0.0.20"), 2.1) for kind in (hello(3, "new").encode(), b"HELLO|")]
    assert [outcome.events for outcome in outcomes] == [(), ()]
    assert outcomes[1] is NOTHING  # who cannot answer is not asked
    node.receive(hello(1, "old", seq=2).encode(), source("10.0.0.8"), 2.2)
    assert [peer.id for peer in node.peers(2.3)] == ["old"]
    assert drops(node) == {("flood", "eth0"): 2}
    assert node.known_addresses(2.0, 2.0) == ("192.0.2.1", "10.0.0.20", "10.0.0.8")
    node.end_flood()
    node.receive(hello(3, "new").encode(), source("10.0.0.20"), 5.0)
    assert [peer.id for peer in node.peers(5.0)] == ["old", "new"]


def test_who_answers_in_a_flood_is_listed():
    node = fresh(ETH0)
    node.begin_flood(since=2.0, now=2.0)
    here, said = source("10.0.0.20"), hello(3, "new", solicit=True)
    [send] = node.receive(said.encode(), here, 2.1).sends
    ping = decode(send.datagram)
    assert (ping.to, send.to) == (mark("new", boot(3)), "10.0.0.20")
    assert len(send.datagram) < len(said.encode())
    forged = Pong(realm="default", boot=boot(3), nonce="0" * 16, heard_ms=None)
    assert node.receive(forged.encode(), here, 2.2) is not None
    assert node.receive(said.encode(), here, 2.21).events == ()
    pong = Pong(realm="default", boot=boot(3), nonce=ping.nonce, heard_ms=None)
    outcome = node.receive(pong.encode(), here, 2.3)
    assert kinds(outcome.events) == ["joined"]  # by what it said before
    assert [(decode(send.datagram).solicit, send.to) for send in outcome.sends] == [(False, "10.0.0.20")]
    assert node.receive(replace(said, seq=2).encode(), here, 2.4).events == ()
    # and it stays in the next
    node.end_flood()
    node.begin_flood(since=2.35, now=3.0)
    assert [peer.id for peer in node.peers(3.0)] == ["new"]


def test_in_a_flood_no_challenge_is_longer_than_its_hello():
    node = Node(record=WEB, node_id="i" * 32, random=Random(1))
    node.set_links([ETH0], now=0.0)
    node.begin_flood(since=2.0, now=2.0)
    assert node.receive(hello(3, "n", full=False).encode(), HERE, 2.1).sends == ()
    assert node.challenges.too_short == 1
    [send] = node.receive(hello(3, "n").encode(), HERE, 2.2).sends
    assert send.datagram.startswith(b"PING")


def test_a_peer_that_went_down_in_a_flood_may_come_back_in_it():
    node = fresh(ETH0)
    node.table.heard(hello(1, "old", seq=1), source("10.0.0.8"), 1.0, proved=True)
    node.begin_flood(since=2.0, now=3.0)
    node.poll(30.0)
    assert node.peers(30.0) == ()
    node.receive(hello(1, "old", seq=2).encode(), source("10.0.0.8"), 30.0)
    assert [peer.id for peer in node.peers(30.0)] == ["old"]
