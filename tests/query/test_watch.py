"""What a client is told by a watch, and what it knows of the peers after each line."""

import json
from dataclasses import replace

import pytest

from discoveryd.protocol.table.peer import LIVE
from discoveryd.query.reply import event_line
from discoveryd.query.request import Filter
from discoveryd.query.watch import Mirror, Watch
from tests.ctl.played import event, snapshot
from tests.query.samples import peer
from tests.runtime.hooking import event as happened
from tests.runtime.hooking import peer as row


def test_it_replaces_a_restarted_boot_and_keeps_a_clone():
    mirror = Mirror(lambda found: found["boot"])
    for one in snapshot(peer(boot="old")):
        mirror.take(one)
    mirror.take(event("restarted", boot="new") | {"former": "old"})
    assert list(mirror.rows.values()) == ["new"]
    mirror.take(event("clone", boot="new", clone=True))
    mirror.take(event("clone", boot="old", clone=True, address="10.0.0.9"))
    mirror.take(event("restarted", boot="newer", clone=True) | {"former": "new"})
    assert sorted(mirror.rows.values()) == ["newer", "old"]
    mirror.take(event("down", boot="old", state="down"))
    mirror.take(event("joined", boot="newest") | {"former": "old"})  # back, in place of the one that was down
    assert sorted(mirror.rows.values()) == ["newer", "newest"]


def test_a_snapshot_is_in_force_with_its_sync():
    mirror = Mirror(lambda found: found["boot"])
    first, sync = snapshot(peer(boot="a"), peer(boot="b"))
    assert (mirror.take(first), mirror.is_synced, mirror.rows) == (([], []), False, {})
    assert mirror.take(sync) == ([], ["a", "b"])
    assert mirror.is_synced
    second, sync = snapshot(peer(boot="b"), peer(boot="c"))
    mirror.take(second)
    assert sorted(mirror.rows.values()) == ["a", "b"]
    assert mirror.take(sync) == (["a"], ["c"])
    assert sorted(mirror.rows.values()) == ["b", "c"]


def test_only_peers_in_the_wanted_states_are_kept():
    mirror = Mirror(lambda found: found["boot"], LIVE)
    for line in snapshot(peer(boot="a"), peer(boot="gone", state="down")):
        mirror.take(line)
    assert list(mirror.rows.values()) == ["a"]
    assert mirror.take(event("left", boot="a", state="left")) == ([], ["a"])
    assert mirror.rows == {}


def test_a_line_of_a_later_version_changes_nothing():
    assert Mirror(dict).take({"event": "weather", "seq": 3}) == ([], [])


def test_a_list_refreshes_what_is_there_and_brings_nothing():
    mirror = Mirror(lambda found: found["rtt_ms"])
    for line in snapshot(peer(boot="a", rtt_ms=None), peer(boot="b", rtt_ms=2.0)):
        mirror.take(line)
    mirror.refresh([peer(boot="a", rtt_ms=0.3), peer(boot="late", rtt_ms=0.1)])
    assert list(mirror.rows.values()) == [0.3, 2.0]


def told(watch, *events):
    """Give as what each event of the table is told."""
    return [watch.kind(happened) for happened in events]


def database(kind, role="db", **about):
    """Make an event of a peer with a role."""
    return happened(kind, replace(row(), tags={"role": role}, **about))


@pytest.fixture
def databases():
    return Watch(Filter(tags={"role": "db"}), 0, set())


def test_a_change_of_what_matches_is_told_as_that(databases):
    changes = [database("joined", "web"), database("updated"), database("updated"), database("updated", "web")]
    assert told(databases, *changes, database("updated", "web")) == [None, "entered", "updated", "departed", None]


def test_what_says_itself_that_a_peer_came_or_went_stays(databases):
    changes = [database(kind, state=state) for kind, state in (("joined", "up"), ("suspect", "suspect"), ("recovered", "up"))]
    assert told(databases, *changes, database("down", state="down")) == ["joined", "suspect", "recovered", "down"]
    up = Watch(Filter(states=frozenset(("up",))), 0, {("web1", "0" * 16)})
    assert told(up, database("suspect", state="suspect"), database("recovered")) == ["suspect", "recovered"]


def test_a_restart_with_another_record_enters_or_departs(databases):
    assert told(databases, database("joined")) == ["joined"]
    restarted = replace(database("restarted", "web", boot="1" * 16), former="0" * 16)
    assert told(databases, restarted) == ["departed"]
    assert databases.shown == set()
    assert told(databases, replace(database("restarted", boot="2" * 16), former="1" * 16)) == ["entered"]
    assert told(databases, replace(database("restarted", boot="3" * 16), former="2" * 16)) == ["restarted"]


def test_without_a_filter_nothing_enters_or_departs():
    changes = [database(kind, role) for kind, role in (("joined", "web"), ("updated", "db"), ("clone", "db"))]
    assert told(Watch(Filter(), 0, set()), *changes) == ["joined", "updated", "clone"]


def test_the_line_differs_in_its_kind_alone():
    change = database("updated")
    assert json.loads(event_line(change, "departed")) == {**json.loads(event_line(change)), "event": "departed"}
