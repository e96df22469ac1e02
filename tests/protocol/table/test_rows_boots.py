"""Boots of one id: restarts, replaced boots and clones."""

import pytest

from discoveryd.errors import WireError
from discoveryd.protocol.table.table import PeerTable
from tests.protocol.samples import ProvedTable, boot, hello, kinds, row_of, source, states
from tests.protocol.table.clones import two_clones

HERE = source()
THERE = source("10.0.0.8")

def told(events):
    return [(event.kind, event.reason) for event in events]


def clones(table, now):
    return {row.boot: row.clone for row in table.rows(now)}


def refusal(call, *args, **kwargs):
    with pytest.raises(WireError) as caught:
        call(*args, **kwargs)
    return caught.value.reason


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
    assert table.of_boot(boot(1)) == table.of_id("a") == table.of_id("b") == ()


# --- restart ----------------------------------------------------------------------------------------


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


def test_a_restart_of_a_peer_that_was_down():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.expire(4.0)
    [event] = table.heard(hello(2), HERE, now=9.0)
    assert (event.kind, event.reason, event.former) == ("joined", "back with a new boot on eth0", boot(1))
    assert (event.peer.restarts, event.peer.first_seen_s) == (1, 9.0)
    assert states(table, 9.0) == {boot(2): "up"}


def test_an_overtaken_hello_does_not_undo_a_restart():
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


def test_a_sealed_boot_begins_anew_where_its_plain_row_was():
    table = PeerTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), HERE, now=0.1)
    table.heard(hello(2, goodbye=True), HERE, now=0.2)
    sealed = source(key="k1")
    [event] = table.heard(hello(1, seq=5), sealed, now=0.3)
    assert (event.kind, event.peer.boot, event.peer.key) == ("joined", boot(1), "k1")
    assert [row.boot for row in table.of_id("web1")] == [boot(1)]
    assert len(table) == 1


# --- clones -----------------------------------------------------------------------------------------


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


def test_one_answer_of_the_older_boot_proves_a_clone():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), THERE, now=0.1)
    assert [row.boot for row in table.replaced("web1")] == [boot(1)]
    events = table.answered(row_of(table, 1), HERE, 0.001, 0.1, two_way=True, now=0.11)
    assert kinds(events) == ["clone", "clone"]
    assert table.replaced("web1") == ()


def test_a_prepared_view_follows_the_clone_flag():
    table = ProvedTable()
    table.heard(hello(1), HERE, now=0.0)
    table.heard(hello(2), THERE, now=0.1)
    rows = row_of(table, 1), row_of(table, 2)
    table.heard(hello(1, seq=2), HERE, now=0.8)
    assert [row.lasting(0.8).clone for row in rows] == [False, False]
    table.heard(hello(1, seq=3), HERE, now=1.6)
    assert [row.lasting(1.6).clone for row in rows] == [True, True]
    table.heard(hello(1, seq=4, goodbye=True), HERE, now=2.0)
    assert rows[1].lasting(2.0).clone is False


def test_the_clone_flag_ends_when_the_other_leaves():
    table = ProvedTable()
    two_clones(table)
    events = table.heard(hello(1, seq=4, goodbye=True), HERE, now=2.0)
    assert told(events) == [("left", "said goodbye"), ("updated", "the clone is gone")]
    assert events[1].peer.boot == boot(2)
    assert clones(table, 2.0) == {boot(2): False}


def test_the_clone_flag_ends_when_the_other_is_down():
    table = ProvedTable()
    two_clones(table)
    table.expire(2.1)  # the second is suspect
    table.heard(hello(1, seq=4), HERE, now=3.2)
    events = table.expire(4.1)
    assert [(event.kind, event.peer.boot) for event in events] == [("down", boot(2)), ("updated", boot(1))]


def test_the_clone_flag_returns_on_both_rows():
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


def test_a_third_clone_is_listed_too():
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


def test_every_peer_with_our_own_id_is_a_clone():
    table = ProvedTable(own_id="web1")
    [event] = table.heard(hello(1), HERE, now=0.0)
    assert (event.kind, event.peer.clone) == ("joined", True)
    [event] = table.heard(hello(2), HERE, now=1.0)
    assert (event.kind, event.peer.clone, event.former) == ("restarted", True, boot(1))
    [event] = table.expire(5.0)
    assert (event.kind, event.peer.clone) == ("down", True)
