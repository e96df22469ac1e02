"""The metrics page: a small HTTP server for whoever scrapes, when ``metrics.listen`` is set.

One request at a time, in one thread; a client has `PATIENCE` for the whole of its exchange. What speaks
HTTP (`discoveryd.net.scrape`) is imported with the first connection.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from discoveryd.net.links import explain_bind

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

IP_FREEBIND = 15
"""linux/in.h; `socket` has no name for it."""
PATIENCE = 2.0
"""Seconds in which a client must have asked and read: a scrape takes 10 ms, the next one waits meanwhile."""
BACKLOG = 16
"""Connections that may wait for their turn; the kernel refuses more."""
RETRY = 10.0
"""Seconds between two attempts to listen where somebody else does, or where we may not."""
ACCEPT_PAUSE = 1.0
"""Seconds without accepting after the process ran out of descriptors."""


class MetricsServer:
    """Listens and serves one client after the other.

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
        self._client: socket.socket | None = None
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
        self._stack.close()
        self._listener = self._selector = self._wake_write = None

    def stop(self) -> None:
        """Make `run` return; the client it is at, if any, is cut off."""
        self._stopping = True
        if self._wake_write is not None:
            self._wake_write.send(b"w")
        client = self._client
        if client is not None:
            with suppress(OSError):  # it has just been served
                client.shutdown(socket.SHUT_RDWR)

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
            self._selector.select()
            if not self._stopping:  # then it is the listener that is ready
                self._accept(clock)

    def _try_again(self, clock: Callable[[], float]) -> None:
        assert self._selector is not None
        self._next_try = clock() + RETRY
        if self._selector.select(RETRY):  # woken: it is to end
            return
        before = self.error
        self._listen()
        if self.error != before:
            self._told(self.error)

    def _accept(self, clock: Callable[[], float]) -> None:
        assert self._listener is not None
        try:
            client, address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):  # a mistake here, no shortage
                raise
            self._refused += 1
            self._pause()
            return
        with client:
            self._client = client
            if not self._stopping:
                self._serve(client, address, clock)
            self._client = None

    def _pause(self) -> None:
        """Leave the connection in the queue for a while: without a pause the loop would spin."""
        assert self._listener is not None
        assert self._selector is not None
        self._selector.unregister(self._listener)
        self._selector.select(ACCEPT_PAUSE)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _serve(self, client: socket.socket, address: tuple[str, int], clock: Callable[[], float]) -> None:
        asked, deadline = self._requests, clock() + PATIENCE
        with suppress(OSError):  # too slow, or gone; or no descriptor is left to read the module with
            from discoveryd.net.scrape import answer  # noqa: PLC0415 - only who is scraped needs HTTP

            answer(client, address, self._counted, clock, deadline)
        if self._requests == asked:
            self._refused += 1
        # closed with something of its request unread, the connection would be reset and the answer lost
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
            while (left := deadline - clock()) > 0 and _drained(client, left):
                pass

    def _counted(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._requests += 1
        return self._application(environ, start_response)


def _drained(client: socket.socket, patience: float) -> bool:
    """Throw away what came; whether more may come."""
    client.settimeout(patience)
    return bool(client.recv(65536))
