"""A door: an address where a site is served, as long as it can be had, and tried again while it cannot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from discoveryd.net.sockets import listening_socket
from discoveryd.web.gate import Gate, Rules
from discoveryd.web.server import BACKLOG, CONNECTIONS, HttpServer

if TYPE_CHECKING:
    from ssl import SSLContext

    from discoveryd.net.systemd import Listener
    from discoveryd.runtime.loop import Loop
    from discoveryd.web.gate import App

RETRY = 10.0
"""Seconds between two attempts to listen where another program does, or where we may not."""
PATIENCE = 0.3
"""Seconds that answers under way have when the door closes; then they are cut off."""


class Door:
    """Serves an application at an address. For the main thread, but `status`, which is for any.

    Args:
        loop: that it runs on.
        address: where. It may be an address that this machine does not have yet.
        app: the application.
        rules: which requests are answered.
        told: called with what is wrong when that changes, and with an empty text once it listens.
        failed: told an exception out of the application; called on the loop.

    Attributes:
        error: why it does not listen; empty while it does.
    """

    def __init__(
        self, loop: Loop, address: tuple[str, int], app: App, rules: Rules, *, told: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self.address = address
        self.error = ""
        self._loop = loop
        self._gate = Gate(app, rules, failed)
        self._told = told
        self._server: HttpServer | None = None
        self._tls: SSLContext | None = None
        self._due = 0.0
        self._refused = 0  # by servers before the present one

    def admit(self, rules: Rules, tls: SSLContext | None) -> None:
        """Let in by these rules, and speak TLS or not, from now on."""
        self._gate.rules, self._tls = rules, tls
        if self._server is not None:
            self._server.tls = tls

    def look(self) -> None:
        """Listen, unless it does, or was tried a short while ago."""
        now = monotonic()
        if self._server is not None or now < self._due:
            return
        before, self._due = self.error, now + RETRY
        try:
            sock = listening_socket(self.address, backlog=BACKLOG, is_early=True)
            with ExitStack() as undo:
                undo.callback(sock.close)
                self._server = self._loop.run(self._open(sock))
                undo.pop_all()
        except OSError as error:  # a TimeoutError of the loop too
            self.error = str(error.strerror or error)
        else:
            self.error, self.address = "", sock.getsockname()[:2]
        if self._server is not None or self.error != before:
            self._told(self.error)

    def close(self, error: str = "") -> None:
        """Listen no more; `error` says why. Safe to call again."""
        server, self._server, self._due = self._server, None, 0.0
        self.error = error
        if server is not None:
            self._refused += server.refused
            with suppress(TimeoutError, RuntimeError):  # the loop hangs, or has ended, which is told elsewhere
                self._loop.run(server.close(PATIENCE), timeout=2 * PATIENCE + 0.3)

    def abandon(self) -> None:
        """Close the socket that a forked child has inherited; the loop is the parent's."""
        if self._server is not None:
            self._server.abandon()

    def status(self) -> dict[str, Any]:
        """Return what ``status`` shows of it."""
        server, gate = self._server, self._gate
        return {
            "connections": server.connections if server else 0,
            "limit": CONNECTIONS,
            "requests": gate.requests,
            "refused": self._refused + gate.refused + (server.refused if server else 0),
            "denied": gate.denied,
            "error": self.error or None,
            "next_try_s": round(max(0.0, self._due - monotonic()), 3) if self.error else None,
        }

    async def _open(self, sock: Listener) -> HttpServer:
        return HttpServer(self._gate, sock, self._tls)
