"""What was heard before shows nothing: a loop, a relay or a recorder may say it again for ever."""

from contextlib import suppress
from itertools import cycle

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.messages import Pong
from tests.protocol.samples import ProvedTable, boot, hello, kinds, make_node, row_of, source
from tests.protocol.segment import fleet

HERE = source()


def heard(table, said, now):
    """Give the events of a HELLO, none if it is stale."""
    with suppress(WireError):
        return table.heard(said, HERE, now)
    return ()


def died(segment, observer, victim):
    """Crash a station; give when it was last heard itself, and what it ever broadcast."""
    victim.crash()
    segment.run(0.01)
    observer.told.clear()
    tape = [(at, datagram) for at, who, to, datagram in segment.tape if who == victim.address and to == "10.0.0.255"]
    return tape[-1][0], [datagram for _, datagram in tape]


def repeat(segment, observer, address, datagrams, seconds, gap):
    """Let a loop bring what was recorded again and again."""
    for datagram in datagrams:
        segment.deliver(datagram, address, observer)
        segment.run(gap)
        if (seconds := seconds - gap) <= 0:
            return


@pytest.mark.parametrize("gap", [0.05, 0.8])
@pytest.mark.parametrize("size", [1, 2, 12, 30])
@pytest.mark.parametrize("age", [0, 70])
def test_a_dead_peer_whose_hellos_are_repeated_is_down_in_time(size, gap, age):
    segment, (observer, victim) = fleet(2)
    segment.run(100.0)
    heard, recorded = died(segment, observer, victim)
    ring = recorded[len(recorded) - size - age :][:size]
    repeat(segment, observer, victim.address, cycle(ring), heard + 4.1 - segment.now, gap)
    assert [(kind, who) for _, kind, who in observer.told] == [("suspect", "n2"), ("down", "n2")]
    observer.told.clear()
    repeat(segment, observer, victim.address, cycle(ring), 60.0, gap)
    assert observer.told == []
    [peer] = observer.node.peers(segment.now, gone=True)
    assert (peer.state, peer.two_way) == ("down", None)
    assert observer.drops()["stale"] >= 10
    questions = [at for at, who, to, datagram in segment.tape if to == victim.address and datagram.startswith(b"PING")]
    assert sum(at > heard + 4.1 for at in questions) <= 7  # after 1, 2, 4 … s


def test_a_dead_peer_that_answered_nothing_ends_after_four_beats():
    node = make_node()
    for seq in range(20):
        node.receive(hello(seq=seq, full=False).encode(), HERE, seq * 0.8)
    told = []
    for beat in range(1, 200):
        now = 15.25 + beat * 0.1
        told += [(round(now - 15.2, 2), event.kind) for event in node.poll(now).events]
        told += node.receive(hello(seq=beat % 20, full=False).encode(), HERE, now).events
    assert told[1:3] == [(2.05, "suspect"), (3.25, "down")]  # the first: it does not hear us


def test_the_hellos_of_a_boot_that_was_replaced_bring_no_clone():
    table = PeerTable()
    for seq in range(5):
        table.heard(hello(1, seq=seq, ttl=10), HERE, now=seq * 0.8, proved=True)
    assert kinds(table.heard(hello(2, seq=0), HERE, now=4.0, proved=True)) == ["restarted"]
    events = []
    for beat in range(1, 12):  # for a ttl after it was forgotten
        now = 4.0 + beat * 0.8
        events += table.heard(hello(2, seq=beat), HERE, now)
        events += heard(table, hello(1, seq=beat % 5), now + 0.1)
    assert events == []
    # but one that answers is there
    table.heard(hello(1, seq=5), HERE, now=13.0, proved=True)
    assert boot(1) in [peer.boot for peer in table.peers(13.0)]


def test_repeated_hellos_of_a_live_peer_are_harmless():
    segment, (observer, other) = fleet(2)
    segment.run(10.0)
    recorded = segment.recorded(sender=other.address, to="10.0.0.255")
    observer.told.clear()
    repeat(segment, observer, other.address, cycle(recorded), 30.0, 0.07)
    [peer] = observer.node.peers(segment.now)
    assert (observer.told, peer.state, peer.loss, peer.two_way) == ([], "up", 0.0, True)


@pytest.mark.parametrize("seq", [50, 60, 2**32 - 1])
def test_one_forged_seq_hides_no_peer_that_answers_nothing(seq):
    node = make_node()
    events = []
    for beat in range(40):
        events += node.receive(hello(seq=beat, full=False).encode(), HERE, beat * 0.8).events
        if beat == 20:
            node.receive(hello(seq=seq, full=False).encode(), HERE, 16.1)
        events += node.poll(beat * 0.8 + 0.7).events
    assert "down" not in kinds(events)
    assert row_of(node.table, 1).seq == 39


@pytest.mark.parametrize("seq", [50, 2**32 - 1])
def test_a_forged_seq_hides_a_peer_that_is_down_for_moments(seq):
    table = ProvedTable()
    table.heard(hello(seq=1), HERE, now=0.0)
    table.expire(10.0)
    assert kinds(table.heard(hello(seq=seq, full=False), HERE, now=10.0)) == ["recovered"]
    for beat in range(3):
        table.heard(hello(seq=14 + beat, full=False), HERE, now=11.0 + beat * 0.8)
    assert row_of(table, 1).seq == 16
    assert kinds(table.expire(14.0)) == []


def test_older_seqs_count_when_their_sender_answers():
    node = make_node()
    for seq in range(5, 12):
        node.receive(hello(seq=2**31 + seq, full=False).encode(), HERE, seq * 0.8 - 3.2)
    events = []
    for beat in range(1, 8):
        now = 5.6 + beat * 0.8
        outcome = node.receive(hello(seq=beat, full=False).encode(), HERE, now)
        polled = node.poll(now + 0.1)
        events += [*outcome.events, *polled.events]
        for send in polled.sends:
            if send.datagram.startswith(b"PING"):
                pong = Pong(realm="default", boot=boot(1), nonce=send.datagram.split(b"|")[5].decode(), heard_ms=5)
                events += node.receive(pong.encode(), HERE, now + 0.2).events
    assert events == []
    assert row_of(node.table, 1).seq == 7


def test_a_loop_of_hellos_ends_after_a_leap_of_the_seq():
    table = ProvedTable()
    for seq in range(10):
        table.heard(hello(seq=seq, full=False), HERE, now=seq * 0.8)
    events = []
    for beat in range(200):  # some of these were never heard
        now = 8.0 + beat * 0.4
        seq = (3, 4, 5, 30, 12, 13, 14, 15, 36, 20, 21, 22)[beat % 12]
        events += heard(table, hello(seq=seq, full=False), now)
    events += table.expire(100.0)
    assert kinds(events)[-1] == "down"
    assert row_of(table, 1).last_heard < 30.0


def test_a_slow_peer_comes_back_after_a_forged_leap():
    """Each tenth beat comes: what is two of them ahead is no leap, and makes no other one forgotten."""
    table = ProvedTable()

    def beat(number, now):
        heard(table, hello(seq=number, full=False, interval=8, ttl=40, lasting="t"), now)

    for number in range(10):
        beat(10 * number, number * 8.0)
    beat(150, 73.0)  # forged, and so is the next one
    beat(170, 74.0)
    for number in range(10, 15):
        beat(10 * number, number * 8.0)
    assert row_of(table, 1).seq == 140


def test_a_repeated_beat_does_not_keep_a_path_fresh():
    table = ProvedTable()
    there = source("10.1.0.7")
    for seq in range(10):
        table.heard(hello(seq=seq), HERE, now=seq * 0.8)
        table.heard(hello(seq=seq), there, now=seq * 0.8 + 0.001)
    for beat in range(1, 10):  # one cable is out; what came by it last goes round
        table.heard(hello(seq=9 + beat), HERE, now=7.2 + beat * 0.8)
        table.heard(hello(seq=9), there, now=7.3 + beat * 0.8)
    [peer] = table.peers(14.4)
    assert peer.addresses == ("10.0.0.7",)
