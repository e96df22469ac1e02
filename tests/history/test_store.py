"""The file of the history: what is kept, for how long, and in which bounds."""

import os
import sqlite3
import stat

import pytest

from discoveryd.errors import HistoryError
from discoveryd.history.file import is_broken, set_aside
from discoveryd.history.reading import Reader
from discoveryd.history.store import LATE, Bounds, Store
from discoveryd.history.tally import Uptime
from discoveryd.history.timeline import DAY
from tests.history.past import day, facts, saw, stays


def node(past, id, first):
    return past.store.keep_node(facts(id), first)


def stay(past, n, start, end=None, ended="down"):
    number = past.store.begin_stay(n, f"b{start}", start, "10.0.0.1", "eth0")
    if end is not None:
        past.store.end_stay(number, end, ended, "")


def sizes(past):
    return {name: count for name, count in past.store.counts().items() if name != "bytes"}


def watch_until(past, number):
    past.look((day(number) - day(0)) / 1000)


def test_the_file_is_for_the_daemon_alone(past):
    assert stat.S_IMODE(os.stat(past.path).st_mode) == 0o600


def test_two_daemons_do_not_share_a_file(past):
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        Store(past.path)


def test_a_file_of_a_later_version_is_left_alone(past):
    past.store.rows("PRAGMA user_version = 2", {})
    past.store.close()
    with pytest.raises(HistoryError, match="later version"):
        Store(past.path)


@pytest.mark.parametrize("content", [b"not a database at all\n" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_broken_file_is_known_and_set_aside(tmp_path, content):
    path = tmp_path / "history.db"
    path.write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError) as told:
        Store(str(path))
    assert is_broken(told.value)
    assert set_aside(str(path)) == f"{path}.corrupt"
    Store(str(path)).close()
    assert (tmp_path / "history.db.corrupt").read_bytes() == content


def test_no_link_is_followed(tmp_path):
    (tmp_path / "history.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Store(str(tmp_path / "history.db"))
    assert not (tmp_path / "elsewhere").exists()


def test_events_are_a_ring(past):
    n = node(past, "n1", day(0))
    for number in range(30):
        past.store.add_event(day(0) + number, n, "down", "", "", "")
    past.write(past.store.prune, Bounds(events=10), day(0))
    assert [row[0] - day(0) for row in past.store.rows("SELECT t FROM event ORDER BY e", {})] == list(range(20, 30))


def test_a_stay_is_forgotten_by_its_end(past):
    n = node(past, "n1", day(0))
    stay(past, n, day(0), day(50))
    stay(past, n, day(50) + 1, day(60))
    stay(past, n, day(60) + 1)
    past.write(past.store.prune, Bounds(stay_days=90), day(145))
    assert [start for _, _, start, _, _ in stays(past.store)] == [50 * 86_400 + 0.001, 60 * 86_400 + 0.001]
    past.write(past.store.prune, Bounds(stay_days=90), day(399))
    assert len(stays(past.store)) == 1


def test_the_last_stay_of_a_peer_goes_with_the_peer(past):
    stay(past, node(past, "n1", day(0)), day(0), day(1))
    past.write(past.store.prune, Bounds(stay_days=90, days=400), day(400))
    assert sizes(past) == {"nodes": 1, "stays": 1, "days": 0, "events": 0}
    past.write(past.store.prune, Bounds(stay_days=90, days=400), day(402))
    assert sizes(past) == {"nodes": 0, "stays": 0, "days": 0, "events": 0}


def test_of_too_many_stays_the_oldest_ended_go_first(past):
    n, other = node(past, "n1", day(0)), node(past, "n2", day(0))
    stay(past, other, day(0))
    for number in range(20):
        stay(past, n, day(0, 10 * number), day(0, 10 * number + 5))
    past.write(past.store.prune, Bounds(stays=10), day(1))
    assert [(id, start) for id, _, start, _, _ in stays(past.store)] == [("n2", 0.0), *(("n1", 10.0 * one) for one in range(11, 20))]


def test_stays_too_many_for_a_day_cost_no_availability(past):
    """They are summed up before they are forgotten."""
    n = node(past, "n1", day(0))
    for number in range(100):
        stay(past, n, day(0, 20 * number), day(0, 20 * number + 15))
    past.look(3000.0)
    before = Reader(past.store, day(0, 3000)).tallies(0)
    past.write(past.store.prune, Bounds(stays=10), day(0, 3000))
    assert sizes(past)["stays"] == 10
    assert Reader(past.store, day(0, 3000)).tallies(0)[1] == before[1]
    assert before[1][n].downs == 100


def test_days_are_summed_up_once_when_they_are_over(past):
    n = node(past, "n1", day(0))
    stay(past, n, day(0, 100), day(1, 3600))
    watch_until(past, 3)
    past.write(past.store.sum_up, day(2) + LATE - 1)
    assert sizes(past)["days"] == 1
    for _ in range(2):
        past.write(past.store.sum_up, day(3) + LATE)
    assert past.store.mark("summed") == day(3)
    assert past.store.day_sums(day(0) // DAY)[n] == Uptime(3 * DAY - 100_000, DAY + 3_500_000, 0, 1, 0, 2 * DAY - 3_600_000)
    assert past.store.day_sums(day(2) // DAY)[n] == Uptime(DAY, 0, 0, 0, 0, 2 * DAY - 3_600_000)


def test_days_too_old_are_forgotten(past):
    n = node(past, "n1", day(0))
    stay(past, n, day(0))
    watch_until(past, 12)
    past.write(past.store.sum_up, day(12))
    past.write(past.store.prune, Bounds(days=5), day(12))
    assert sizes(past)["days"] == 4  # the twelfth may still change


def test_of_too_many_peers_those_known_briefly_make_room(past):
    """Nine came today and went; the three known for long are gone for longer, and stay."""
    for number in range(3):
        stay(past, node(past, f"old{number}", day(0)), day(0), day(30 + number))
    for number in range(9):
        stay(past, node(past, f"new{number}", day(40, number)), day(40, number), day(40, number + 60))
    stay(past, node(past, "here", day(41)), day(41))
    past.write(past.store.prune, Bounds(nodes=5), day(42))
    kept = {row[0] for row in past.store.rows("SELECT id FROM node", {})}
    assert kept == {"old0", "old1", "old2", "new8", "here"}


def test_peers_that_are_up_are_never_forgotten(past):
    for number in range(9):
        stay(past, node(past, f"n{number}", day(0)), day(0))
    past.write(past.store.prune, Bounds(nodes=1), day(500))
    assert sizes(past)["nodes"] == 9


def test_watches_are_bounded(past, monkeypatch):
    monkeypatch.setattr("discoveryd.history.store.MAX_WATCHES", 5)
    for number in range(1, 20):
        past.look(100.0 * number, slept=50.0)
    past.write(past.store.prune, Bounds(), day(0, 2000))
    assert [start for start, _, _ in past.store.watches()] == [day(0, 100 * one) for one in range(15, 20)]


def test_what_was_freed_is_given_back(past):
    n = node(past, "n1", day(0))
    past.store.begin()
    for number in range(5000):
        past.store.add_event(day(0) + number, n, "down", "not heard for its ttl of 4 s", "10.0.0.1", "eth0")
    past.store.commit()
    full = past.store.counts()["bytes"]
    past.write(past.store.prune, Bounds(events=100), day(0))
    for _ in range(5):
        past.store.give_back()
    assert past.store.counts()["bytes"] < full / 4


def test_a_full_disk_keeps_what_was_there(begin):
    past = begin(pages=24)
    past.see(saw("joined", 20.0))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        past.see(*[saw("updated", 30.0)] * 5000)
    assert stays(past.store) == [("n1", "b1", 20.0, None, "")]
