"""The JSON of a peer and of an event is public API: these tests are its contract."""

import json
from dataclasses import replace

import pytest

from discoveryd.protocol.link import Link
from discoveryd.protocol.table.peer import AGES_TEXT, SCHEMA, Event, lasting_text, peer_from_json, peer_json
from discoveryd.protocol.wire.record import Record, Service
from tests.protocol.samples import ETH0, ETH1, WEB, ProvedTable, hello, row_of, source

KEYS = [
    "id", "name", "state", "kind", "address", "addresses", "link", "boot", "services", "tags",
    "interval_s", "ttl_s", "rtt_ms", "loss", "two_way", "restarts", "clone", "key", "hellos_arrive", "shares_address",
    "goodbye_reason", "first_seen_s", "last_heard_s", "expires_s",
]  # fmt: skip


def web1():
    table = ProvedTable()
    table.heard(hello(), source(), now=10.0)
    return row_of(table, 1).peer(now=11.0004)


def test_the_json_of_a_node():
    assert SCHEMA == 1
    assert peer_json(web1()) == {
        "id": "web1",
        "name": "web1",
        "state": "up",
        "kind": "node",
        "address": "10.0.0.7",
        "addresses": ["10.0.0.7"],
        "link": "eth0",
        "boot": "0000000000000001",
        "services": [{"name": "http", "port": 80, "proto": "tcp", "tags": {}}],
        "tags": {"rack": "b2"},
        "first_seen_s": 1.0,
        "last_heard_s": 1.0,
        "expires_s": 3.0,
        "interval_s": 0.8,
        "ttl_s": 4.0,
        "rtt_ms": None,
        "loss": None,
        "two_way": None,
        "restarts": 0,
        "clone": False,
        "key": None,
        "hellos_arrive": True,
        "shares_address": False,
        "goodbye_reason": None,
    }
    assert list(peer_json(web1())) == KEYS


def test_the_json_of_a_bare_peer():
    table = ProvedTable()
    [event] = table.heard_bare(source(link=None), ttl=4.0, now=0.0)
    found = peer_json(event.peer)
    assert list(found) == KEYS
    assert {key: found[key] for key in ("id", "name", "kind", "boot", "link", "interval_s", "ttl_s", "tags", "services")} == {
        "id": "10.0.0.7", "name": None, "kind": "bare", "boot": "", "link": "", "interval_s": None, "ttl_s": 4.0, "tags": {},
        "services": [],
    }  # fmt: skip


def test_the_json_with_paths():
    assert peer_json(web1(), paths=True)["paths"] == [
        {
            "address": "10.0.0.7", "link": "eth0", "last_heard_s": 1.0, "expires_s": 3.0,
            "rtt_ms": None, "loss": None, "two_way": None, "family": "ipv4", "hears_us_s": None, "unanswered": 0,
        }
    ]  # fmt: skip


NASTY = Record(
    name='"\\é🚀',
    tags={'a"b': "ü", "n": "1"},
    services=(Service(name='s"', port=0, proto="x", tags={"q": '"'}), Service(name="b", port=65535)),
)


@pytest.mark.parametrize("record", [NASTY, Record(name="a"), None], ids=["nasty", "short", "none"])
@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("two_way", [None, True, False])
@pytest.mark.parametrize("marks", [{}, {"clone": True, "shared": True, "unheard": True, "sealed_with": "66b37b47"}])
def test_lasting_text_and_ages_are_the_json(record, ways, two_way, marks):
    table, said = ProvedTable(), hello(record=record or NASTY, full=record is not None, interval=0.8004)
    places = [source(), source("10.9.0.7", link=ETH1)][:ways]
    for place in places:
        table.heard(said, place, now=0.0)
    row = row_of(table, 1)
    table.answered(row, places[0], 0.0012345, 0.1, two_way=two_way, now=0.5)
    for name, value in marks.items():
        setattr(row, name, value)
    row.changed()
    for now in (1.0, 2.5):
        peer = row.peer(now)
        text = AGES_TEXT % (lasting_text(row, row.paths.fresh(now), row.state_at(now)), *ages(peer))
        assert json.loads(text) == peer_json(peer)
        assert list(json.loads(text)) == list(peer_json(peer))
        assert AGES_TEXT % (row.text(now), *ages(peer)) == text
        assert row.kept_text(now) in ("", row.text(now))


def test_lasting_text_and_ages_of_a_bare_peer_are_the_json():
    table = ProvedTable()
    table.heard_bare(source(link=None), ttl=4.0, now=0.0)
    [row] = table.by_key.values()
    peer = row.peer(1.0)
    assert json.loads(AGES_TEXT % (row.text(1.0), *ages(peer))) == peer_json(peer)


def ages(peer):
    return peer.first_seen_s, peer.last_heard_s, peer.expires_s


def test_a_peer_is_read_back_from_its_json():
    found = json.loads(json.dumps(peer_json(web1(), paths=True)))
    peer = peer_from_json(found | {"later": 1})
    assert peer_json(peer, paths=True) == found
    assert peer_from_json(peer_json(web1())).paths == ()


def test_the_label_is_the_name_or_the_id():
    table = ProvedTable()
    table.heard(hello(id="n-17", full=False), source(), now=0.0)
    row = row_of(table, 1)
    assert row.peer(0.0).label == "n-17"
    table.heard(hello(id="n-17"), source(), now=0.1)
    assert row.peer(0.1).label == "web1"


def test_the_json_of_an_event():
    event = Event(kind="joined", seq=7, peer=web1(), reason="first HELLO on eth0")
    assert event.to_json() == {"event": "joined", "seq": 7, "peer": peer_json(web1()), "reason": "first HELLO on eth0"}
    again = replace(event, kind="restarted", former="0123456789abcdef")
    assert again.to_json() == {**event.to_json(), "event": "restarted", "former": "0123456789abcdef"}


def test_links_differ_by_all_fields():
    other = Link("eth0", 2, "10.0.0.2", 24, "10.0.0.255")
    assert other != ETH0
    assert len({ETH0: 1, other: 2, Link(*(getattr(ETH0, key) for key in Link.__match_args__)): 3}) == 2


def test_sources_are_compared_by_identity():
    assert source() != source()


def test_the_record_of_the_samples_is_in_the_specification():
    assert WEB.digest == "6f528de9e331597c"
