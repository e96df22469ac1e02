"""What datagrams do to the table: HELLOs, goodbyes, bare HELLOs and answers."""

import doctest
import json
from dataclasses import replace

import pytest

import discoveryd.protocol.table.table
from discoveryd.errors import WireError
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import peer_json
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.messages import REASON_LETTERS
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import WEB, ProvedTable, boot, hello, kinds, row_of, source, states
from tests.protocol.table.clones import two_clones

HERE = source()
THERE = source("10.0.0.8")
OTHER = Record(name="web1", tags={"rack": "c3"})

def refusal(call, *args, **kwargs):
    with pytest.raises(WireError) as caught:
        call(*args, **kwargs)
    return caught.value.reason


def test_the_docstring_is_right():
    assert doctest.testmod(discoveryd.protocol.table.table).attempted > 5
    assert doctest.testmod(discoveryd.protocol.table.table).failed == 0


# --- what is announced ------------------------------------------------------------------------------


def test_a_joined_event_carries_the_record():
    table = ProvedTable()
    [event] = table.heard(hello(), HERE, now=0.0)
    assert (event.kind, event.seq, event.reason) == ("joined", 1, "first HELLO on eth0")
    assert (event.peer.name, dict(event.peer.tags), event.peer.services) == ("web1", {"rack": "b2"}, WEB.services)


def test_a_peer_is_listed_before_its_record_comes():
    table = ProvedTable()
    [event] = table.heard(hello(full=False), HERE, now=0.0)
    assert (event.kind, event.peer.name, event.peer.id) == ("joined", None, "web1")
    assert not row_of(table, 1).has_record
    [event] = table.heard(hello(), HERE, now=0.01)
    assert (event.kind, event.reason, event.peer.name) == ("updated", "record received", "web1")
    assert row_of(table, 1).has_record


def test_a_new_boot_keeps_the_record_until_its_own_comes():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    [event] = table.heard(hello(2, full=False), HERE, now=1.0)
    assert (event.kind, event.peer.name) == ("restarted", "web1")
    assert row_of(table, 2).has_record
    [event] = table.heard(hello(3, full=False, record=OTHER), HERE, now=2.0)
    assert (event.kind, event.peer.name, event.changes) == ("restarted", "web1", ())
    assert not row_of(table, 3).has_record  # so it is asked for its own
    [event] = table.heard(hello(3, seq=2, record=OTHER), HERE, now=2.1)
    assert (event.kind, event.reason) == ("updated", "tag rack b2 -> c3, service http:80/tcp removed")


def test_a_changed_record_is_one_event():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    [event] = table.heard(hello(seq=2, record=OTHER), HERE, now=0.1)
    assert (event.kind, event.reason, dict(event.peer.tags)) == ("updated", "tag rack b2 -> c3, service http:80/tcp removed", {"rack": "c3"})
    assert table.heard(hello(seq=2, record=OTHER), HERE, now=0.2) == ()


def test_a_new_digest_alone_keeps_the_record_we_have():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert table.heard(hello(seq=2, record=OTHER, full=False), HERE, now=0.1) == ()
    row = row_of(table, 1)
    assert not row.has_record
    assert row.record == WEB


def test_an_overtaken_hello_changes_nothing():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(seq=3, record=OTHER, interval=1.0, ttl=5.0), HERE, now=0.1)
    assert table.heard(hello(seq=2), HERE, now=0.2) == ()
    row = row_of(table, 1)
    assert (row.record, row.digest, row.seq) == (OTHER, OTHER.digest, 3)
    assert (row.interval, row.ttl, row.expires) == (1.0, 5.0, 5.1)


@pytest.mark.parametrize("record", [b"{}", b"[", OTHER.encoded])
def test_a_record_with_another_digest_is_malformed(record):
    table = ProvedTable()
    assert refusal(table.heard, replace(hello(), record=record), HERE, now=0.0) == "malformed"
    assert len(table) == 0


# --- goodbye ----------------------------------------------------------------------------------------


def test_a_goodbye_is_one_event_and_ends_the_row():
    table = ProvedTable()
    table.heard(hello(seq=5), HERE, now=0.0)
    [event] = table.heard(hello(seq=5, full=False, goodbye=True), HERE, now=1.0)
    assert (event.kind, event.reason, event.peer.state, event.peer.name) == ("left", "said goodbye", "left", "web1")
    assert (event.peer.last_heard_s, event.peer.expires_s) == (0.0, 0.0)
    assert table.peers(1.0) == ()
    assert table.heard(hello(seq=5, goodbye=True), HERE, now=1.03) == ()


@pytest.mark.parametrize("reason", REASON_LETTERS)
def test_a_goodbye_says_why(reason):
    table = ProvedTable()
    table.heard(hello(seq=5), HERE, now=0.0)
    [event] = table.heard(hello(seq=5, full=False, goodbye=True, goodbye_reason=reason), HERE, now=1.0)
    assert event.reason == ("said goodbye" if reason == "stop" else f"said goodbye: {reason}")
    assert event.peer.goodbye_reason == reason
    row = row_of(table, 1)
    assert json.loads(row.text(1.0) + "}")["goodbye_reason"] == peer_json(row.peer(1.0))["goodbye_reason"] == reason
    [event] = table.heard(hello(seq=6), HERE, now=2.0)
    assert (event.kind, event.peer.goodbye_reason) == ("recovered", None)


@pytest.mark.parametrize("seq", [4, 5])
def test_a_hello_that_the_goodbye_overtook_is_stale(seq):
    table = ProvedTable()
    table.heard(hello(seq=5), HERE, now=0.0)
    table.heard(hello(seq=5, goodbye=True), HERE, now=1.0)
    assert refusal(table.heard, hello(seq=seq), HERE, now=1.1) == "stale"
    assert states(table, 1.1) == {boot(1): "left"}


def test_a_newer_hello_after_a_goodbye_brings_the_peer_back():
    table = ProvedTable()
    table.heard(hello(seq=5), HERE, now=0.0)
    table.heard(hello(seq=5, goodbye=True), HERE, now=1.0)
    assert kinds(table.heard(hello(seq=6), HERE, now=1.8)) == ["recovered"]


def test_a_goodbye_of_an_unknown_peer_changes_nothing():
    table = ProvedTable()
    assert table.heard(hello(goodbye=True), HERE, now=0.0) == ()
    assert len(table) == 0


def test_the_goodbye_of_an_older_boot_changes_nothing():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), HERE, now=1.0)
    assert table.heard(hello(1, goodbye=True), HERE, now=1.1) == ()
    assert [(peer.boot, peer.state) for peer in table.peers(1.1, gone=True)] == [(boot(2), "up")]


def test_a_goodbye_of_a_peer_that_is_down_changes_nothing():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(4.0)
    assert table.heard(hello(goodbye=True), HERE, now=5.0) == ()
    assert states(table, 5.0) == {boot(1): "down"}


def test_a_pong_from_before_the_goodbye_revives_nobody():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(goodbye=True), HERE, now=1.0)
    assert table.answered(row_of(table, 1), HERE, 0.2, 0.1, two_way=True, now=1.1) == ()
    assert states(table, 1.1) == {boot(1): "left"}
    # but one to a PING that was sent after it does: the goodbye was forged
    assert kinds(table.answered(row_of(table, 1), HERE, 0.05, 0.1, two_way=True, now=1.1)) == ["recovered"]


# --- bare peers -------------------------------------------------------------------------------------


def test_a_bare_peer_joins_goes_down_and_recovers():
    table = ProvedTable()
    [event] = table.heard_bare(HERE, ttl=4.0, now=0.0)
    assert (event.kind, event.reason, event.peer.kind, event.peer.id) == ("joined", "bare HELLO on eth0", "bare", "10.0.0.7")
    assert table.heard_bare(HERE, ttl=4.0, now=0.8) == ()
    assert [peer.state for peer in table.peers(4.799)] == ["up"]
    assert table.peers(4.8) == ()
    assert kinds(table.heard_bare(HERE, ttl=4.0, now=9.0)) == ["down", "recovered"]
    table.heard_bare(HERE, ttl=4.0, now=9.8)
    assert kinds(table.expire(13.8)) == ["down"]
    assert len(table) == 1
    table.expire(19.8)
    assert len(table) == 0  # it can prove nothing, so it is remembered for 10 s only


def test_bare_peers_expire_and_are_forgotten():
    table = PeerTable(remember=10.0)
    for now in (0.0, 2.0, 4.0):
        table.heard_bare(HERE, ttl=4.0, now=now)
    assert kinds(table.expire(8.0)) == ["down"]
    table.expire(13.9)
    assert len(table) == 1
    table.expire(14.0)
    assert len(table) == 0


def test_a_bare_peer_answers_nothing():
    table = ProvedTable()
    table.heard_bare(HERE, ttl=4.0, now=0.0)
    assert table.answered(table.get("10.0.0.7"), HERE, 0.001, 0.1, two_way=True, now=1.0) == ()
    assert table.peers(1.0)[0].rtt_ms is None


def test_a_bare_hello_beyond_our_links():
    table = ProvedTable()
    [event] = table.heard_bare(source("192.0.2.1", None), ttl=4.0, now=0.0)
    assert (event.reason, event.peer.link) == ("bare HELLO on a routed path", "")


# --- answers to PINGs -------------------------------------------------------------------------------


def test_an_answer_extends_the_ttl_like_a_hello():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert table.answered(row_of(table, 1), HERE, 0.0015, 0.1, two_way=True, now=1.9) == ()
    [peer] = table.peers(3.8)
    assert (peer.rtt_ms, peer.two_way, peer.last_heard_s) == (1.5, True, pytest.approx(1.9))
    assert table.peers(5.9) == ()


def test_an_answer_may_say_that_the_peer_does_not_hear_us():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.answered(row_of(table, 1), HERE, 0.001, None, two_way=False, now=1.0)
    assert table.peers(1.0)[0].two_way is False


def test_an_answer_revives_a_peer_that_was_down():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(4.0)
    [event] = table.answered(row_of(table, 1), HERE, 0.001, 0.1, two_way=True, now=5.0)
    assert (event.kind, event.reason) == ("recovered", "answered a PING")
    [event] = table.expire(9.0)
    assert event.peer.two_way is None


def test_an_answer_of_a_forgotten_peer_changes_nothing():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    row = row_of(table)
    table.expire(4.0)
    table.expire(10_000.0)
    assert table.answered(row, HERE, 0.001, 0.1, two_way=True, now=10_000.0) == ()
    assert len(table) == 0


# --- what is left -----------------------------------------------------------------------------------


def test_nothing_is_left_behind_when_all_is_over():
    table = ProvedTable(remember=10.0)
    two_clones(table)
    table.heard_bare(THERE, ttl=4.0, now=1.0)
    table.heard(hello(5), HERE, now=2.0)
    table.expire(6.0)
    table.expire(20.0)
    assert (len(table), table.next_expiry()) == (0, NEVER)
    # boots that are over are remembered for longer
    kept = {name: value for name, value in vars(table).items() if isinstance(value, dict) and name != "_ended"}
    assert {"steady", "suspects", "leavers", "quiet"} < kept.keys()
    assert not any(kept.values())
    assert table.of_id("web1") == table.of_boot(boot(1)) == table.of_boot(boot(5)) == ()
    assert table.event_log.suppressed == {}


def test_events_due_before_a_refusal_come_with_the_next_call():
    table = ProvedTable(limit=1)
    table.heard(hello(1, "a"), HERE, now=0.0)
    assert refusal(table.heard, hello(2, "b"), THERE, now=2.0) == "table-full"
    [event] = table.expire(2.0)
    assert (event.kind, event.seq) == ("suspect", 2)
