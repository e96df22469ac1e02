"""What a client knows of the peers after each line of a watch."""

from discoveryd.protocol.table.peer import LIVE
from discoveryd.query.watch import Mirror
from tests.ctl.played import event, snapshot
from tests.query.samples import peer


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
