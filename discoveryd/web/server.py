"""The server: uvicorn's HTTP on sockets of our own, within bounds of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from uvicorn import Config
from uvicorn.server import ServerState

from discoveryd.web.connection import REQUEST_TIME, HttpConnection

if TYPE_CHECKING:
    from ssl import SSLContext

    from discoveryd.net.systemd import Listener

CONNECTIONS = 64
"""Connections at a time: to make room, the first of those without a request goes."""
KEEP_ALIVE = 5
"""Seconds that a connection may stay open after an answer, without another request."""
BACKLOG = 128
"""Connections that may wait to be accepted; the kernel refuses more."""
ACCEPT_PAUSE = 1.0
"""Seconds without accepting after it failed, mostly because the process ran out of descriptors."""
LINGER = 0.5
"""Seconds in which a client that is sent away may read why."""
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 33\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\ndiscoveryd: too many connections\n"
)


class HttpServer:
    """Serves an application at one listening socket. Made, and used, on the event loop.

    Args:
        app: the application, ASGI.
        sock: listens, and is closed with the server.
        tls: for every connection; None for plain HTTP.

    Attributes:
        tls: may be replaced; holds for connections that come then.
        refused: connections sent away or cut off: too many, too slow, no HTTP.
    """

    def __init__(self, app: Any, sock: Listener, tls: SSLContext | None) -> None:
        self.tls = tls
        self.refused = 0
        self._sock = sock
        # log_config: the logs of a program that embeds us, and is served by uvicorn itself, are its own
        self._config = Config(
            app, log_config=None, lifespan="off", ws="none", proxy_headers=False, timeout_keep_alive=KEEP_ALIVE
        )
        self._config.load()
        self._state = ServerState()
        self._places: dict[_Place, None] = {}  # in the order in which they came
        self._lingering: set[Listener] = set()
        sock.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._places)

    def abandon(self) -> None:
        """Close the listening socket, and nothing else."""
        self._sock.close()

    async def close(self, patience: float) -> None:
        """Accept no more, let answers that are under way end, and cut off the rest after `patience` seconds."""
        self._accepting.cancel()
        with suppress(asyncio.CancelledError):
            await self._accepting
        self._sock.close()
        for place in [*self._places]:
            place.end_soon()
        if self._places:
            await asyncio.wait([place.task for place in self._places], timeout=patience)
        for place in [*self._places]:
            place.cut()
        if self._places:
            await asyncio.wait([place.task for place in self._places], timeout=patience)
        for sock in [*self._lingering]:
            self._hung_up(sock)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._sock)
            except ConnectionError:  # gone again
                continue
            except OSError:
                # the connection may stay in the queue (no descriptor, no memory): without a pause this would spin
                self.refused += 1
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            self._take_in(sock)
            await asyncio.sleep(0)  # its task, which closes it in the end, begins before the next makes room

    def _take_in(self, sock: Listener) -> None:
        if len(self._places) >= CONNECTIONS:
            self.refused += 1
            idle = next((place for place in self._places if not place.is_busy), None)
            if idle is None:
                self._turn_away(sock)
                return
            self._places.pop(idle)
            idle.cut()
        place = _Place(self._config, self._state, sock, self._count_refused)
        place.task = asyncio.get_running_loop().create_task(place.serve(self.tls))
        self._places[place] = None
        place.task.add_done_callback(lambda _: self._places.pop(place, None))

    def _turn_away(self, sock: Listener) -> None:
        with suppress(OSError):
            if self.tls is None and len(self._lingering) < CONNECTIONS:
                sock.send(BUSY)
                sock.shutdown(1)  # SHUT_WR: closed with unread bytes, the connection would be reset and this lost
                self._lingering.add(sock)
                asyncio.get_running_loop().call_later(LINGER, self._hung_up, sock)
                return
        sock.close()

    def _hung_up(self, sock: Listener) -> None:
        self._lingering.discard(sock)
        sock.close()

    def _count_refused(self) -> None:
        self.refused += 1


class _Place:
    """One accepted connection, from the moment it was accepted: through TLS, if that is spoken, to its end."""

    task: asyncio.Task[None]

    def __init__(self, config: Config, state: ServerState, sock: Listener, cut: Callable[[], None]) -> None:
        self._sock = sock
        due = asyncio.get_running_loop().time() + REQUEST_TIME
        self._connection = HttpConnection(config, state, due, cut)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._connection.is_busy

    async def serve(self, tls: SSLContext | None) -> None:
        """Speak TLS and HTTP until the connection ends."""
        loop = asyncio.get_running_loop()
        patience = {} if tls is None else {"ssl_handshake_timeout": REQUEST_TIME, "ssl_shutdown_timeout": LINGER}
        try:
            await loop.connect_accepted_socket(lambda: self._connection, self._sock, ssl=tls, **patience)
        except OSError:  # no TLS, or too slowly, or gone
            self._sock.close()
            return
        await self._connection.ended.wait()

    def end_soon(self) -> None:
        """Let an answer that is under way be the last."""
        if self._connection.has_begun:
            self._connection.shutdown()
        else:
            self.cut()

    def cut(self) -> None:
        """End it at once."""
        if self._connection.has_begun:
            self._connection.transport.abort()
        else:  # TLS is still being agreed on
            self.task.cancel()
