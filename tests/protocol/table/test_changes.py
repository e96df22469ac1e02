"""What changed of a peer: literal records, and what a person and a program are told."""

import json

import pytest

from discoveryd.protocol.table.changes import changes_between, told
from discoveryd.protocol.table.peer import Announced, Change
from discoveryd.protocol.wire.record import Record, Service
from tests.protocol.samples import hello, make_node, source

WEB = Service(name="web", port=8080)
BEFORE = Record(name="db1", tags={"role": "db", "rack": "b2"}, services=(Service(name="sql", port=5432),))


def announced(record, *addresses):
    return Announced(state="up", boot="b", record=record, addresses=addresses)


@pytest.mark.parametrize(
    ("after", "text"),
    [
        (Record(name="db1", tags={"role": "cache", "rack": "b2"}, services=BEFORE.services), "tag role db -> cache"),
        (Record(name="db2", tags=BEFORE.tags, services=BEFORE.services), "name db1 -> db2"),
        (Record(name="db1", tags={"role": "db"}, services=BEFORE.services), "tag rack=b2 removed"),
        (Record(name="db1", tags={**BEFORE.tags, "gpu": "2"}, services=BEFORE.services), "tag gpu=2 added"),
        (Record(name="db1", tags=BEFORE.tags, services=(*BEFORE.services, WEB)), "service web:8080/tcp added"),
        (Record(name="db1", tags=BEFORE.tags), "service sql:5432/tcp removed"),
        (
            Record(name="db1", tags=BEFORE.tags, services=(Service(name="sql", port=5432, tags={"v": "9"}),)),
            "service sql:5432/tcp changed",
        ),
        (
            Record(name="x", services=(WEB,)),
            "name db1 -> x, tag role=db removed, tag rack=b2 removed, 2 more",
        ),
        (Record(name="db1", tags=BEFORE.tags, services=BEFORE.services), ""),
    ],
)
def test_each_change_of_a_record_is_told(after, text):
    assert told(changes_between(announced(BEFORE), announced(after))) == text


def test_addresses_come_and_go():
    found = changes_between(announced(BEFORE, "10.0.0.1", "10.0.0.2"), announced(BEFORE, "10.0.0.2", "10.0.0.3"))
    assert found == (Change("address", "10.0.0.1", "10.0.0.1", None), Change("address", "10.0.0.3", None, "10.0.0.3"))


def test_what_was_not_known_before_did_not_change():
    assert changes_between(announced(None), announced(BEFORE, "10.0.0.1")) == ()


def test_an_event_says_what_changed():
    node = make_node()
    node.receive(hello(1, seq=1, record=BEFORE).encode(), source(), 1.0)
    after = Record(name="db1", tags={**BEFORE.tags, "role": "cache"}, services=(WEB,))
    [event] = node.receive(hello(1, seq=2, record=after).encode(), source(), 1.8).events
    assert event.reason == "tag role db -> cache, service sql:5432/tcp removed, service web:8080/tcp added"
    assert json.loads(json.dumps(event.to_json()))["changes"] == [
        {"what": "tag", "name": "role", "was": "db", "now": "cache"},
        {"what": "service", "name": "sql:5432/tcp", "was": BEFORE.services[0].to_json(), "now": None},
        {"what": "service", "name": "web:8080/tcp", "was": None, "now": WEB.to_json()},
    ]


def test_a_restart_with_another_record_says_what_changed():
    node = make_node()
    node.receive(hello(1, seq=1, record=BEFORE).encode(), source(), 1.0)
    after = Record(name="db1", tags={"rack": "b2"}, services=BEFORE.services)
    [event] = node.receive(hello(2, seq=1, record=after).encode(), source(), 1.8).events
    assert (event.kind, event.changes) == ("restarted", (Change("tag", "role", "db", None),))


def test_an_event_without_a_change_has_no_such_key():
    node = make_node()
    [event] = node.receive(hello(1, seq=1, record=BEFORE).encode(), source(), 1.0).events
    assert "changes" not in event.to_json()
