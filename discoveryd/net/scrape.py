"""One HTTP request, read and answered by the standard library, within a time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from io import BufferedIOBase, BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def answer(
    client: socket.socket,
    address: tuple[str, int],
    application: WSGIApplication,
    clock: Callable[[], float],
    deadline: float,
) -> None:
    """Read one request and write the answer of the application.

    Raises:
        OSError: the client has gone; `TooSlow` if it took longer than until `deadline`.
    """
    _Handler(client, address, cast("Any", _Site(client, application, clock, deadline)))


class TooSlow(ConnectionAbortedError):
    """The client took too long; the library takes it as one that has gone."""


class _Site:
    """What the handler asks of the server it belongs to."""

    def __init__(
        self, client: socket.socket, application: WSGIApplication, clock: Callable[[], float], deadline: float
    ) -> None:
        self.clock = clock
        self.deadline = deadline
        self._application = application
        host, port = client.getsockname()
        self.base_environ = {
            "SERVER_NAME": host, "SERVER_PORT": str(port), "GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_NAME": "",
            "REMOTE_HOST": "", "CONTENT_LENGTH": "",
        }  # fmt: skip

    def get_app(self) -> WSGIApplication:
        """Give who answers."""
        return self._application


class _Timed(RawIOBase):
    """Reads and writes a socket until a deadline, however little comes at a time."""

    def __init__(self, client: socket.socket, site: _Site) -> None:
        self._client = client
        self._site = site

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken: int = self._in_time(self._client.recv_into, buffer)
        return taken

    def write(self, data: Any) -> int:
        self._in_time(self._client.sendall, data)
        return len(data)

    def _in_time(self, operation: Callable[[Any], Any], data: Any) -> Any:
        left = self._site.deadline - self._site.clock()
        if left <= 0:
            raise TooSlow
        self._client.settimeout(left)
        try:
            return operation(data)
        except TimeoutError:
            raise TooSlow from None


class _Handler(WSGIRequestHandler):
    """The library's handler on timed streams, which logs nothing: what it did is counted."""

    def setup(self) -> None:
        site = cast("_Site", self.server)
        self.connection = self.request
        self.rfile = BufferedReader(_Timed(self.request, site))
        self.wfile = cast("BufferedIOBase", _Timed(self.request, site))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
