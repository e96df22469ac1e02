"""What silence does to a row: suspect, down, forgotten."""

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.table import PeerTable
from tests.protocol.samples import ETH1, ProvedTable, boot, hello, kinds, row_of, source

HERE = source()
THERE = source("10.0.0.8")

def told(events):
    return [(event.kind, event.reason) for event in events]


def refusal(call, *args, **kwargs):
    with pytest.raises(WireError) as caught:
        call(*args, **kwargs)
    return caught.value.reason


# --- the ttl ----------------------------------------------------------------------------------------


def test_a_peer_is_listed_exactly_until_its_ttl_is_over():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert [peer.state for peer in table.peers(1.95)] == ["up"]
    assert [peer.state for peer in table.peers(3.999)] == ["suspect"]
    assert table.peers(4.0) == ()
    assert [peer.state for peer in table.peers(4.0, gone=True)] == ["down"]
    assert table.live_count(3.999) == 1
    assert table.live_count(4.0) == 0
    assert table.counts(4.0) == {"up": 0, "suspect": 0, "down": 1, "left": 0}


def test_down_is_one_event_with_the_whole_peer():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(2.0)
    assert table.next_expiry() == 4.0
    assert table.expire(3.999) == ()
    [event] = table.expire(4.0)
    assert (event.kind, event.seq, event.reason) == ("down", 3, "not heard for its ttl of 4 s")
    assert (event.peer.name, event.peer.state, event.peer.last_heard_s, event.peer.expires_s) == ("web1", "down", 4.0, 0.0)
    assert table.expire(5.0) == ()


def test_each_peer_has_the_ttl_it_announces():
    table = ProvedTable()
    table.heard(hello(1, "a", ttl=1.7), HERE, now=0.0)
    table.heard(hello(2, "b", ttl=3.5, interval=1.5), THERE, now=0.0)
    assert [peer.id for peer in table.peers(1.6)] == ["a", "b"]
    assert [peer.id for peer in table.peers(1.7)] == ["b"]
    assert table.next_expiry() == 1.7  # too short to become suspect
    assert kinds(table.expire(1.7)) == ["down"]
    assert table.next_expiry() == 2.5  # it is suspect, and asked, for the last second of its ttl
    assert kinds(table.expire(2.5)) == ["suspect"]
    assert table.next_expiry() == 3.5


def test_a_shorter_ttl_counts_after_an_answer_to_a_ping():
    table = ProvedTable()
    table.heard(hello(ttl=4.0), HERE, now=0.0)
    assert table.heard(hello(seq=2, ttl=2.0), HERE, now=1.0) == ()
    table.answered(row_of(table), HERE, 0.001, 0.1, two_way=True, now=1.5)
    [peer] = table.peers(1.5)
    assert (peer.ttl_s, peer.expires_s) == (2.0, 4.0)
    table.heard(hello(seq=3, ttl=2.0), HERE, now=5.0)
    table.answered(row_of(table), HERE, 0.001, 0.1, two_way=True, now=5.0)
    assert table.next_expiry() <= 7.0
    assert len(table.peers(6.99)) == 1
    assert table.peers(7.0) == ()


def test_a_longer_ttl_counts_after_an_answer_to_a_ping():
    table = ProvedTable()
    table.heard(hello(ttl=4.0), HERE, now=0.0)
    table.heard(hello(seq=2, ttl=60.0), HERE, now=1.0)
    assert len(table.peers(10.99)) == 1
    assert table.peers(11.0) == ()
    table.answered(row_of(table), HERE, 0.001, 0.1, two_way=True, now=2.0)
    assert table.peers(12.0) == (), "the answer came when the longer ttl was announced for no ttl yet"
    table.answered(row_of(table), HERE, 0.001, 0.1, two_way=True, now=5.0)
    assert len(table.peers(64.99)) == 1
    assert table.peers(65.0) == ()


def test_a_sealed_ttl_counts_at_once():
    table = PeerTable()
    sealed = source(key="k1")
    table.heard(hello(ttl=4.0), sealed, now=0.0)
    table.heard(hello(seq=2, ttl=60.0), sealed, now=1.0)
    assert len(table.peers(60.99)) == 1
    table.heard(hello(seq=3, ttl=2.0), sealed, now=2.0)
    assert table.peers(4.0) == ()


def test_peers_due_together_go_down_in_order_of_silence():
    table = ProvedTable()
    table.heard(hello(1, "a"), HERE, now=0.5)
    table.heard(hello(2, "b"), THERE, now=0.2)
    assert [event.peer.id for event in table.expire(10.0)] == ["b", "a"]


def test_a_peer_heard_after_its_ttl_went_down_first():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    events = table.heard(hello(seq=9), HERE, now=5.0)
    assert told(events) == [("down", "not heard for its ttl of 4 s"), ("recovered", "heard again on eth0 after 5.0 s")]
    assert events[1].peer.restarts == 0
    assert events[1].peer.first_seen_s == 5.0


def test_gone_rows_are_remembered_for_a_while():
    table = ProvedTable(remember=60.0)
    table.heard(hello(), HERE, now=0.0)
    table.expire(4.0)
    assert table.next_expiry() == 60.0
    assert table.expire(59.9) == ()
    assert len(table) == 1
    assert table.expire(60.0) == ()
    assert len(table) == 0
    assert table.next_expiry() == NEVER


def test_a_gone_row_is_remembered_for_its_ttl_at_least():
    """A goodbye must outlive the HELLOs that it overtook."""
    table = ProvedTable(remember=0.0)
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(goodbye=True), HERE, now=1.0)
    assert table.expire(4.9) == ()
    assert refusal(table.heard, hello(), HERE, now=4.9) == "stale"
    table.expire(5.0)
    assert len(table) == 0


# --- suspicion --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "ttl", "suspect"), [(0.8, 4.0, 1.96), (2.0, 10.0, 4.9), (50.0, 250.0, 122.5)])
def test_suspect_after_two_and_a_half_intervals_of_its_own(interval, ttl, suspect):
    table = ProvedTable()
    table.heard(hello(interval=interval, ttl=ttl), HERE, now=0.0)
    assert table.next_expiry() == pytest.approx(suspect)
    due = table.next_expiry()
    assert table.expire(due - 0.001) == ()
    [event] = table.expire(due)
    assert (event.kind, event.reason, event.peer.state) == ("suspect", "2 HELLOs missed", "suspect")
    assert list(table.suspects) == [("web1", boot(1))]
    assert table.expire(due + 0.001) == ()
    assert table.next_expiry() == ttl
    assert kinds(table.expire(ttl)) == ["down"]
    assert table.suspects == {}


def test_a_beat_ahead_is_found_out_what_is_really_due_before_it():
    table = ProvedTable()
    table.heard(hello(1, "a"), HERE, now=0.0)
    table.heard(hello(2, "b"), THERE, now=0.0)
    table.heard(hello(1, "a", seq=2), HERE, now=0.8)
    table.heard(hello(2, "b", seq=2), THERE, now=0.9)
    assert table.next_expiry() == pytest.approx(1.96)
    table.look_ahead(1.1, 1.9)
    assert table.next_expiry() == pytest.approx(1.96)  # the next beat comes earlier
    table.look_ahead(1.1, 2.0)
    assert table.next_expiry() == pytest.approx(0.8 + 1.96)
    assert kinds(table.expire(table.next_expiry())) == ["suspect"]


def test_after_a_pause_the_moment_of_judgement_is_not_put_off():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(seq=2), HERE, now=0.8)
    table.mistrust(1.5)
    table.look_ahead(1.0, 9.0)
    assert table.next_expiry() == 1.5


def test_a_row_is_suspect_in_time_without_a_timer():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    seen = [(now, row_of(table, 1).state_at(now)) for now in (1.959, 1.961, 3.999, 4.0)]
    assert seen == [(1.959, "up"), (1.961, "suspect"), (3.999, "suspect"), (4.0, "down")]
    assert table.counts(2.0) == {"up": 0, "suspect": 1, "down": 0, "left": 0}
    assert row_of(table, 1).lasting(2.0).state == "suspect"


def test_a_hello_brings_a_suspect_back():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(2.0)
    [event] = table.heard(hello(seq=4, full=False), HERE, now=2.4)
    assert (event.kind, event.reason, event.peer.state) == ("recovered", "heard again on eth0 after 2.4 s", "up")
    assert table.suspects == {}


def test_a_pong_brings_a_suspect_back():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(2.0)
    [event] = table.answered(row_of(table, 1), HERE, 0.001, 0.1, two_way=True, now=2.1)
    assert told([event]) == [("recovered", "answered a PING")]
    assert table.next_expiry() <= 2.1 + 1.97


def test_a_goodbye_of_a_suspect():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(2.0)
    assert kinds(table.heard(hello(goodbye=True), HERE, now=2.1)) == ["left"]
    assert table.suspects == {}


def test_a_restart_of_a_suspect():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.expire(2.0)
    assert kinds(table.heard(hello(2), HERE, now=2.5)) == ["restarted"]
    assert table.suspects == {}


def test_a_bare_peer_is_never_suspect():
    table = ProvedTable()
    table.heard_bare(HERE, ttl=4.0, now=0.0)
    assert table.next_expiry() == 4.0
    assert table.peers(3.99)[0].state == "up"
    assert kinds(table.expire(4.0)) == ["down"]


def test_a_ttl_too_short_for_suspicion():
    table = ProvedTable()
    table.heard(hello(ttl=1.6), HERE, now=0.0)
    assert kinds(table.expire(1.6)) == ["down"]


@pytest.mark.parametrize("state", ["up", "down", "left", "superseded"])
def test_only_a_suspect_is_given_up(state):
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    row = row_of(table, 1)
    if state == "down":
        table.expire(4.0)
    elif state == "left":
        table.heard(hello(1, goodbye=True), HERE, now=0.1)
    elif state == "superseded":
        table.heard(hello(2), HERE, now=0.1)
    assert table.give_up(row, "evidence", 4.0 if state == "down" else 0.2) == ()


def test_clones_may_be_suspect_and_be_given_up():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), source("10.1.0.7", ETH1), now=0.1)
    table.answered(row_of(table, 1), HERE, 0.001, 0.1, two_way=True, now=0.2)
    table.heard(hello(1, seq=2), HERE, now=1.5)
    [event] = table.expire(2.1)
    assert (event.kind, event.peer.boot, event.peer.clone) == ("suspect", boot(2), True)
    events = table.give_up(row_of(table, 2), "evidence", 2.5)
    assert [(event.kind, event.peer.boot) for event in events] == [("down", boot(2)), ("updated", boot(1))]
    assert not table.peers(2.5)[0].clone
