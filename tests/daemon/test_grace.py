"""Grace as a part of the daemon: rules from the configuration, maintenance by command, and what readers are told."""

from queue import SimpleQueue

import pytest

from discoveryd.config import Config
from discoveryd.config.sections import GraceSection, PathsSection
from discoveryd.daemon.grace import HEAD, GracePart, maintained
from discoveryd.daemon.history import HistoryPart
from discoveryd.daemon.parts import Parts
from discoveryd.errors import QueryError
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.grace import LONGEST, MOST_MAINTAINED, GraceRule
from discoveryd.query.json_text import loads
from discoveryd.query.request import parse_request
from discoveryd.runtime.discovery import Discovery
from tests.protocol.samples import boot, hello, source

WAIT = 10.0
PHONES = GraceRule(name="phone", seconds=1200.0)


class House:
    """A node that is not started, with a clock set by hand, its grace and its history."""

    def __init__(self, directory, *rules):
        self.now, self.directory = 100.0, directory
        self.discovery = Discovery(Parameters(loopback="127.0.0.9"), node_id="me", clock=lambda: self.now)
        self.sections = {}
        config = self.config(*rules)
        self.parts = Parts(
            [GracePart(config, self.discovery, lambda _: None), HistoryPart(config, self.discovery, lambda _: None)],
            notify=lambda _: None, report=self.sections.__setitem__,
        )  # fmt: skip
        self.parts.open()
        self.parts.start()
        for _ in range(2):
            self.parts.look()

    def config(self, *rules):
        parameters = Parameters(loopback="127.0.0.9")
        return Config(parameters=parameters, grace=GraceSection(rules=rules), paths=PathsSection(state=str(self.directory)))

    def hear(self, number=1, id="n1", seq=1, **more):
        self.discovery.look(lambda node, now: node.table.heard(hello(number, id, seq, **more), source(), now, proved=True))

    def wait(self, seconds):
        self.now += seconds
        self.discovery.look(lambda node, now: node.table.expire(now))

    def ask(self, text):
        replies = SimpleQueue()
        self.discovery.handlers.begin(parse_request(text), replies.put, 1)
        return loads(replies.get(timeout=WAIT))

    def grace(self):
        return self.sections["grace"]()


@pytest.fixture
def make(tmp_path):
    made = []

    def make(*rules):
        made.append(House(tmp_path / "state", *rules))
        return made[-1]

    yield make
    for house in made:
        house.parts.stop()


def test_rules_are_in_force_and_reload_changes_them(make):
    house = make(GraceRule(name="phone", seconds=1200.0))
    assert house.grace() == {"rules": 1, "waiting": 0, "maintenance": []}
    house.parts.reload(house.config())
    assert house.grace()["rules"] == 0


def test_maintenance_is_told_in_status_and_ends(make):
    house = make()
    house.hear()
    assert house.ask(b'{"op":"maintenance","peer":"n1","for_s":3600}') == {
        "ok": True, "schema": 1, "id": "n1", "name": "web1", "for_s": 3600.0
    }
    house.wait(600.0)
    assert house.grace() == {"rules": 0, "waiting": 1, "maintenance": [{"id": "n1", "name": "web1", "left_s": 3000.0}]}
    events = house.discovery.subscribe()
    assert [(peer.id, peer.state) for peer in events.peers] == [("n1", "up")]
    assert house.discovery.peers() == ()
    house.ask(b'{"op":"maintenance","peer":"n1","for_s":0}')
    assert events.get(timeout=WAIT).kind == "down"
    assert house.grace() == {"rules": 0, "waiting": 0, "maintenance": []}


def test_maintenance_outlives_a_restart(make, tmp_path, monkeypatch):
    wall = 1_800_000_000.0
    monkeypatch.setattr("discoveryd.daemon.grace.time", lambda: wall)
    file = tmp_path / "state" / "maintenance-127.0.0.9"
    house = make()
    house.hear()
    assert not file.exists()
    house.ask(b'{"op":"maintenance","peer":"n1","for_s":3600}')
    house.parts.look()
    assert file.read_text() == f"{HEAD}n1 1800003600\n"
    wall += 600.0
    again = make()
    assert again.grace()["maintenance"] == [{"id": "n1", "name": None, "left_s": 3000.0}]
    again.now += 3000.0
    again.parts.look()
    assert file.read_text() == HEAD
    assert make().grace()["maintenance"] == []


def test_what_is_no_maintenance_is_passed_over():
    text = "n1 1060\nn2 1000\nn3\nn4 soon\nn5 -5\n 1060\nn 6 1060\nn7 99999999999999999999\n# n8 1060\n"
    assert maintained(text, 1000.0) == {"n1": 60.0, "n7": LONGEST}
    many = "".join(f"n{number} 1060\n" for number in range(2 * MOST_MAINTAINED))
    assert list(maintained(many, 1000.0)) == [f"n{number}" for number in range(MOST_MAINTAINED, 2 * MOST_MAINTAINED)]


def test_who_begins_to_watch_sees_a_peer_as_the_events_tell_it(make):
    house = make()
    house.hear()
    house.ask(b'{"op":"maintenance","peer":"n1","for_s":3600}')
    house.wait(60.0)
    opening, watch = house.discovery.handlers.watch(parse_request(b"watch").filter)
    [peer] = loads(opening.splitlines()[0])["peers"]
    assert (peer["id"], peer["state"], peer["last_heard_s"]) == ("n1", "up", 60.0)
    assert watch.shown == {("n1", boot(1))}
    _, gone = house.discovery.handlers.watch(parse_request(b'{"op":"watch","name":"other"}').filter)
    assert gone.shown == set()


def test_the_history_has_the_truth_meanwhile(make):
    house = make()
    house.hear()
    house.ask(b'{"op":"maintenance","peer":"n1","for_s":3600}')
    house.wait(60.0)
    [peer] = house.ask(b"availability")["peers"]
    assert peer["state"] == "down"
    assert [one["event"] for one in house.ask(b"history")["events"]] == ["joined", "down"]


def test_a_forgotten_peer_has_no_past_and_no_row(make):
    house = make()
    house.hear()
    house.hear(1, seq=2, goodbye=True)
    assert len(house.ask(b"availability")["peers"]) == 1
    assert house.ask(b'{"op":"forget","peer":"web1"}') == {"ok": True, "schema": 1, "id": "n1", "name": "web1", "up": False}
    assert house.ask(b"availability")["peers"] == []
    assert house.discovery.peers(gone=True) == ()


def test_one_that_is_up_is_remembered_anew(make):
    house = make()
    house.hear()
    house.ask(b"history")
    assert house.ask(b'{"op":"forget","peer":"n1"}')["up"] is True
    [stay] = house.ask(b"history")["stays"]
    assert (stay["id"], stay["ended"]) == ("n1", None)
    assert house.ask(b"history")["events"] == []


def test_without_a_history_the_row_is_forgotten(make):
    house = make()
    house.parts.stop()
    house.hear()
    house.hear(1, seq=2, goodbye=True)
    assert house.ask(b'{"op":"forget","peer":"n1"}')["id"] == "n1"
    assert house.discovery.peers(gone=True) == ()


@pytest.mark.parametrize("op", ["maintenance", "forget"])
def test_one_peer_is_meant(make, op):
    house = make()
    house.hear(1, "n1")
    house.hear(2, "n2")
    text = b'{"op":"%s","peer":"%s"%s}'
    more = b',"for_s":5' if op == "maintenance" else b""

    def code(peer):
        try:
            return house.ask(text % (op.encode(), peer, more)).get("error", {}).get("code")
        except QueryError as error:
            return error.code

    assert code(b"web1") == "ambiguous"
    assert code(b"nobody") == "not_found"
    assert code(b"n2") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"op":"maintenance","peer":"n1"}', "for_s"), (b'{"op":"maintenance","for_s":5}', 'needs "peer"'),
        (b'{"op":"maintenance","peer":"n1","for_s":-1}', "0 to 604800"), (b'{"op":"forget"}', 'needs "peer"'),
    ],
)
def test_a_wrong_request_is_refused(text, problem):
    with pytest.raises(QueryError, match=problem):
        parse_request(text)


@pytest.mark.parametrize("text", [b'{"op":"maintenance","peer":"n1","for_s":5}', b'{"op":"forget","peer":"n1"}'])
def test_both_need_the_control_token(text):
    assert parse_request(text).needs_proof
