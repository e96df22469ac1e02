"""One connection to the query socket: the requests that came, the lines that are owed, the watch."""

import os
import selectors
import socket
from collections import deque
from contextlib import suppress
from functools import cached_property

from discoveryd.net.owner import owner_of
from discoveryd.protocol.parameters import Limits
from discoveryd.query.proof import NONCE_BYTES
from discoveryd.query.watch import Watch

READ_SIZE = 65536
LONGEST_LINE = 96 * 1024
"""Bytes of a request of a program with the control token: 65,536 of a message in base 64, and the rest."""
REPLIES_AHEAD = 1024 * 1024
"""Bytes that may wait for a client to read them before its next request is answered."""


class Connection:
    """The buffers and the state of one client. It never waits, and decides nothing.

    Args:
        sock: accepted, and not blocking.
        number: unique among connections.
        now: when it was accepted.

    Attributes:
        awaits_reply: a reply comes from another thread; later requests wait, so that replies come in order.
        hears_messages: messages of other nodes, or changes of other sites, are passed on to it.
        has_asked: it was answered something.
        is_admitted: it has proved to have the control token.
        nonce: of its greeting; a proof is for this connection only.
        is_registered: it announces services, which end with it.
        heard_at: when it last sent something.
        closing_at: when it is closed, if it has not gone by then; None while it is served.
        has_ended: it will ask no more, but may still read.
        watch: what it watches, if it does.
    """

    def __init__(self, sock: socket.socket, number: int, now: float) -> None:
        self.sock = sock
        self.number = number
        self.nonce = os.urandom(NONCE_BYTES).hex()
        self.heard_at = now
        self.closing_at: float | None = None
        self.awaits_reply = False
        self.hears_messages = False
        self.has_asked = False
        self.is_admitted = False
        self.is_registered = False
        self.has_ended = False
        self.watch: Watch | None = None
        self.owed_bytes = 0
        self._granted = 0  # bytes owed when the watch began; only what comes on top shows a slow reader
        self._partial = b""
        self._lines: deque[bytes] = deque()
        self._owed: deque[bytes] = deque()
        self._sent = 0  # bytes of _owed[0]

    @cached_property
    def owner(self) -> str:
        """The user of this machine that has the other end, or another machine."""
        return owner_of(self.sock)

    @property
    def is_silent(self) -> bool:
        """Whether it has asked nothing yet, and no byte of a request has come."""
        return not self.has_asked and not _peek(self.sock)

    # --- what comes in --------------------------------------------------------------------------

    def read(self, now: float) -> None:
        """Read what has come.

        Raises:
            OSError: the other end reset the connection.
        """
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:  # the selector was wrong
            return
        if not data:
            self.has_ended = True
            self.watch, self.hears_messages = None, False  # from now on a reader that has gone would not be noticed
            data = b"\n"  # the last line may lack its end
        if self.closing_at is None:  # else it is on its way out, and no request counts
            self.heard_at = now
            *lines, self._partial = (self._partial + data).split(b"\n")
            self._lines.extend(lines)

    def next_line(self) -> bytes | None:
        """Return the next line to answer; None if there is none, or the replies before it are to be read first."""
        return self._lines.popleft() if self.can_be_answered else None

    def longest_line(self, limits: Limits) -> int:
        """Return how long a request may be."""
        return max(limits.query_line, LONGEST_LINE) if self.is_admitted else limits.query_line

    def too_long(self, limits: Limits) -> str:
        """Return what a client is told that sent a longer one."""
        more = "" if self.is_admitted else f"; with a proof of the control token {LONGEST_LINE}"
        key = " (limits.query_line)" if self.longest_line(limits) == limits.query_line else ""
        return f"a request is at most {self.longest_line(limits)} bytes{key}{more}"

    def is_overlong(self, limits: Limits) -> bool:
        """Return whether no whole line waits, and the line that is coming in is too long already."""
        return not self._lines and len(self._partial) > self.longest_line(limits)

    # --- what goes out --------------------------------------------------------------------------

    def owe(self, line: bytes, *, opens: bool = False) -> None:
        """Queue a line to be sent; what `opens` a watch may be of any length."""
        self._owed.append(line)
        self.owed_bytes += len(line)
        if opens:
            self._granted = self.owed_bytes

    def send(self) -> None:
        """Send what the socket takes.

        Raises:
            OSError: the other end is gone.
        """
        with suppress(BlockingIOError):
            while self._owed:
                sent = self.sock.send(memoryview(self._owed[0])[self._sent :])
                self.owed_bytes -= sent
                self._sent += sent
                if self._sent == len(self._owed[0]):
                    self._owed.popleft()
                    self._sent = 0

    def dismiss(self, line: bytes, closing_at: float) -> None:
        """Owe a last line, in place of all that is not sent yet; no request counts from now on."""
        begun = [self._owed[0]] if self._sent else []
        self._owed = deque([*begun, line])
        self.owed_bytes = sum(map(len, self._owed)) - self._sent
        self._lines.clear()
        self._partial = b""
        self.watch, self.hears_messages = None, False
        self.awaits_reply = False
        self.closing_at = closing_at

    def hang_up(self) -> bool:
        """Close our half; return whether the other half is still open. The client closes it once it has read why.

        Closed at once, with unread bytes of a request, the connection would be reset and the reason lost.
        """
        with suppress(OSError):  # gone already
            self.sock.shutdown(socket.SHUT_WR)
            return True
        return False

    # --- what it watches ------------------------------------------------------------------------

    def begin_watch(self, opening: bytes, watch: Watch) -> None:
        """Begin a watch with these lines."""
        self.watch = watch
        self.owe(opening, opens=True)

    def lag(self, limits: Limits) -> str:
        """Return why this watch has to begin anew, if it has: a slow reader, or more peers than there can be."""
        if self.owed_bytes > self._granted + limits.query_backlog:
            return f"more than {limits.query_backlog} bytes wait to be read (limits.query_backlog); watch again"
        if self.watch is not None and len(self.watch.shown) > 2 * limits.peers:  # new boots without end
            return "too many peers came and went; watch again"
        return ""

    # --- what is next ---------------------------------------------------------------------------

    @property
    def is_watching(self) -> bool:
        """Whether it is sent lines without end."""
        return self.watch is not None or self.hears_messages

    @property
    def may_be_silent(self) -> bool:
        """Whether it may send nothing for as long as it likes."""
        return self.is_watching or self.awaits_reply or self.is_registered

    @property
    def is_idle(self) -> bool:
        """Whether it waits for nothing."""
        return self.is_through and not self.may_be_silent

    @property
    def can_be_answered(self) -> bool:
        """Whether a request waits, and no reply has to come or to be read before."""
        return bool(self._lines) and not self.awaits_reply and self.owed_bytes <= REPLIES_AHEAD

    @property
    def wanted_events(self) -> int:
        """What the selector should wait for: writing while lines are owed, reading while no request waits."""
        reads = not (self._lines or self.has_ended)
        return (selectors.EVENT_WRITE if self._owed else 0) | (selectors.EVENT_READ if reads else 0)

    @property
    def is_through(self) -> bool:
        """Whether every request is answered, and the answers are sent."""
        return not (self._owed or self._lines or self.awaits_reply)


def is_over(sock: socket.socket) -> bool:
    """Return whether the other end has closed a connection without a request."""
    return _peek(sock) == b""


def _peek(sock: socket.socket) -> bytes | None:
    """Return the first byte that is not read yet: None if there is none, empty at the end."""
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except OSError:  # reset
        return b""
