"""The thread of the history: nothing waits for it, and whatever becomes of its file costs the daemon nothing."""

import os
import sqlite3
import threading
from queue import SimpleQueue
from time import monotonic

import pytest

from discoveryd.errors import QueryError
from discoveryd.history.keeper import Keeper
from discoveryd.history.reading import Reader
from discoveryd.history.recorder import Clocks
from discoveryd.history.store import Bounds, Store
from discoveryd.query.finding_kinds import FINDING_KINDS
from discoveryd.query.findings import findings
from discoveryd.query.request import Filter
from tests.history.past import MIDNIGHT
from tests.protocol.engine import fresh
from tests.protocol.samples import ETH0, hello, source
from tests.query.samples import STATUS

WAIT = 10.0


class Engine:
    """A node whose clock is set by hand, behind a lock, as `Discovery` has it."""

    def __init__(self):
        self.node, self.now, self.lock = fresh(ETH0), 1.0, threading.Lock()

    def look(self, at):
        with self.lock:
            return at(self.node, self.now)

    def hear(self, number, id, **more):
        with self.lock:
            self.node.table.heard(hello(number, id, **more), source(f"10.{number >> 8}.1.{number & 255}"), self.now, proved=True)

    def leave(self, number, id):
        self.hear(number, id, seq=9, goodbye=True)


class Stage:
    """A keeper of a file, with its engine."""

    def __init__(self, path):
        self.path, self.engine, self.notices = str(path), Engine(), SimpleQueue()
        self.keeper = Keeper(self.path, Bounds(), self.engine, self.notices.put, clocks=self.clocks)

    def clocks(self):
        return Clocks(self.engine.now, MIDNIGHT + self.engine.now, self.engine.now)

    def ask(self, make):
        answers = SimpleQueue()
        self.keeper.ask(make, answers.put)
        return answers.get(timeout=WAIT)

    def names(self):
        return [one["id"] for one in self.ask(lambda reader, _: reader.availability(None, Filter()))["peers"]]

    def events(self):
        return [(one["id"], one["event"]) for one in self.ask(lambda reader, _: reader.history("", None))["events"]]

    def told(self):
        return self.notices.get(timeout=WAIT).text

    def until(self, holds):
        deadline = monotonic() + WAIT
        while not (found := holds()):
            assert monotonic() < deadline, self.keeper.status()
            threading.Event().wait(0.01)
        return found


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path / "state" / "history.db")
    yield made
    made.keeper.stop()


def test_what_happens_is_kept_and_told(stage):
    stage.keeper.start()
    stage.engine.hear(1, "n1")
    stage.engine.leave(1, "n1")
    assert stage.events() == [("n1", "joined"), ("n1", "left")]
    assert stage.names() == ["n1"]
    status = stage.keeper.status()
    assert (status["written"], status["lost"], status["errors"], status["error"]) == (2, 0, 0, None)
    assert status["watching"] is True


def test_peers_there_before_are_found(stage):
    stage.engine.hear(1, "n1")
    stage.keeper.start()
    assert stage.names() == ["n1"]
    assert stage.events() == []


def test_changes_are_written_without_being_asked_for(stage):
    stage.keeper.start()
    assert stage.events() == []
    stage.engine.hear(1, "n1")
    stage.until(lambda: stage.keeper.status()["written"])


def test_a_stop_keeps_what_waits_and_can_come_twice(stage):
    stage.keeper.start()
    assert stage.names() == []
    stage.engine.hear(1, "n1")
    stage.engine.now = 7.0
    stage.keeper.stop()
    stage.keeper.stop()
    with pytest.raises(QueryError, match="has ended"):
        stage.ask(lambda reader, _: {})
    store = Store(stage.path)
    stays = Reader(store, MIDNIGHT * 1000 + 9000).history("n1", None)["stays"]
    store.close()
    assert [(one["ended"], one["reason"]) for one in stays] == [("unknown", "this node was stopped")]


def test_one_that_was_never_started_stops(stage):
    stage.keeper.stop()
    assert not os.path.exists(stage.path)


def test_nothing_is_noted_before_and_after(stage):
    journal = stage.engine.node.table.event_log.journal
    stage.engine.hear(1, "n1")
    assert journal.take() == ([], 0)
    stage.keeper.start()
    stage.keeper.stop()
    stage.engine.hear(2, "n2")
    assert journal.take() == ([], 0)


def test_notes_that_found_no_room_are_made_up_for(stage, monkeypatch):
    monkeypatch.setattr("discoveryd.protocol.table.journal.MOST", 3)
    monkeypatch.setattr("discoveryd.history.keeper.BATCH", 60.0)
    stage.keeper.start()
    assert stage.names() == []
    for number in range(1, 9):
        stage.engine.hear(number, f"n{number}")
    stage.engine.leave(1, "n1")
    assert stage.names() == [f"n{number}" for number in range(1, 9)]
    assert stage.keeper.status()["lost"] == 6
    assert stage.events() == [("n1", "joined"), ("n2", "joined"), ("n3", "joined")]


class Disk(Store):
    """A store on a disk that may be full."""

    is_full = False

    def begin_stay(self, *args):
        if Disk.is_full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        return super().begin_stay(*args)


def test_a_full_disk_is_told_and_what_comes_later_is_kept(stage, monkeypatch):
    """The finding is history-unwritable; peers that came meanwhile are found in the table."""
    monkeypatch.setattr("discoveryd.history.kept.Store", Disk)
    monkeypatch.setattr("discoveryd.history.keeper.BEAT", 0.05)
    monkeypatch.setattr(Disk, "is_full", False)
    stage.keeper.start()
    stage.engine.hear(1, "n1")
    assert stage.names() == ["n1"]
    Disk.is_full = True
    stage.engine.hear(2, "n2")
    assert stage.told() == "the history cannot be written"
    assert "cannot be read now: database or disk is full" in stage.ask(lambda reader, _: {}).message
    assert stage.keeper.status()["lost"] == 1
    Disk.is_full = False
    assert stage.told() == "the history is written again"
    assert stage.names() == ["n1", "n2"]
    assert stage.events() == [("n1", "joined")]
    assert stage.notices.empty()


def test_a_broken_file_is_set_aside_and_a_new_one_begun(stage):
    os.makedirs(os.path.dirname(stage.path))
    with open(stage.path, "wb") as file:
        file.write(b"no database, " * 1000)
    stage.engine.hear(1, "n1")
    stage.keeper.start()
    assert stage.told() == "the history cannot be written"
    assert stage.told() == "the history begins anew"
    assert stage.told() == "the history is written again"
    assert stage.names() == ["n1"]
    assert stage.keeper.status()["replaced"] == 1
    with open(f"{stage.path}.corrupt", "rb") as file:
        assert file.read().startswith(b"no database")


def test_a_file_that_breaks_while_it_is_used_is_replaced(stage):
    stage.keeper.start()
    stage.engine.hear(1, "n1")
    assert stage.names() == ["n1"]

    def fail(*_):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorname = "SQLITE_CORRUPT"
        raise error

    assert "malformed" in stage.ask(fail).message
    stage.until(lambda: stage.keeper.status()["replaced"] and not stage.keeper.status()["error"])
    assert stage.names() == ["n1"]


def test_a_file_that_was_removed_is_made_anew(stage):
    stage.keeper.start()
    stage.engine.hear(1, "n1")
    assert stage.names() == ["n1"]
    os.remove(stage.path)
    assert stage.names() == ["n1"]
    assert os.path.exists(stage.path)


def test_another_daemon_with_the_file_is_told(stage, tmp_path):
    os.makedirs(os.path.dirname(stage.path))
    other = Store(stage.path)
    stage.keeper.start()
    assert "cannot be read now: another daemon keeps its history there" in stage.ask(lambda reader, _: {}).message
    other.close()


def test_without_a_state_directory_there_is_no_history(tmp_path):
    (tmp_path / "file").write_text("")
    stage = Stage(tmp_path / "file" / "history.db")
    stage.keeper.start()
    refused = stage.ask(lambda reader, _: {})
    assert (refused.code, refused.message) == (
        "off", f"there is no history, for want of a state directory: File exists: {tmp_path / 'file'}"
    )
    assert stage.keeper.status()["on"] is False
    assert findings({**STATUS, "history": stage.keeper.status()}) == []
    os.remove(tmp_path / "file")
    assert stage.names() == []
    assert stage.keeper.status()["on"] is True
    stage.keeper.stop()


def test_a_file_that_cannot_be_opened_is_a_finding(stage):
    os.makedirs(stage.path)
    stage.keeper.start()
    notice = stage.notices.get(timeout=WAIT)
    assert notice.text == "the history cannot be written"
    [found] = findings({**STATUS, "history": stage.keeper.status()})
    assert found.code == "history-unwritable"
    assert stage.path in found.text
    assert FINDING_KINDS["history-unwritable"].severity == "medium"


def test_a_fault_of_ours_ends_the_history_and_not_the_daemon(stage):
    stage.keeper.start()
    assert stage.names() == []

    def fault(*_):
        raise ZeroDivisionError

    excepthook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        stage.keeper.ask(fault, lambda _: None)
        notice = stage.notices.get(timeout=WAIT)
        stage.keeper.stop()
    finally:
        threading.excepthook = excepthook
    assert (notice.level, notice.text) == ("error", "the history has ended")
    assert "ZeroDivisionError" in stage.keeper.status()["error"]
