"""The metrics page: a small HTTP server for Prometheus, when ``metrics.listen`` is set.

One thread waits for all clients at once and answers each request when it has come, so a silent client keeps no other
waiting. The standard library reads and answers a request, in memory; it is imported with the first request.
"""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from discoveryd.net.owner import read_lines
from discoveryd.net.sockets import ANY_ERROR, TcpServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CLIENTS = 64
"""Clients at a time, far more than scrape a machine: to make room the first of those with nothing to read is closed."""
BACKLOG = 128
"""Connections that may wait to be accepted; the kernel refuses more."""
RETRY = 10.0
"""Seconds between two attempts to listen where another program does, or where we may not."""
ASKING = 0.5
"""Seconds for the request, which Prometheus sends with the connection."""
PATIENCE = 2.0
"""Seconds for the whole exchange; an answer of 30 kB takes 10 ms."""
LONGEST = 65537
"""Bytes of a request: one more than the longest line that the standard library takes."""

_END = re.compile(rb"\r?\n\r?\n")
_CHUNK = 65536

RESOLV_CONF = "/etc/resolv.conf"

_LOCAL = (".local", ".localhost", ".internal", ".home.arpa")
"""Ends of names that cannot be registered."""


class MetricsServer(TcpServer):
    """Listens and serves.

    Nothing is opened by the constructor. `run` is for one thread; `stop` and `counts` are for any. Where it cannot
    listen, `run` tries again each `RETRY` seconds: nothing else depends on the page.

    Args:
        address: where to listen. It may be an address that this machine does not have yet.
        application: gives the pages; called in the thread of `run`.
        told: called in that thread with what is wrong when it changes, and with an empty text once it listens.
    """

    def __init__(self, address: tuple[str, int], application: WSGIApplication, told: Callable[[str], None]) -> None:
        super().__init__(address, retry=RETRY, forgives=ANY_ERROR, told=told, backlog=BACKLOG, is_early=True)
        self._application = application
        self._requests = 0
        self._refused = 0
        self.clients: dict[socket.socket, MetricsClient] = {}

    def counts(self) -> dict[str, int]:
        """Return what ``status`` shows of this server."""
        return {"requests": self._requests, "refused": self._refused}

    def due(self, client: MetricsClient) -> float:
        """Return when to close a connection at the latest."""
        return client.came_at + (PATIENCE if client.has_asked else ASKING)

    def run(self, clock: Callable[[], float]) -> None:
        """Serve until `stop`."""
        while not self.is_stopping:
            ready, is_called = self.wait(self.patience(clock()))
            for client, _ in ready:
                self._serve(client)
            now = clock()
            if is_called:
                self._accept(now)
            for client in [client for client in self.clients.values() if self.due(client) <= now]:
                self._drop(client)
            self.resume(now)

    def _accept(self, now: float) -> None:
        sock = self.accept(now)
        if sock is None:
            self._refused += self.resumes_at > 0
            return
        if len(self.clients) == CLIENTS:
            self._drop(min(self.clients.values(), key=lambda one: (bool(one.owed), one.came_at)))
        self.clients[sock] = MetricsClient(sock, now, self._answer)
        self._serve(self.clients[sock])

    def _serve(self, client: MetricsClient) -> None:
        try:
            events = next(client.steps, 0)
        except OSError:  # gone; or no descriptor is left to import HTTP with
            events = 0
        if events:
            self.expect(client.sock, events, client)
        else:
            self._drop(client)

    def _drop(self, client: MetricsClient) -> None:
        self._refused += not client.has_asked
        del self.clients[client.sock]
        self.expect(client.sock, 0, client)
        client.sock.close()

    def _answer(self, request: bytes) -> bytes:
        """Return the answer of the application; to bytes that are no HTTP, the error page of the library."""
        asked, (host, port) = self._requests, self.address
        environ = {
            "SERVER_NAME": host, "SERVER_PORT": str(port), "GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_NAME": "",
            "REMOTE_HOST": "", "CONTENT_LENGTH": "",
        }  # fmt: skip
        site: Any = SimpleNamespace(base_environ=environ, get_app=lambda: self._page)
        streams: Any = BytesIO(request), BytesIO()
        _handler_class()(streams, ("", 0), site)
        self._refused += self._requests == asked
        head, end, body = bytes(streams[1].getvalue()).partition(b"\r\n\r\n")
        return head + end + (b"" if request.startswith(b"HEAD ") else body)

    def _page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_ours(environ.get("HTTP_HOST", "")):
            start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"discoveryd: ask by an address, by localhost or by the name of this machine\n"]
        self._requests += 1
        return self._application(environ, start_response)


class MetricsClient:
    """The exchange with one connection.

    Args:
        sock: accepted, not blocking.
        now: when it was accepted.
        answer: returns the answer to a request.

    Attributes:
        came_at: when it was accepted.
        has_asked: whether the whole request has come, or all that will come.
        owed: the part of the answer that is left to send.
        steps: the exchange, with the events to wait for before each step.
    """

    def __init__(self, sock: socket.socket, now: float, answer: Callable[[bytes], bytes]) -> None:
        self.sock = sock
        self.came_at = now
        self.has_asked = False
        self.owed = memoryview(b"")
        self.steps = self._exchange(answer)

    def _exchange(self, answer: Callable[[bytes], bytes]) -> Iterator[int]:
        request = b""
        while not self.has_asked:
            yield selectors.EVENT_READ
            try:
                data = self.sock.recv(LONGEST - len(request))
            except BlockingIOError:  # the selector was wrong
                continue
            request += data
            if not request:
                return
            self.has_asked = not data or len(request) == LONGEST or bool(_END.search(request))
        self.owed = memoryview(answer(request))
        while self.owed:
            yield selectors.EVENT_WRITE
            with suppress(BlockingIOError):
                self.owed = self.owed[self.sock.send(self.owed) :]
        self.sock.shutdown(socket.SHUT_WR)
        yield selectors.EVENT_READ
        while self.sock.recv(_CHUNK):  # a connection that is closed with unread bytes is reset, and the answer is lost
            yield selectors.EVENT_READ


def is_ours(host: str) -> bool:
    """Return whether the value of a ``Host`` header means this machine; an empty value is from no browser.

    So do addresses, names without a dot, names in domains that cannot be registered, and this machine's own name, alone
    or in a domain that resolv.conf searches. A web page may give a name of its own domain the address of this machine,
    and then read what is served there as if it were its own (DNS rebinding): the browser still sends that name.
    """
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", host)
    if found is None:
        return False
    name = found[1].lower().removesuffix(".")
    if "." not in name and not name.startswith("["):
        return True
    return _is_address(name) or name.endswith(_LOCAL) or name in _own_names()


def _is_address(name: str) -> bool:
    family = socket.AF_INET6 if name.startswith("[") else socket.AF_INET
    with suppress(OSError):
        socket.inet_pton(family, name.strip("[]").partition("%")[0])
        return True
    return False


def _own_names() -> set[str]:
    """Return the name of this machine, also as the resolver completes it."""
    own = socket.gethostname().lower()
    names = {own}
    for line in read_lines(RESOLV_CONF):
        keyword, *domains = line.split() or [""]
        if keyword in ("search", "domain"):
            names.update(f"{own.partition('.')[0]}.{domain.lower().strip('.')}" for domain in domains)
    return names


@cache
def _handler_class() -> Any:
    from wsgiref.simple_server import WSGIRequestHandler  # noqa: PLC0415 - a daemon that is not scraped needs no HTTP

    class Handler(WSGIRequestHandler):
        """The handler of the library, on bytes in memory. It logs nothing: the server counts."""

        def setup(self) -> None:
            self.rfile, self.wfile = self.request

        def finish(self) -> None:
            """Leave the written bytes open."""

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    return Handler
