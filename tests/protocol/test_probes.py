"""PINGs of others are answered, and PONGs to ours are heard."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.prober import MAX_PINGS
from discoveryd.protocol.probes import UNHEARD_HELLOS
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import ANYONE, Pong, mark
from discoveryd.protocol.wire.record import Record
from tests.protocol.engine import HERE, drops, ping_from, pinged, pong
from tests.protocol.samples import ETH0, boot, hello, kinds, make_node, row_of, source


def test_a_ping_of_a_stranger_is_answered():
    node = make_node()
    [send] = node.receive(ping_from().encode(), HERE, 1.0).sends
    assert (send.to, send.link) == ("10.0.0.7", ETH0)
    assert decode(send.datagram) == Pong(realm="default", boot=node.boot, nonce="b" * 16, heard_ms=None)
    assert (node.sent["pong"], node.received["ping"]) == (1, 1)


def test_a_pong_says_when_the_pinger_was_last_heard():
    node = make_node()
    node.receive(hello().encode(), HERE, 1.0)
    [send] = node.receive(ping_from(1).encode(), HERE, 1.3).sends
    assert decode(send.datagram).heard_ms == 300


def test_pings_are_limited_and_off_link_ones_refused():
    node = make_node(answers=2)
    outcomes = [node.receive(ping_from().encode(), HERE, 1.0) for _ in range(3)]
    assert [len(outcome.sends) for outcome in outcomes] == [1, 1, 0]
    node.receive(ping_from().encode(), source("192.0.2.7", None), 1.0)
    assert drops(node) == {("rate", "eth0"): 1, ("off-link", "-"): 1}


@settings(deadline=None, database=None)
@given(
    id=st.text("abcXYZ019._-", min_size=1, max_size=32),
    realm=st.text("abcXYZ019._-", min_size=1, max_size=16),
    heard=st.none() | st.floats(0, 1e9),
)
def test_a_pong_is_shorter_than_its_ping(id, realm, heard):
    node = make_node(parameters=Parameters(realm=realm))
    if heard is not None:
        node.receive(replace(hello(1, id, ttl=3600), realm=realm).encode(), HERE, 0.0)
        node.table.remember = NEVER
    ping = replace(ping_from(1), id=id, realm=realm).encode()
    outcome = node.receive(ping, HERE, heard or 0.0)
    [pong] = [send.datagram for send in outcome.sends if send.datagram.startswith(b"PONG")]
    assert len(pong) < len(ping)
    decode(pong)


@pytest.mark.parametrize(("id", "number", "answers"), [("me", 0, True), ("x1", 0, False), ("me", 7, False)])
def test_a_ping_is_answered_by_the_named_run_alone(id, number, answers):
    """Else somebody who says HELLO in its place, under another id, would have its answers for it."""
    node = make_node()
    to = mark(id, boot(number) if number else node.boot)
    outcome = node.receive(replace(ping_from(1), to=to).encode(), HERE, 1.0)
    assert [send.datagram[:5] for send in outcome.sends] == [b"PONG|"] * answers
    assert drops(node) == ({} if answers else {("unexpected", "eth0"): 1})


def test_round_trip():
    node = make_node()
    nonce = pinged(node)
    outcome = node.receive(pong(nonce), HERE, 1.002)
    [answer] = outcome.answers
    assert (answer.nonce, answer.rtt, answer.hears_us_s) == (nonce, pytest.approx(0.002), 0.1)
    assert (answer.peer.rtt_ms, answer.peer.two_way) == (2.0, True)
    assert node.received["pong"] == 1


@pytest.mark.parametrize(("held_us", "rtt_ms"), [(0, 20.0), (18_500, 1.5), (19_999, 0.001), (20_001, 20.0), (9_999_999, 20.0)])
def test_the_round_trip_excludes_the_time_held_by_the_peer(held_us, rtt_ms):
    node = make_node()
    nonce = pinged(node)
    [answer] = node.receive(pong(nonce, held_us=held_us), HERE, 1.02).answers
    assert answer.rtt == pytest.approx(rtt_ms / 1000)
    assert answer.peer.rtt_ms == pytest.approx(rtt_ms)


def test_a_pong_says_how_long_its_ping_lay_here():
    now = 5.0
    node = Node(Parameters(), Record(name="me"), node_id="me", random=Random(1), clock=lambda: now)
    node.set_links([ETH0], 0.0)
    for arrived, held_us in ((5.0, 0), (4.9875, 12_500), (5.1, 0), (-900.0, 9_999_999)):
        [send] = node.receive(ping_from().encode(), HERE, arrived).sends
        assert decode(send.datagram).held_us == held_us


@pytest.mark.parametrize(("heard_ms", "two_way"), [(0, True), (3999, True), (4000, False), (None, False)])
def test_two_way_means_within_our_ttl(heard_ms, two_way):
    node = make_node()
    nonce = pinged(node)
    row_of(node.table, 1).beats_from = 1.0 - UNHEARD_HELLOS * 0.8
    node.receive(pong(nonce, heard_ms), HERE, 1.002)
    assert node.peers(1.1)[0].two_way is two_way


@pytest.mark.parametrize("heard_ms", [4000, None])
def test_a_newcomer_that_has_not_heard_us_yet_may_still(heard_ms):
    node = make_node()
    node.receive(pong(pinged(node), heard_ms), HERE, 1.002)
    assert node.peers(1.1)[0].two_way is None


def test_a_pong_counts_once():
    node = make_node()
    nonce = pinged(node)
    node.receive(pong(nonce), HERE, 1.1)
    node.receive(pong(nonce), HERE, 1.2)
    assert drops(node) == {("unexpected", "eth0"): 1}


def test_a_pong_after_ten_seconds_is_unexpected():
    node = make_node()
    nonce = pinged(node)
    second = node.ping(row_of(node.table, 1), 1.1)[0]
    assert node.prober.answer(decode(pong(second)), HERE) is not None
    node.poll(11.0)
    node.receive(pong(nonce), HERE, 11.0)
    assert drops(node) == {("unexpected", "eth0"): 1}


def test_the_pong_of_one_we_do_not_list_answers_nothing():
    node = make_node()
    outcome = node.receive(pong(pinged(node), number=9), HERE, 1.1)
    assert (outcome.answers, outcome.events) == ((), ())
    assert len(node.table) == 1


def test_a_pong_restores_one_that_was_down():
    node = make_node(proved=True)
    node.receive(hello().encode(), HERE, 0.0)
    node.poll(4.0)
    nonce, _ = node.ping(row_of(node.table, 1), 4.5)
    assert kinds(node.receive(pong(nonce), HERE, 4.6).events) == ["recovered"]


def test_the_number_of_waiting_pings_is_bounded():
    node = make_node()
    first = pinged(node)
    for _ in range(MAX_PINGS):
        node.ping(row_of(node.table, 1), 1.0)
    assert len(node.prober.asked) + len(node.prober.wanted) == MAX_PINGS
    node.receive(pong(first), HERE, 1.1)
    assert drops(node) == {("unexpected", "eth0"): 1}


def test_a_bare_peer_is_pinged_by_its_address():
    node = make_node()
    node.receive(b"HELLO|", HERE, 1.0)
    _, outcome = node.ping(node.table.get("10.0.0.7"), 1.0)
    assert decode(outcome.sends[0].datagram).to == ANYONE


def test_the_former_boot_is_pinged_and_may_prove_a_clone():
    node = make_node()
    node.receive(hello(1).encode(), HERE, 1.0)
    outcome = node.receive(hello(2).encode(), source("10.0.0.8"), 1.1)
    [send] = outcome.sends
    ping = decode(send.datagram)
    assert (send.to, ping.to) == ("10.0.0.7", mark("web1", boot(1)))
    events = node.receive(pong(ping.nonce, number=1), HERE, 1.102).events
    assert [(event.kind, event.peer.boot) for event in events] == [("clone", boot(1)), ("clone", boot(2))]


def test_an_answer_of_the_new_boot_proves_no_clone():
    node = make_node()
    node.receive(hello(1).encode(), HERE, 1.0)
    [send] = node.receive(hello(2).encode(), HERE, 1.1).sends
    node.receive(pong(decode(send.datagram).nonce, number=2), HERE, 1.102)
    assert [(peer.boot, peer.clone, peer.restarts) for peer in node.peers(1.2)] == [(boot(2), False, 1)]


def test_a_forger_of_restarts_makes_us_ping_only_so_often():
    node = make_node(answers=3, proved=True)
    sends = [send for number in range(1, 30) for send in node.receive(hello(number).encode(), HERE, 1.0).sends]
    assert len(sends) == 3


def test_a_peer_with_our_own_id_is_flagged():
    node = make_node("web1")
    [event] = node.receive(hello(5, "web1").encode(), HERE, 1.0).events
    assert (event.kind, event.peer.clone) == ("joined", True)
