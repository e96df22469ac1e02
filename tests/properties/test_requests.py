"""Any line gives a request that can be answered or a QueryError that can be sent."""

import json

from hypothesis import given
from hypothesis import strategies as st

from discoveryd.errors import QueryError
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.query.engine_status import engine_status
from discoveryd.query.reply import (
    encode,
    error_line,
    list_line,
    open_watch,
    show_answer,
)
from discoveryd.query.request import parse_request
from tests.properties.strategies import fuzz, mutated
from tests.properties.test_receive import SOURCES, make_node
from tests.protocol.samples import hello

OPS = ("list", "show", "status", "watch", "ping", "metrics", "reload", "register", "send", "ask", "messages")
CODES = ("", "http", "bad_request", "unknown_op", "bad_argument", "not_found", "denied")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(("up", "*", "[![", "[a-", "web1")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(("state", "name", "tags", "service", "link", "all", "peer", "count", "timeout_s", "token", "proof", "nonce",
                        "message", "payload", "text", "peers", "everyone", "wait_handled", "names")) | st.text(max_size=5)
requests = st.builds(
    lambda op, fields: json.dumps({"op": op, **fields}).encode(),
    st.sampled_from(OPS) | values,
    st.dictionaries(keys, values, max_size=3),
)
LINES = (
    b"list", b"show web1", b'{"op":"list","state":["up","down"],"tags":{"rack":"b2"},"all":true}', b'{"op":"watch","name":"w[!a-z]*"}',
    b'{"op":"ping","peer":"web1","count":3,"timeout_s":0.5}', b'{"op":"reload","proof":"00ff"}',
    b'{"op":"register","proof":"00ff","service":{"name":"http","port":80,"proto":"tcp","tags":{"path":"/"}}}', b"GET / HTTP/1.1",
    b'{"op":"ask","message":"echo","payload":"aGVsbG8=","everyone":true,"timeout_s":1}', b'{"op":"messages","names":["deploy"],"proof":"00ff"}',
    b'{"op":"send","message":"deploy","text":"v2","peers":["web1","web2"],"wait_handled":true,"proof":"00ff"}',
)  # fmt: skip
ODD = (
    b"", b"{", b"}", b"[" * 3000, b'{"a":' * 500, b"9" * 4400, b"1e999", b"-1", b"NaN", b"\0", b"\xff\xfe", b"\r\n", b'"\\ud800"',
    b"null", b"[![", b"[]-a]", b"[a-]", b"**" * 30, b"\\", b"\xc3", "é".encode(), b" ",
)  # fmt: skip
lines = requests | mutated(LINES, ODD, b'"') | mutated(LINES, ODD, b",") | st.binary(max_size=300)


def populated():
    node = make_node()
    record = Record(name="web1", tags={"rack": "b2"}, services=(Service(name="http", port=80),))
    node.receive(hello(record=record).encode(), SOURCES[1], 0.1)
    node.receive(b"HELLO|", SOURCES[3], 0.1)
    return node


@fuzz
@given(lines)
def test_any_line_is_answered_or_refused(line):
    """10,000 examples under CI=true; for a night of it set DISCOVERYD_FUZZ_EXAMPLES=1000000."""
    node = populated()
    code, message = "", "fine"
    try:
        request = parse_request(line)
        match request.op:
            case "list":
                answer = list_line(node, request.filter, 1.0)
            case "watch":
                answer = open_watch(node, request.filter, 1.0)[0].splitlines()[0]
            case "show" | "ping":
                answer = encode(show_answer(node, request.peer, 1.0))
            case _:
                answer = encode(engine_status(node, 1.0))
        assert request.op in OPS
        assert 1 <= request.count <= 100
        assert 0 < request.timeout <= 60
    except QueryError as error:
        code, message = error.code, error.message
        answer = error_line(code, message)
    assert code in CODES
    assert 0 < len(message) < 500
    assert isinstance(json.loads(answer), dict)
    assert answer.rstrip(b"\n").count(b"\n") == 0
