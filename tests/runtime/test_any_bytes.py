"""Any bytes into either socket of a running node: an error reply or a counter, never a dead or stuck thread.

``DISCOVERYD_FUZZ_EXAMPLES=1000000`` makes it a long run.
"""

import json
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discoveryd.net.query_client import QueryClient
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.runtime.discovery import Discovery
from tests.ear import Ear

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
EXAMPLES = int(os.environ.get("DISCOVERYD_FUZZ_EXAMPLES") or (10_000 if IN_CI else 300))

many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)

WORDS = ("list", "show", "status", "watch", "ping", "metrics", "reboot", "GET / HTTP/1.1", "", "show bert", "ping bert")

FILTERS = ("state", "name", "tags", "service", "link", "all", "peer", "x")
# ready-made oddities: drawing nested values takes longer than trying them
VALUES = (
    None, True, False, 0, -1, 1e308, float("nan"), 10**30, "", "up", "left", "bert", "*", "[z-a", "\ud800", "\0",
    [], ["up"], ["up", 1], [[]], {}, {"role": "gpu"}, {"role": 1}, {"a": {"b": []}},
)  # fmt: skip
objects = st.dictionaries(st.sampled_from(FILTERS), st.sampled_from(VALUES), max_size=3)
# a PING may take a minute if it is asked to; what is tried here is how requests are read
pings = st.sampled_from(VALUES).map(lambda peer: {"op": "ping", "peer": peer, "timeout_s": 0.001})
requests = st.builds(lambda op, rest: {**rest, "op": op}, st.sampled_from([*WORDS[:4], *VALUES]), objects)
lines = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(WORDS).map(str.encode),
    st.one_of(requests, requests, objects, pings).map(lambda found: json.dumps(found).encode()),
    st.just(b"[" * 2000),
    st.just(b"x" * 5000),
)
streams = st.lists(lines, max_size=6).map(b"\n".join)

boots = st.sampled_from(["0123456789abcdef", "00000000000000aa", "x"])
hellos = st.builds(
    lambda *fields: "|".join(map(str, fields)).encode("utf-8", "replace"),
    st.sampled_from(["HELLO", "PING", "PONG", "hello"]),
    st.sampled_from(["1", "2", ""]),
    st.sampled_from(["default", "other", "a b", ""]),
    st.sampled_from(["anna", "bert", "", "x" * 40]),
    boots,
    st.integers(-1, 700_000),
    st.integers(-1, 4_000_000),
    st.sampled_from(["", "s", "g", "sg", "z"]),
    boots,
    st.integers(-1, 2**33),
    st.sampled_from(["", '{"name":"x"}', "{", "[" * 700, '{"name":1}', "\x00", "ü"]),
)
datagrams = st.one_of(st.binary(max_size=1500), hellos, st.sampled_from([b"HELLO|", b"", b"HELLO|\n", b"|" * 1500]))


@pytest.fixture
def pair():
    port = free_port("127.0.0.1", "udp")
    calm = {"port": port, "interval": 0.8, "limits": Limits(newcomers=100_000, source_datagrams=100_000)}
    anna = Discovery(Parameters(loopback="127.0.0.2", **calm), name="anna", node_id="a", query=("127.0.0.2", 0))
    bert = Discovery(Parameters(loopback="127.0.0.3", **calm), name="bert", node_id="b")
    with Ear(port) as ear, anna, bert:
        ear.until(anna.peers)
        with QueryClient(anna.query_address) as client:
            yield anna, port, client


def exchange(address, data):
    """Say something, end our half, and give every line that comes back."""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while it was still being said
        with connection.makefile("rb") as replies:
            return replies.readlines()


@many
@given(data=streams)
def test_any_bytes_into_the_query_socket(pair, data):
    anna, _, client = pair
    greeting, *replies = [json.loads(line) for line in exchange(anna.query_address, data)]
    assert greeting["node"]["name"] == "anna"
    for reply in replies:
        assert isinstance(reply, dict)
        assert reply.get("ok") in (True, None) or set(reply["error"]) == {"code", "message"}
    assert [peer["name"] for peer in client.request("list", name="bert")["peers"]] == ["bert"]


@many
@given(batch=st.lists(datagrams, min_size=1, max_size=5))
def test_any_bytes_into_the_udp_socket(pair, batch):
    anna, port, client = pair
    before = heard(anna)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.99", 0))
        for datagram in batch:
            stranger.sendto(datagram, ("127.0.0.2", port))
        # each of them is counted, understood or dropped for a reason
        for _ in range(10_000):
            assert client.request("list")["ok"]
            if heard(anna) - before >= len(batch):
                return
    raise AssertionError(f"{heard(anna) - before} of {len(batch)} datagrams counted")


def heard(node):
    """Count what came in, whatever became of it."""
    status = node.status()
    return sum(status["received"].values()) + sum(drop["count"] for drop in status["drops"])
