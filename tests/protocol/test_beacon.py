"""Heartbeats, bursts and the interval; what changes of links, record and parameters do."""

from dataclasses import replace
from itertools import pairwise
from random import Random

from discoveryd.protocol.answers import PROMPT_PEERS
from discoveryd.protocol.link import BURST
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, MAX_STEADY
from discoveryd.protocol.wire.record import MAX_RECORD, Record
from tests.protocol.engine import HERE, crowd, drops, fresh, hellos, ping_from, run
from tests.protocol.samples import ETH0, ETH1, WEB, hello, make_node, row_of, source


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


def test_a_new_link_is_greeted_by_three_full_hellos():
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
        assert said.quiet is (said.record is not None), "its turn came, and nobody waits for it"
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


def test_interval_and_ttl_stretch_with_the_crowd():
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


def test_the_stretched_interval_changes_in_steps():
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


def test_a_second_link_is_greeted_and_the_first_left_alone():
    node = make_node("me", ETH0)
    node.receive(hello().encode(), HERE, 1.0)
    before = node.outlets[0]
    node.set_links([ETH0, ETH1], now=2.0)
    assert node.outlets[0] is before
    sent = run(node, 2.0, 2.35)
    greeting = [(now, send.link) for now, send in sent if any(hello.solicit for hello in hellos([send]))]
    assert greeting == [(2.0 + offset, ETH1) for offset in BURST]


def test_peers_outlive_a_link_that_goes():
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
    assert len(node.answers.waiting) == 1
    due = node.next_deadline()
    assert [send.to for send in node.poll(due).sends if not decode(send.datagram).solicit] == ["10.1.0.101"]


def test_a_changed_address_is_another_link():
    node = make_node("me", ETH0)
    moved = ETH0._replace(address="10.0.0.99")
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
