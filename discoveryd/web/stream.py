"""What one client of the events is sent, and the last events, for clients that come back. For the event loop alone."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from discoveryd.query.reply import error_line
from discoveryd.query.request import Filter

if TYPE_CHECKING:
    from discoveryd.protocol.table.peer import Event

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
EVERYTHING = Filter()
"""The filter of a stream that can go on where it was."""


class Stream:
    """What one client is sent.

    Attributes:
        owed: bytes that wait for it.
        is_over: whether nothing follows what is owed.
        left: to be called when it is dropped.
    """

    def __init__(self) -> None:
        self.owed = 0
        self.is_over = False
        self.left: Callable[[], object] = lambda: None
        self._chunks: deque[bytes] = deque([RETRY])
        self._news = asyncio.Event()
        self._early: list[tuple[int, bytes, Event | None]] | None = []  # that come before the first lines; None after
        self._choose: Callable[[Event, bytes], bytes | None] | None = None
        self._seq = -1

    def begin(
        self, chunks: list[bytes], seq: int, choose: Callable[[Event, bytes], bytes | None] | None = None
    ) -> None:
        """Send this first, and of the events only those after `seq`, also those that have come meanwhile.

        Args:
            chunks: to send.
            seq: of the last event that is in them.
            choose: returns what to send of an event and its text, None for nothing; without it all are sent.
        """
        early, self._early = self._early or [], None
        if self.is_over:
            return
        self._chunks.extend(chunks)
        self._seq, self._choose, self.owed = seq, choose, 0
        self._news.set()
        for one in early:
            self.tell(*one)

    def tell(self, seq: int, chunk: bytes, event: Event | None = None) -> None:
        """Send an event, if it is wanted.

        Args:
            seq: of the event.
            chunk: its text, for a client that wants everything.
            event: the event itself, for one that does not.
        """
        if seq <= self._seq or self.is_over:
            return
        if self._choose is not None and event is not None:
            chosen = self._choose(event, chunk)
            if chosen is None:
                return
            chunk = chosen
        if self.owed + len(chunk) > BACKLOG:
            self.end("lagged", f"more than {BACKLOG} bytes wait to be read; come back for a new snapshot")
            return
        self.owed += len(chunk)
        if self._early is not None:
            self._early.append((seq, chunk, event))
            return
        self._chunks.append(chunk)
        self._news.set()

    def end(self, code: str, message: str) -> None:
        """Say why the stream ends, and end it after what is owed."""
        self._chunks.append(unnumbered(error_line(code, message)))
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


class Past:
    """The last events of one numbering, each with its id: the run of the numbering, and the number.

    Args:
        seq: of the last event before.

    Attributes:
        run: of the numbering.
        seq: of the last event.
    """

    def __init__(self, seq: int = 0) -> None:
        self.run = os.urandom(4).hex()
        self.seq = self._before = seq
        self._kept: deque[tuple[int, bytes, str]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many events are remembered."""
        return len(self._kept)

    def numbered(self, seq: int, line: bytes) -> bytes:
        """Return a line of JSON as an event with an id."""
        return b"id: %b-%d\n%b" % (self.run.encode(), seq, unnumbered(line))

    def add(self, seq: int, chunk: bytes, site: str = "") -> None:
        """Remember an event, and the site that it is about, where there are several."""
        self.seq = seq
        self._kept.append((seq, chunk, site))
        self._bytes += len(chunk)
        while len(self._kept) > REMEMBERED or self._bytes > REMEMBERED_BYTES:
            self._before, first, _ = self._kept.popleft()
            self._bytes -= len(first)

    def forget(self, seq: int) -> None:
        """Begin anew after this number."""
        self.seq = self._before = seq
        self._kept.clear()
        self._bytes = 0

    def since(self, last_id: str, is_wanted: Callable[[str], bool] = lambda _: True) -> list[bytes] | None:
        """Return the events after an id, of the sites that are wanted; None where not all are known any more."""
        run, _, number = last_id.partition("-")
        if run != self.run or not (number.isascii() and number.isdecimal() and len(number) < 20):
            return None
        last = int(number)
        if not self._before <= last <= self.seq:
            return None
        return [chunk for seq, chunk, site in self._kept if seq > last and is_wanted(site)]


def unnumbered(line: bytes) -> bytes:
    """Return a line of JSON as an event without an id: the client keeps the id that it has."""
    return b"data: %b\n\n" % line.rstrip(b"\n")


def slices(chunk: bytes, size: int) -> Iterator[memoryview]:
    """Yield a text in pieces."""
    view = memoryview(chunk)
    for begin in range(0, len(view), size):
        yield view[begin : begin + size]
