"""Between up and down: when a peer is suspect, which of its addresses is the best, and what a pause of ours changes."""

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from discoveryd.protocol.isolation import Isolation
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping, Pong, mark
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import ETH0, ETH1, ProvedTable, boot, hello, kinds, make_node, row_of, source, states

HERE = source()
THERE = source("10.1.0.7", ETH1)


def told(events):
    return [(event.kind, event.reason) for event in events]


# --- refused ----------------------------------------------------------------------------------------


def test_a_refused_ping_ends_a_suspect():
    node = make_node(proved=True)
    node.receive(hello().encode(), HERE, 0.0)
    [send] = [send for send in poll_all(node, 2.0) if send.datagram.startswith(b"PING")][-1:]
    assert row_of(node.table, 1).state == "suspect"
    [event] = node.refused(send.datagram, 2.001).events
    assert (event.kind, "port unreachable" in event.reason) == ("down", True)


def poll_all(node, until):
    sends = []
    while (due := node.next_deadline()) <= until:
        sends += node.poll(due).sends
    return sends


@given(st.binary(max_size=80) | st.just(Ping(realm="a", id="b", boot=boot(1), nonce=boot(2)).encode()))
def test_any_bytes_may_be_refused(datagram):
    node = make_node(proved=True)
    node.receive(hello().encode(), HERE, 0.0)
    assert node.refused(datagram, 1.0) is NOTHING


def test_a_pong_and_a_hello_that_are_refused_say_nothing():
    node = make_node(proved=True)
    for datagram in (Pong(realm="a", boot=boot(1), nonce=boot(2), heard_ms=1).encode(), hello().encode(), b"HELLO|"):
        assert node.refused(datagram, 1.0) is NOTHING


# --- ourselves --------------------------------------------------------------------------------------


def lan(count=6, parameters=None):
    """Return a node with some proved peers that it heard until second 8.0, polled all the while."""
    node = Node(parameters or Parameters(), Record(name="me"), node_id="me", random=Random(1))
    node.table.__class__ = ProvedTable
    node.set_links([ETH0], 0.0)
    for beat in range(11):
        poll_all(node, beat * 0.8)
        for number in range(1, count + 1):
            said = hello(number, f"n{number}", beat + 1)
            node.receive(said.encode(), source(f"10.0.0.{number + 10}"), beat * 0.8)
    return node


def test_after_our_own_pause_all_are_suspect_and_asked():
    node = lan()
    outcome = node.poll(18.0)
    assert kinds(outcome.events) == ["suspect"] * 6
    assert {event.reason for event in outcome.events} == {"we were asleep, so its silence means little"}
    assert {peer.state for peer in node.peers(18.0)} == {"suspect"}
    assert any(b"|s|" in send.datagram for send in outcome.sends)
    assert len([send for send in outcome.sends if send.datagram.startswith(b"PING")]) == 6
    for number in range(1, 6):  # the last one really died
        [event] = node.receive(hello(number, f"n{number}", 30).encode(), source(f"10.0.0.{number + 10}"), 18.1).events
        assert event.kind == "recovered"
    events = [event for at in (19.0, 19.9, 19.95, 19.97, 20.0) for event in node.poll(at).events]
    assert [(event.kind, event.peer.id) for event in events] == [("down", "n6")]
    assert not node.is_isolated(20.0)


def test_a_datagram_that_wakes_us_makes_all_suspect_first():
    node = lan()
    events = node.receive(hello(1, "n1", 30).encode(), source("10.0.0.11"), 18.0).events
    assert kinds(events) == ["suspect"] * 6 + ["recovered"]
    assert kinds(node.poll(18.001).events) == []


def frozen(node, living, dead, until=28.0):
    """Return a node that slept from 8.0 on what waited: the dead (6) speaks until 11.2, the others until `living`."""
    events = list(node.poll(until).events)
    node.mistrust(until)
    for beat in range(1, 25):
        at = 8.0 + beat * 0.8
        for number in range(1, 7):
            if at <= (dead if number == 6 else living):
                said = hello(number, f"n{number}", beat + 11).encode()
                events += node.receive(said, source(f"10.0.0.{number + 10}"), at).events
    return events


def test_after_a_pause_only_the_dead_peer_has_an_event():
    node = lan()
    node.drained(8.0)
    assert frozen(node, living=28.0, dead=11.2) == []
    assert node.next_deadline() <= 28.0, "the silence until then is to be judged"
    assert node.poll(28.0).events == (), "but not before all was read"
    node.drained(28.001)
    outcome = node.poll(28.002)
    [event, *others] = outcome.events
    assert (event.kind, event.peer.id, event.peer.state) == ("suspect", "n6", "suspect")
    assert {event.kind for event in others} <= {"updated"}  # nobody here answers a PING: they are deaf
    assert event.peer.last_heard_s == pytest.approx(28.001 - 11.2)
    assert "10.0.0.16" in [send.to for send in outcome.sends if send.datagram.startswith(b"PING")]
    assert {peer.id: peer.state for peer in node.peers(28.002)} == {f"n{n}": "up" for n in range(1, 6)} | {"n6": "suspect"}
    told = []
    for tick in range(1, 40):
        at = 28.0 + tick * 0.05
        for number in range(1, 6):
            if not tick % 16:
                node.receive(hello(number, f"n{number}", 40 + tick).encode(), source(f"10.0.0.{number + 10}"), at)
        node.drained(at)
        told += [(event.kind, event.peer.id) for event in node.poll(at).events if event.kind != "updated"]
        assert not told or at > 28.001 + 1.95, "one grace period at least"
    node.drained(30.1)
    told += [(event.kind, event.peer.id) for event in node.poll(30.1).events if event.kind != "updated"]
    assert told == [("down", "n6")]


def test_hellos_lost_in_a_full_buffer_take_nobody_down():
    node = lan()
    node.drained(8.0)
    assert frozen(node, living=14.4, dead=11.2) == []  # the kernel kept the oldest
    node.drained(28.001)
    outcome = node.poll(28.001)
    assert kinds(outcome.events) == ["suspect"] * 6
    pings = [send for send in outcome.sends if send.datagram.startswith(b"PING")]
    assert len(pings) == 6
    for send in pings:
        if send.to != "10.0.0.16":
            number = int(send.to.rpartition(".")[2]) - 10
            pong = Pong(realm="default", boot=boot(number), nonce=decode(send.datagram).nonce, heard_ms=20_000)
            assert kinds(node.receive(pong.encode(), source(send.to), 28.003).events) == ["recovered"]
    node.drained(29.9)
    assert "down" not in kinds(node.poll(29.9).events)


def test_probes_from_before_a_pause_prove_nothing_after_it():
    node = lan()
    node.drained(8.0)
    node.receive(hello(1, "n1", 20).encode(), source("10.0.0.11"), 8.1)
    [send] = node.ping(row_of(node.table, 1), 8.1)[1].sends
    pong = Pong(realm="default", boot=boot(1), nonce=decode(send.datagram).nonce, heard_ms=10)
    node.receive(pong.encode(), source("10.0.0.11"), 8.2)
    at = 8.2
    while at < 11.3:  # suspect and asked in vain, but not enough
        node.drained(at)
        assert "down" not in kinds(node.poll(at).events)
        at += 0.05
    node.mistrust(18.0)
    node.drained(18.0)
    assert "down" not in kinds(node.poll(18.0).events)
    node.drained(19.9)
    assert "down" not in kinds(node.poll(19.9).events)


def test_nobody_is_judged_before_what_arrived_is_read():
    node = lan(1)
    node.drained(8.5)
    assert node.poll(11.0).events == ()
    assert node.next_deadline() < 11.0
    assert [send for send in node.poll(11.0).sends if send.datagram.startswith(b"PING")] == []
    node.receive(hello(1, "n1", 30).encode(), source("10.0.0.11"), 9.9)
    node.drained(11.0)
    assert node.poll(11.0).events == ()
    assert node.peers(11.0)[0].last_heard_s == pytest.approx(1.1)


def test_the_round_trip_ends_when_the_pong_arrives():
    node = lan(1)
    [send] = node.ping(row_of(node.table, 1), 8.1)[1].sends
    pong = Pong(realm="default", boot=boot(1), nonce=decode(send.datagram).nonce, heard_ms=10).encode()
    node.poll(9.0)
    node.receive(pong, source("10.0.0.11"), 8.102)  # read late
    assert row_of(node.table, 1).peer(9.0).rtt_ms == pytest.approx(2.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hello", "full", "bare", "goodbye", "poll", "drained", "mistrust"]),
            st.integers(1, 3),
            st.floats(-3.0, 3.0),
        ),
        max_size=40,
    )
)
@example([("hello", 1, 0.0), ("goodbye", 1, 2.0), ("hello", 1, -2.0), ("mistrust", 1, 0.0)])  # no path was heard lately
def test_moments_that_go_back_refresh_nothing_backwards(steps):
    node, at, latest = make_node(proved=True), 10.0, 10.0
    for seq, (what, number, delta) in enumerate(steps, 1):
        at = max(0.0, at + delta)
        latest = max(latest, at)
        before = {row.key: (row.last_heard, row.state) for row in node.table.rows(latest, gone=True)}
        if what == "poll":
            node.poll(latest)
        elif what == "drained":
            node.drained(latest)
        elif what == "mistrust":
            node.mistrust(latest)
        elif what == "bare":
            node.receive(b"HELLO|", source(f"10.0.0.{number + 20}"), at)
        else:
            said = hello(number, f"n{number}", seq, full=what == "full", goodbye=what == "goodbye")
            node.receive(said.encode(), source(f"10.0.0.{number + 10}"), at)
        for row in node.table.rows(latest, gone=True):
            if what != "goodbye" and row.key in before:
                assert row.last_heard >= before[row.key][0]
            assert row.last_heard <= latest
    node.drained(latest + 30.0)
    for tick in range(60):
        node.poll(latest + tick * 0.5)
    assert node.peers(latest + 30.0) == ()
    assert set(node.table.counts(latest + 30.0)) - {"down", "left"} == {"up", "suspect"}
    assert node.table.counts(latest + 30.0)["up"] == node.table.counts(latest + 30.0)["suspect"] == 0


def test_there_is_one_grace_for_each_silence():
    node = lan()
    node.poll(18.0)
    assert kinds(node.poll(21.5).events) == ["down"] * 6  # asleep again, and still not heard


def test_a_short_pause_is_a_busy_machine():
    node = lan()
    due = node.next_deadline()
    assert "suspect" not in kinds(node.poll(due + 0.9).events)
    assert not any(b"|s|" in send.datagram for send in node.poll(due + 0.91).sends)


def test_a_pause_is_told_from_a_long_interval():
    """With an interval of a minute nothing may be due for long; that is no pause."""
    node = lan(0, Parameters(interval=60.0, ttl=300.0))
    at = node.next_deadline()
    for _ in range(5):
        outcome = node.poll(at)
        assert not any(b"|s|" in send.datagram for send in outcome.sends)
        assert node.next_deadline() > at + 50
        at = node.next_deadline()
    assert any(b"|s|" in send.datagram for send in node.poll(at + 5.0).sends)


def test_what_was_measured_before_a_pause_is_forgotten():
    node = lan()
    for row in node.table.rows(8.0):
        for path in row.paths:
            path.two_way, path.rtt = True, 0.001
    [outcome] = [node.poll(18.0)]
    assert {(event.peer.two_way, event.peer.loss) for event in outcome.events} == {(None, None)}


def test_a_peer_that_missed_us_in_our_sleep_is_not_one_way():
    node = lan()
    sends = list(node.poll(18.0).sends)
    seen = []
    for beat in range(14):  # it is heard all the while, and says each time that it does not hear us
        now = 18.001 + beat * 0.8
        for send in sends:
            if send.datagram.startswith(b"PING") and decode(send.datagram).to == mark("web1", boot(1)):
                pong = Pong(realm="default", boot=boot(1), nonce=decode(send.datagram).nonce, heard_ms=10_000)
                node.receive(pong.encode(), source("10.0.0.11"), now)
        node.receive(hello(1, "n1", 30 + beat).encode(), source("10.0.0.11"), now)
        seen.append(row_of(node.table, 1).peer(now).two_way)
        sends = poll_all(node, now + 0.8)
    assert seen[:8] == [None] * 8  # chance may have taken our first HELLOs
    assert seen[-1] is False  # it was asked again soon, not after a turn


def test_a_bare_peer_has_a_grace_period_too():
    node = lan(0)
    node.receive(b"HELLO|", HERE, 8.0)
    assert kinds(node.poll(30.0).events) == ["suspect"]
    assert kinds(node.receive(b"HELLO|", HERE, 30.5).events) == ["recovered"]


def test_isolated_when_most_fall_silent_together():
    node = lan(6)
    seq = 12
    for at in (8.8, 9.6, 10.4):  # two go on
        poll_all(node, at)
        for number in (1, 2):
            node.receive(hello(number, f"n{number}", seq).encode(), source(f"10.0.0.{number + 10}"), at)
        seq += 1
    assert not node.is_isolated(9.9)
    assert node.table.counts(10.45) == {"up": 2, "suspect": 4, "down": 0, "left": 0}
    assert node.is_isolated(10.45)
    poll_all(node, 10.7)
    assert node.is_isolated(10.7)


def beat_on(node, numbers, first, count, seq=12):
    """Let these go on, one HELLO each 0.8 s; give the moments at which the node doubted itself."""
    doubts = []
    for beat in range(count):
        at = first + beat * 0.8
        poll_all(node, at)
        for number in numbers:
            node.receive(hello(number, f"n{number}", seq + beat).encode(), source(f"10.0.0.{number + 10}"), at)
        doubts += [at] if node.is_isolated(at) else []
    return doubts


def test_a_dead_rack_is_no_long_doubt_while_others_are_heard():
    node = lan(6)
    doubts = beat_on(node, (6,), 8.8, 30)  # five fell silent at 8.0
    assert doubts
    assert max(doubts) < 12.0 + 0.8, "one ttl after the silence began, and a beat"
    assert node.table.counts(32.0)["down"] == 5


def test_a_newcomer_ends_the_doubt_of_an_isolated_node():
    node = lan(6)
    poll_all(node, 200.0)
    assert node.is_isolated(200.0)
    node.receive(hello(9, "n9").encode(), source("10.0.0.19"), 200.1)
    assert not node.is_isolated(200.1)
    poll_all(node, 300.0)
    assert not node.is_isolated(300.0), "it was heard, then fell silent alone: so our side works"


def test_a_second_silence_of_many_is_a_new_doubt():
    node = lan(10)
    beat_on(node, (1, 2, 3, 4), 8.8, 20)  # six fell silent at 8.0, the others at 24.0
    assert not node.is_isolated(24.0)
    poll_all(node, 27.9)
    assert node.is_isolated(27.9)


def test_single_silences_and_goodbyes_do_not_isolate_us():
    node = lan(6)
    for number in range(1, 7):
        said = hello(number, f"n{number}", 20, full=False, goodbye=True)
        node.receive(said.encode(), source(f"10.0.0.{number + 10}"), 8.5)
    assert not node.is_isolated(9.0)
    table = ProvedTable()
    for number in range(6):
        table.heard(hello(number, f"n{number}"), source(f"10.0.0.{number + 10}"), now=number * 10.0)
    table.expire(60.0)
    assert Isolation(table).silent_together(60.0, within=4.0) == 1


def test_isolated_without_a_link():
    node = lan()
    node.set_links([], 8.1)
    assert node.is_isolated(8.1)


def test_a_seed_that_is_heard_is_enough_without_a_link():
    node = Node(Parameters(seeds=("192.0.2.7",)), Record(name="me"), node_id="me", random=Random(1))
    node.set_links([], 0.0)
    assert node.is_isolated(0.0)
    routed = source("192.0.2.7", None)
    for beat in range(3):
        node.receive(hello(seq=beat + 1).encode(), routed, beat * 0.8)
        for send in poll_all(node, beat * 0.8 + 0.7):
            if send.datagram.startswith(b"PING"):
                pong = Pong(realm="default", boot=boot(1), nonce=decode(send.datagram).nonce, heard_ms=10)
                node.receive(pong.encode(), routed, beat * 0.8 + 0.7)
    assert row_of(node.table, 1).peer(2.3).two_way
    assert not node.is_isolated(2.3)
    poll_all(node, 7.0)
    assert node.is_isolated(7.0)


def test_a_pause_does_not_make_us_isolated():
    node = lan()
    node.poll(18.0)
    assert not node.is_isolated(18.0)


# --- addresses that cannot be reached ---------------------------------------------------------------


def test_peers_beyond_our_links_are_pinged_on_request_only():
    node = make_node(proved=True)
    node.receive(hello().encode(), source("192.0.2.7", None), 0.0)
    pings = [send for send in poll_all(node, 20.0) if send.datagram.startswith(b"PING")]
    assert pings == []
    node.receive(hello(seq=30).encode(), source("192.0.2.7", None), 20.1)
    assert len(node.ping(row_of(node.table, 1), 20.2)[1].sends) == 1


def test_a_seed_beyond_our_links_is_pinged():
    node = make_node(proved=True, parameters=Parameters(seeds=("192.0.2.7",)))
    node.receive(hello().encode(), source("192.0.2.7", None), 0.0)
    pings = [send for send in poll_all(node, 1.5) if send.datagram.startswith(b"PING")]
    assert {send.to for send in pings} == {"192.0.2.7"}


def test_an_address_on_a_link_that_is_gone_is_not_pinged():
    node = make_node("me", ETH0, ETH1, proved=True)
    node.receive(hello().encode(), THERE, 0.0)
    node.set_links([ETH0], 0.1)
    assert [send for send in poll_all(node, 10.0) if send.datagram.startswith(b"PING")] == []
    assert states(node.table, 10.0) == {boot(1): "down"}


def test_a_requested_ping_goes_by_a_link_that_is_there():
    node = make_node("me", ETH0, ETH1, proved=True)
    node.receive(hello().encode(), HERE, 0.0)
    node.receive(hello().encode(), THERE, 0.01)
    node.set_links([ETH1], 0.1)
    [send] = node.ping(row_of(node.table, 1), 0.2)[1].sends
    assert (send.link, send.to) == (ETH1, "10.1.0.7")
    assert decode(send.datagram).to == mark("web1", boot(1))


def test_peers_heard_meanwhile_need_no_drain():
    """Each drain wakes the receiver: with all peers alive there is nothing to judge, and nothing to wait for."""
    node = make_node(proved=True)
    node.drained(0.0)
    wakes = 0
    for beat in range(1, 40):
        now = beat * 0.8
        node.receive(hello(seq=beat).encode(), source(), now)
        node.drained(now)  # what the receiver tells with each batch
        now += 0.5
        node.poll(now)
        wakes += node.next_deadline() <= now
    assert wakes <= 5  # PINGs in turn, to a peer that answers none; 20 when each look at the table waits for a drain
