"""One client of the metrics page: its request, and the part of the answer that is not sent yet."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

ASKING = 0.5
"""Seconds for the request, which Prometheus sends with the connection."""
PATIENCE = 2.0
"""Seconds for the whole exchange; an answer of 30 kB takes 10 ms."""
LONGEST = 65537
"""Bytes of a request: one more than the longest line that the standard library takes."""

_END = re.compile(rb"\r?\n\r?\n")
_CHUNK = 65536


class MetricsClient:
    """Buffers of one connection; it never waits.

    Args:
        sock: accepted, not blocking.
        now: when it was accepted.

    Attributes:
        request: the part that has come.
        has_asked: whether that is all of it, or all that will come.
        came_at: when it was accepted.
    """

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.came_at = now
        self.request = b""
        self.has_asked = False
        self._owed = memoryview(b"")

    @property
    def is_owed(self) -> bool:
        """Whether a part of the answer is left to send."""
        return bool(self._owed)

    @property
    def due(self) -> float:
        """When to close the connection at the latest."""
        return self.came_at + (PATIENCE if self.has_asked else ASKING)

    def read(self) -> bool:
        """Read the next part of the request, and return whether that is all of it.

        Raises:
            OSError: the client has gone.
        """
        with suppress(BlockingIOError):
            data = self.sock.recv(LONGEST - len(self.request))
            self.request += data
            if not data and not self.request:
                raise ConnectionResetError
            self.has_asked = not data or len(self.request) == LONGEST or bool(_END.search(self.request))
        return self.has_asked

    def owe(self, answer: bytes) -> None:
        """Keep the answer for `send`."""
        self._owed = memoryview(answer)

    def send(self) -> bool:
        """Send what the socket takes, after the last byte the end of the stream, and return whether that was all.

        Raises:
            OSError: the client has gone.
        """
        with suppress(BlockingIOError):
            self._owed = self._owed[self.sock.send(self._owed) :]
        if not self._owed:
            self.sock.shutdown(socket.SHUT_WR)
        return not self._owed

    def has_left(self) -> bool:
        """Discard what came after the request, and return whether nothing more can come.

        A connection that is closed with unread bytes is reset, and the answer is lost.

        Raises:
            OSError: the client has gone.
        """
        with suppress(BlockingIOError):
            return not self.sock.recv(_CHUNK)
        return False
