"""The bounds of the server: clients that say nothing, little, or do not read; too many; a port that is taken; the end."""

import errno
import os
import re
import resource
import select
import socket
import threading
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from time import monotonic, sleep

import pytest

from discoveryd.net.sockets import free_port
from discoveryd.web import connection, server
from discoveryd.web import door as module
from discoveryd.web.door import Door
from discoveryd.web.gate import Rules
from tests.conftest import descriptors
from tests.runtime.waiting import WAIT, until
from tests.web.conftest import ask, connected, rest

BIG = 64 << 20


async def app(scope, receive, send):
    """Answer with the path, with a flood, or never."""
    if scope["path"] == "/never":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/flood":
        for _ in range(BIG >> 16):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def refused(door):
    return door.status()["refused"]


@pytest.mark.parametrize("begun", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"POST /never HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"])
def test_a_request_that_is_not_whole_in_time_is_cut_off(serve, monkeypatch, begun):
    monkeypatch.setattr(server, "REQUEST_TIME", 0.2)
    door = serve(app)
    with connected(door) as slow:
        slow.sendall(begun)
        assert ask(door, "/other")[2] == b"/other"
        assert rest(slow) == b""
    until(lambda: refused(door) == 1)


def test_a_trickling_client_has_no_more_time_than_a_silent_one(serve, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_TIME", 0.3)
    door = serve(app)
    with connected(door) as slow:
        deadline = monotonic() + WAIT
        while not select.select([slow], [], [], 0.02)[0]:  # until it is hung up
            assert monotonic() < deadline
            slow.sendall(b"G")
    until(lambda: refused(door) == 1)
    assert door.status()["requests"] == 0


def test_a_second_request_has_its_time_too(serve, monkeypatch):
    monkeypatch.setattr(connection, "REQUEST_TIME", 0.2)
    door = serve(app)
    with connected(door) as client:
        client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in client.recv(4096)
        client.sendall(b"GET /b HTTP/1.1\r\n")
        rest(client)
    until(lambda: refused(door) == 1)


def test_a_client_that_does_not_read_is_cut_off(serve, monkeypatch):
    monkeypatch.setattr(connection, "STALL", 0.3)
    door = serve(app)
    with connected(door) as slow:
        slow.sendall(b"GET /flood HTTP/1.0\r\nHost: x\r\n\r\n")
        until(lambda: refused(door) == 1)
        assert ask(door, "/fine")[2] == b"/fine"
        assert len(rest(slow)) < BIG
    until(lambda: door.status()["connections"] == 0)


def test_silent_clients_keep_no_other_waiting(serve):
    door = serve(app)
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(connected(door))
        until(lambda: door.status()["connections"] == 16)
        assert ask(door, "/other")[2] == b"/other"
        assert door.status()["connections"] >= 16  # they are waited for still


def test_of_too_many_clients_the_first_silent_one_makes_room(serve, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    door = serve(app)
    with ExitStack() as stack:
        first, *_ = [stack.enter_context(connected(door)) for _ in range(3)]
        until(lambda: door.status()["connections"] == 3)
        assert ask(door, "/")[2] == b"/"
        assert rest(first) == b""
        assert refused(door) == 1


def test_what_makes_room_as_soon_as_it_came_is_closed(serve, loop, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    door, release = serve(app), threading.Event()
    with ExitStack() as stack:
        try:
            loop.call(release.wait, 30)
            clients = [stack.enter_context(connected(door)) for _ in range(6)]
        finally:
            release.set()
        assert [rest(client) for client in clients[:3]] == [b"", b"", b""]
        assert ask(door, "/")[2] == b"/"


def test_where_all_are_busy_a_newcomer_is_told_so(serve, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    door = serve(app)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connected(door)).sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: door.status()["requests"] == 2)
        status, headers, text = ask(door, "/")
        assert (status, headers["retry-after"], text) == (503, "5", b"discoveryd: too many connections\n")
        assert refused(door) == 1


@pytest.mark.parametrize("said", [b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 100_000])
def test_what_is_no_http_is_refused_and_counted(serve, said, capfd):
    door = serve(app)
    with connected(door) as client:
        with suppress(OSError):  # refused before the end
            client.sendall(said)
        assert b" 400 " in (rest(client) or b" 400 ")  # or the reset came first
    until(lambda: refused(door) == 1)
    assert capfd.readouterr() == ("", "")


def test_a_web_socket_is_not_spoken(serve):
    door = serve(app)
    status, _, _ = ask(door, "/x", Connection="Upgrade", Upgrade="websocket")
    assert status in (200, 400)  # as the version of uvicorn has it: an answer over HTTP


def test_closing_ends_silent_and_busy_connections_soon(serve):
    door = serve(app)
    with connected(door) as silent, connected(door) as busy:
        busy.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: door.status()["connections"] == 2 and door.status()["requests"] == 1)
        began = monotonic()
        door.close()
        assert rest(silent) == rest(busy) == b""
        assert monotonic() - began < WAIT / 3
    with pytest.raises(ConnectionRefusedError):
        ask(door, "/")


def test_a_taken_port_is_named_and_had_once_it_is_free(loop, monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0.05)
    before, told = descriptors(), SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as other:
        door = Door(loop, other.getsockname(), app, Rules(), told=told.put, failed=lambda _: None)
        door.look()
        assert re.match(rf"TCP port {door.address[1]} on 127.0.0.1 is taken by .*pid {os.getpid()}", door.error)
        assert told.get_nowait() == door.status()["error"] == door.error
        door.look()
        assert told.empty()  # once
    # the port may still be taken for a moment, by a socket that no process has any more
    until(lambda: door.look() or not door.error)
    assert told.get_nowait() == ""
    assert door.status()["next_try_s"] is None
    assert ask(door, "/x")[2] == b"/x"
    door.close()
    assert descriptors() == before


@pytest.mark.parametrize("number", [errno.EACCES, errno.EADDRNOTAVAIL, errno.EMFILE])
def test_every_obstacle_to_listening_is_told(loop, monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "bind", fail)
    door = Door(loop, ("127.0.0.1", 7), app, Rules(), told=lambda _: None, failed=lambda _: None)
    door.look()
    assert door.error == f"cannot listen on TCP port 7 on 127.0.0.1: {os.strerror(number)}"


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_here_yet_is_no_obstacle(serve, address):
    assert serve(app, address=(address, free_port("127.0.0.1", "tcp"))).error == ""


@pytest.mark.parametrize(("address", "others"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])])
def test_ipv6_is_served_and_every_address_by_two_colons(serve, address, others):
    door = serve(app, address=(address, 0))
    for other in others:
        door.address = (other, door.address[1])
        assert ask(door, "/x")[2] == b"/x"


def test_close_is_legal_before_look_and_more_than_once(loop):
    door = Door(loop, ("127.0.0.1", 0), app, Rules(), told=lambda _: None, failed=lambda _: None)
    door.close()
    door.close()


def test_without_descriptors_it_waits_and_goes_on(serve, monkeypatch):
    monkeypatch.setattr(server, "ACCEPT_PAUSE", 0.2)
    door = serve(app)
    with socket.socket() as client, ExitStack() as spare:
        ask(door, "/")  # all is imported
        until(lambda: door.status()["connections"] == 0)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(number for number, _ in descriptors()) + 1, limits[1]))
        try:
            with suppress(OSError):
                while True:
                    spare.enter_context(socket.socket())
            client.connect(door.address)
            until(lambda: refused(door))
            sleep(0.1)
            assert refused(door) < 10  # it does not spin: that would be thousands
        finally:
            spare.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        client.sendall(b"GET /late HTTP/1.0\r\nHost: x\r\n\r\n")
        assert b"/late" in rest(client)
