"""How datagrams are taken: counted, dropped, by the fast path or not."""

from dataclasses import replace

import pytest

from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.rate_limits import FORGET, MAX_COMPLAINTS
from discoveryd.protocol.wire.messages import Pong
from tests.protocol.engine import HERE, drops, ping_from
from tests.protocol.samples import WEB, boot, hello, kinds, make_node, row_of, source


def test_a_steady_hello_takes_the_fast_path_and_refreshes():
    node = make_node(proved=True)
    node.receive(hello(seq=1).encode(), HERE, 1.0)
    assert node.receive(hello(seq=2, full=False).encode(), HERE, 2.0) is NOTHING
    row = row_of(node.table, 1)
    assert (row.last_heard, row.last_hello, row.expires, row.seq) == (2.0, 2.0, 6.0, 2)
    assert node.received == {"hello": 2, "bare": 0, "ping": 0, "pong": 0, "msg": 0, "ack": 0, "will": 0, "why": 0, "say": 0, "meet": 0, "intro": 0}
    assert (node.outlets[0].received, node.outlets[0].last_heard) == (2, 2.0)
    assert node.hello_rate.steady == 1
    assert node.poll(3.9).events == ()
    assert kinds(node.poll(4.0).events) == ["suspect"]
    assert node.poll(4.9).events == ()
    assert node.poll(5.8).events == ()
    assert kinds(node.poll(6.0).events) == ["down"]


def test_the_short_way_does_not_go_back_in_seq():
    node = make_node()
    node.receive(hello(seq=5).encode(), HERE, 1.0)
    node.receive(hello(seq=4, full=False).encode(), HERE, 1.1)
    assert row_of(node.table, 1).seq == 5


@pytest.mark.parametrize(("seq", "reason"), [(b"", "malformed"), (b"4294967296", "malformed"), (b"x", "malformed")])
def test_the_short_way_accepts_no_more_than_the_long_one(seq, reason):
    node = make_node()
    node.receive(hello(seq=1).encode(), HERE, 1.0)
    head = hello(full=False).encode().rpartition(b"|")[0]
    node.receive(head + b"|" + seq, HERE, 1.1)
    assert drops(node) == {(reason, "eth0"): 1}
    node.receive(head + b"|64", HERE, 1.2)
    assert row_of(node.table, 1).seq == 64


@pytest.mark.parametrize("end", [b"|%b|", b"|1|%b|", b"|9||%b|x|", b"|x||%b|", b"|||%b|"])
def test_a_full_one_takes_the_short_way_only_where_it_is_one(end):
    node = make_node()
    node.receive(hello(seq=1).encode(), HERE, 1.0)
    node.receive(hello(seq=2, full=False).encode(), HERE, 1.1)
    steady = node.hello_rate.steady
    head = hello(full=False).encode().rpartition(b"|")[0]
    node.receive(head + b"|2||%b|" % WEB.encoded, HERE, 1.2)
    assert node.hello_rate.steady == steady + 1
    node.receive(head + end % WEB.encoded, HERE, 1.3)
    assert node.hello_rate.steady == steady + 1


def test_the_short_way_does_not_bring_back_what_expired():
    node = make_node(proved=True)
    node.receive(hello(seq=1).encode(), HERE, 1.0)
    assert kinds(node.receive(hello(seq=9, full=False).encode(), HERE, 5.0).events) == ["down", "recovered"]


def test_due_events_are_told_with_a_dropped_datagram():
    node = make_node()
    node.receive(hello(seq=1).encode(), HERE, 1.0)
    outcome = node.receive(b"HELLO|2|nonsense", HERE, 5.0)
    assert kinds(outcome.events) == ["down"]
    assert [drop.reason for drop in outcome.drops] == ["malformed"]


def test_a_bare_peer():
    node = make_node()
    [event] = node.receive(b"HELLO|\n", HERE, 1.0).events
    assert (event.kind, event.peer.kind, event.peer.ttl_s) == ("joined", "bare", 4.0)
    assert node.received["bare"] == 1


def test_its_ttl_is_ours_to_choose():
    node = make_node(parameters=Parameters(bare_ttl=1.0))
    node.receive(b"HELLO|", HERE, 1.0)
    assert node.peers(1.999)
    assert not node.peers(2.0)


def test_our_own_hello_comes_back():
    node = make_node()
    sends = node.poll(node.next_deadline()).sends
    assert node.receive(sends[0].datagram, source("10.0.0.1"), 1.0) is NOTHING
    assert node.receive(b"HELLO|", source("10.0.0.1"), 1.0) is NOTHING
    assert drops(node) == {("own-echo", "eth0"): 2}


def test_further_addresses_of_a_link_are_ours_and_do_not_speak():
    node = make_node()
    [link] = node.links
    others = tuple(f"10.0.0.{last}" for last in range(51, 250))
    node.set_links([link], 0.0, {link: others})
    sends = [send for _ in range(3) for send in node.poll(node.next_deadline()).sends]  # the burst
    assert {(send.link, send.to) for send in sends} == {(link, link.broadcast)}
    assert node.receive(sends[-1].datagram, source(others[-1]), 1.0) is NOTHING
    assert node.receive(b"HELLO|", source(others[0]), 1.0) is NOTHING
    assert drops(node) == {("own-echo", "eth0"): 2}
    assert node.sent["hello"] == 3


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"garbage", "malformed"),
        (b"", "malformed"),
        (b"P", "malformed"),
        (b"HELLO|1|x", "version"),
        (b"x" * 1025, "too-long"),
        (replace(hello(), realm="other").encode(), "other-realm"),
        (replace(ping_from(), realm="other").encode(), "other-realm"),
        (Pong(realm="default", boot=boot(9), nonce="c" * 16, heard_ms=1).encode(), "unexpected"),
        (replace(hello(), record=b"{}").encode(), "malformed"),
    ],
)
def test_a_drop_is_counted_and_its_source_named_once(datagram, reason):
    node = make_node()
    [drop] = node.receive(datagram, HERE, 1.0).drops
    assert (drop.reason, drop.address, drop.link) == (reason, "10.0.0.7", "eth0")
    assert node.receive(datagram, HERE, 1.1) is NOTHING
    assert drops(node) == {(reason, "eth0"): 2}
    assert sum(node.received.values()) == 0
    assert node.outlets[0].received == 0


def test_the_number_of_complaints_is_bounded():
    node = make_node()
    for number in range(MAX_COMPLAINTS + 10):
        node.receive(b"garbage", source(f"10.0.{number // 250}.{number % 250}"), 1.0)
    assert len(node.rate_limits.complaints) == MAX_COMPLAINTS
    assert node.receive(b"garbage", source("10.0.9.9"), 1.0) is NOTHING
    assert node.drops["malformed", "eth0"] == MAX_COMPLAINTS + 11


def test_bad_sources_are_named_again_after_an_hour():
    node = make_node()
    for number in range(MAX_COMPLAINTS + 10):
        node.receive(b"garbage", source(f"10.0.{number // 250}.{number % 250}"), 1.0)
    assert node.receive(b"garbage", HERE, FORGET - 1.0) is NOTHING
    assert [drop.address for drop in node.receive(b"garbage", HERE, FORGET + 1.0).drops] == [HERE.address]


def test_what_comes_by_no_link_of_ours_counts_for_the_seeds():
    node = make_node()
    node.receive(b"garbage", source("192.0.2.9", None), 1.0)
    assert drops(node) == {("malformed", "-"): 1}


def test_a_full_table_is_a_drop():
    node = make_node(peers=1)
    node.receive(hello(1, "a").encode(), HERE, 1.0)
    node.receive(hello(2, "b").encode(), source("10.0.0.8"), 1.0)
    assert drops(node) == {("table-full", "eth0"): 1}


def test_a_stale_hello_is_a_drop():
    node = make_node()
    node.receive(hello(seq=2).encode(), HERE, 1.0)
    node.receive(hello(seq=2, goodbye=True).encode(), HERE, 1.1)
    node.receive(hello(seq=1, full=False).encode(), HERE, 1.2)
    assert drops(node) == {("stale", "eth0"): 1}


def test_one_source_brings_only_so_many_newcomers():
    node = make_node(newcomers=5)
    for number in range(1, 10):
        node.receive(hello(number, f"n{number}").encode(), HERE, 1.0)
    assert len(node.table) == 5
    assert drops(node) == {("rate", "eth0"): 4}
    assert kinds(node.receive(b"HELLO|", source("10.0.0.8"), 1.0).events) == ["joined"]
    assert kinds(node.receive(hello(9, "n9").encode(), HERE, 1.25).events) == ["joined"]


def test_those_it_brought_may_speak_as_often_as_they_like():
    node = make_node(newcomers=1)
    for seq in range(20):
        node.receive(hello(seq=seq).encode(), HERE, 1.0)
    assert not node.drops


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.1.2.3", "224.0.0.1", "239.255.0.1", "255.255.255.255", "10.0.0.255"]
)
@pytest.mark.parametrize("datagram", [b"HELLO|", hello().encode()])
def test_a_source_that_no_machine_can_have_is_dropped(address, datagram):
    node = make_node()
    outcome = node.receive(datagram, source(address), 1.0)
    assert node.peers(1.0) == ()
    assert drops(node) == {("impossible-source", "eth0"): 1}
    assert [drop.reason for drop in outcome.drops] == ["impossible-source"]


@pytest.mark.parametrize("address", ["10.0.0.254", "1.0.0.0", "126.0.0.1", "128.0.0.1", "223.255.255.1", "240.0.0.1"])
def test_a_source_that_a_machine_can_have_is_heard(address):
    node = make_node()
    node.receive(hello().encode(), source(address), 1.0)
    assert len(node.peers(1.0)) == 1


def test_in_loopback_mode_loopback_addresses_are_heard():
    lo = Link("lo", 1, "127.0.0.1", 8, "127.255.255.255")
    node = make_node("me", lo, parameters=Parameters(loopback="127.0.0.1"))
    node.receive(hello().encode(), source("127.0.0.2", lo), 1.0)
    node.receive(hello(2, "b").encode(), source("127.255.255.255", lo), 1.0)
    assert [peer.id for peer in node.peers(1.0)] == ["web1"]
