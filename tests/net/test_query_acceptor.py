"""The listening end of the query socket where accepting fails."""

import errno
import os
import socket
from contextlib import ExitStack

import pytest

from discoveryd.net.query_acceptor import ACCEPT_PAUSE, RETRY, Acceptor


class Listener(socket.socket):
    """Refuses to accept as long as it is told to."""

    failure = None

    def accept(self):
        if self.failure:
            raise OSError(self.failure, os.strerror(self.failure))
        return super().accept()


class Selector:
    """Remembers what is registered, and refuses as long as it is told to."""

    failure = None

    def __init__(self):
        self.registered = set()

    def register(self, sock, *_):
        if self.failure:
            raise OSError(self.failure, os.strerror(self.failure))
        self.registered.add(sock)

    def unregister(self, sock):
        self.registered.remove(sock)


@pytest.fixture
def scene():
    with ExitStack() as stack:
        listener = Listener()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        selector, acceptor = Selector(), Acceptor(("127.0.0.1", 0), listener)
        acceptor.open(stack, selector)
        client = stack.enter_context(socket.create_connection(acceptor.address))
        yield acceptor, listener, selector, client


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EPERM, errno.EPROTO, errno.EIO, errno.ENETDOWN],
)
def test_whatever_fails_it_pauses_and_accepts_again(scene, number):
    acceptor, listener, selector, client = scene
    listener.failure = number
    assert acceptor.accept(100.0) is None
    assert (acceptor.resumes_at, selector.registered) == (100.0 + ACCEPT_PAUSE, set())
    listener.failure = None
    acceptor.resume(100.0 + ACCEPT_PAUSE)
    assert (acceptor.resumes_at, selector.registered) == (0.0, {listener})
    with acceptor.accept(101.0) as accepted:
        assert accepted.getpeername() == client.getsockname()


def test_a_listener_that_cannot_be_watched_now_is_watched_later(scene):
    acceptor, listener, selector, _ = scene
    listener.failure, selector.failure = errno.EMFILE, errno.ENOMEM
    acceptor.accept(100.0)
    acceptor.resume(101.0)
    assert (acceptor.resumes_at, selector.registered) == (101.0 + ACCEPT_PAUSE, set())
    selector.failure = None
    acceptor.resume(102.0)
    assert (acceptor.resumes_at, selector.registered) == (0.0, {listener})


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EADDRNOTAVAIL])
def test_a_port_that_cannot_be_had_now_is_tried_again_and_again(monkeypatch, number):
    failing = [number] * 3

    def bind(self, address):
        if failing:
            raise OSError(failing.pop(), "no")
        super(Listener, self).bind(address)

    monkeypatch.setattr(Listener, "bind", bind, raising=False)
    monkeypatch.setattr(socket, "socket", Listener)
    selector, acceptor = Selector(), Acceptor(("127.0.0.1", 0), is_patient=True)
    with ExitStack() as stack:
        acceptor.open(stack, selector)
        acceptor.resume(100.0)  # once more at once: what held it may have ended since
        assert "127.0.0.1" in acceptor.error
        acceptor.resume(100.0 + RETRY - 0.1)
        assert len(failing) == 1
        acceptor.resume(100.0 + RETRY)
        assert acceptor.resumes_at == 100.0 + 2 * RETRY
        acceptor.resume(100.0 + 2 * RETRY)
        assert (acceptor.error, acceptor.resumes_at, len(selector.registered)) == ("", 0.0, 1)
        assert acceptor.address[1] > 0


def test_a_mistake_of_ours_is_loud(scene):
    acceptor, listener, _, _ = scene
    listener.failure = errno.EBADF
    with pytest.raises(OSError, match="Bad file descriptor"):
        acceptor.accept(100.0)
