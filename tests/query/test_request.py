import json
import tracemalloc

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.record import Service
from discoveryd.query.request import Filter, Request, parse_request
from tests.protocol.samples import source


def error(line):
    with pytest.raises(QueryError) as caught:
        parse_request(line)
    return caught.value.code, caught.value.message


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
        (b'{"op":"list","site":"paris"}', Request(op="list", site="paris")),
        (b'{"op":"watch","site":"all","state":"unknown"}', Request(op="watch", site="all", filter=Filter(states=frozenset({"unknown"})))),
        (b'{"op":"show","peer":"bert","site":"paris"}', Request(op="show", peer="bert", site="paris")),
        (b"sites", Request(op="sites")),
        (b'{"op":"list","with_self":true}', Request(op="list", wants_self=True)),
        (
            b'{"op":"watch","name":"w*","tags":{"a":"b"},"service":"http","link":"eth0","all":true}',
            Request(op="watch", filter=Filter(name="w*", tags={"a": "b"}, service="http", link="eth0", all=True)),
        ),
        (b'{"op":"ping","peer":"a","count":3,"timeout_s":0.5}', Request(op="ping", peer="a", count=3, timeout=0.5)),
        (b'{"op":"ping","peer":"a","count":100,"timeout_s":60}', Request(op="ping", peer="a", count=100, timeout=60.0)),
        (b'{"op":"list","op":"status"}', Request(op="status")),
        (b'{"op":"reload","proof":"t"}', Request(op="reload", proof="t")),
        (b"reload", Request(op="reload")),
        (b'{"op":"ping","peer":"a","proof":"t"}', Request(op="ping", peer="a", proof="t")),
        (b'{"op":"doctor","peer":"a","proof":"t"}', Request(op="doctor", peer="a", proof="t")),
        (b'{"op":"doctor","peer":"a","proof":5}', Request(op="doctor", peer="a")),
        (b"doctor", Request(op="doctor")),
        (b'{"op":"reload","proof":["t"]}', Request(op="reload")),  # a wrong one, which no error shows
        (
            b'{"op":"register","proof":"t","service":{"name":"http","port":80}}',
            Request(op="register", proof="t", service=Service(name="http", port=80)),
        ),
        (
            b'{"op":"register","service":{"name":"dns","port":53,"proto":"udp","tags":{"zone":"lan"}}}',
            Request(op="register", service=Service(name="dns", port=53, proto="udp", tags={"zone": "lan"})),
        ),
    ],
)
def test_a_request(line, request_):
    assert parse_request(line) == request_


HOW = 'send one JSON object per line, such as {"op":"list"}, or a bare word: list'
SERVICE = 'service must be such as {"name":"http","port":80}, with "proto" and "tags" if wanted, not '
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
        (b"{", "bad_request", "not JSON: wrong at character 2"),
        (b'{"op":\xff}', "bad_request", "not JSON: not UTF-8, a number without end, or nested too deep"),
        (b"{}", "bad_request", '"op" is missing; known: list, watch, show, ping, doctor, history, availability, status, metrics, hello, reload, register, maintenance, forget, send, ask, messages, sites'),
        (b'{"op":5}', "bad_request", '"op" is missing; known: list, watch, show, ping, doctor, history, availability, status, metrics, hello, reload, register, maintenance, forget, send, ask, messages, sites'),
        (b"lst", "unknown_op", "unknown op 'lst'; known: list, watch, show, ping, doctor, history, availability, status, metrics, hello, reload, register, maintenance, forget, send, ask, messages, sites"),
        (b'{"op":"\\ud800"}', "unknown_op", "unknown op '\\ud800'; known: list, watch, show, ping, doctor, history, availability, status, metrics, hello, reload, register, maintenance, forget, send, ask, messages, sites"),
        (b"show", "bad_argument", 'show needs "peer": a name, an id (or at least its first 4 characters) or an address'),
        (b'{"op":"ping","peer":""}', "bad_argument", 'ping needs "peer": a name, an id (or at least its first 4 characters) or an address'),
        (b'{"op":"show","peer":5}', "bad_argument", "peer must be a text, not 5"),
        (b"status now", "bad_argument", "status takes no arguments, not 'peer'"),
        (b'{"op":"show","peer":"a","count":1}', "bad_argument", "show takes peer, site, not 'count'"),
        (b'{"op":"list","nam":"a"}', "bad_argument", "list takes state, name, tags, service, link, all, site, with_self, not 'nam'"),
        (b'{"op":"list","state":"gone"}', "bad_argument", STATES + "['gone']"),
        (b'{"op":"list","state":5}', "bad_argument", STATES + "5"),
        (b'{"op":"list","state":[[]]}', "bad_argument", STATES + "[[]]"),
        (b'{"op":"list","tags":["a"]}', "bad_argument", "tags must be an object of texts, not ['a']"),
        (b'{"op":"list","tags":{"a":1}}', "bad_argument", "tags must be an object of texts, not {'a': 1}"),
        (b'{"op":"list","all":1}', "bad_argument", "all must be true or false, not 1"),
        (b'{"op":"list","name":{}}', "bad_argument", "name must be a text, not {}"),
        (b'{"op":"list","name":"' + b"*" * 129 + b'"}', "bad_argument", "name is a glob of at most 128 characters, not 129"),
        (b'{"op":"ping","peer":"a","count":0}', "bad_argument", "count must be 1 to 100, not 0"),
        (b'{"op":"ping","peer":"a","count":true}', "bad_argument", "count must be 1 to 100, not True"),
        (b'{"op":"ping","peer":"a","count":1.5}', "bad_argument", "count must be a whole number, not 1.5"),
        (b'{"op":"ping","peer":"a","count":"1"}', "bad_argument", "count must be 1 to 100, not '1'"),
        (b'{"op":"ping","peer":"a","timeout_s":NaN}', "bad_argument", "timeout_s must be 0.001 to 60, not nan"),
        (b"reload secret", "bad_argument", "reload takes proof, not 'peer'"),
        (b'{"op":"list","site":5}', "bad_argument", "site must be a text, not 5"),
        (b'{"op":"list","site":""}', "bad_argument", "site must be the name of a site, or all, not ''"),
        (b'{"op":"list","state":"unknown"}', "bad_argument", "state must be one or a list of up, suspect, down, left, not ['unknown']"),
        (b'{"op":"show","peer":"a","proof":"t"}', "bad_argument", "show takes peer, site, not 'proof'"),
        (b'{"op":"register"}', "bad_argument", SERVICE + "None"),
        (b'{"op":"register","service":{"name":"a"}}', "bad_argument", SERVICE + "{'name': 'a'}"),
        (b'{"op":"register","service":{"name":"a","port":1,"ports":[]}}', "bad_argument", "a service has name, port, proto, tags, not 'ports'"),
        (
            b'{"op":"register","service":{"name":"a\\n","port":"1","tags":[]}}',
            "bad_argument",
            "services: name: must be 1 to 64 printable characters, not 'a\\n'; "  # noqa: ISC004
            "services.a\\n.port: must be 0 to 65535, not '1'; services.a\\n.tags: must be a mapping of text to text, not []",
        ),
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


def test_globs_of_requests_are_not_kept():
    table = PeerTable()
    table.heard_bare(source("10.0.0.9"), ttl=4.0, now=0.0)
    [peer] = table.peers(0.0)

    def ask(numbers):
        for number in numbers:
            assert not parse_request(b'{"op":"list","name":"' + b"*%d" % number * 5 + b'"}').filter.accepts(peer)

    tracemalloc.start()
    try:
        ask(range(1000, 1550))  # whatever keeps a bounded number of them is full now
        before = tracemalloc.get_traced_memory()[0]
        ask(range(2000, 2300))
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


def test_a_token_is_refused_and_not_shown():
    for line in (b'{"op":"reload","token":"secret"}', b'{"op":"hello","token":"secret"}'):
        with pytest.raises(QueryError, match="the control token is not sent any more") as caught:
            parse_request(line)
        assert caught.value.code == "denied"
    assert "secret" not in repr(parse_request(b'{"op":"reload","proof":"secret"}'))
    for line in (b'{"op":"reload","token":{"secret":1}}', b'{"op":"register","token":"secret"}', b'{"op":"list","token":"secret"}'):
        try:
            found = repr(parse_request(line))
        except QueryError as refused:
            found = refused.message
        assert "secret" not in found


@pytest.mark.parametrize("payload", ["\u00e9", "a", "a b=", "\ud800", "=" * 4])
def test_a_payload_that_is_no_base_64_is_refused(payload):
    line = json.dumps({"op": "ask", "message": "echo", "payload": payload, "everyone": True}).encode()
    with pytest.raises(QueryError, match="payload must be base 64"):
        parse_request(line)


def test_a_message_names_64_peers_at_most():
    def line(count):
        return json.dumps({"op": "ask", "message": "echo", "peers": [f"web{number}" for number in range(count)]}).encode()

    assert len(parse_request(line(64)).draft.to) == 64
    with pytest.raises(QueryError, match="at most 64 peers can be named, not 65: use a filter"):
        parse_request(line(65))


def test_a_proof_is_wanted_of_what_has_one_and_may_do_without():
    for op in (b"ping", b"doctor"):
        assert not parse_request(b'{"op":"%b","peer":"a"}' % op).needs_proof
        proven = parse_request(b'{"op":"%b","peer":"a","proof":"t"}' % op)
        assert proven.needs_proof
        assert proven.signed == f'{{"op":"{op.decode()}","peer":"a"}}'
