import json
from dataclasses import replace

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.events import Event
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.peer import peer_json
from discoveryd.protocol.probe import Pong
from discoveryd.protocol.query import (
    Filter,
    Request,
    encode,
    error_line,
    event_line,
    list_line,
    parse_request,
    show_answer,
    snapshot_lines,
    status_answer,
)
from discoveryd.protocol.record import Record, Service
from tests.protocol.samples import ETH1, boot, hello, make_node, source


def error(line):
    with pytest.raises(QueryError) as caught:
        parse_request(line)
    return caught.value.code, caught.value.message


# --- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (b"list", Request(op="list")),
        (b"  watch \r\n", Request(op="watch")),
        (b"status\n", Request(op="status")),
        (b"metrics", Request(op="metrics")),
        (b"show web1", Request(op="show", peer="web1")),
        (b"show my web server \n", Request(op="show", peer="my web server")),
        ("ping Köln".encode(), Request(op="ping", peer="Köln")),
        (b'{"op":"list"}', Request(op="list")),
        (b'{"op":"list","state":"down"}', Request(op="list", filter=Filter(states=frozenset({"down"})))),
        (b'{"op":"list","state":["up","left"]}', Request(op="list", filter=Filter(states=frozenset({"up", "left"})))),
        (b'{"op":"list","state":null,"name":null,"tags":null}', Request(op="list")),
        (
            b'{"op":"watch","name":"w*","tags":{"a":"b"},"service":"http","link":"eth0","all":true}',
            Request(op="watch", filter=Filter(name="w*", tags={"a": "b"}, service="http", link="eth0", all=True)),
        ),
        (b'{"op":"ping","peer":"a","count":3,"timeout_s":0.5}', Request(op="ping", peer="a", count=3, timeout=0.5)),
        (b'{"op":"ping","peer":"a","count":100,"timeout_s":60}', Request(op="ping", peer="a", count=100, timeout=60.0)),
        (b'{"op":"list","op":"status"}', Request(op="status")),
    ],
)
def test_a_request(line, request_):
    assert parse_request(line) == request_


HOW = 'send one JSON object per line, such as {"op":"list"}, or a bare word: list'
STATES = "state must be one or a list of up, suspect, down, left, not "


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b"", "bad_request", HOW),
        (b"   \n", "bad_request", HOW),
        (b"[1]", "bad_request", HOW),
        (b"\xff\xfe", "bad_request", HOW),
        (b"\0", "bad_request", HOW),
        (b"GET / HTTP/1.1", "http", f"this is no web server; {HOW}"),
        (b"POST /x HTTP/1.0\r\n", "http", f"this is no web server; {HOW}"),
        (b"{", "bad_request", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"{}", "bad_request", '"op" is missing; known: list, watch, show, ping, status, metrics'),
        (b'{"op":5}', "bad_request", '"op" is missing; known: list, watch, show, ping, status, metrics'),
        (b"lst", "unknown_op", "unknown op 'lst'; known: list, watch, show, ping, status, metrics"),
        (b'{"op":"\\ud800"}', "unknown_op", "unknown op '\\ud800'; known: list, watch, show, ping, status, metrics"),
        (b"show", "bad_argument", 'show needs "peer": a name, an id (or at least its first 4 characters) or an address'),
        (b'{"op":"ping","peer":""}', "bad_argument", 'ping needs "peer": a name, an id (or at least its first 4 characters) or an address'),
        (b'{"op":"show","peer":5}', "bad_argument", "peer must be a text, not 5"),
        (b"status now", "bad_argument", "status takes no arguments, not 'peer'"),
        (b'{"op":"show","peer":"a","count":1}', "bad_argument", "show takes peer, not 'count'"),
        (b'{"op":"list","nam":"a"}', "bad_argument", "list takes state, name, tags, service, link, all, not 'nam'"),
        (b'{"op":"list","state":"gone"}', "bad_argument", STATES + "['gone']"),
        (b'{"op":"list","state":5}', "bad_argument", STATES + "5"),
        (b'{"op":"list","state":[[]]}', "bad_argument", STATES + "[[]]"),
        (b'{"op":"list","tags":["a"]}', "bad_argument", "tags must be an object of texts, not ['a']"),
        (b'{"op":"list","tags":{"a":1}}', "bad_argument", "tags must be an object of texts, not {'a': 1}"),
        (b'{"op":"list","all":1}', "bad_argument", "all must be true or false, not 1"),
        (b'{"op":"list","name":{}}', "bad_argument", "name must be a text, not {}"),
        (b'{"op":"ping","peer":"a","count":0}', "bad_argument", "count must be 1 to 100, not 0"),
        (b'{"op":"ping","peer":"a","count":true}', "bad_argument", "count must be 1 to 100, not True"),
        (b'{"op":"ping","peer":"a","count":1.5}', "bad_argument", "count must be a whole number, not 1.5"),
        (b'{"op":"ping","peer":"a","count":"1"}', "bad_argument", "count must be 1 to 100, not '1'"),
        (b'{"op":"ping","peer":"a","timeout_s":NaN}', "bad_argument", "timeout_s must be 0.001 to 60, not nan"),
        (b'{"op":"ping","peer":"a","timeout_s":1e999}', "bad_argument", "timeout_s must be 0.001 to 60, not inf"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong_and_what_to_do(line, code, message):
    assert error(line) == (code, message)


@pytest.mark.parametrize("line", [b'{"op":' + b"[" * 4000, b'{"op":"list","name":' + b"9" * 4400 + b"}", b'{"op":"\xff"}'])
def test_not_json_at_all(line):
    code, message = error(line)
    assert code == "bad_request"
    assert len(message) < 400


# --- filters ---------------------------------------------------------------------------------------


def peers(node, now, **filters):
    answer = json.loads(list_line(node, Filter(**filters), now))
    assert (answer["ok"], answer["schema"]) == (True, 1)
    return [peer["id"] for peer in answer["peers"]]


@pytest.fixture
def node():
    """Two nodes on two links, a bare peer, one that left and one that is down (at 5.0)."""
    node = make_node()
    web = Record(name="web1", tags={"rack": "b2"}, services=(Service(name="http", port=80),))
    dns = Record(name="dns1", tags={"rack": "b2", "zone": "x"}, services=(Service(name="dns", port=53, proto="udp"),))
    node.receive(hello(5, "old", record=Record(name="old")).encode(), source("10.0.0.5"), 0.0)
    node.poll(4.5)
    node.receive(hello(1, "w", record=web).encode(), source("10.0.0.7"), 4.6)
    node.receive(hello(2, "d", record=dns).encode(), source("10.1.0.8", ETH1), 4.7)
    node.receive(b"HELLO|", source("10.0.0.9"), 4.8)
    node.receive(hello(3, "l").encode(), source("10.0.0.3"), 4.8)
    node.receive(hello(3, "l", goodbye=True).encode(), source("10.0.0.3"), 4.9)
    return node


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["w", "d", "10.0.0.9"]),
        ({"all": True}, ["old", "w", "d", "10.0.0.9", "l"]),
        ({"states": frozenset({"up"})}, ["w", "d", "10.0.0.9"]),
        ({"states": frozenset({"down"})}, ["old"]),
        ({"states": frozenset({"left", "up"})}, ["w", "d", "10.0.0.9", "l"]),
        ({"states": frozenset({"left"}), "all": True}, ["l"]),
        ({"states": frozenset({"suspect"})}, []),
        ({"name": "web*"}, ["w"]),
        ({"name": "*1"}, ["w", "d"]),
        ({"name": "WEB1"}, []),
        ({"name": "*"}, ["w", "d", "10.0.0.9"]),
        ({"name": "[![a]eb1"}, ["w"]),
        ({"tags": {"rack": "b2"}}, ["w", "d"]),
        ({"tags": {"rack": "b2", "zone": "x"}}, ["d"]),
        ({"tags": {"rack": ""}}, []),
        ({"service": "http"}, ["w"]),
        ({"link": "eth1"}, ["d"]),
        ({"link": "eth0"}, ["w", "10.0.0.9"]),
        ({"link": "eth0", "all": True}, ["old", "w", "10.0.0.9", "l"]),
        ({"service": "http", "link": "eth1"}, []),
    ],
)
def test_filters(node, filters, found):
    assert peers(node, 5.0, **filters) == found


def test_the_list_is_that_of_the_library(node):
    node.receive(hello(1, "w", seq=2, full=False).encode(), source("10.2.0.7"), 4.95)
    node.receive(hello(4, 'q"\\'[0], record=Record(name='"\\é🚀')).encode(), source("10.0.0.4"), 4.99)
    for now in (5.0, 6.37, 8.5999, 8.6, 8.8, 30.0):
        for everything in (False, True):
            answer = json.loads(list_line(node, Filter(all=everything), now))
            expected = [peer_json(peer) for peer in node.peers(now, gone=everything)]
            assert answer["peers"] == expected
            assert list_line(node, Filter(all=everything), now).isascii()


def test_a_list_of_nobody():
    assert list_line(make_node(), Filter(), 0.0) == b'{"ok":true,"schema":1,"peers":[]}\n'


# --- answers ---------------------------------------------------------------------------------------


def test_snapshot(node):
    snapshot, sync = snapshot_lines(node, Filter(), 5.0).splitlines()
    assert json.loads(snapshot) == {
        "event": "snapshot",
        "schema": 1,
        "peers": [peer_json(peer) for peer in node.peers(5.0)],
    }
    assert json.loads(sync) == {"event": "sync", "seq": node.table.seq}


def test_event_line(node):
    [event] = node.receive(b"HELLO|", source("10.0.0.66"), 5.0).events
    assert isinstance(event, Event)
    assert event_line(event).endswith(b"}\n")
    assert json.loads(event_line(event)) == event.to_json()


def test_error_line():
    assert error_line("bad_request", "no") == b'{"ok":false,"error":{"code":"bad_request","message":"no"}}\n'
    assert encode({"a": "é\ud800"}) == b'{"a":"\\u00e9\\ud800"}\n'


def test_show(node):
    answer = show_answer(node, "web1", 5.0)
    assert answer == {"ok": True, "schema": 1, "peers": [peer_json(node.table.get(boot(1)).peer(5.0), paths=True)]}
    with pytest.raises(QueryError, match="no peer has the name, id or address 'web9'") as caught:
        show_answer(node, "web9", 5.0)
    assert caught.value.code == "not_found"


def test_status(node):
    node.poll(node.next_deadline())
    node.receive(b"rubbish", source("10.0.0.9"), 5.0)
    status = status_answer(node, 6.0)
    assert status["node"] == {
        "id": "me", "name": "me", "boot": node.boot, "realm": "default", "tags": {}, "services": [],
    }  # fmt: skip
    assert status["hello"] == {"port": 3400, "interval_s": 0.8, "ttl_s": 4.0}
    assert status["links"] == [
        {
            "name": "eth0", "address": "10.0.0.1", "prefix": 24, "broadcast": "10.0.0.255", "up_s": 6.0,
            "sent": 2, "received": 5, "last_heard_s": 1.1,
        }
    ]  # fmt: skip
    assert status["peers"] == {"up": 3, "suspect": 0, "down": 1, "left": 1}
    assert status["table"] == {"rows": 5, "limit": 4096}
    assert status["sent"] == {"hello": 2, "ping": 0, "pong": 0}
    assert status["received"] == {"hello": 5, "bare": 1, "ping": 0, "pong": 0}
    assert status["drops"] == [{"reason": "malformed", "link": "eth0", "count": 1}]
    assert status["isolated"] is False
    assert sum(status["events"].values()) == node.table.seq
    assert (status["events"]["joined"], status["events"]["left"], status["events"]["clone"]) == (5, 1, 0)
    assert (status["rtt_s"]["count"], status["loss"]["count"]) == (0, 0)
    json.dumps(status)


def test_status_has_the_round_trips_and_the_losses():
    node = make_node()
    peer = hello(1, "n1")
    for seq in range(1, 33):
        if seq % 4:  # a quarter of them lost
            node.receive(replace(peer, seq=seq).encode(), source("10.0.0.1"), seq * 0.8)
    row = node.table.get(boot(1))
    nonce, _ = node.ping(row, 30.0)
    node.receive(Pong(realm="default", boot=boot(1), nonce=nonce, heard_ms=None).encode(), source("10.0.0.1"), 30.002)
    status = status_answer(node, 30.1)
    assert (status["rtt_s"]["count"], status["rtt_s"]["sum"]) == (1, 0.002)
    assert [bucket["count"] for bucket in status["rtt_s"]["buckets"] if bucket["le"] in (0.001, 0.0025)] == [0, 1]
    assert (status["loss"]["count"], status["loss"]["sum"]) == (1, round(row.best(30.1).loss, 6))
    assert [bucket["count"] for bucket in status["loss"]["buckets"] if bucket["le"] in (0.1, 0.3)] == [0, 1]
    assert status_answer(node, 60.0)["loss"]["count"] == 0  # it is down by then


def test_status_gives_the_stretched_interval():
    node = make_node(parameters=Parameters(budget=1))
    for number in range(1, 4):
        node.receive(hello(number, f"n{number}").encode(), source(f"10.0.0.{number}"), 0.0)
    assert status_answer(node, 0.0)["hello"] == {"port": 3400, "interval_s": 4.0, "ttl_s": 20.0}


def test_status_before_anything_happened():
    status = status_answer(make_node(), 0.0)
    assert status["links"][0]["last_heard_s"] is None
    assert status["drops"] == []
