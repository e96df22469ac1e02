"""One HTTP request, read and answered by the standard library, in memory."""

from __future__ import annotations

from io import BufferedIOBase, BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def answer(request: bytes, server: tuple[str, int], application: WSGIApplication) -> bytes:
    """Return the answer of the application; to bytes that are no HTTP, the error page of the library."""
    written = BytesIO()
    host, port = server
    environ = {
        "SERVER_NAME": host, "SERVER_PORT": str(port), "GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_NAME": "",
        "REMOTE_HOST": "", "CONTENT_LENGTH": "",
    }  # fmt: skip
    site = SimpleNamespace(base_environ=environ, get_app=lambda: application)
    _Handler(cast("Any", (request, written)), ("", 0), cast("Any", site))
    return written.getvalue()


class _Handler(WSGIRequestHandler):
    """The handler of the library, on bytes in memory. It logs nothing: the server counts."""

    def setup(self) -> None:
        request, written = cast("tuple[bytes, BytesIO]", self.request)
        self.rfile = cast("Any", BytesIO(request))
        self.wfile = cast("BufferedIOBase", written)

    def finish(self) -> None:
        """Leave the written bytes open."""

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""
