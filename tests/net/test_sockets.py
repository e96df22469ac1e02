"""The listening socket of a server where accepting fails, and where listening does; and the wake-up."""

import errno
import os
import selectors
import socket
from contextlib import ExitStack

import pytest

from discoveryd.net import sockets
from discoveryd.net.sockets import ACCEPT_PAUSE, NOT_YET, TcpServer, WakeUp, listening_socket
from tests.conftest import descriptors

RETRY = 5.0


def fail(number):
    raise OSError(number, os.strerror(number))


class Listener(socket.socket):
    """Refuses to accept as long as it is told to."""

    failure = None

    def accept(self):
        if self.failure:
            fail(self.failure)
        return super().accept()


class Selector(selectors.DefaultSelector):
    """Refuses to watch as long as it is told to."""

    failure = None

    def register(self, *arguments):
        if self.failure:
            fail(self.failure)
        return super().register(*arguments)


@pytest.fixture
def selector(monkeypatch):
    with Selector() as selector:
        monkeypatch.setattr(sockets.selectors, "DefaultSelector", lambda: selector)
        yield selector


class Server(TcpServer):
    """A server whose clients may be silent for ever."""

    def due(self, client):
        return None


@pytest.fixture
def scene(selector):
    with ExitStack() as stack:
        listener = Listener()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = Server(("127.0.0.1", 0), listener, retry=RETRY)
        server.open()
        stack.callback(server.close)
        client = stack.enter_context(socket.create_connection(server.address))
        yield server, listener, selector, client


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EPERM, errno.EPROTO, errno.EIO, errno.ENETDOWN],
)
def test_after_any_failure_it_pauses_and_accepts_again(scene, number):
    server, listener, selector, client = scene
    listener.failure = number
    assert server.accept(100.0) is None
    assert server.resumes_at == 100.0 + ACCEPT_PAUSE
    assert listener not in selector.get_map()
    listener.failure = None
    server.resume(100.0 + ACCEPT_PAUSE)
    assert server.resumes_at == 0.0
    assert server.wait(0) == ([], True)
    with server.accept(101.0) as accepted:
        assert accepted.getpeername() == client.getsockname()


def test_a_listener_that_cannot_be_watched_is_watched_later(scene):
    server, listener, selector, _ = scene
    listener.failure, selector.failure = errno.EMFILE, errno.ENOMEM
    server.accept(100.0)
    server.resume(101.0)
    assert server.resumes_at == 101.0 + ACCEPT_PAUSE
    assert listener not in selector.get_map()
    selector.failure = None
    server.resume(102.0)
    assert server.resumes_at == 0.0
    assert listener in selector.get_map()


@pytest.mark.parametrize("number", NOT_YET)
def test_a_port_that_cannot_be_bound_is_tried_again(monkeypatch, selector, number):
    failing, told = [number] * 3, []

    def bind(self, address):
        if failing:
            fail(failing.pop())
        super(Listener, self).bind(address)

    monkeypatch.setattr(Listener, "bind", bind, raising=False)
    monkeypatch.setattr(socket, "socket", Listener)
    server = Server(("127.0.0.1", 0), retry=RETRY, forgives=NOT_YET, told=told.append)
    server.open()
    server.resume(100.0)  # once more at once: the holder may have ended since
    assert "127.0.0.1" in server.error
    assert server.trouble(101.0) == {"error": server.error, "next_try_s": RETRY - 1.0}
    server.resume(100.0 + RETRY - 0.1)
    assert len(failing) == 1
    server.resume(100.0 + RETRY)
    assert server.resumes_at == 100.0 + 2 * RETRY
    assert told == []
    server.resume(100.0 + 2 * RETRY)
    assert (server.error, server.resumes_at, told) == ("", 0.0, [""])
    assert server.trouble(200.0) == {"error": None, "next_try_s": None}
    assert server.address[1] > 0
    assert len(selector.get_map()) == 2  # the wake-up too
    server.close()


def test_an_error_that_is_not_forgiven_leaves_nothing_open():
    before = descriptors()
    server = Server(("192.0.2.1", 7), retry=RETRY)
    with pytest.raises(OSError, match="cannot listen on TCP port 7 on"):
        server.open()
    server.close()
    assert descriptors() == before


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_early_socket_needs_no_address_of_this_machine(address):
    with listening_socket((address, 0), is_early=True) as sock:
        assert sock.getsockname()[0] == address
    with pytest.raises(OSError, match="cannot listen on TCP port 0"):
        listening_socket((address, 0))


def test_a_mistake_of_ours_is_loud(scene):
    server, listener, _, _ = scene
    listener.failure = errno.EBADF
    with pytest.raises(OSError, match="Bad file descriptor"):
        server.accept(100.0)


def test_connections_are_watched_for_what_they_wait_for(scene):
    server, _, _, client = scene
    accepted = server.accept(100.0)
    with accepted:
        server.expect(accepted, selectors.EVENT_WRITE, "data")
        assert server.wait(0) == ([("data", selectors.EVENT_WRITE)], False)
        server.expect(accepted, selectors.EVENT_READ, "data")
        assert server.wait(0) == ([], False)
        client.send(b"x")
        assert server.wait(5) == ([("data", selectors.EVENT_READ)], False)
        server.expect(accepted, 0, "data")
        server.expect(accepted, 0, "data")
        assert server.wait(0) == ([], False)


def test_any_number_of_wakes_never_blocks_and_is_drained(scene):
    server, *_ = scene
    server.accept(100.0).close()
    for _ in range(5000):
        server.wake()
    waits = 0
    while server.wait(None if not waits else 0) == ([], False) and waits < 10:
        waits += 1
    assert waits == 10


def test_a_wake_up_that_is_not_open_does_nothing():
    wake_up = WakeUp()
    wake_up.wake()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        wake_up.open(stack, selector)
    wake_up.wake()
