"""The HTTP side of the metrics: who is answered, who is cut off, and how it begins and ends."""

import errno
import os
import re
import resource
import select
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from time import monotonic, sleep
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from discoveryd.net import metrics_server as module
from discoveryd.net import sockets
from discoveryd.net.metrics_server import MetricsServer
from discoveryd.net.sockets import free_port
from tests.conftest import descriptors

WAIT = 5.0


def echo(environ, start_response):
    """Say what was asked."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}".encode()]


@contextmanager
def serving(application=echo, address=("127.0.0.1", 0)):
    server = MetricsServer(address, application, lambda _: None)
    server.open()
    thread = threading.Thread(target=server.run, args=(monotonic,))
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(WAIT)
        assert not thread.is_alive()
        server.close()


def fetch(server, path="/", **options):
    with urlopen(Request(f"http://{server.address[0]}:{server.address[1]}{path}", **options), timeout=WAIT) as answer:
        return answer.read()


def wait_for(condition):
    deadline = monotonic() + WAIT
    while not condition():
        assert monotonic() < deadline
        sleep(0.005)


def rest(sock):
    """Read to the end; a reset is one too."""
    sock.settimeout(WAIT)
    found = b""
    try:
        while chunk := sock.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def test_requests_are_answered_and_counted():
    with serving() as server:
        assert fetch(server, "/metrics?a=b") == b"GET /metrics?a=b"
        assert fetch(server, "/", method="POST", data=b"x") == b"POST /?"
        assert server.counts() == {"requests": 2, "refused": 0}


def test_nothing_is_printed_for_what_a_client_asks(capfd):
    with serving() as server:
        fetch(server)
        with socket.create_connection(server.address) as client:
            client.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
            assert b"400" in rest(client)
        assert server.counts() == {"requests": 1, "refused": 1}
    assert capfd.readouterr() == ("", "")


def test_a_failing_application_is_an_error_of_one_page(capfd):
    pages = [ValueError("broken"), b"fine"]

    def application(environ, start_response):
        page = pages.pop(0)
        if isinstance(page, ValueError):
            raise page
        start_response("200 OK", [])
        return [page]

    with serving(application) as server:
        with pytest.raises(HTTPError, match="500"):
            fetch(server)
        assert fetch(server) == b"fine"
    assert "ValueError: broken" in capfd.readouterr().err  # for the journal


@pytest.mark.parametrize("begun", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"])
def test_a_client_without_a_request_is_closed_soon(monkeypatch, begun):
    monkeypatch.setattr(module, "ASKING", 0.2)
    with serving() as server, socket.create_connection(server.address) as slow:
        slow.sendall(begun)
        assert fetch(server, "/other") == b"GET /other?"
        assert rest(slow) == b""
        assert server.counts() == {"requests": 1, "refused": 1}


def test_a_trickling_client_has_no_more_time_than_a_silent_one(monkeypatch):
    monkeypatch.setattr(module, "ASKING", 0.3)
    with serving() as server, socket.create_connection(server.address) as slow:
        deadline = monotonic() + WAIT
        while not select.select([slow], [], [], 0.02)[0]:  # until it is hung up
            assert monotonic() < deadline
            slow.sendall(b"G")
        assert server.counts()["requests"] == 0


def test_a_client_that_does_not_read_is_cut_off(monkeypatch, capfd):
    monkeypatch.setattr(module, "PATIENCE", 1.0)

    def flood(environ, start_response):
        start_response("200 OK", [])
        return [bytes(64 * 1024 * 1024)] if environ["PATH_INFO"] == "/flood" else [b"fine"]

    with serving(flood) as server, socket.create_connection(server.address) as slow:
        slow.sendall(b"GET /flood HTTP/1.0\r\n\r\n")
        assert fetch(server) == b"fine"
        assert len(rest(slow)) < 64 * 1024 * 1024
    assert capfd.readouterr().err == ""


def test_stop_does_not_wait_for_a_slow_client(monkeypatch):
    monkeypatch.setattr(module, "ASKING", 60.0)
    with serving() as server:
        slow = socket.create_connection(server.address)
        wait_for(lambda: server.clients)
    with slow:
        assert rest(slow) == b""


def test_silent_clients_keep_no_other_waiting(monkeypatch):
    monkeypatch.setattr(module, "ASKING", 60.0)
    with serving() as server, ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(socket.create_connection(server.address))
        wait_for(lambda: len(server.clients) == 16)
        assert fetch(server, "/other") == b"GET /other?"
        assert len(server.clients) >= 16  # they are waited for still


def test_of_too_many_clients_the_first_silent_one_makes_room(monkeypatch):
    monkeypatch.setattr(module, "ASKING", 60.0)
    monkeypatch.setattr(module, "CLIENTS", 3)
    with serving() as server, ExitStack() as stack:
        first, *_ = [stack.enter_context(socket.create_connection(server.address)) for _ in range(3)]
        wait_for(lambda: len(server.clients) == 3)
        assert fetch(server) == b"GET /?"
        assert rest(first) == b""
        assert server.counts() == {"requests": 1, "refused": 1}


def test_an_endless_request_is_answered_within_a_bound():
    with serving() as server, socket.create_connection(server.address) as client:
        with suppress(OSError):  # refused before the end
            client.sendall(b"GET /" + b"x" * 100_000)
        wait_for(lambda: server.counts() == {"requests": 0, "refused": 1})


@pytest.mark.parametrize("host", ["127.0.0.1:9341", "[::1]", "localhost", "prometheus-target:80"])
def test_a_host_that_is_ours_is_answered(host):
    with serving() as server:
        assert fetch(server, headers={"Host": host}) == b"GET /?"


def test_a_web_page_of_another_name_reads_nothing():
    with serving() as server:
        with pytest.raises(HTTPError, match="421") as caught:
            fetch(server, "/metrics", headers={"Host": f"rebound.example:{server.address[1]}"})
        assert b"by the name of this machine" in caught.value.read()
        assert server.counts() == {"requests": 0, "refused": 1}


def test_a_taken_port_is_named_and_had_once_it_is_free(monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0.05)
    before, told = descriptors(), SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = other.getsockname()
        server = MetricsServer(address, echo, told.put)
        server.open()
        thread = threading.Thread(target=server.run, args=(monotonic,))
        thread.start()
        assert re.match(rf"TCP port {address[1]} on 127.0.0.1 is taken by .*pid {os.getpid()}", server.error)
        assert server.trouble(monotonic())["error"] == server.error
    # the port may still be taken for a moment, by a socket that no process has any more
    assert next(text for text in iter(lambda: told.get(timeout=WAIT), None) if not text) == ""
    assert server.trouble(monotonic()) == {"error": None, "next_try_s": None}
    assert fetch(server) == b"GET /?"
    server.stop()
    thread.join(WAIT)
    server.close()
    assert descriptors() == before


@pytest.mark.parametrize("number", [errno.EACCES, errno.EADDRNOTAVAIL, errno.EMFILE])
def test_every_obstacle_to_listening_is_told(monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    server = MetricsServer(("127.0.0.1", 7), echo, lambda _: None)
    monkeypatch.setattr(socket.socket, "bind", fail)
    server.open()
    server.close()
    assert server.error == f"cannot listen on TCP port 7 on 127.0.0.1: {os.strerror(number)}"


def test_an_address_that_is_not_here_yet_is_no_obstacle():
    server = MetricsServer(("192.0.2.1", free_port("127.0.0.1", "tcp")), echo, lambda _: None)
    server.open()
    server.close()


def test_stop_and_close_are_legal_before_open_and_more_than_once():
    server = MetricsServer(("127.0.0.1", 0), echo, lambda _: None)
    server.stop()
    server.close()
    server.close()


def use_up_descriptors():
    made = []
    with suppress(OSError):
        while True:
            made.append(socket.socket())
    return made


def test_without_descriptors_it_waits_and_goes_on(monkeypatch):
    monkeypatch.setattr(sockets, "ACCEPT_PAUSE", 0.2)
    with serving() as server, socket.socket() as client:
        before = len(descriptors())
        fetch(server)  # all is imported
        deadline = monotonic() + WAIT
        while len(descriptors()) > before:  # its connection ends a moment after the answer
            assert monotonic() < deadline
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(number for number, _ in descriptors()) + 1, limits[1]))
        try:
            spare = use_up_descriptors()
            client.connect(server.address)
            deadline = monotonic() + WAIT
            while not server.counts()["refused"]:
                assert monotonic() < deadline
            select.select([client], [], [], 0.1)
            assert server.counts()["refused"] < 10  # it does not spin: that would be thousands
        finally:
            for one in spare:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        client.sendall(b"GET /late HTTP/1.0\r\n\r\n")
        assert b"GET /late" in rest(client)
