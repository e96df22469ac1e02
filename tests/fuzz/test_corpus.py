"""Odd bytes, each in a file of its own under the word it must lead to; what fuzzing finds is added here.

``corpus/datagrams/REASON/NAME`` is dropped for REASON (``ok``: received), ``corpus/lines/CODE/NAME`` is
refused with CODE (``ok``: answered).
"""

import json
from pathlib import Path

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.query import encode, error_line, list_line, show_answer
from discoveryd.protocol.request import parse_request
from tests.protocol.samples import Record, hello, make_node, source

CORPUS = Path(__file__).parent / "corpus"


def files(kind):
    found = sorted(path for path in (CORPUS / kind).rglob("*") if path.is_file())
    assert len(found) > 40
    return [pytest.param(path.parent.name, path.read_bytes(), id=f"{path.parent.name}/{path.name}") for path in found]


@pytest.mark.parametrize(("reason", "datagram"), files("datagrams"))
def test_datagram(reason, datagram):
    node = make_node()
    node.receive(datagram, source(), 1.0)
    node.receive(datagram, source(), 1.1)  # also by the short way, and as a repetition
    if reason == "ok":
        assert sum(node.received.values()) == 2
        assert not node.drops
    else:
        assert sum(node.received.values()) == 0
        assert dict(node.drops) == {(reason, "eth0"): 2}
        assert len(node.table) == 0


@pytest.mark.parametrize(("code", "line"), files("lines"))
def test_line(code, line):
    node = make_node()
    for number, name in enumerate(("web1", "my web server", "w\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"), 1):
        node.receive(hello(number, f"n{number}", record=Record(name=name)).encode(), source(f"10.0.0.{number + 6}"), 1.0)
    try:
        request = parse_request(line)
        answer = encode(show_answer(node, request.peer, 1.1)) if request.peer else list_line(node, request.filter, 1.1)
    except QueryError as error:
        found, answer = error.code, error_line(error.code, error.message)
    else:
        found = "ok"
    assert found == code
    assert len(answer) < 3000
    assert answer.isascii()
    assert answer.count(b"\n") == 1
    assert json.loads(answer)["ok"] is (code == "ok")
