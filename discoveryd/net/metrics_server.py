"""The metrics page: a small HTTP server for Prometheus, when ``metrics.listen`` is set.

One thread waits for all clients at once and answers each request when it has come, so a silent client keeps no other
waiting. The parser of HTTP (`discoveryd.net.scrape`) is imported with the first request.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from discoveryd.net.metrics_client import MetricsClient
from discoveryd.net.sockets import ANY_ERROR, Acceptor
from discoveryd.net.web_host import is_ours

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CLIENTS = 64
"""Clients at a time, far more than scrape a machine: to make room the first of those with nothing to read is closed."""
BACKLOG = 128
"""Connections that may wait to be accepted; the kernel refuses more."""
RETRY = 10.0
"""Seconds between two attempts to listen where another program does, or where we may not."""


class MetricsServer:
    """Listens and serves.

    Nothing is opened by the constructor. `run` is for one thread; `stop` and `counts` are for any. Where it cannot
    listen, `run` tries again each `RETRY` seconds: the peers of nobody depend on a page.

    Args:
        address: where to listen. It may be an address that this machine does not have yet.
        application: gives the pages; called in the thread of `run`.
        told: called in that thread with what is wrong when it changes, and with an empty text once it listens.
    """

    def __init__(self, address: tuple[str, int], application: WSGIApplication, told: Callable[[str], None]) -> None:
        self._acceptor = Acceptor(
            address, retry=RETRY, forgives=ANY_ERROR, told=told, backlog=BACKLOG, is_early=True
        )
        self._application = application
        self._requests = 0
        self._refused = 0
        self._clients: list[MetricsClient] = []
        self._stopping = False
        self.trouble = self._acceptor.trouble

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._acceptor.address

    @property
    def error(self) -> str:
        """Why it does not listen; empty while it does."""
        return self._acceptor.error

    def open(self) -> None:
        """Listen, or begin to try.

        Raises:
            OSError: no descriptors for what it needs besides.
        """
        self._acceptor.open()

    def close(self) -> None:
        """Close everything; legal before `open` and more than once, not while `run` runs."""
        for client in self._clients:
            client.sock.close()
        self._clients.clear()
        self._acceptor.close()

    def stop(self) -> None:
        """Make `run` return, whatever its clients wait for."""
        self._stopping = True
        self._acceptor.wake()

    def counts(self) -> dict[str, int]:
        """Return what ``status`` shows of this server."""
        return {"requests": self._requests, "refused": self._refused}

    def run(self, clock: Callable[[], float]) -> None:
        """Serve until `stop`."""
        while not self._stopping:
            ready, is_called = self._acceptor.wait(self._patience(clock()))
            if not self._stopping:
                for client, _ in ready:
                    self._serve(client)
                self._turn(clock(), is_called=is_called)

    def _patience(self, now: float) -> float | None:
        """Return the seconds until something is due without a word from outside."""
        due = [client.due for client in self._clients]
        if self._acceptor.resumes_at:
            due.append(self._acceptor.resumes_at)
        return max(min(due) - now, 0.0) if due else None

    def _turn(self, now: float, *, is_called: bool) -> None:
        if is_called:
            self._accept(now)
        for client in [client for client in self._clients if client.due <= now]:
            self._drop(client)
        self._acceptor.resume(now)

    def _accept(self, now: float) -> None:
        sock = self._acceptor.accept(now)
        if sock is None:
            self._refused += self._acceptor.resumes_at > 0
            return
        if len(self._clients) == CLIENTS:
            self._drop(min(self._clients, key=lambda one: (one.is_owed, one.came_at)))
        client = MetricsClient(sock, now)
        self._clients.append(client)
        self._acceptor.watch(sock, selectors.EVENT_READ, client)

    def _serve(self, client: MetricsClient) -> None:
        try:
            if not client.has_asked:
                if client.read():
                    client.owe(self._answer(client))
                    self._acceptor.watch(client.sock, selectors.EVENT_WRITE, client)
            elif client.is_owed:
                if client.send():
                    self._acceptor.watch(client.sock, selectors.EVENT_READ, client)
            elif client.has_left():
                self._drop(client)
        except OSError:  # gone; or no descriptor is left to import the module with
            self._drop(client)

    def _drop(self, client: MetricsClient) -> None:
        if not client.has_asked:
            self._refused += 1
        self._clients.remove(client)
        self._acceptor.watch(client.sock, 0, client)
        client.sock.close()

    def _answer(self, client: MetricsClient) -> bytes:
        from discoveryd.net.scrape import answer  # noqa: PLC0415 - a daemon that is not scraped needs no HTTP

        asked = self._requests
        found = answer(client.request, self.address, self._page)
        if self._requests == asked:
            self._refused += 1
        return found

    def _page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_ours(environ.get("HTTP_HOST", "")):
            start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"discoveryd: ask by an address, by localhost or by the name of this machine\n"]
        self._requests += 1
        return self._application(environ, start_response)
