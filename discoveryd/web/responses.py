"""Answers that are long, or without end: sent in pieces, as fast as the client reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from discoveryd.query.reply import error_line
from discoveryd.web.events import Hub
from discoveryd.web.stream import Stream, slices

if TYPE_CHECKING:
    from discoveryd.web.gate import Receive, Scope, Send

JSON = "application/json; charset=utf-8"
PIECE = 65536
"""Bytes that are given to a connection before it has sent them on."""
OWED = 16 << 20
"""Bytes of long answers that wait for their readers, all together; a list of 4,096 peers has 2 million."""


class Owed:
    """What an application owes its clients: all its long answers share a bound.

    Attributes:
        size: bytes of those that are not sent yet.
    """

    def __init__(self) -> None:
        self.size = 0


class Text(Response):
    """An answer that is sent in pieces, each when the one before is on its way, so that a slow reader holds it once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        body = bytes(self.body)
        if len(body) <= PIECE:
            await super().__call__(scope, receive, send)
            return
        owed: Owed = scope["app"].state.owed
        if owed.size and owed.size + len(body) > OWED:
            busy = error_line("busy", "long answers wait for slow readers")
            await Response(busy, 503, {"retry-after": "1"}, JSON)(scope, receive, send)
            return
        owed.size += len(body)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for piece in slices(body, PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            owed.size -= len(body)


class EventStream(Response):
    """A stream of events, until one of both sides ends it."""

    def __init__(self, hub: Hub, stream: Stream) -> None:
        super().__init__(headers={"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._stream = stream

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send what there is to send."""
        gone = asyncio.get_running_loop().create_task(_gone(receive))
        gone.add_done_callback(lambda _: self._stream.close())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while not gone.done() and (chunk := await self._stream.next()) is not None:
                for piece in slices(chunk, PIECE):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._hub.drop(self._stream)
            gone.cancel()


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
