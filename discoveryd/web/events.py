"""The stream of events: what a ``watch`` tells, for browsers, and going on where it was interrupted.

An event has an id, ``RUN-SEQ``: the run of this daemon's stream and the sequence number of the event. A client that
comes back with the last id it had is told what it missed, as long as that is remembered; else it begins anew, with a
snapshot. Streams that tell of other sites too have a numbering of their own (`discoveryd.web.site_events`). All of this
runs on the event loop but `Hub.wake`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from discoveryd.errors import QueryError, SubscriptionLagged
from discoveryd.query.reply import event_line, open_watch
from discoveryd.web.site_events import SiteEvents
from discoveryd.web.stream import EVERYTHING, Past, Stream, unnumbered

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.table.peer import Event
    from discoveryd.query.request import Filter
    from discoveryd.query.watch import Watch
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.subscription import Subscription

STREAMS = 32
"""Streams at a time; half of the connections stay free for what is asked and answered."""


class Hub:
    """Hands the events of a node, and of other sites, to the streams.

    Args:
        discovery: the node.
        look: runs a function on the engine, in a thread, and waits for it.

    Attributes:
        streams: there are.
    """

    def __init__(
        self, discovery: Discovery, look: Callable[[Callable[[Node, float], tuple[bytes, Watch, int]]],
                                                   Awaitable[tuple[bytes, Watch, int]]],
    ) -> None:  # fmt: skip
        self.streams: dict[Stream, None] = {}
        self._here: dict[Stream, None] = {}  # those that are told of this network alone
        self._sites = SiteEvents(discovery.handlers.begin_of_sites)
        self._discovery = discovery
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._is_called = False
        self._subscription: Subscription = discovery.subscribe()
        self._past = Past(self._subscription.seq)
        discovery.handlers.wakes.append(self.wake)

    @property
    def run(self) -> str:
        """That of the ids of events of this network."""
        return self._past.run

    @property
    def remembered(self) -> int:
        """How many events a client that comes back may have missed."""
        return len(self._past)

    def wake(self) -> None:
        """Read the events soon; for any thread."""
        if not self._is_called:
            self._is_called = True
            try:
                self._loop.call_soon_threadsafe(self._pump)
            except RuntimeError:  # the loop has ended
                return

    def close(self) -> None:
        """End every stream, and hear no more."""
        self._discovery.handlers.wakes.remove(self.wake)
        self._subscription.close()
        self.end("stopping", "discoveryd is stopping, or serves no longer here")
        self._sites.close()

    def end(self, code: str, message: str) -> None:
        """Say why the streams end, and end them."""
        for stream in self.streams:
            stream.end(code, message)

    async def open(self, chosen: Filter, last_id: str, site: str = "") -> Stream:
        """Return a new stream.

        Args:
            chosen: the peers that are wanted.
            last_id: the id of the last event that the client had, if it had one.
            site: that is wanted, or `EVERY_SITE`; empty for what this node hears itself.

        Raises:
            QueryError: ``busy``; with a site ``off``, ``not_found``, ``failed``, ``stopping``.
        """
        if len(self.streams) >= STREAMS:
            raise QueryError("busy", f"{STREAMS} streams of events are open already")
        stream = Stream()
        self.streams[stream] = None
        with ExitStack() as undo:
            undo.callback(self.drop, stream)
            if site:
                await self._sites.open(stream, chosen, last_id, site)
            else:
                await self._open(stream, chosen, last_id)
            undo.pop_all()
        return stream

    def drop(self, stream: Stream) -> None:
        """Forget a stream."""
        self.streams.pop(stream, None)
        stream.left()

    async def _open(self, stream: Stream, chosen: Filter, last_id: str) -> None:
        self._here[stream] = None
        stream.left = partial(self._here.pop, stream, None)
        missed = self._past.since(last_id) if chosen == EVERYTHING else None
        if missed is not None:
            stream.begin(missed, self._past.seq)
            return
        opening, watch, seq = await self._look(lambda node, now: (*open_watch(node, chosen, now), node.table.seq))
        snapshot, sync, _ = opening.split(b"\n")
        choose = None if chosen == EVERYTHING else partial(self._choose, watch)
        stream.begin([unnumbered(snapshot), self._past.numbered(seq, sync)], seq, choose)

    def _choose(self, watch: Watch, event: Event, chunk: bytes) -> bytes | None:
        """Return as what a client with a filter is sent an event, None for nothing."""
        kind = watch.kind(event)
        if kind is None or kind == event.kind:
            return None if kind is None else chunk
        return self._past.numbered(event.seq, event_line(event, kind))

    def _pump(self) -> None:
        self._is_called = False
        try:
            for event in iter(lambda: self._subscription.get(timeout=0), None):
                chunk = self._past.numbered(event.seq, event_line(event))
                self._past.add(event.seq, chunk)
                for stream in self._here:
                    stream.tell(event.seq, chunk, event)
        except SubscriptionLagged:
            self._begin_again()

    def _begin_again(self) -> None:
        """Subscribe anew after events were lost: the streams have a gap, and end."""
        self._subscription = self._discovery.subscribe()
        self._past.forget(self._subscription.seq)
        for stream in self._here:
            stream.end("lagged", "events were lost here; come back for a new snapshot")
