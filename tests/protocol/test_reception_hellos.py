"""What follows from a HELLO: answers to solicits, questions to leavers, requests for records."""

from random import Random

import pytest

from discoveryd.protocol.answers import PROMPT_PEERS
from discoveryd.protocol.challenges import BEYOND
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import MAX_STEADY, Hello, Ping, Pong, mark
from discoveryd.protocol.wire.record import Record
from tests.protocol.engine import HERE, crowd, drops, ping_from, pong, run
from tests.protocol.samples import ETH0, boot, hello, kinds, make_node, row_of, source


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


def test_the_beat_that_serves_others_is_not_quiet():
    node = make_node()
    crowd(node, 99)
    beat, node.outlets[0].burst = node.beacon.next_beat, []
    for number in (100, 101):
        node.receive(hello(number, "x", solicit=True).encode(), source(f"10.0.0.{number}"), beat)
    [send] = [send for send in node.poll(beat).sends if send.to == ETH0.broadcast]
    assert send.datagram.endswith(b"|")


def test_the_beat_serves_those_who_wait():
    node = make_node()
    crowd(node, 99)
    beat, node.outlets[0].burst = node.beacon.next_beat, []
    for number in (100, 101):
        node.receive(hello(number, "x", solicit=True).encode(), source(f"10.0.0.{number}"), beat)
    [send] = [send for send in node.poll(beat).sends if send.to == ETH0.broadcast]
    assert decode(send.datagram).record is not None
    assert len(node.answers.waiting) == 0


def test_one_source_gets_only_so_many_answers():
    node = make_node(answers=3)
    sent = []
    for seq in range(5):
        now = 1.0 + seq / 100  # a peer may answer once in a millisecond
        sent += node.receive(hello(seq=seq, solicit=True).encode(), HERE, now).sends
    assert [type(decode(send.datagram)) for send in sent] == [Hello, Hello, Hello, Ping]
    assert drops(node) == {("rate", "eth0"): 2}
    assert node.received["hello"] == 5  # each was welcome


def test_a_crowd_met_in_a_burst_stretches_the_rest_of_it():
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


def test_a_routed_solicit_is_answered_after_its_pong():
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


def test_routed_senders_get_twenty_challenges_a_second():
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


def test_many_goodbyes_cause_a_hundred_pings_a_second():
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
def test_one_forged_seq_does_not_outdate_what_follows(seq, path):
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
