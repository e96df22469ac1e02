"""Ping requests under way, on a literal clock."""

from random import Random

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Answer
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wire.messages import Hello
from discoveryd.runtime.pings import GAP, MOST_REQUESTS, PINGS_PER_SECOND, Pings

LINK = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
BOOT = "b" * 16


def node_with_peer():
    node = Node(random=Random(1))
    node.set_links([LINK], 0.0)
    hello = Hello(
        realm="default", id="anna", boot=BOOT, interval_ms=800, ttl_ms=4000, digest="d" * 16, seq=1,
    )  # fmt: skip
    node.receive(hello.encode(), Source("10.0.0.7", LINK), 0.0)
    return node, node.table.of_boot(BOOT)[0]


def begin(pings, node, count=1, timeout=1.0, now=0.0):
    """Begin a request; give it, and the list that gets its result."""
    results = []
    return pings.begin(node, "anna", count=count, timeout=timeout, done=results.append, now=now), results


def run(pings, node, now):
    outcomes, reports = pings.poll(node, now)
    for report in reports:
        report()
    return [send.to for outcome in outcomes for send in outcome.sends]


def test_pings_go_out_one_by_one_and_the_result_comes_last():
    node, _ = node_with_peer()
    pings = Pings()
    assert pings.next_deadline() == NEVER
    _, results = begin(pings, node, count=3)
    assert pings.next_deadline() == 0.0
    assert [run(pings, node, now) for now in (0.0, 0.1, GAP, 2 * GAP, 2 * GAP + 0.99)] == [
        ["10.0.0.7"], [], ["10.0.0.7"], ["10.0.0.7"], [],
    ]  # fmt: skip
    assert results == []
    assert pings.next_deadline() == Pings.duration(3, 1.0) == 2 * GAP + 1.0
    assert run(pings, node, 2 * GAP + 1.0) == []
    [result] = results
    assert (result.sent, result.rtt_ms, result.hears_us_s, result.peer.id) == (3, (), None, "anna")
    assert pings.next_deadline() == NEVER


def test_the_last_answer_ends_the_waiting():
    node, row = node_with_peer()
    pings = Pings()
    _, results = begin(pings, node, count=2)
    for now in (0.0, GAP):
        outcomes, _ = pings.poll(node, now)
        nonce = outcomes[0].sends[0].datagram.split(b"|")[5].decode()
        pings.collect([Answer(nonce=nonce, rtt=0.0015, hears_us_s=0.1, peer=row.peer(now))])
        pings.collect([Answer(nonce="0" * 16, rtt=9.0, hears_us_s=9.0, peer=row.peer(now))])  # not ours
    assert pings.next_deadline() < GAP
    run(pings, node, GAP)
    [result] = results
    assert (result.sent, result.rtt_ms, result.hears_us_s) == (2, (1.5, 1.5), 0.1)


def test_a_peer_forgotten_meanwhile_still_gives_a_result():
    """A program that waits for the result of a ping gets exactly one."""
    node, _ = node_with_peer()
    pings = Pings()
    _, results = begin(pings, node, count=2)
    run(pings, node, 0.0)
    for now in (GAP, 10.0):
        run(pings, Node(random=Random(2)), now)  # a table without that row
    [result] = results
    assert result.peer.id == "anna"


def test_one_request_more_than_allowed_is_busy():
    node, _ = node_with_peer()
    pings = Pings()
    for _ in range(MOST_REQUESTS):
        begin(pings, node)
    with pytest.raises(QueryError, match="16 ping requests are under way") as caught:
        begin(pings, node)
    assert caught.value.code == "busy"
    assert len(run(pings, node, 0.0)) == MOST_REQUESTS
    run(pings, node, 1.0)
    begin(pings, node)  # the others are over


def test_a_cancelled_request_sends_and_reports_nothing_more():
    node, _ = node_with_peer()
    pings = Pings()
    pinging, results = begin(pings, node, count=100, timeout=60.0)
    assert run(pings, node, 0.0) == ["10.0.0.7"]
    pings.cancel(pinging)
    pings.cancel(pinging)
    assert (run(pings, node, 100.0), results, len(pings), pings.next_deadline()) == ([], [], 0, NEVER)


def test_requests_cancelled_at_once_send_fifty_pings_a_second():
    node, _ = node_with_peer()
    pings, sent = Pings(), 0
    for step in range(1000):  # one second
        now = step / 1000
        pinging, _ = begin(pings, node, now=now)
        sent += len(run(pings, node, now))
        pings.cancel(pinging)
    assert PINGS_PER_SECOND <= sent <= 2 * PINGS_PER_SECOND


def test_a_ping_held_back_by_the_budget_is_sent_a_moment_later():
    node, _ = node_with_peer()
    pings, sent = Pings(), 0
    while run_one(pings, node):
        sent += 1
    assert sent == PINGS_PER_SECOND
    _, results = begin(pings, node, count=2)
    assert run(pings, node, 0.0) == []
    assert [run(pings, node, 1 / PINGS_PER_SECOND), run(pings, node, 1.0)] == [["10.0.0.7"], ["10.0.0.7"]]
    run(pings, node, 5.0)
    assert results[0].sent == 2


def run_one(pings, node):
    """Send one PING at the moment 0, if the budget allows."""
    pinging, _ = begin(pings, node)
    sent = run(pings, node, 0.0)
    pings.cancel(pinging)
    return sent
