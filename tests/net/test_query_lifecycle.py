"""The query server from `open` to `close`, and without descriptors."""

import json
import os
import re
import resource
import socket
import threading
from queue import SimpleQueue
from time import monotonic

import pytest

from discoveryd.net import query_server as module
from discoveryd.net import sockets
from discoveryd.net.query_server import QueryServer
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Limits
from tests.conftest import descriptors
from tests.net.query_stage import GREETING, Backend, Server

# --- ends ---------------------------------------------------------------------------------------------


def test_a_reset_in_the_middle_of_a_reply_harms_nobody(server):
    server.backend.list_answer = {"ok": True, "peers": ["x" * 5_000_000]}
    other = server.connect()
    for _ in range(5):
        client = server.connect(buffer=4096)
        client.send(b"list\nlist\n")
        server.until(lambda: server.owed > 0)
        client.reset()
        server.has(connections=1)
    server.backend.list_answer = {"ok": True}
    assert other.ask(b"list\n") == {"ok": True}


def test_only_a_reply_that_needs_a_descriptor_is_refused(server):
    connection = server.connect()
    refused = connection.ask(b"metrics\n")
    assert refused["error"] == {"code": "failed", "message": "cannot be answered now: Too many open files"}
    assert connection.ask(b"list\n")["ok"]


def test_without_descriptors_it_pauses_and_recovers(server):
    """The connection stays in the queue; without a pause the loop would spin on it."""
    old = server.connect()
    late = socket.socket()
    late.settimeout(10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = socket.socket()
    lowest_free = probe.fileno()
    probe.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        late.connect(server.server.address)
        deadline = monotonic() + 5
        while server.server.refused == 0 and monotonic() < deadline:
            server.settle()
        assert old.ask(b"list\n")["ok"]
        server.settle()
        assert server.server.refused == 1  # not once a round
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.advance(sockets.ACCEPT_PAUSE + 0.1)
    with late, late.makefile("rb") as lines:
        assert json.loads(lines.readline()) == GREETING


def test_stop_tells_everyone_and_closes_everything():
    before = descriptors()
    with Server() as server:
        asking, watcher = server.connect(), server.connect()
        watcher.ask(b"watch\n")
        server.end()
        assert asking.refused() == "stopping"
        assert watcher.refused() == "stopping"
        for client in (asking, watcher):
            client.close()
        server.server.close()
        server.server.close()
        assert descriptors() == before


def test_any_number_of_wakes_never_blocks(server):
    for _ in range(5000):
        server.server.wake()
    assert server.connect().ask(b"list\n")["ok"]


def test_stop_wake_and_close_are_legal_before_open():
    before = descriptors()
    server = QueryServer(("127.0.0.1", 0), Backend(), Limits())
    server.wake()
    server.stop()
    server.close()
    assert descriptors() == before


def test_a_taken_port_is_named_and_nothing_stays_open():
    port = free_port("127.0.0.1", "tcp")
    with socket.create_server(("127.0.0.1", port)):
        before = descriptors()
        server = QueryServer(("127.0.0.1", port), Backend(), Limits())
        with pytest.raises(OSError, match=rf"TCP port {port} on 127.0.0.1 is taken by .*\(pid \d+\)"):
            server.open()
        assert descriptors() == before


def test_a_patient_server_listens_once_the_port_is_free(monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0.05)
    before, told = descriptors(), SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = other.getsockname()
        server = QueryServer(address, Backend(), Limits(), told=told.put)
        server.open()
        thread = threading.Thread(target=server.run, args=(monotonic,))
        thread.start()
        assert re.match(rf"TCP port {address[1]} on 127.0.0.1 is taken by .*pid {os.getpid()}", server.error)
        assert server.trouble(monotonic())["error"] == server.error
    # the port may still be taken for a moment, by a socket that nobody has any more
    assert next(text for text in iter(lambda: told.get(timeout=5.0), None) if not text) == ""
    assert (server.error, server.trouble(monotonic())) == ("", {"error": None, "next_try_s": None})
    with socket.create_connection(address) as client, client.makefile("rb") as lines:
        assert json.loads(lines.readline()) == GREETING
        server.stop()
        thread.join(5.0)
    server.close()
    assert descriptors() == before


def test_a_port_that_was_just_left_can_be_had_at_once():
    with Server() as server:
        client = server.connect()
        address = server.server.address
        server.end()
        assert client.refused() == "stopping"
    again = QueryServer(address, Backend(), Limits())
    again.open()
    again.close()


def test_a_socket_that_listens_already_is_taken_as_it_is():
    """As systemd hands it over; the port could not be bound a second time."""
    before = descriptors()
    inherited = socket.create_server(("127.0.0.1", 0))
    address = inherited.getsockname()
    early = socket.create_connection(address)  # waits in its queue
    server = QueryServer(("127.0.0.1", 1), Backend(), Limits(), inherited)
    server.open()
    assert server.address == address
    thread = threading.Thread(target=server.run, args=(lambda: 0.0,))
    thread.start()
    with early, early.makefile("rb") as lines:
        assert json.loads(lines.readline()) == GREETING
        server.stop()
        thread.join(5.0)
    server.close()
    assert descriptors() == before


def test_an_unexpected_error_ends_the_thread_loudly():
    with Server() as server:
        server.backend.answer = lambda request: 1 // 0
        client = server.connect()
        client.send(b"list\n")
        server.thread.join(5.0)
        assert [type(error) for error in server.failures] == [ZeroDivisionError]
        server.failures.clear()
