"""The streams of events that tell of other sites too: what a ``watch`` with a site tells.

All that want every peer of their site share one watch of all sites, whose events are remembered for those that come
back. It begins with the first of these streams and ends `KEEP` seconds after the last, and with it the numbering. A
stream with a filter has a watch of its own, and always begins with a snapshot.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from discoveryd.errors import QueryError
from discoveryd.query.fields import EVERY_SITE
from discoveryd.query.request import Request
from discoveryd.web.stream import EVERYTHING, Past, Stream, unnumbered

if TYPE_CHECKING:
    from discoveryd.query.request import Filter

KEEP = 60.0
"""Seconds for which a client may be away when there is no other."""
PATIENCE = 10.0
"""Seconds that the first lines of a watch may take."""

Begin = Callable[[Request, Callable[..., None]], Callable[[], object]]
"""Begins a request about sites, and returns what ends it (`discoveryd.runtime.query_handlers.SiteAnswer`)."""


class Watching:
    """A watch of sites, begun at once.

    Args:
        begin: begins it.
        request: the ``watch``.
        told: given ``sync`` and each event: its JSON, and its line.
        over: given code and message, if it ends by itself.

    Raises:
        QueryError: ``off``, ``not_found``.
    """

    def __init__(
        self, begin: Begin, request: Request, told: Callable[[Mapping[str, Any], bytes], None],
        over: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._told, self._over = told, over
        self._first: asyncio.Future[bytes] = self._loop.create_future()
        self._is_over = False
        self._end = begin(request, self._reply)

    async def first(self) -> tuple[bytes, bytes, int]:
        """Return the lines ``snapshot`` and ``sync``, and the number in the latter.

        Raises:
            QueryError: it was refused, or ``failed``: that takes too long.
        """
        try:
            lines = await asyncio.wait_for(asyncio.shield(self._first), PATIENCE)
        except TimeoutError:
            raise QueryError("failed", "the sites do not answer now") from None
        snapshot, _, sync = lines.rstrip(b"\n").rpartition(b"\n")
        found = json.loads(sync)
        if "error" in found:
            raise QueryError(found["error"]["code"], found["error"]["message"])
        return snapshot, sync, found["seq"]

    def end(self) -> None:
        """End it; nothing more is told."""
        self._is_over = True
        self._end()

    def _reply(self, lines: bytes, **_: Any) -> None:
        self._loop.call_soon_threadsafe(self._take, lines)

    def _take(self, lines: bytes) -> None:
        if self._is_over:
            return
        if not self._first.done():
            self._first.set_result(lines)
        line = lines.rstrip(b"\n").rpartition(b"\n")[2]
        found = json.loads(line)
        if "error" in found:
            self.end()
            self._over(found["error"]["code"], found["error"]["message"])
        else:
            self._told(found, line)


class SiteEvents:
    """Hands the events of all sites to the streams that want them.

    Args:
        begin: begins a watch.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._sharing: dict[Stream, str] = {}  # the site that each wants
        self._shared: Watching | None = None
        self._past = Past()
        self._ending: asyncio.TimerHandle | None = None

    async def open(self, stream: Stream, chosen: Filter, last_id: str, site: str) -> None:
        """Begin a stream, as `Hub.open`."""
        request = Request(op="watch", filter=chosen, site=site)
        if chosen != EVERYTHING:
            await self._open_alone(stream, request)
            return
        self._sharing[stream] = site
        stream.left = partial(self._leave, stream)
        past = await self._share()
        opening = Watching(self._begin, request, lambda *_: None, lambda *_: None)
        try:
            missed = past.since(last_id, lambda of: site in (EVERY_SITE, of))
            if missed is not None:
                stream.begin(missed, past.seq)
            else:
                snapshot, sync, seq = await opening.first()
                stream.begin([unnumbered(snapshot), past.numbered(seq, sync)], seq)
        finally:
            opening.end()

    def close(self) -> None:
        """Watch no more."""
        if self._ending is not None:
            self._ending.cancel()
        shared, self._shared, self._ending = self._shared, None, None
        if shared is not None:
            shared.end()

    async def _share(self) -> Past:
        """Have the watch of all sites, and return what it tells."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._shared is None:
            self._past = Past()
            every = Request(op="watch", filter=EVERYTHING, site=EVERY_SITE)
            self._shared = Watching(self._begin, every, self._take, self._lose)
        past = self._past
        await self._shared.first()
        return past

    async def _open_alone(self, stream: Stream, request: Request) -> None:
        past = Past()

        def tell(found: Mapping[str, Any], line: bytes) -> None:
            stream.tell(found["seq"], past.numbered(found["seq"], line))

        watching = Watching(self._begin, request, tell, stream.end)
        stream.left = watching.end
        snapshot, sync, seq = await watching.first()
        stream.begin([unnumbered(snapshot), past.numbered(seq, sync)], seq)

    def _leave(self, stream: Stream) -> None:
        self._sharing.pop(stream, None)
        if not self._sharing and self._shared is not None and self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(KEEP, self._rest)

    def _rest(self) -> None:
        """End the watch that is shared, if no client has come back."""
        self._ending = None
        if not self._sharing:
            self.close()

    def _take(self, found: Mapping[str, Any], line: bytes) -> None:
        seq = found["seq"]
        if found["event"] == "sync":
            self._past.forget(seq)
            return
        site = found["peer"]["site"] if "peer" in found else found["site"]
        chunk = self._past.numbered(seq, line)
        self._past.add(seq, chunk, site)
        for stream, wanted in self._sharing.items():
            if wanted in (EVERY_SITE, site):
                stream.tell(seq, chunk)

    def _lose(self, code: str, message: str) -> None:
        """End the streams with the watch that they share."""
        self.close()
        for stream in self._sharing:
            stream.end(code, message)
