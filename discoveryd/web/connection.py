"""One connection: uvicorn's reading and writing of HTTP, with an end to every wait for the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

REQUEST_TIME = 10.0
"""Seconds from accepting a connection, and from the first byte of a later request, until a request is whole."""
STALL = 10.0
"""Seconds in which a client must have read what waits for it, 64 kB or the rest of an answer."""

_STATE: dict[str, Any] = {"app_state": {}} if "app_state" in H11Protocol.__init__.__code__.co_varnames else {}
"""A state that nothing here uses: uvicorn takes it since 0.23."""


class HttpConnection(H11Protocol):
    """Reads requests and writes answers.

    Args:
        config: of uvicorn.
        state: shared by all connections of a server.
        due: when its first request must be whole, in the time of the event loop.
        cut: called when a client was too slow, or spoke no HTTP.

    Attributes:
        has_begun: whether HTTP is spoken, after TLS was agreed on where that is spoken.
        ended: set once it is closed.
    """

    def __init__(self, config: Config, state: ServerState, due: float, cut: Callable[[], None]) -> None:
        super().__init__(config=config, server_state=state, **_STATE)
        self.logger = self.access_logger = _Log(cut)  # type: ignore[assignment]
        self.access_log = False
        self.has_begun = False
        self.ended = asyncio.Event()
        self._first_due = due
        self._cut = cut
        self._asking: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a whole request has come that is not answered yet."""
        return self.cycle is not None and not (self.cycle.more_body or self.cycle.response_complete)

    def connection_made(self, transport: Any) -> None:
        """Give the client its time for a request."""
        super().connection_made(transport)
        self.has_begun = True
        self._asking = self.loop.call_at(self._first_due, self._cut_off)

    def connection_lost(self, exc: Exception | None) -> None:
        """End every wait."""
        super().connection_lost(exc)
        self._asking = _end(self._asking)
        self._reading = _end(self._reading)
        self._unset_keepalive_if_required()
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request, which must be whole in time."""
        if not self.flow.write_paused:  # a client that asks again has read the last answer
            self._reading = _end(self._reading)
        super().data_received(data)
        if self.is_busy:
            self._asking = _end(self._asking)
        elif self._asking is None and not self.transport.is_closing():
            self._asking = self.loop.call_later(REQUEST_TIME, self._cut_off)

    def pause_writing(self) -> None:
        """Wait for the client to read, within bounds."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._reading = _end(self._reading)
        if self.cycle is not None and self.cycle.response_complete:
            self._await_reading()

    def on_response_complete(self) -> None:
        """Let the client read the rest, within bounds."""
        super().on_response_complete()
        self._await_reading()

    def _await_reading(self) -> None:
        if self._reading is None and self.transport.get_write_buffer_size():
            self._reading = self.loop.call_later(STALL, self._check_reading)

    def _check_reading(self) -> None:
        self._reading = None
        if self.transport.get_write_buffer_size():
            self._cut_off()

    def _cut_off(self) -> None:
        self._cut()
        self.transport.abort()


class _Log:
    """Takes what uvicorn would log: a warning is a client without HTTP, an error was told by our own application."""

    level = 100

    def __init__(self, warned: Callable[[], None]) -> None:
        self._warned = warned

    def warning(self, *_: object, **__: object) -> None:
        """Count it."""
        self._warned()

    def error(self, *_: object, **__: object) -> None:
        """Leave it."""

    log = info = debug = error


def _end(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """End a timer, if there is one; return what is left, nothing."""
    if timer is not None:
        timer.cancel()
    return None
