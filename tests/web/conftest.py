"""A node, the event loop, and doors that are closed at the end."""

import http.client
import json
import socket
from contextlib import contextmanager
from time import monotonic

import pytest

from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.runtime.discovery import Discovery
from discoveryd.web.door import Door
from discoveryd.web.gate import Rules
from tests.protocol.samples import ETH0, hello, source
from tests.runtime.loops import running_loop
from tests.runtime.waiting import WAIT


@pytest.fixture
def loop():
    with running_loop() as made:
        yield made


@pytest.fixture
def discovery():
    """Give a node that is not started, and has a link."""
    made = Discovery(Parameters(loopback="127.0.0.2", port=free_port("127.0.0.2", "udp")), name="anna")
    made.look(lambda node, now: node.set_links((ETH0,), now))
    return made


@pytest.fixture
def serve(loop):
    """Give a function that serves an application, and returns its door."""
    doors = []

    def open_door(app, rules=Rules(), *, tls=None, address=("127.0.0.1", 0), told=lambda _: None, failed=lambda _: None):  # noqa: B008
        door = Door(loop, address, app, rules, told=told, failed=failed)
        doors.append(door)
        door.admit(rules, tls)
        door.look()
        return door

    yield open_door
    for door in doors:
        door.close()


def ask(door, path, method="GET", body=None, **headers):
    """Give status, headers and body of an answer."""
    connection = http.client.HTTPConnection(*door.address[:2], timeout=WAIT)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def ask_json(door, path, method="GET", body=None, **headers):
    """Give status and JSON of an answer."""
    status, kept, text = ask(door, path, method, body, **headers)
    assert kept["content-type"] == "application/json; charset=utf-8"
    return status, json.loads(text)


@contextmanager
def connected(door):
    with socket.create_connection(door.address[:2], timeout=WAIT) as client:
        yield client


def rest(client):
    """Read to the end; a reset is one too."""
    client.settimeout(WAIT)
    found, deadline = b"", monotonic() + WAIT
    try:
        while chunk := client.recv(65536):
            found += chunk
            assert monotonic() < deadline
    except ConnectionResetError:
        pass
    return found


def say(discovery, number=1, **more):
    """Let a peer say HELLO to a node that is not started, and hear what it does."""
    discovery.perform(lambda node, now: node.receive(hello(number, id=f"p{number}", **more).encode(), source(f"10.0.0.{number + 1}"), now))
