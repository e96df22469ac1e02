"""The history as a part of the daemon: when it begins and ends, what it is told, and what it answers."""

import os
import subprocess
import sys
from queue import SimpleQueue

import pytest

import discoveryd
import discoveryd.history.keeper
from discoveryd.config import Config
from discoveryd.config.sections import HistorySection, PathsSection
from discoveryd.daemon.history import HistoryPart
from discoveryd.daemon.parts import Parts
from discoveryd.errors import QueryError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.query.json_text import loads
from discoveryd.query.request import parse_request
from discoveryd.runtime.discovery import Discovery

WAIT = 10.0


class House:
    """A node on loopback that is not started, and its history."""

    def __init__(self, directory, **history):
        self.directory = directory
        parameters = Parameters(loopback="127.0.0.9", port=free_port("127.0.0.9", "udp"))
        self.discovery = Discovery(parameters, node_id="me")
        self.sections, self.notices = {}, SimpleQueue()
        self.part = HistoryPart(self.config(**history), self.discovery, self.notices.put)
        self.parts = Parts([self.part], notify=self.notices.put, report=self.sections.__setitem__)

    def config(self, **history):
        parameters = Parameters(loopback="127.0.0.9")
        return Config(parameters=parameters, history=HistorySection(**history), paths=PathsSection(state=str(self.directory)))

    def begin(self, looks=2):
        self.parts.open()
        self.parts.start()
        for _ in range(looks):
            self.parts.look()

    def ask(self, text):
        """Ask as a program does; return the reply."""
        replies = SimpleQueue()
        request = parse_request(text)
        self.discovery.handlers.begin(request, replies.put, 1)
        return loads(replies.get(timeout=WAIT))

    def status(self):
        return self.sections["history"]()


@pytest.fixture
def make(tmp_path):
    made = []

    def make(**history):
        made.append(House(tmp_path / "state", **history))
        return made[-1]

    yield make
    for house in made:
        house.parts.stop()


def test_it_begins_with_the_second_look_in_the_state_directory(make):
    house = make()
    house.begin(looks=1)
    assert not house.directory.exists()
    before = house.status()
    with pytest.raises(QueryError, match="begins some seconds after the start"):
        house.ask(b"history")
    house.parts.look()
    assert house.ask(b"history")["events"] == []
    assert sorted(os.listdir(house.directory)) == ["history-127.0.0.9.db", "history-127.0.0.9.db-wal"]
    assert house.status()["path"] == before["path"] == str(house.directory / "history-127.0.0.9.db")
    assert house.status().keys() == before.keys()


def test_a_machine_s_own_daemon_has_the_plain_name(tmp_path):
    config = Config(paths=PathsSection(state=str(tmp_path)))
    assert HistoryPart(config, Discovery(node_id="me"), None).path == str(tmp_path / "history.db")


def test_what_came_before_the_file_is_open_is_in_it(make):
    from tests.protocol.samples import hello, source

    house = make()
    house.begin(looks=1)
    house.discovery.look(lambda node, now: node.table.heard(hello(1, "n1"), source(), now, proved=True))
    house.discovery.look(lambda node, now: node.table.heard(hello(1, "n1", 2, goodbye=True), source(), now, proved=True))
    house.parts.look()
    assert [one["event"] for one in house.ask(b"history")["events"]] == ["joined", "left"]
    [peer] = house.ask(b"availability")["peers"]
    assert (peer["id"], peer["state"]) == ("n1", "left")


def test_off_it_leaves_no_trace_and_says_so(make):
    house = make(keep=False)
    house.begin()
    assert house.status() == {"on": False}
    assert not house.directory.exists()
    with pytest.raises(QueryError, match=r"there is no history: history\.keep is off") as told:
        house.ask(b"availability")
    assert told.value.code == "off"
    assert house.discovery.look(lambda node, _: node.table.event_log.journal.wake) is None


def test_a_reload_turns_it_on_and_off_and_changes_the_bounds(make):
    house = make(keep=False)
    house.begin()
    house.parts.reload(house.config(events=200))
    assert house.ask(b"history")["ok"]
    assert house.status()["on"]
    house.parts.reload(house.config(events=300, nodes=7))
    assert house.ask(b"history")["ok"]
    house.parts.reload(house.config(keep=False))
    assert house.status() == {"on": False}
    with pytest.raises(QueryError, match="off"):
        house.ask(b"history")


def test_a_python_without_sqlite_costs_the_history_alone(make, monkeypatch):
    monkeypatch.setattr(discoveryd, "history", discoveryd.history)  # a package remembers what was imported of it
    for name in [name for name in sys.modules if name.startswith("discoveryd.history")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    house = make()
    house.begin(looks=3)
    [notice] = [house.notices.get(timeout=WAIT)]
    assert (notice.level, notice.text) == ("warning", "there is no history")
    assert house.notices.empty()
    assert house.status() == {"on": False}
    with pytest.raises(QueryError, match="this Python has no sqlite3"):
        house.ask(b"history")


def test_a_refusal_is_the_reply(make):
    house = make()
    house.begin()
    reply = house.ask(b'{"op":"history","peer":"nobody"}')
    assert reply["error"]["code"] == "not_found"


def test_an_embedded_node_has_no_history():
    discovery = Discovery(node_id="me")
    with pytest.raises(QueryError, match="answered by a daemon"):
        discovery.handlers.begin(parse_request(b"history"), None, 1)


@pytest.mark.parametrize("text", [b'{"op":"history","since_s":-1}', b'{"op":"availability","all":true}', b'{"op":"history","state":"up"}'])
def test_a_wrong_request_is_refused(text):
    with pytest.raises(QueryError, match=r"must be|takes"):
        parse_request(text)


def test_sqlite_is_loaded_for_a_history_only():
    script = "import sys, discoveryd.daemon.run; assert not {'sqlite3', 'discoveryd.history'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
