import doctest
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import discoveryd.protocol.node
from discoveryd.protocol.answers import PROMPT_PEERS
from discoveryd.protocol.challenges import BEYOND
from discoveryd.protocol.link import BURST, Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.prober import MAX_PINGS
from discoveryd.protocol.rate_limits import FORGET, MAX_COMPLAINTS
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wire.messages import ANYONE, MAX_DATAGRAM, MAX_STEADY, Ping, Pong, decode, mark
from discoveryd.protocol.wire.record import MAX_RECORD, Record
from tests.protocol.samples import ETH0, ETH1, WEB, boot, hello, kinds, make_node, row_of, source

HERE = source()


def run(node, start, end):
    """Poll whenever something is due; give (time, send) of all that was sent."""
    sent = []
    now = max(start, node.next_deadline())
    while now < end:
        sent += [(now, send) for send in node.poll(now).sends]
        assert node.next_deadline() > now
        now = node.next_deadline()
    return sent


def fresh(*links, parameters=None, record=None):
    node = Node(parameters, record or WEB, node_id="me", random=Random(1))
    node.set_links(links, now=0.0)
    return node


def hellos(sends):
    return [decode(send.datagram) for send in sends if send.datagram.startswith(b"HELLO")]


def drops(node):
    return dict(node.drops)


def crowd(node, count, now=0.0):
    for number in range(1, count + 1):
        said = hello(number, f"n{number}", interval=10, ttl=100)
        node.table.heard(said, source(f"10.9.{number >> 8}.{number & 255}"), now, proved=True)


def ping_from(number=7, **changed):
    return Ping(realm="default", id="web1", boot=boot(number), nonce="b" * 16, **changed)


def test_the_docstring_is_right():
    assert doctest.testmod(discoveryd.protocol.node).attempted > 5
    assert doctest.testmod(discoveryd.protocol.node).failed == 0


# --- saying ----------------------------------------------------------------------------------------


def test_nothing_is_due_before_there_are_links():
    node = Node()
    assert node.next_deadline() == NEVER
    assert node.poll(1000.0) is NOTHING


def test_it_starts_without_any_link_and_greets_the_first_one():
    node = fresh()
    assert run(node, 0.0, 5.0) == []
    node.set_links([ETH0], now=5.0)
    [send] = node.poll(5.0).sends
    assert decode(send.datagram).solicit


def test_a_new_link_is_greeted_three_times_with_all_we_have_to_say():
    sent = run(fresh(ETH0), 0.0, 0.4)
    assert [now for now, _ in sent] == list(BURST)
    for _, send in sent:
        assert (send.to, send.link) == ("10.0.0.255", ETH0)
        hello_sent = decode(send.datagram)
        assert (hello_sent.solicit, hello_sent.record, hello_sent.seq) == (True, WEB.encoded, 0)
        assert (hello_sent.interval_ms, hello_sent.ttl_ms) == (800, 4000)


def test_a_late_poll_sends_one_hello_of_the_burst():
    node = fresh(ETH0)
    assert len(node.poll(0.35).sends) == 1
    assert node.poll(0.36) is NOTHING


def test_the_beat():
    beats = [(now, decode(send.datagram)) for now, send in run(fresh(ETH0), 0.0, 100.0) if now > 0.35]
    times = [now for now, _ in beats]
    assert 0.4 <= times[0] <= 0.8
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(0.72 - 1e-9 <= gap <= 0.88 + 1e-9 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.1
    assert [said.seq for _, said in beats] == list(range(1, len(beats) + 1))
    for _, said in beats:
        assert (said.record is not None) is (said.seq % 10 == 0)
        assert not said.solicit


def test_every_link_and_seed_hears_the_same_beat():
    node = fresh(ETH0, ETH1, parameters=Parameters(seeds=("192.0.2.1", "192.0.2.2")))
    run(node, 0.0, 0.39)
    now = node.next_deadline()
    sends = node.poll(now).sends
    assert [(send.to, send.link) for send in sends] == [
        ("10.0.0.255", ETH0),
        ("10.1.0.255", ETH1),
        ("192.0.2.1", None),
        ("192.0.2.2", None),
    ]
    assert len({send.datagram for send in sends}) == 1


def test_seeds_are_greeted_too():
    node = fresh(parameters=Parameters(seeds=("192.0.2.1",)))
    assert [(now, send.to) for now, send in run(node, 0.0, 0.39)] == [(at, "192.0.2.1") for at in BURST]


def test_the_longest_hellos_there_can_be():
    empty = len(Record(name="x", tags={"a": "", "b": "", "c": ""}).encoded)
    record = Record(name="x", tags={"a": "v" * 255, "b": "v" * 255, "c": "v" * (MAX_RECORD - empty - 510)})
    node = Node(
        Parameters(realm="r" * 16, interval=600.0, ttl=3600.0), record, node_id="i" * 32, random=Random(1)
    )
    node.set_links([ETH0], now=0.0)
    node.outbox.seq = 0xFFFFFFFF - 20
    sent = [send.datagram for _, send in run(node, 0.0, 30_000.0)]
    steady = [datagram for datagram in sent if decode(datagram).record is None]
    assert max(map(len, steady)) <= MAX_STEADY
    assert max(map(len, sent)) <= MAX_DATAGRAM
    assert {decode(datagram).seq for datagram in sent} >= {0xFFFFFFFF, 0, 1}  # it wraps


def test_goodbye_goes_everywhere():
    node = fresh(ETH0, ETH1, parameters=Parameters(seeds=("192.0.2.1",)))
    sends = node.goodbye().sends
    assert [send.to for send in sends] == ["10.0.0.255", "10.1.0.255", "192.0.2.1"]
    said = decode(sends[0].datagram)
    assert (said.goodbye, said.record, said.solicit) == (True, None, False)


def test_the_same_seed_says_the_same():
    assert run(fresh(ETH0), 0.0, 20.0) == run(fresh(ETH0), 0.0, 20.0)


def test_without_an_id_one_is_drawn():
    node = Node(random=Random(3))
    assert len(node.id) == 16
    assert node.id != node.boot


def test_the_interval_stretches_with_the_crowd_and_the_ttl_with_it():
    node = make_node(parameters=Parameters(budget=10))
    assert (node.interval(0.0), node.ttl(node.interval(0.0))) == (0.8, 4.0)
    crowd(node, 7)
    assert node.interval(0.0) == 0.8
    crowd(node, 19)
    assert (node.interval(0.0), node.ttl(node.interval(0.0))) == (2.0, 10.0)
    now = node.beacon.next_beat
    [said] = hellos(node.poll(now).sends)
    assert (said.interval_ms, said.ttl_ms) == (2000, 10_000)
    second = node.beacon.next_beat
    assert now + 0.8 <= second <= now + 2.2  # it was 0.8 until now: anywhere in the new one, not with all the others
    node.poll(second)
    assert second + 1.8 <= node.beacon.next_beat <= second + 2.2
    assert node.interval(101.0) == 0.8  # they are gone


def test_a_node_more_or_less_rarely_changes_the_stretched_interval():
    # what each HELLO announces stays, so that all of them stay steady
    intervals = set()
    for nodes in range(281, 301):
        node = make_node(parameters=Parameters(budget=200))
        crowd(node, nodes - 1)
        intervals.add(node.interval(0.0))
    assert intervals == {1.5}


def test_it_stretches_no_further_than_can_be_announced():
    node = make_node(parameters=Parameters(budget=1, interval=1.0, ttl=10.0))
    assert node.ttl(600.0) == 3600.0
    crowd(node, 40)
    assert node.interval(0.0) == 41.0
    node.beacon.speaking = lambda now: 5000
    assert node.interval(0.0) == 600.0


# --- changes ---------------------------------------------------------------------------------------


def test_a_second_link_is_greeted_and_the_first_left_alone():
    node = make_node("me", ETH0)
    node.receive(hello().encode(), HERE, 1.0)
    before = node.outlets[0]
    node.set_links([ETH0, ETH1], now=2.0)
    assert node.outlets[0] is before
    sent = run(node, 2.0, 2.35)
    greeting = [(now, send.link) for now, send in sent if any(hello.solicit for hello in hellos([send]))]
    assert greeting == [(2.0 + offset, ETH1) for offset in BURST]


def test_a_link_that_goes_takes_its_peers_shortcut_but_not_the_peer():
    node = make_node("me", ETH0, ETH1)
    node.receive(hello().encode(), HERE, 1.0)
    node.set_links([ETH1], now=2.0)
    assert node.links == (ETH1,)
    assert [peer.id for peer in node.peers(2.0)] == ["web1"]
    # heard by the race of a datagram with the change: it counts for what is routed
    node.receive(hello(seq=2).encode(), HERE, 2.1)
    assert node.outlets[0].received == 0
    _, outcome = node.ping(row_of(node.table, 1), 2.2)
    assert outcome.sends == ()  # there is no way out to it
    assert node.receive(ping_from(1).encode(), HERE, 2.3).sends == ()
    assert drops(node) == {("off-link", "-"): 1}


def test_answers_that_wait_for_a_link_go_with_it():
    node = make_node("me", ETH0, ETH1)
    crowd(node, PROMPT_PEERS + 1)
    node.receive(hello(100, "x", solicit=True).encode(), source("10.0.0.100"), 0.0)
    node.receive(hello(101, "y", solicit=True).encode(), source("10.1.0.101", ETH1), 0.0)
    node.set_links([ETH1], now=0.0)
    assert len(node.answers) == 1
    due = node.next_deadline()
    assert [send.to for send in node.poll(due).sends if not decode(send.datagram).solicit] == ["10.1.0.101"]


def test_a_changed_address_is_another_link():
    node = make_node("me", ETH0)
    moved = replace(ETH0, address="10.0.0.99")
    node.set_links([moved], now=1.0)
    assert [send.link for send in node.poll(1.0).sends if decode(send.datagram).solicit] == [moved]


def test_a_changed_record_is_said_at_once_and_without_soliciting():
    node = make_node()
    record = Record(name="me", tags={"a": "b"})
    node.set_record(record, now=0.1)
    assert node.next_deadline() == 0.1
    [send] = node.poll(0.1).sends
    said = decode(send.datagram)
    assert (said.record, said.digest, said.solicit) == (record.encoded, record.digest, False)
    assert node.outlets[0].burst == [0.2, 0.4]


def test_a_change_within_the_first_burst_still_solicits():
    node = fresh(ETH0)
    node.poll(0.0)
    node.set_record(Record(name="other"), now=0.05)
    assert all(decode(send.datagram).solicit for _, send in run(node, 0.05, 0.36))


def test_the_same_record_is_no_change():
    node = make_node()
    node.set_record(Record(name="me"), now=0.1)
    assert node.outlets[0].burst == []


def test_a_changed_interval_is_announced_at_once():
    node = make_node()
    node.set_parameters(Parameters(interval=2.0, ttl=10.0), now=0.1)
    [send] = node.poll(0.1).sends
    assert (decode(send.datagram).interval_ms, decode(send.datagram).ttl_ms) == (2000, 10_000)


def test_new_seeds_are_greeted_former_ones_no_more():
    node = make_node(parameters=Parameters(seeds=("192.0.2.1",)))
    node.outbox.routed.burst = []
    node.set_parameters(Parameters(seeds=("192.0.2.2",)), now=0.1)
    [send] = node.poll(0.1).sends
    assert (send.to, decode(send.datagram).solicit) == ("192.0.2.2", True)
    node.set_parameters(Parameters(), now=0.2)
    assert [send.link for _, send in run(node, 0.2, 2.0)] == [ETH0, ETH0]


def test_limits_change_at_once():
    node = make_node()
    node.set_parameters(replace(Parameters(), limits=replace(Parameters().limits, peers=1, remember=5.0)), now=0.0)
    assert (node.table.limit, node.table.remember) == (1, 5.0)
    assert node.outlets[0].burst == []


def test_port_realm_and_loopback_are_for_a_lifetime():
    node = make_node()
    node.set_parameters(Parameters(port=9, realm="other", loopback="127.0.0.9", ttl=8.0), now=0.0)
    assert node.parameters == Parameters(ttl=8.0)


def test_parameters_may_change_before_the_start():
    node = Node(Parameters(seeds=("192.0.2.1",)), node_id="me", random=Random(1))
    node.set_parameters(Parameters(seeds=("192.0.2.1",), interval=2.0, ttl=10.0), now=0.0)
    assert node.next_deadline() == NEVER
    node.set_links([], now=0.0)
    assert decode(node.poll(0.0).sends[0].datagram).solicit


# --- hearing ---------------------------------------------------------------------------------------


def test_a_steady_hello_takes_the_short_way_and_refreshes_all_the_same():
    node = make_node(proved=True)
    node.receive(hello(seq=1).encode(), HERE, 1.0)
    assert node.receive(hello(seq=2, full=False).encode(), HERE, 2.0) is NOTHING
    row = row_of(node.table, 1)
    assert (row.last_heard, row.last_hello, row.expires, row.seq) == (2.0, 2.0, 6.0, 2)
    assert node.received == {"hello": 2, "bare": 0, "ping": 0, "pong": 0}
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


def test_events_of_the_moment_are_told_also_when_the_datagram_is_dropped():
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


# --- solicits --------------------------------------------------------------------------------------


def answers(outcome):
    return [(send.to, decode(send.datagram).record is not None) for send in outcome.sends]


def test_a_solicit_is_answered_at_once():
    node = make_node()
    outcome = node.receive(hello(solicit=True).encode(), HERE, 1.0)
    assert answers(outcome) == [("10.0.0.7", True)]
    assert outcome.sends[0].link == ETH0
    assert not decode(outcome.sends[0].datagram).solicit


def test_still_at_once_by_32_peers():
    node = make_node()
    crowd(node, PROMPT_PEERS - 1)
    assert len(node.receive(hello(100, "x", solicit=True).encode(), source("10.0.0.100"), 0.0).sends) == 1


def test_later_by_33_and_once_however_often_it_is_asked_for():
    node = make_node()
    crowd(node, PROMPT_PEERS)
    asking = source("10.0.0.100")
    assert node.receive(hello(100, "x", solicit=True).encode(), asking, 0.0).sends == ()
    assert node.receive(hello(100, "x", solicit=True, seq=2).encode(), asking, 0.0).sends == ()
    due = node.next_deadline()
    assert 0.0 <= due <= 0.033
    assert answers(node.poll(due)) == [("10.0.0.100", True)]
    assert node.poll(due) is NOTHING


def test_several_who_ask_a_crowd_are_answered_by_one_broadcast():
    node = make_node(proved=True)
    crowd(node, 99)
    for number in range(100, 120):
        node.receive(hello(number, "x", solicit=True).encode(), source(f"10.0.0.{number}"), 0.0)
    sends = []
    while node.next_deadline() < 0.2:
        sends += node.poll(node.next_deadline()).sends
    assert [(send.to, decode(send.datagram).record is not None) for send in sends] == [(ETH0.broadcast, True)]


def test_the_beat_serves_those_who_wait():
    node = make_node()
    crowd(node, 99)
    beat, node.outlets[0].burst = node.beacon.next_beat, []
    for number in (100, 101):
        node.receive(hello(number, "x", solicit=True).encode(), source(f"10.0.0.{number}"), beat)
    [send] = [send for send in node.poll(beat).sends if send.to == ETH0.broadcast]
    assert decode(send.datagram).record is not None
    assert len(node.answers) == 0


def test_one_source_gets_only_so_many_answers():
    node = make_node(answers=3)
    sends = 0
    for seq in range(5):
        now = 1.0 + seq / 100  # a peer may answer once in a millisecond
        sends += len(node.receive(hello(seq=seq, solicit=True).encode(), HERE, now).sends)
    assert sends == 3
    assert drops(node) == {("rate", "eth0"): 2}
    assert node.received["hello"] == 5  # each was welcome


def test_a_crowd_met_in_the_middle_of_a_burst_stretches_the_rest_which_asks_no_more():
    node = make_node(proved=True)
    crowd(node, 639)  # 640 with us: four times 160
    node.outlets[0].begin_burst(10.0, solicits=True)
    node.beacon.next_beat = 100.0
    said = []
    while node.next_deadline() < 12.0:
        now = node.next_deadline()
        said += [(now, decode(send.datagram)) for send in node.poll(now).sends if send.to == ETH0.broadcast]
    assert [now for now, _ in said] == pytest.approx([10.0, 10.4, 11.2])
    assert [(one.solicit, one.record is not None) for _, one in said] == [(True, True), (False, True), (False, True)]


def test_of_a_crowd_each_has_its_own_place_in_the_burst():
    seconds = []
    for seed in range(20):
        node = Node(Parameters(budget=1), Record(name="me"), random=Random(seed))
        node.beacon.speaking = lambda now: 79  # the interval is stretched a hundred times
        node.set_links([ETH0], now=0.0)
        first, second, *_ = [now for now, send in run(node, 0.0, 20.0) if decode(send.datagram).record]
        assert first == 0.0
        seconds.append(second)
    assert len(set(seconds)) == 20
    assert 5.0 < min(seconds) < 7.0
    assert 13.0 < max(seconds) < 15.0


def test_who_asks_from_beyond_our_links_is_listed_and_answered_after_its_pong():
    node, there = make_node(), source("192.0.2.7", None)
    outcome = node.receive(hello(solicit=True).encode(), there, 1.0)
    assert kinds(outcome.events) == ["joined"]
    assert drops(node) == {("off-link", "-"): 1}
    [ping] = [decode(send.datagram) for send in outcome.sends]
    assert [len(node.receive(ping_from(1).encode(), there, 1.0 + tick / 100).sends) for tick in range(10)] == [0] * 10
    sends = node.receive(pong(ping.nonce), there, 1.2).sends
    assert [(send.to, send.link) for send in sends] == [("192.0.2.7", None)]
    assert decode(sends[0].datagram).record is not None
    [answer] = node.receive(ping_from(1).encode(), there, 1.3).sends
    assert answer.datagram.startswith(b"PONG")


def test_all_beyond_our_links_together_are_asked_twenty_times_a_second():
    node = make_node(newcomers=1000)
    sends = [
        send
        for number in range(1, 101)
        for send in node.receive(hello(number, f"n{number}").encode(), source(f"192.0.2.{number}", None), 1.0).sends
    ]
    assert len(sends) == BEYOND
    assert all(len(send.datagram) < len(hello(1, "n1").encode()) for send in sends)


def test_a_question_beyond_our_links_is_no_longer_than_what_came():
    node = make_node("n" * 32)
    outcome = node.receive(ping_from(1).encode(), source("192.0.2.7", None), 1.0)
    assert outcome.sends == ()
    assert node.challenges.too_short == 1


def test_a_seed_is_answered():
    node = make_node(parameters=Parameters(seeds=("192.0.2.7",)))
    outcome = node.receive(hello(solicit=True).encode(), source("192.0.2.7", None), 1.0)
    assert answers(outcome) == [("192.0.2.7", True)]
    assert outcome.sends[0].link is None


def test_a_goodbye_is_not_answered():
    node = make_node()
    assert node.receive(hello(solicit=True, goodbye=True).encode(), HERE, 1.0) is not None
    assert node.sent["hello"] == 0
    node.receive(hello(2, "b").encode(), HERE, 1.0)
    assert node.receive(hello(2, "b", full=False, solicit=True, goodbye=True).encode(), HERE, 1.1).sends == ()


# --- what anybody can forge --------------------------------------------------------------------------


def asked_after(node, now):
    return [decode(send.datagram) for send in node.poll(now).sends if send.datagram.startswith(b"PING")]


def test_a_forged_goodbye_takes_nobody_away_who_answers():
    node = make_node()
    node.receive(hello(seq=5).encode(), HERE, 1.0)
    forger = source("10.0.0.66")
    assert kinds(node.receive(hello(seq=2**32 - 1, full=False, goodbye=True).encode(), forger, 1.1).events) == ["left"]
    assert node.peers(1.1) == ()
    assert node.next_deadline() <= 1.1
    [ping] = asked_after(node, 1.1)
    assert ping.to == mark("web1", boot(1))
    pong = Pong(realm="default", boot=boot(1), nonce=ping.nonce, heard_ms=5)
    [event] = node.receive(pong.encode(), HERE, 1.15).events
    assert (event.kind, event.reason) == ("recovered", "answered a PING: the goodbye was not its own")
    node.receive(hello(seq=6, full=False).encode(), HERE, 1.8)
    assert row_of(node.table, 1).seq == 6


def test_where_that_answer_is_lost_the_next_hello_asks_again():
    node = make_node()
    node.receive(hello(seq=5).encode(), HERE, 1.0)
    node.receive(hello(seq=2**32 - 1, full=False, goodbye=True).encode(), HERE, 1.1)
    assert len(asked_after(node, 1.1)) == 1
    for now in (1.3, 1.8):  # the first comes so soon that it may have been overtaken, and is not asked about
        assert node.receive(hello(seq=6).encode(), HERE, now).events == ()
        assert asked_after(node, now) == []
    assert drops(node) == {("stale", "eth0"): 2}
    node.receive(hello(seq=7).encode(), HERE, 2.6)
    [ping] = asked_after(node, 2.6)
    node.receive(Pong(realm="default", boot=boot(1), nonce=ping.nonce, heard_ms=5).encode(), HERE, 2.61)
    assert [peer.id for peer in node.peers(2.61)] == ["web1"]


def test_one_that_left_is_asked_once_and_stays_away():
    node = make_node(proved=True)
    node.receive(hello(seq=5).encode(), HERE, 1.0)
    for now in (1.1, 1.13, 1.16):
        node.receive(hello(seq=5, full=False, goodbye=True).encode(), HERE, now)
    assert sum(len(asked_after(node, now)) for now in (1.17, 1.5, 2.5, 5.0)) == 1
    assert node.table.counts(5.0)["left"] == 1


def test_many_goodbyes_make_us_ask_no_more_than_a_hundred_a_second():
    node = make_node()
    for number in range(1, 151):
        node.receive(hello(number, f"n{number}").encode(), source(f"10.9.{number % 9}.{number}"), 1.0 + number / 40)
    for number in range(1, 151):
        node.receive(hello(number, f"n{number}", seq=2, goodbye=True).encode(), source(f"10.9.{number % 9}.{number}"), 5.0)
    pings = [(now, send) for now, send in run(node, 5.0, 8.0) if send.datagram.startswith(b"PING")]
    assert len([now for now, _ in pings if now < 6.0]) <= 201
    assert len(node.table.leavers) == 0


@pytest.mark.parametrize("seq", [0, 999_999_999, 2**32 - 1])
@pytest.mark.parametrize("path", ["short", "long"])
def test_one_forged_seq_does_not_make_all_that_follow_look_overtaken(seq, path):
    node = make_node()
    for number in range(100, 110):
        node.receive(hello(seq=number, full=number == 100).encode(), HERE, number * 0.8)
    forged = hello(seq=seq, full=False) if path == "short" else hello(seq=seq, record=Record(name="evil"))
    node.receive(forged.encode(), HERE, 88.0)
    assert node.peers(88.0)[0].name == "web1"
    changed = Record(name="web1", tags={"rack": "b3"})
    node.receive(hello(seq=111, record=changed).encode(), HERE, 88.8)
    [peer] = node.peers(88.8)
    assert (peer.tags, peer.loss) == ({"rack": "b3"}, 0.0)


def test_seqs_that_go_on_from_each_other_are_believed_at_last():
    node = make_node()
    for seq in range(5, 8):
        node.receive(hello(seq=2**31 + seq, full=False, record=Record(name="evil")).encode(), HERE, 1.0 + seq / 100)
    for seq in range(4):
        node.receive(hello(seq=seq).encode(), HERE, 1.8 + seq * 0.8)
        row = row_of(node.table, 1)
        nonce, _ = node.ping(row, 3.9)
        node.receive(Pong(realm="default", boot=boot(1), nonce=nonce, heard_ms=5).encode(), HERE, 3.9)
    [peer] = node.peers(4.3)
    assert (peer.name, peer.loss, row.seq) == ("web1", None, 3)
    for seq in range(4, 20):
        node.receive(hello(seq=seq, full=False).encode(), HERE, 1.8 + seq * 0.8)
    assert node.peers(17.5)[0].loss == 0.0


# --- records that are not here ---------------------------------------------------------------------


def test_a_record_is_asked_for_and_arrives():
    a, b = make_node("a"), make_node("b")
    b_here = source("10.0.0.2")
    b.set_record(Record(name="b", tags={"x": "y"}), now=0.0)
    steady = b.outbox.hello().encode()
    outcome = a.receive(steady, b_here, 1.0)
    assert kinds(outcome.events) == ["joined"]
    [asking] = outcome.sends
    assert (asking.to, asking.link) == ("10.0.0.2", ETH0)
    assert len(asking.datagram) <= MAX_STEADY
    on_the_way, events, a_here = [(b, asking, source("10.0.0.1"))], [], source("10.0.0.1")
    while on_the_way:  # who asks is asked first, for the record is longer than the question
        to, send, at = on_the_way.pop(0)
        outcome = to.receive(send.datagram, at, 1.001)
        events += outcome.events if to is a else ()
        sends = [*outcome.sends, *to.poll(1.003).sends]
        on_the_way += [(a, one, b_here) if to is b else (b, one, a_here) for one in sends]
    assert [dict(event.peer.tags) for event in events if event.kind == "updated"] == [{"x": "y"}]
    b.poll(1.5)
    assert a.receive(b.outbox.hello().encode(), b_here, 1.9) is NOTHING


def test_it_is_asked_for_once_an_interval():
    node = make_node()
    asked = [
        len(node.receive(hello(seq=seq, full=False).encode(), HERE, now).sends)
        for seq, now in enumerate((1.0, 1.1, 1.799, 1.8, 2.0, 2.6))
    ]
    assert asked == [1, 0, 0, 1, 0, 1]


def test_a_changed_digest_is_asked_for():
    node = make_node()
    node.receive(hello().encode(), HERE, 1.0)
    [send] = node.receive(hello(seq=2, record=Record(name="new"), full=False).encode(), HERE, 2.0).sends
    assert decode(send.datagram).solicit


def test_nothing_is_asked_for_beyond_our_links():
    node = make_node()
    node.receive(hello(full=False).encode(), source("192.0.2.7", None), 1.0)
    assert node.sent["hello"] == 0
    assert not node.drops


def test_a_forger_of_newcomers_makes_us_ask_only_so_often():
    node = make_node(answers=3)
    sends = [
        send
        for number in range(1, 20)
        for send in node.receive(hello(number, f"n{number}", full=False).encode(), HERE, 1.0 + number / 50).sends
    ]
    assert len(sends) == 4  # three at once, and one that a third of a second brings


# --- PING and PONG ---------------------------------------------------------------------------------


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
def test_a_ping_is_answered_by_the_node_and_the_run_that_it_is_for(id, number, answers):
    """Else somebody who says HELLO in its place, under another id, would have its answers for it."""
    node = make_node()
    to = mark(id, boot(number) if number else node.boot)
    outcome = node.receive(replace(ping_from(1), to=to).encode(), HERE, 1.0)
    assert [send.datagram[:5] for send in outcome.sends] == [b"PONG|"] * answers
    assert drops(node) == ({} if answers else {("unexpected", "eth0"): 1})


def pinged(node, now=1.0):
    """Give a node that pinged web1, and the nonce."""
    node.receive(hello().encode(), HERE, now)
    nonce, outcome = node.ping(row_of(node.table, 1), now)
    [send] = outcome.sends
    ping = decode(send.datagram)
    assert (send.to, send.link, ping.nonce, ping.to, ping.boot) == ("10.0.0.7", ETH0, nonce, mark("web1", boot(1)), node.boot)
    return nonce


def pong(nonce, heard_ms=100, number=1, **more):
    return Pong(realm="default", boot=boot(number), nonce=nonce, heard_ms=heard_ms, **more).encode()


def test_round_trip():
    node = make_node()
    nonce = pinged(node)
    outcome = node.receive(pong(nonce), HERE, 1.002)
    [answer] = outcome.answers
    assert (answer.nonce, answer.rtt, answer.hears_us_s) == (nonce, pytest.approx(0.002), 0.1)
    assert (answer.peer.rtt_ms, answer.peer.two_way) == (2.0, True)
    assert node.received["pong"] == 1


@pytest.mark.parametrize(("held_us", "rtt_ms"), [(0, 20.0), (18_500, 1.5), (19_999, 0.001), (20_001, 20.0), (9_999_999, 20.0)])
def test_the_time_for_which_a_ping_lay_with_the_peer_is_no_part_of_the_round_trip(held_us, rtt_ms):
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
    node.receive(pong(pinged(node), heard_ms), HERE, 1.002)
    assert node.peers(1.1)[0].two_way is two_way


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
    assert len(node.prober) == MAX_PINGS
    node.receive(pong(first), HERE, 1.1)
    assert drops(node) == {("unexpected", "eth0"): 1}


def test_a_bare_peer_is_pinged_by_its_address():
    node = make_node()
    node.receive(b"HELLO|", HERE, 1.0)
    _, outcome = node.ping(node.table.get("10.0.0.7"), 1.0)
    assert decode(outcome.sends[0].datagram).to == ANYONE


def test_a_restart_pings_the_former_boot_and_its_answer_proves_a_clone():
    node = make_node()
    node.receive(hello(1).encode(), HERE, 1.0)
    outcome = node.receive(hello(2).encode(), source("10.0.0.8"), 1.1)
    [send] = outcome.sends
    ping = decode(send.datagram)
    assert (send.to, ping.to) == ("10.0.0.7", mark("web1", boot(1)))
    events = node.receive(pong(ping.nonce, number=1), HERE, 1.102).events
    assert [(event.kind, event.peer.boot) for event in events] == [("clone", boot(1)), ("clone", boot(2))]


def test_the_answer_of_the_new_boot_at_the_same_address_proves_none():
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


# --- deadlines -------------------------------------------------------------------------------------


def test_the_next_deadline_is_the_first_thing_due():
    node = make_node()
    beat = node.next_deadline()
    node.receive(hello(ttl=0.2, interval=0.1).encode(), HERE, 0.05)
    assert node.next_deadline() == 0.25 < beat
    node.set_record(Record(name="new"), now=0.1)
    assert node.next_deadline() == 0.1


def test_many_addresses_of_one_peer_are_bound():
    node = make_node()
    for number in range(1, 40):
        node.receive(hello(seq=number).encode(), source(f"10.0.0.{number}"), number / 1000)
    assert len(row_of(node.table, 1).paths) == 16


# --- a flood ------------------------------------------------------------------------------------------


def answer(node, to, number, now):
    """Answer the PING that the node sends in turn."""
    [ping] = [decode(send.datagram) for send in run_until_ping(node, now) if send.to == to]
    pong = Pong(realm="default", boot=boot(number), nonce=ping.nonce, heard_ms=10)
    return node.receive(pong.encode(), source(to), now + 1.1)


def run_until_ping(node, now):
    return [send for _, send in run(node, now, now + 1.1) if send.datagram.startswith(b"PING")]


def test_in_a_flood_those_who_came_before_it_stay_and_those_who_came_with_it_go():
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


def test_in_a_flood_nothing_is_said_that_is_longer_than_what_came():
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


# --- sources that cannot be ------------------------------------------------------------------------


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
