"""The stream of events: what a ``watch`` tells, for browsers, and going on where it was interrupted.

An event has an id, ``RUN-SEQ``: the run of this daemon's stream and the sequence number of the event. A client that
comes back with the last id it had is told what it missed, as long as that is remembered; else it begins anew, with a
snapshot. All of this runs on the event loop but `Hub.wake`.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from discoveryd.errors import QueryError, SubscriptionLagged
from discoveryd.query.reply import error_line, event_line, open_watch
from discoveryd.query.request import Filter
from discoveryd.query.watch import Watch

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.table.peer import Event
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.subscription import Subscription

STREAMS = 32
"""Streams at a time; half of the connections stay free for what is asked and answered."""
REMEMBERED = 1024
"""Events that a client may have missed and still go on."""
REMEMBERED_BYTES = 1 << 20
"""Bytes of these events; one has 300 to 2,000."""
BACKLOG = 1 << 20
"""Bytes of events that may wait for a slow reader; past it the stream ends, and the client begins anew."""
HEARTBEAT = 15.0
"""Seconds of silence after which a comment shows that the stream is alive, to the client and to what is between."""
RETRY = b"retry: 2000\n\n"
"""Milliseconds that a browser waits before it comes back."""
PULSE = b":\n\n"

_EVERYTHING = Filter()


class Stream:
    """What one client is sent.

    Attributes:
        owed: bytes that wait for it.
        is_over: whether nothing follows what is owed.
    """

    def __init__(self, chosen: Filter) -> None:
        self.chosen = chosen
        self.owed = 0
        self.is_over = False
        self._chunks: deque[bytes] = deque([RETRY])
        self._news = asyncio.Event()
        self._early: list[Event] | None = []  # that come before the snapshot has been written; None after it
        self._watch: Watch | None = None
        self._seq = 0

    def begin(self, chunks: list[bytes], seq: int, watch: Watch | None = None) -> list[Event]:
        """Send this first, and of the events only those after `seq`; return those that came meanwhile."""
        self._chunks.extend(chunks)
        self._seq, self._watch = seq, watch
        early, self._early = self._early or [], None
        self._news.set()
        return early

    def tell(self, event: Event, run: str, chunk: bytes) -> None:
        """Send an event, if it is wanted; `chunk` is its text for a client that wants everything."""
        if self._early is not None:
            self._early.append(event)
            return
        if event.seq <= self._seq or self.is_over:
            return
        if self._watch is not None:
            kind = self._watch.kind(event)
            if kind is None:
                return
            chunk = chunk if kind == event.kind else _chunk(run, event.seq, event_line(event, kind))
        if self.owed + len(chunk) > BACKLOG:
            self.end("lagged", f"more than {BACKLOG} bytes wait to be read; come back for a new snapshot")
            return
        self.owed += len(chunk)
        self._chunks.append(chunk)
        self._news.set()

    def end(self, code: str, message: str) -> None:
        """Say why the stream ends, and end it after what is owed."""
        self._chunks.append(_data(error_line(code, message)))
        self.close()

    def close(self) -> None:
        """End it without a word."""
        self.is_over = True
        self._news.set()

    async def next(self) -> bytes | None:
        """Wait for the next bytes, or for the time of a heartbeat; None at the end."""
        while not self._chunks:
            if self.is_over:
                return None
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), HEARTBEAT)
            except TimeoutError:
                return PULSE
        chunk = self._chunks.popleft()
        self.owed -= min(self.owed, len(chunk))
        return chunk


class Hub:
    """Hands the events of a node to the streams.

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
        self.run = os.urandom(4).hex()
        self._discovery = discovery
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._is_called = False
        self._past: deque[tuple[int, bytes]] = deque()
        self._past_bytes = 0
        self._subscription: Subscription = discovery.subscribe()
        self._seq = self._subscription.seq
        discovery.handlers.wakes.append(self.wake)

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

    def end(self, code: str, message: str) -> None:
        """Say why the streams end, and end them."""
        for stream in self.streams:
            stream.end(code, message)

    async def open(self, chosen: Filter, last_id: str) -> Stream:
        """Return a new stream; `last_id` is the id of the last event that the client had, if it had one.

        Raises:
            QueryError: ``busy``.
        """
        if len(self.streams) >= STREAMS:
            raise QueryError("busy", f"{STREAMS} streams of events are open already")
        stream = Stream(chosen)
        self.streams[stream] = None
        with ExitStack() as undo:
            undo.callback(self.drop, stream)
            missed = self._missed(last_id) if chosen == _EVERYTHING else None
            if missed is not None:
                stream.begin(missed, self._seq)
            else:
                await self._open_anew(stream)
            undo.pop_all()
        return stream

    def drop(self, stream: Stream) -> None:
        """Forget a stream."""
        self.streams.pop(stream, None)

    async def _open_anew(self, stream: Stream) -> None:
        opening, watch, seq = await self._look(
            lambda node, now: (*open_watch(node, stream.chosen, now), node.table.seq)
        )
        snapshot, sync, _ = opening.split(b"\n")
        early = stream.begin(
            [_data(snapshot), _chunk(self.run, seq, sync)], seq, None if stream.chosen == _EVERYTHING else watch
        )
        for event in early:
            stream.tell(event, self.run, _chunk(self.run, event.seq, event_line(event)))

    def _missed(self, last_id: str) -> list[bytes] | None:
        """Return the events after an id; None where they are not all known any more."""
        run, _, number = last_id.partition("-")
        if run != self.run or not (number.isascii() and number.isdecimal() and len(number) < 20):
            return None
        last, first = int(number), self._past[0][0] if self._past else self._seq + 1
        if not first - 1 <= last <= self._seq:
            return None
        return [chunk for seq, chunk in self._past if seq > last]

    def _pump(self) -> None:
        self._is_called = False
        try:
            for event in iter(lambda: self._subscription.get(timeout=0), None):
                self._take(event)
        except SubscriptionLagged:
            self._begin_again()

    def _take(self, event: Event) -> None:
        chunk = _chunk(self.run, event.seq, event_line(event))
        self._seq = event.seq
        self._past.append((event.seq, chunk))
        self._past_bytes += len(chunk)
        while len(self._past) > REMEMBERED or self._past_bytes > REMEMBERED_BYTES:
            self._past_bytes -= len(self._past.popleft()[1])
        for stream in self.streams:
            stream.tell(event, self.run, chunk)

    def _begin_again(self) -> None:
        """Subscribe anew after events were lost: the streams have a gap, and end."""
        self._subscription = self._discovery.subscribe()
        self._seq = self._subscription.seq
        self._past.clear()
        self._past_bytes = 0
        self.end("lagged", "events were lost here; come back for a new snapshot")


def _data(line: bytes) -> bytes:
    """Return a line of JSON as an event without an id: the client keeps the id that it has."""
    return b"data: %b\n\n" % line.rstrip(b"\n")


def _chunk(run: str, seq: int, line: bytes) -> bytes:
    """Return a line of JSON as an event with an id."""
    return b"id: %b-%d\n%b" % (run.encode(), seq, _data(line))


def slices(chunk: bytes, size: int) -> Iterator[memoryview]:
    """Yield a text in pieces."""
    view = memoryview(chunk)
    for begin in range(0, len(view), size):
        yield view[begin : begin + size]
