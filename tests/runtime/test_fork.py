"""A forked process: it has a copy of everything but the threads, and what is not its own it must leave alone."""

import os
import socket
import subprocess
import sys
import traceback
from contextlib import ExitStack, suppress
from urllib.request import urlopen

import pytest

from discoveryd.net.query_client import QueryClient
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.client import Client
from discoveryd.runtime.discovery import Discovery
from tests.ear import Ear, is_goodbye

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

PORT_HOLDER = "127.0.0.1"
SCRIPT = """
import sys
from discoveryd import Discovery, Parameters
Discovery(Parameters(port=int(sys.argv[1]), loopback="127.0.7.9", interval=0.1), name="embedded").start()
"""


def in_child(do):
    """Run something in a forked child; give what it returned as text, or its traceback."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = str(do())
        except BaseException:
            told = traceback.format_exc()
        os.write(writing, told.encode()[-60_000:])
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        told = file.read()
    os.waitpid(pid, 0)
    return told


@pytest.fixture
def port():
    return free_port(PORT_HOLDER, "udp")


@pytest.fixture
def pair(port):
    with ExitStack() as stack:
        made = []
        for number, name in enumerate(("anna", "bert"), 1):
            parameters = Parameters(port=port, loopback=f"127.0.7.{number}", interval=0.1)
            made.append(stack.enter_context(Discovery(parameters, name=name, node_id=name, query=("127.0.7.1", 0))))
        yield made


def refusals(*calls):
    told = []
    for call in calls:
        try:
            call()
        except RuntimeError as error:
            told.append(str(error))
        else:
            told.append("no error")
    return "\n".join(told)


def test_in_a_child_everything_says_what_to_do(pair):
    anna = pair[0]
    with Client(anna.query_address) as client, QueryClient(anna.query_address) as query:
        assert client.wait_for(lambda peers: len(peers) == 1, 10)
        events, more = client.subscribe(), anna.subscribe()
        calls = (
            lambda: client.is_connected, client.peers, lambda: client.wait_for(bool, 0.01), client.subscribe,
            client.start, events.get, more.get, lambda: query.request("status"),
            anna.peers, anna.status, anna.summary, anna.subscribe, lambda: anna.ping("bert"), anna.start,
            lambda: anna.set_record(name="c", tags={}, services=()), lambda: anna.offer("x", ()),
            lambda: anna.set_parameters(anna.parameters),
        )  # fmt: skip
        told = in_child(lambda: refusals(*calls)).splitlines()
        assert len(told) == len(calls)
        assert all(f"{os.getpid()}" in one or "another process" in one for one in told)
        assert "gunicorn: in post_fork" in told[0]


def test_what_a_child_leaves_goes_on_in_the_parent(pair, port):
    anna, bert = pair
    with Client(anna.query_address) as client, Ear(port) as ear, ExitStack() as stack:
        assert client.wait_for(lambda peers: len(peers) == 1, 10)

        def leave():
            client.stop()
            anna.stop()
            anna.stop()
            return "left"

        assert in_child(leave) == "left"
        heard = [ear.hear()[0] for _ in range(6)]
        assert not any(map(is_goodbye, heard))
        assert client.is_connected
        assert [peer.name for peer in bert.peers()] == ["anna"]
        stack.callback(bert.stop)


def sockets_of(address):
    """Count the descriptors of this process that are TCP sockets at an address: a listener, and what it accepted."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as sock:
            count += sock.type == socket.SOCK_STREAM and sock.getsockname() == address
    return count


def test_a_child_closes_its_copies_and_the_parent_keeps_its_own(pair):
    """A copy that stayed open would keep the connection from ending when the parent closes it."""
    anna = pair[0]
    with QueryClient(anna.query_address) as one, QueryClient(anna.query_address) as two:
        one.request("status")
        two.request("status")

        def leave():
            before = sockets_of(anna.query_address)
            anna.stop()
            return before, sockets_of(anna.query_address)

        assert in_child(leave) == "(3, 0)"
        assert one.request("status")["ok"]
        assert two.request("status")["query"]["connections"] == 2
        with QueryClient(anna.query_address) as new:
            assert new.request("list")["ok"]


def test_a_child_leaves_the_metrics_to_the_parent(port):
    """A listening socket that stayed open in the child would keep the port."""
    with Discovery(Parameters(port=port, loopback="127.0.7.3"), metrics=("127.0.7.3", 0)) as discovery:

        def leave():
            before = sockets_of(discovery.metrics_address)
            discovery.stop()
            return before, sockets_of(discovery.metrics_address)

        assert in_child(leave) == "(1, 0)"
        with urlopen(f"http://127.0.7.3:{discovery.metrics_address[1]}/metrics", timeout=10) as answer:
            assert answer.status == 200


def test_a_client_not_yet_started_may_be_started_in_the_child(pair):
    client = Client(pair[0].query_address)

    def follow():
        with client:
            return client.wait_for(lambda peers: len(peers) == 1, 10)[0].name

    assert in_child(follow) == "bert"


def test_the_end_of_the_interpreter_says_goodbye(port, pair):
    with pair[1].subscribe() as events:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", SCRIPT, str(port)], check=True, timeout=30, env=environment)
        seen = []
        while not seen or seen[-1] != ("embedded", "left"):
            event = events.get(timeout=10)
            assert event is not None, seen
            seen.append((event.peer.name, event.peer.state))
