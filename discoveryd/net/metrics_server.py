"""The metrics page: a small HTTP server for whoever scrapes, when ``metrics.listen`` is set.

One thread waits for all clients at once and answers each request when it is there, so a client that asks nothing keeps
no other waiting. What speaks HTTP (`discoveryd.net.scrape`) is imported with the first request.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from discoveryd.net.metrics_client import MetricsClient
from discoveryd.net.udp import explain_bind
from discoveryd.net.web_host import is_ours

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

IP_FREEBIND = 15
"""linux/in.h; `socket` has no name for it."""
CLIENTS = 64
"""Clients at a time, far more than scrape a machine: the one with nothing to read that came first makes room."""
BACKLOG = 128
"""Connections that may wait to be accepted; the kernel refuses more."""
RETRY = 10.0
"""Seconds between two attempts to listen where somebody else does, or where we may not."""
ACCEPT_PAUSE = 1.0
"""Seconds without accepting after the process ran out of descriptors."""


class MetricsServer:
    """Listens and serves.

    Nothing is opened by the constructor. `run` is for one thread; `stop` and `counts` are for any.

    Args:
        address: where to listen. It may be one that this machine does not have yet.
        application: gives the pages; called in the thread of `run`.
        told: called in that thread with what is wrong when it changes, and with an empty text once it listens.

    Attributes:
        error: why it does not listen, with who holds the port where that can be found; empty while it does.
    """

    def __init__(self, address: tuple[str, int], application: WSGIApplication, told: Callable[[str], None]) -> None:
        self.address = address
        self._application = application
        self._told = told
        self.error = ""
        self._next_try: float | None = None
        self._requests = 0
        self._refused = 0
        self._stack = ExitStack()
        self._listener: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None
        self._wake_write: socket.socket | None = None
        self._clients: list[MetricsClient] = []
        self._resumes_at = 0.0  # end of a pause in accepting; 0 while there is none
        self._stopping = False

    def open(self) -> None:
        """Listen; where that cannot be, `run` tries again each `RETRY` seconds: nobody's peers depend on a page.

        Raises:
            OSError: no descriptors for what it needs besides.
        """
        with ExitStack() as stack:
            wake_read, self._wake_write = socket.socketpair()
            for end in (wake_read, self._wake_write):
                stack.enter_context(end)
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._selector.register(wake_read, selectors.EVENT_READ)
            self._stack = stack.pop_all()
        self._listen()

    def _listen(self) -> None:
        """Try to; `error` says why not."""
        assert self._selector is not None
        with ExitStack() as stack:
            try:
                listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)  # started before the network is there
                listener.setblocking(False)
                listener.bind(self.address)
                listener.listen(BACKLOG)
            except OSError as error:
                self.error = str(explain_bind(error, "TCP", *self.address).strerror)
                return
            self.address = listener.getsockname()
            self._selector.register(listener, selectors.EVENT_READ)
            self._listener, self.error = listener, ""
            self._stack.enter_context(stack.pop_all())

    def close(self) -> None:
        """Close everything; legal before `open` and more than once, not while `run` runs."""
        for client in self._clients:
            client.sock.close()
        self._clients.clear()
        self._stack.close()
        self._listener = self._selector = self._wake_write = None

    def stop(self) -> None:
        """Make `run` return, whatever its clients wait for."""
        self._stopping = True
        if self._wake_write is not None:
            self._wake_write.send(b"w")

    def counts(self) -> dict[str, int]:
        """Give what ``status`` says of this server."""
        return {"requests": self._requests, "refused": self._refused}

    def trouble(self, now: float) -> dict[str, str | float | None]:
        """Give why it does not listen, and the seconds to the next attempt; None while it does."""
        due, error = self._next_try, self.error or None
        return {"error": error, "next_try_s": round(max(due - now, 0.0), 3) if error and due is not None else None}

    def run(self, clock: Callable[[], float]) -> None:
        """Serve until `stop`."""
        assert self._selector is not None
        while not self._stopping:
            if self._listener is None:
                self._try_again(clock)
                continue
            ready = self._selector.select(self._patience(clock()))
            if not self._stopping:
                self._turn([key for key, _ in ready], clock())

    def _patience(self, now: float) -> float | None:
        """Return the seconds until something is due without a word from outside."""
        due = [client.due for client in self._clients]
        if self._resumes_at:
            due.append(self._resumes_at)
        return max(min(due) - now, 0.0) if due else None

    def _turn(self, ready: list[selectors.SelectorKey], now: float) -> None:
        assert self._selector is not None
        assert self._listener is not None
        for key in ready:
            if key.data in self._clients:  # else it has just made room
                self._serve(key.data)
            elif key.fileobj is self._listener:
                self._accept(now)
        for client in [client for client in self._clients if client.due <= now]:
            self._drop(client)
        if self._resumes_at and self._resumes_at <= now:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._resumes_at = 0.0

    def _try_again(self, clock: Callable[[], float]) -> None:
        assert self._selector is not None
        self._next_try = clock() + RETRY
        if self._selector.select(RETRY):  # woken: it is to end
            return
        before = self.error
        self._listen()
        if self.error != before:
            self._told(self.error)

    def _accept(self, now: float) -> None:
        assert self._listener is not None
        assert self._selector is not None
        try:
            sock, address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):  # a mistake here, no shortage
                raise
            self._refused += 1
            # the connection stays in the queue: without a pause the loop would spin
            self._selector.unregister(self._listener)
            self._resumes_at = now + ACCEPT_PAUSE
            return
        if len(self._clients) == CLIENTS:
            self._drop(min(self._clients, key=lambda one: (one.is_owed, one.came_at)))
        client = MetricsClient(sock, address, now)
        self._clients.append(client)
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _serve(self, client: MetricsClient) -> None:
        assert self._selector is not None
        try:
            if not client.has_asked:
                if client.read():
                    client.owe(self._answer(client))
                    self._selector.modify(client.sock, selectors.EVENT_WRITE, client)
            elif client.is_owed:
                if client.send():
                    self._selector.modify(client.sock, selectors.EVENT_READ, client)
            elif client.has_left():
                self._drop(client)
        except OSError:  # gone; or no descriptor is left to import the module with
            self._drop(client)

    def _drop(self, client: MetricsClient) -> None:
        assert self._selector is not None
        if not client.has_asked:
            self._refused += 1
        self._clients.remove(client)
        self._selector.unregister(client.sock)
        client.sock.close()

    def _answer(self, client: MetricsClient) -> bytes:
        from discoveryd.net.scrape import answer  # noqa: PLC0415 - a daemon that is not scraped needs no HTTP

        asked = self._requests
        found = answer(client.request, client.address, self.address, self._page)
        if self._requests == asked:
            self._refused += 1
        return found

    def _page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_ours(environ.get("HTTP_HOST", "")):
            start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"discoveryd: ask by an address, by localhost or by the name of this machine\n"]
        self._requests += 1
        return self._application(environ, start_response)
