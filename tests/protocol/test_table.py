import doctest
from dataclasses import replace

import pytest

import discoveryd.protocol.table.table
from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.table import MAX_PATHS, PeerTable
from discoveryd.protocol.wire.record import Record
from tests.protocol.samples import ETH0, ETH1, WEB, ProvedTable, boot, hello, kinds, row_of, source, states

HERE = source()
THERE = source("10.0.0.8")
OTHER = Record(name="web1", tags={"rack": "c3"})


def told(events):
    return [(event.kind, event.reason) for event in events]


def clones(table, now):
    return {row.boot: row.clone for row in table.rows(now)}


def refusal(call, *args, **kwargs):
    with pytest.raises(WireError) as caught:
        call(*args, **kwargs)
    return caught.value.reason


def test_the_docstring_is_right():
    assert doctest.testmod(discoveryd.protocol.table.table).attempted > 5
    assert doctest.testmod(discoveryd.protocol.table.table).failed == 0


# --- the ttl ---------------------------------------------------------------------------------------


def test_up_until_its_ttl_and_not_one_moment_longer_whether_or_not_a_timer_ran():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert [peer.state for peer in table.peers(1.95)] == ["up"]
    assert [peer.state for peer in table.peers(3.999)] == ["suspect"]
    assert table.peers(4.0) == ()
    assert [peer.state for peer in table.peers(4.0, gone=True)] == ["down"]
    assert table.live_count(3.999) == 1
    assert table.live_count(4.0) == 0
    assert table.counts(4.0) == {"up": 0, "suspect": 0, "down": 1, "left": 0}


def test_down_is_told_once_with_the_whole_peer():
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
    assert table.next_expiry() == 3.5


def test_a_shorter_ttl_counts_once_it_was_said_for_the_longer_one_and_answered():
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


def test_a_longer_ttl_counts_in_full_once_it_was_answered():
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


def test_a_ttl_that_is_sealed_counts_at_once():
    table = PeerTable()
    sealed = source(key="k1")
    table.heard(hello(ttl=4.0), sealed, now=0.0)
    table.heard(hello(seq=2, ttl=60.0), sealed, now=1.0)
    assert len(table.peers(60.99)) == 1
    table.heard(hello(seq=3, ttl=2.0), sealed, now=2.0)
    assert table.peers(4.0) == ()


def test_those_due_together_go_in_the_order_they_fell_silent():
    table = ProvedTable()
    table.heard(hello(1, "a"), HERE, now=0.5)
    table.heard(hello(2, "b"), THERE, now=0.2)
    assert [event.peer.id for event in table.expire(10.0)] == ["b", "a"]


def test_heard_again_before_it_was_tidied():
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


def test_remembered_no_shorter_than_its_ttl():
    """A goodbye must outlive the HELLOs that it overtook."""
    table = ProvedTable(remember=0.0)
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(goodbye=True), HERE, now=1.0)
    assert table.expire(4.9) == ()
    assert refusal(table.heard, hello(), HERE, now=4.9) == "stale"
    table.expire(5.0)
    assert len(table) == 0


# --- what is announced -----------------------------------------------------------------------------


def test_joined_carries_the_record():
    table = ProvedTable()
    [event] = table.heard(hello(), HERE, now=0.0)
    assert (event.kind, event.seq, event.reason) == ("joined", 1, "first HELLO on eth0")
    assert (event.peer.name, dict(event.peer.tags), event.peer.services) == ("web1", {"rack": "b2"}, WEB.services)


def test_listed_before_its_record_came():
    table = ProvedTable()
    [event] = table.heard(hello(full=False), HERE, now=0.0)
    assert (event.kind, event.peer.name, event.peer.id) == ("joined", None, "web1")
    assert not table.has_digest(row_of(table, 1))
    [event] = table.heard(hello(), HERE, now=0.01)
    assert (event.kind, event.reason, event.peer.name) == ("updated", "record received", "web1")
    assert table.has_digest(row_of(table, 1))


def test_a_changed_record_is_told_once():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    [event] = table.heard(hello(seq=2, record=OTHER), HERE, now=0.1)
    assert (event.kind, event.reason, dict(event.peer.tags)) == ("updated", "record changed", {"rack": "c3"})
    assert table.heard(hello(seq=2, record=OTHER), HERE, now=0.2) == ()


def test_a_new_digest_alone_keeps_the_record_we_have():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert table.heard(hello(seq=2, record=OTHER, full=False), HERE, now=0.1) == ()
    row = row_of(table, 1)
    assert not table.has_digest(row)
    assert row.record == WEB


def test_an_overtaken_hello_is_neither_news_nor_a_sign_of_life():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(seq=3, record=OTHER, interval=1.0, ttl=5.0), HERE, now=0.1)
    assert table.heard(hello(seq=2), HERE, now=0.2) == ()
    row = row_of(table, 1)
    assert (row.record, row.digest, row.seq) == (OTHER, OTHER.digest, 3)
    assert (row.interval, row.ttl, row.expires) == (1.0, 5.0, 5.1)


@pytest.mark.parametrize("record", [b"{}", b"[", OTHER.encoded])
def test_a_record_that_is_not_what_its_digest_says(record):
    table = ProvedTable()
    assert refusal(table.heard, replace(hello(), record=record), HERE, now=0.0) == "malformed"
    assert len(table) == 0


def test_one_boot_of_two_ids_is_two_rows():
    """Whoever speaks under the boot of another neither hides it nor is in its way."""
    table = ProvedTable()
    table.heard(hello(1, "a"), HERE, now=0.0)
    assert kinds(table.heard(hello(1, "b", seq=9), THERE, now=0.1)) == ["joined"]
    table.heard(hello(1, "a", seq=2), HERE, now=0.2)
    assert [(peer.id, peer.boot, peer.address) for peer in table.peers(0.3)] == [
        ("a", boot(1), HERE.address), ("b", boot(1), THERE.address),
    ]  # fmt: skip
    table.heard(hello(1, "b", seq=10, goodbye=True), THERE, now=0.3)
    assert [row.id for row in table.rows(0.3)] == ["a"]
    assert [row.id for row in table.of_boot(boot(1))] == ["a", "b"]
    table.expire(5000.0)
    table.expire(10_000.0)
    assert (table.of_boot(boot(1)), len(table.boots)) == ((), 0)


# --- goodbye ---------------------------------------------------------------------------------------


def test_goodbye():
    table = ProvedTable()
    table.heard(hello(seq=5), HERE, now=0.0)
    [event] = table.heard(hello(seq=5, full=False, goodbye=True), HERE, now=1.0)
    assert (event.kind, event.reason, event.peer.state, event.peer.name) == ("left", "said goodbye", "left", "web1")
    assert (event.peer.last_heard_s, event.peer.expires_s) == (0.0, 0.0)
    assert table.peers(1.0) == ()
    assert table.heard(hello(seq=5, goodbye=True), HERE, now=1.03) == ()


@pytest.mark.parametrize("seq", [4, 5])
def test_a_hello_that_the_goodbye_overtook_is_stale(seq):
    table = ProvedTable()
    table.heard(hello(seq=5), HERE, now=0.0)
    table.heard(hello(seq=5, goodbye=True), HERE, now=1.0)
    assert refusal(table.heard, hello(seq=seq), HERE, now=1.1) == "stale"
    assert states(table, 1.1) == {boot(1): "left"}


def test_one_that_goes_on_after_its_goodbye_is_back():
    table = ProvedTable()
    table.heard(hello(seq=5), HERE, now=0.0)
    table.heard(hello(seq=5, goodbye=True), HERE, now=1.0)
    assert kinds(table.heard(hello(seq=6), HERE, now=1.8)) == ["recovered"]


def test_a_goodbye_of_nobody_changes_nothing():
    table = ProvedTable()
    assert table.heard(hello(goodbye=True), HERE, now=0.0) == ()
    assert len(table) == 0


def test_the_goodbye_of_an_older_boot_changes_nothing():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), HERE, now=1.0)
    assert table.heard(hello(1, goodbye=True), HERE, now=1.1) == ()
    assert [(peer.boot, peer.state) for peer in table.peers(1.1, gone=True)] == [(boot(2), "up")]


def test_a_goodbye_of_one_that_is_down_changes_nothing():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(4.0)
    assert table.heard(hello(goodbye=True), HERE, now=5.0) == ()
    assert states(table, 5.0) == {boot(1): "down"}


def test_a_pong_that_the_goodbye_overtook_does_not_bring_back_one_that_left():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(goodbye=True), HERE, now=1.0)
    assert table.answered(row_of(table, 1), HERE, 0.2, 0.1, two_way=True, now=1.1) == ()
    assert states(table, 1.1) == {boot(1): "left"}
    # but one to a PING that was sent after it does: the goodbye was forged
    assert kinds(table.answered(row_of(table, 1), HERE, 0.05, 0.1, two_way=True, now=1.1)) == ["recovered"]


# --- restart ---------------------------------------------------------------------------------------


def test_a_restart_is_one_event_and_one_row():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    [event] = table.heard(hello(2), HERE, now=1.5)
    assert (event.kind, event.reason) == ("restarted", f"new boot {boot(2)} in place of {boot(1)}")
    assert event.former == boot(1)
    assert (event.peer.boot, event.peer.restarts, event.peer.first_seen_s, event.peer.clone) == (boot(2), 1, 1.5, False)
    assert [peer.boot for peer in table.peers(1.5, gone=True)] == [boot(2)]
    assert table.heard(hello(2, seq=2), HERE, now=3.0) == ()
    assert table.expire(4.0) == ()  # the former goes without a word
    assert len(table) == 1


def test_a_restart_at_another_address():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    [event] = table.heard(hello(2), THERE, now=1.0)
    assert (event.kind, event.peer.addresses, event.peer.restarts) == ("restarted", ("10.0.0.8",), 1)


def test_a_hello_of_the_former_boot_may_still_be_under_way():
    table = ProvedTable()
    table.heard(hello(1, seq=5), HERE, now=0.0)
    table.heard(hello(2), HERE, now=1.0)
    assert table.heard(hello(1, seq=6), HERE, now=1.001) == ()
    assert [peer.boot for peer in table.peers(1.001)] == [boot(2)]


def test_a_restart_after_it_was_down():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.expire(4.0)
    [event] = table.heard(hello(2), HERE, now=9.0)
    assert (event.kind, event.reason, event.former) == ("joined", "back with a new boot on eth0", boot(1))
    assert (event.peer.restarts, event.peer.first_seen_s) == (1, 9.0)
    assert states(table, 9.0) == {boot(2): "up"}


def test_a_restart_after_a_goodbye_is_not_undone_by_what_was_overtaken():
    table = PeerTable()
    table.heard(hello(1, seq=5), HERE, now=0.0)
    table.heard(hello(1, seq=5, goodbye=True), HERE, now=1.0)
    assert kinds(table.heard(hello(2), HERE, now=1.1, proved=True)) == ["joined"]
    assert refusal(table.heard, hello(1, seq=5), HERE, now=1.2) == "stale"
    assert table.heard(hello(1, seq=5, goodbye=True), HERE, now=1.2) == ()
    assert states(table, 1.2) == {boot(2): "up"}


def test_a_boot_that_was_down_may_come_back_as_a_clone():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.expire(4.0)
    table.heard(hello(2), HERE, now=5.0)
    assert kinds(table.heard(hello(1, seq=9), HERE, now=5.5)) == ["restarted"]
    assert table.heard(hello(2, seq=2), HERE, now=5.8) == ()
    assert kinds(table.heard(hello(2, seq=3), HERE, now=6.6)) == ["clone", "clone"]


# --- clones ----------------------------------------------------------------------------------------


def two_clones(table):
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), THERE, now=0.1)
    table.heard(hello(1, seq=2), HERE, now=0.8)
    return table.heard(hello(1, seq=3), HERE, now=1.6)


def test_two_hellos_of_the_older_boot_prove_a_clone():
    table = ProvedTable()
    events = two_clones(table)
    assert [(event.kind, event.peer.boot, event.peer.clone) for event in events] == [
        ("clone", boot(1), True),
        ("clone", boot(2), True),
    ]
    assert events[0].reason == "another running node has the id web1"
    assert [(peer.address, peer.restarts) for peer in table.peers(1.6)] == [("10.0.0.7", 0), ("10.0.0.8", 0)]
    assert table.heard(hello(2, seq=2), THERE, now=1.7) == ()


def test_so_does_one_answer_to_a_ping():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), THERE, now=0.1)
    assert [row.boot for row in table.replaced_boots("web1")] == [boot(1)]
    events = table.answered(row_of(table, 1), HERE, 0.001, 0.1, two_way=True, now=0.11)
    assert kinds(events) == ["clone", "clone"]
    assert table.replaced_boots("web1") == ()


def test_the_flag_goes_with_the_other_one():
    table = ProvedTable()
    two_clones(table)
    events = table.heard(hello(1, seq=4, goodbye=True), HERE, now=2.0)
    assert told(events) == [("left", "said goodbye"), ("updated", "the clone is gone")]
    assert events[1].peer.boot == boot(2)
    assert clones(table, 2.0) == {boot(2): False}


def test_it_goes_too_when_the_other_falls_silent():
    table = ProvedTable()
    two_clones(table)
    table.expire(2.1)  # the second is suspect
    table.heard(hello(1, seq=4), HERE, now=3.2)
    events = table.expire(4.1)
    assert [(event.kind, event.peer.boot) for event in events] == [("down", boot(2)), ("updated", boot(1))]


def test_and_comes_back_with_it_on_both():
    table = ProvedTable()
    two_clones(table)
    table.expire(2.1)  # the second is suspect
    table.heard(hello(1, seq=4), HERE, now=3.2)
    table.expire(4.1)
    events = table.heard(hello(2, seq=9), THERE, now=4.5)
    assert [(event.kind, event.peer.boot, event.peer.clone) for event in events] == [
        ("recovered", boot(2), True),
        ("clone", boot(1), True),
    ]


def test_a_clone_that_restarts_stays_one():
    table = ProvedTable()
    two_clones(table)
    [event] = table.heard(hello(3), THERE, now=2.0)
    assert (event.kind, event.peer.clone, event.former) == ("restarted", True, boot(2))
    assert clones(table, 2.0) == {boot(1): True, boot(3): True}


def test_a_clone_that_comes_back_with_a_new_boot():
    table = ProvedTable()
    two_clones(table)
    table.expire(2.1)  # the second is suspect
    table.heard(hello(1, seq=4), HERE, now=3.2)
    table.expire(4.1)
    events = table.heard(hello(3), THERE, now=5.0)
    told = [(event.kind, event.peer.boot, event.former) for event in events]
    assert told == [("joined", boot(3), boot(2)), ("clone", boot(1), "")]
    assert clones(table, 5.0) == {boot(1): True, boot(3): True}


def test_a_third_is_shown_as_well():
    table = ProvedTable()
    two_clones(table)
    [event] = table.heard(hello(3), source("10.0.0.9"), now=2.0)
    assert (event.kind, event.peer.clone, event.peer.restarts, event.former) == ("joined", True, 0, "")
    assert len(table.peers(2.0)) == 3


def test_a_new_boot_elsewhere_continues_the_clone_that_is_gone():
    table = ProvedTable()
    two_clones(table)
    table.expire(2.1)  # the second is suspect
    table.heard(hello(1, seq=4), HERE, now=3.2)
    table.expire(4.1)
    table.heard(hello(3), source("10.0.0.9"), now=5.0)
    assert states(table, 5.0) == {boot(1): "up", boot(3): "up"}


def test_the_older_boot_outlives_the_newer_one():
    """Both had one id, and by the time the older one is sure to speak it is alone again."""
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), THERE, now=0.1)
    table.heard(hello(1, seq=2), HERE, now=0.8)
    table.heard(hello(2, goodbye=True), THERE, now=1.0)
    [event] = table.heard(hello(1, seq=3), HERE, now=1.6)
    assert (event.kind, event.reason, event.peer.clone) == ("recovered", "the newer boot of its id is gone", False)


def test_our_own_id_is_a_clone_of_us_whoever_it_is():
    table = ProvedTable(own_id="web1")
    [event] = table.heard(hello(1), HERE, now=0.0)
    assert (event.kind, event.peer.clone) == ("joined", True)
    [event] = table.heard(hello(2), HERE, now=1.0)
    assert (event.kind, event.peer.clone, event.former) == ("restarted", True, boot(1))
    [event] = table.expire(5.0)
    assert (event.kind, event.peer.clone) == ("down", True)


# --- bare peers ------------------------------------------------------------------------------------


def test_bare_peer():
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


# --- answers to PINGs ------------------------------------------------------------------------------


def test_an_answer_vouches_like_a_hello():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert table.answered(row_of(table, 1), HERE, 0.0015, 0.1, two_way=True, now=1.9) == ()
    [peer] = table.peers(3.8)
    assert (peer.rtt_ms, peer.two_way, peer.last_heard_s) == (1.5, True, pytest.approx(1.9))
    assert table.peers(5.9) == ()


def test_an_answer_of_one_that_does_not_hear_us():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.answered(row_of(table, 1), HERE, 0.001, None, two_way=False, now=1.0)
    assert table.peers(1.0)[0].two_way is False


def test_an_answer_brings_back_one_that_was_down_and_it_hears_us_no_more_when_it_goes():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.expire(4.0)
    [event] = table.answered(row_of(table, 1), HERE, 0.001, 0.1, two_way=True, now=5.0)
    assert (event.kind, event.reason) == ("recovered", "answered a PING")
    [event] = table.expire(9.0)
    assert event.peer.two_way is None


def test_an_answer_of_one_that_is_forgotten():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    row = row_of(table)
    table.expire(4.0)
    table.expire(10_000.0)
    assert table.answered(row, HERE, 0.001, 0.1, two_way=True, now=10_000.0) == ()
    assert len(table) == 0


# --- several addresses -----------------------------------------------------------------------------


def test_one_row_for_all_its_addresses():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    [event] = table.heard(hello(), source("10.1.0.7", ETH1), now=0.01)
    assert told([event]) == [("updated", "addresses 10.0.0.7 -> 10.0.0.7, 10.1.0.7")]
    [peer] = table.peers(0.01)
    assert (peer.address, peer.link, peer.addresses) == ("10.0.0.7", "eth0", ("10.0.0.7", "10.1.0.7"))
    assert [(path.address, path.link, path.last_heard_s) for path in peer.paths] == [
        ("10.0.0.7", "eth0", 0.01),
        ("10.1.0.7", "eth1", 0.01),  # the same beat: it shows no more life than by the other path
    ]


def test_one_address_on_two_links_is_listed_once():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert table.heard(hello(), source("10.0.0.7", ETH1), now=0.01) == ()
    [peer] = table.peers(0.01)
    assert peer.addresses == ("10.0.0.7",)
    assert [path.link for path in peer.paths] == ["eth0", "eth1"]


def two_paths(until):
    """Heard on both links at first, then on the second alone, each 0.8 s."""
    table = ProvedTable()
    second = source("10.1.0.7", ETH1)
    table.heard(hello(seq=1), HERE, now=0.0)
    table.heard(hello(seq=1), second, now=0.0)
    events = []
    for beat in range(1, until):
        while table.next_expiry() <= beat * 0.8:
            events += table.expire(table.next_expiry())
        events += table.heard(hello(seq=1 + beat, full=False), second, now=beat * 0.8)
    return table, events


def test_the_best_address_moves_as_soon_as_it_is_stale_and_that_is_told_once():
    table, events = two_paths(4)  # the last at 2.4
    [event] = events
    assert (event.kind, event.reason) == ("updated", "addresses 10.0.0.7, 10.1.0.7 -> 10.1.0.7, 10.0.0.7")
    assert event.peer.address == "10.1.0.7"
    assert event.peer.paths[1].last_heard_s == pytest.approx(1.76)  # two HELLOs missed
    assert table.peers(2.4)[0].addresses == ("10.1.0.7", "10.0.0.7")


def test_the_best_address_is_the_right_one_also_when_no_timer_ran():
    table = ProvedTable()
    table.heard(hello(seq=1), HERE, now=0.0)
    table.heard(hello(seq=2), source("10.1.0.7", ETH1), now=0.8)
    assert table.peers(1.75)[0].address == "10.0.0.7"
    assert table.peers(1.77)[0].address == "10.1.0.7"
    assert row_of(table, 1).lasting(1.77).address == "10.1.0.7"
    assert row_of(table, 1).lasting(4.0).addresses == ("10.1.0.7",)


def test_a_silent_address_is_let_go_after_the_ttl():
    table, events = two_paths(7)  # the last at 4.8
    assert told(events)[1:] == [("updated", "addresses 10.1.0.7, 10.0.0.7 -> 10.1.0.7")]
    assert table.peers(4.8)[0].addresses == ("10.1.0.7",)
    assert len(row_of(table, 1).paths) == 1


def test_an_address_that_comes_back_is_no_better_than_the_one_in_use():
    table, _ = two_paths(4)
    assert table.heard(hello(seq=4, full=False), HERE, now=2.5) == ()
    assert table.peers(2.5)[0].addresses == ("10.1.0.7", "10.0.0.7")


def test_when_all_fall_silent_together_the_last_one_heard_is_the_best():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(seq=2), source("10.1.0.7", ETH1), now=0.3)
    table.expire(table.next_expiry())
    assert table.peers(3.0)[0].addresses == ("10.1.0.7", "10.0.0.7")
    assert table.peers(4.1)[0].addresses == ("10.1.0.7",)
    [event] = [event for event in table.expire(5.0) if event.kind == "down"]
    assert event.peer.addresses == ("10.1.0.7",)


def test_a_gone_row_of_several_addresses_is_remembered_like_any_other():
    table = ProvedTable(remember=60.0)
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(), source("10.1.0.7", ETH1), now=0.0)
    table.expire(4.0)
    table.heard(hello(2, "b"), THERE, now=5.0)
    table.expire(9.0)
    assert states(table, 9.0) == {boot(1): "down", boot(2): "down"}
    table.expire(60.0)
    assert states(table, 60.0) == {boot(2): "down"}


def test_a_superseded_row_of_several_addresses_ages_silently():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(1), source("10.1.0.7", ETH1), now=0.5)
    table.heard(hello(2), HERE, now=1.0)
    table.heard(hello(2, seq=2), HERE, now=3.9)
    assert table.expire(4.1) == ()
    assert table.expire(4.5) == ()
    assert len(table) == 1


def test_of_many_addresses_the_longest_silent_is_forgotten():
    table = ProvedTable()
    sources = [source(f"10.0.0.{number + 1}") for number in range(MAX_PATHS + 1)]
    for number, one in enumerate(sources + sources[1:]):
        table.heard(hello(seq=number), one, now=number / 100)
    row = row_of(table, 1)
    assert len(row.paths) == MAX_PATHS
    assert "10.0.0.1" not in [path.address for path in row.paths.values()]
    assert len(table.steady) == MAX_PATHS


# --- limits ----------------------------------------------------------------------------------------


def test_a_full_table_refuses_newcomers_and_keeps_the_living():
    table = ProvedTable(limit=2)
    table.heard(hello(1, "a"), HERE, now=0.0)
    table.heard(hello(2, "b"), THERE, now=0.0)
    assert refusal(table.heard, hello(3, "c"), source("10.0.0.9"), now=0.1) == "table-full"
    assert refusal(table.heard_bare, source("10.0.0.9"), ttl=4.0, now=0.1) == "table-full"
    assert len(table.peers(0.1)) == len(table) == 2


def test_in_a_full_table_what_proves_to_be_there_takes_the_place_of_what_did_not():
    table = PeerTable(limit=3)
    table.heard(hello(1, "a"), HERE, now=0.0, proved=True)
    table.heard_bare(THERE, ttl=4.0, now=0.0)
    table.heard(hello(2, "b"), THERE, now=0.0)
    with pytest.raises(Unproven, match="table-full"):
        table.heard(hello(3, "c"), source("10.0.0.9"), now=0.1)
    for number, gone in ((4, "10.0.0.8"), (5, "b")):
        events = table.heard(hello(number, f"n{number}"), source(f"10.0.1.{number}"), now=0.2, proved=True)
        assert [(event.kind, event.peer.id) for event in events] == [("down", gone), ("joined", f"n{number}")]
    assert refusal(table.heard, hello(6, "d"), source("10.0.0.9"), now=0.3) == "table-full"


def test_the_longest_gone_makes_room():
    table = ProvedTable(limit=3)
    table.heard(hello(1, "a"), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "b"), source("10.0.0.2"), now=1.0)
    table.heard(hello(3, "c"), source("10.0.0.3"), now=1.5)
    table.heard(hello(2, "b", goodbye=True), source("10.0.0.2"), now=2.0)
    table.heard(hello(1, "a", goodbye=True), source("10.0.0.1"), now=3.0)
    assert kinds(table.heard(hello(4, "d"), source("10.0.0.4"), now=3.1)) == ["joined"]
    assert states(table, 3.1) == {boot(1): "left", boot(3): "up", boot(4): "up"}


def test_one_that_came_back_no_longer_makes_room():
    table = ProvedTable(limit=1)
    table.heard(hello(1, "a"), HERE, now=0.0)
    table.expire(4.0)
    table.heard(hello(1, "a", seq=2), HERE, now=5.0)
    assert refusal(table.heard, hello(2, "b"), THERE, now=5.1) == "table-full"


def test_a_lowered_limit_is_reached_as_rows_go():
    table = ProvedTable(limit=10)
    for number in range(1, 7):
        table.heard(hello(number, f"n{number}"), source(f"10.0.0.{number}"), now=0.0)
        if number > 2:
            table.heard(hello(number, f"n{number}", goodbye=True), source(f"10.0.0.{number}"), now=0.1)
    table.limit = 3
    table.heard(hello(9, "n9"), THERE, now=0.2)
    assert len(table) == 3


def test_a_restart_needs_no_room_when_the_former_is_gone():
    table = ProvedTable(limit=1)
    table.heard(hello(1), HERE, now=0.0)
    table.expire(4.0)
    assert kinds(table.heard(hello(2), HERE, now=5.0)) == ["joined"]


def test_nothing_is_left_behind_when_all_is_over():
    table = ProvedTable(remember=10.0)
    two_clones(table)
    table.heard_bare(THERE, ttl=4.0, now=1.0)
    table.heard(hello(5), HERE, now=2.0)
    table.expire(6.0)
    table.expire(20.0)
    assert (len(table), table.next_expiry()) == (0, NEVER)
    kept = {name: value for name, value in vars(table).items() if isinstance(value, dict)}
    assert {"steady", "suspects", "leavers", "quiet"} < kept.keys()
    assert not any(kept.values())
    assert len(table.boots) == table.event_log.suppressed_count == 0


def test_the_default_is_that_of_the_parameters():
    assert ProvedTable().limit == Limits().peers
    assert ProvedTable().remember == Limits().remember


# --- the expectation of the next steady HELLO --------------------------------------------------------


def expected(table):
    """Give what is expected by the rules: the text before the seq, and the address."""
    return [(head, source.address) for (head, source), path in table.steady.items() if path.stamp == path.row.stamp]


def before_seq(said):
    return said.encode().rpartition(b"|")[0]


def test_a_steady_peer_is_expected_by_all_but_its_seq():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert expected(table) == [(before_seq(hello(full=False)), HERE.address)]


def test_nothing_is_expected_while_the_record_is_unknown():
    table = ProvedTable()
    table.heard(hello(full=False), HERE, now=0.0)
    assert expected(table) == []


def test_a_path_has_one_expectation_with_its_source_of_now():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    again = source()
    for seq in (2, 3):
        table.heard(hello(seq=seq), again, now=seq / 10)
        assert [key[1] for key in table.steady] == [again]


def test_a_new_path_ends_what_is_expected_on_others():
    """One of them may be stale, and only was the best because it was the only one."""
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(seq=4), source("10.1.0.7", ETH1), now=2.0)
    assert table.peers(2.0)[0].address == "10.1.0.7"
    assert [address for _, address in expected(table)] == ["10.1.0.7"]


def test_another_ttl_ends_what_is_expected_on_all_paths():
    table = ProvedTable()
    for where in (HERE, THERE, HERE):
        table.heard(hello(), where, now=0.0)
    assert len(expected(table)) == 2
    table.heard(hello(seq=2, ttl=5.0), HERE, now=0.1)
    assert expected(table) == [(before_seq(hello(ttl=5.0, full=False)), HERE.address)]
    table.heard(hello(seq=1), THERE, now=0.2)  # overtaken: not to be taken for granted
    assert len(expected(table)) == 1


@pytest.mark.parametrize("end", ["goodbye", "expiry", "restart", "ranks", "refused", "link"])
def test_nothing_is_expected_after(end):
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    if end == "goodbye":
        table.heard(hello(goodbye=True), HERE, now=1.0)
    elif end == "expiry":
        table.expire(4.0)
    elif end == "restart":
        table.heard(hello(2, full=False), HERE, now=1.0)
    elif end == "ranks":
        table.set_ranks({"": 0})
    elif end == "refused":
        table.refused(row_of(table), "port unreachable", now=1.0)
    else:
        table.drop_link(ETH0)
    assert expected(table) == []


def test_a_link_that_is_gone_ends_expectations_but_no_path():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(), source("10.1.0.7", ETH1), now=0.0)
    table.drop_link(ETH0)
    assert table.peers(0.1)[0].addresses == ("10.0.0.7", "10.1.0.7")  # what was heard holds


def test_a_measurement_ends_no_expectation():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.answered(row_of(table), HERE, 0.001, 0.1, two_way=True, now=0.1)
    assert len(expected(table)) == 1
    assert table.peers(0.2)[0].rtt_ms == 1.0


# --- finding ---------------------------------------------------------------------------------------


def test_find_by_everything():
    table = ProvedTable()
    table.heard(hello(1, "id-of-one", record=Record(name="one")), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "id-of-two", record=Record(name="two")), source("10.0.0.2"), now=0.0)
    table.heard_bare(source("10.0.0.3"), ttl=4.0, now=0.0)

    def find(text):
        return [row.boot or row.id for row in table.find(text, 1.0)]

    assert find("one") == find("id-of-one") == find(boot(1)) == find("10.0.0.1") == [boot(1)]
    assert find("10.0.0.3") == ["10.0.0.3"]
    assert find("id-o") == [boot(1), boot(2)]
    assert find("id-of-t") == [boot(2)]
    assert find("id-") == []  # too short to be meant
    assert find("three") == []


def test_find_prefers_the_living():
    table = ProvedTable()
    table.heard(hello(1, "a"), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "b"), source("10.0.0.2"), now=3.0)
    assert [row.id for row in table.find("web1", 3.5)] == ["a", "b"]
    assert [row.id for row in table.find("web1", 4.5)] == ["b"]
    assert [row.id for row in table.find("web1", 9.0)] == ["a", "b"]


# --- numbers ---------------------------------------------------------------------------------------


def test_events_are_numbered_without_a_gap():
    table = ProvedTable()
    events = list(two_clones(table)) + list(table.expire(10.0))
    assert [event.seq for event in events] == [3, 4, 5, 6, 7]
    assert table.seq == 7


def test_counts():
    table = ProvedTable()
    table.heard(hello(1, "a"), source("10.0.0.1"), now=0.0)
    table.heard(hello(2, "b"), source("10.0.0.2"), now=3.0)
    table.heard(hello(3, "c"), source("10.0.0.3"), now=3.0)
    table.heard(hello(3, "c", goodbye=True), source("10.0.0.3"), now=3.1)
    assert table.counts(4.0) == {"up": 1, "suspect": 0, "down": 1, "left": 1}
