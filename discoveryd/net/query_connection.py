"""One connection to the query socket: what its client said, what it is owed, what it watches."""

from __future__ import annotations

import os
import socket
from collections import deque

from discoveryd.net.owner import owner_of
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.events import Event
from discoveryd.query.proof import NONCE_BYTES
from discoveryd.query.request import Filter

READ_SIZE = 65536
REPLIES_AHEAD = 1024 * 1024
"""Bytes that a client may owe us before we read its next request."""


class Connection:
    """The buffers and the state of one client; it never waits, and decides nothing.

    Args:
        sock: accepted, and not blocking.
        number: no other connection has it.
        now: when it came.

    Attributes:
        awaits_reply: one comes from another thread; what was asked after it waits, so that replies come in order.
        has_asked: it was answered something.
        is_admitted: it has proved to have the control token.
        nonce: of its greeting; a proof is for this connection only.
        is_registered: it announces services, which end with it.
        closing_at: when it is closed, if it has not gone by then; None while it is served.
        has_ended: it will ask no more, but may still read.
        shown: of the peers that a watch told it of, id and boot.
    """

    __slots__ = (
        "_granted", "_has_begun", "_lines", "_owed", "_owner", "_partial", "_watched_from", "awaits_reply",
        "closing_at", "has_asked", "has_ended", "heard_at", "is_admitted", "is_registered", "nonce", "number",
        "owed_bytes", "shown", "sock", "watches",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, number: int, now: float) -> None:
        self.sock = sock
        self.number = number
        self.nonce = os.urandom(NONCE_BYTES).hex()
        self.heard_at = now
        self.closing_at: float | None = None
        self.awaits_reply = False
        self.has_asked = False
        self.is_admitted = False
        self.is_registered = False
        self.has_ended = False
        self.watches: Filter | None = None
        self.shown: set[tuple[str, str]] = set()
        self.owed_bytes = 0
        self._watched_from = 0
        self._granted = 0  # bytes owed when the watch began; only what comes on top shows a slow reader
        self._owner = ""
        self._partial = b""
        self._lines: deque[bytes] = deque()
        self._owed: deque[memoryview] = deque()
        self._has_begun = False  # part of _owed[0] was sent

    @property
    def owner(self) -> str:
        """Whose program it is, looked up when first asked for."""
        if not self._owner:
            self._owner = owner_of(self.sock)
        return self._owner

    @property
    def is_silent(self) -> bool:
        """Whether it has asked nothing yet, nor is anything of it on its way."""
        return not self.has_asked and not _waits(self.sock)

    # --- what it says ---------------------------------------------------------------------------

    def read(self, now: float) -> bool:
        """Take in what has come; False if the other end reset the connection."""
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            self.has_ended = True
            self.watches = None  # from now on we would not notice that the reader is gone
            data = b"\n"  # the last line may lack its end
        if self.closing_at is None:  # else whatever it still says no longer matters
            self.heard_at = now
            *lines, self._partial = (self._partial + data).split(b"\n")
            self._lines.extend(lines)
        return True

    def next_line(self) -> bytes | None:
        """Give the next line to answer; None if there is none, or it should first read what it asked for before."""
        return self._lines.popleft() if self.can_be_answered else None

    def is_overlong(self, longest: int) -> bool:
        """Whether the line that is coming in is too long already."""
        return len(self._partial) > longest

    # --- what it is told ------------------------------------------------------------------------

    def owe(self, line: bytes) -> None:
        """Queue a line."""
        self._owed.append(memoryview(line))
        self.owed_bytes += len(line)

    def send(self) -> bool:
        """Send what the socket takes; False if the other end is gone."""
        while self._owed:
            try:
                sent = self.sock.send(self._owed[0])
            except BlockingIOError:
                return True
            except OSError:
                return False
            self.owed_bytes -= sent
            rest = self._owed[0][sent:]
            self._has_begun = bool(rest)
            if rest:
                self._owed[0] = rest
            else:
                self._owed.popleft()
        return True

    def dismiss(self, line: bytes, closing_at: float) -> None:
        """Owe a last line, instead of all it has not read yet; what it says from now on no longer matters."""
        begun = self._owed[0] if self._has_begun else None
        self._owed.clear()
        self.owed_bytes = 0
        if begun is not None:
            self.owe(bytes(begun))
        self.owe(line)
        self._lines.clear()
        self._partial = b""
        self.watches = None
        self.awaits_reply = False
        self.closing_at = closing_at

    def hang_up(self) -> bool:
        """End our half, and say whether the other end still has to; it will once it has read why.

        Closed at once, with something of it unread, the connection would be reset and the reason lost.
        """
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False  # gone already
        return True

    # --- what it watches ------------------------------------------------------------------------

    def watch(self, chosen: Filter, opening: bytes, seq: int, shown: set[tuple[str, str]]) -> None:
        """Begin a watch: with these lines, which stand for the events up to `seq` and show these peers."""
        self.watches, self._watched_from, self.shown = chosen, seq, shown
        self.owe(opening)
        self._granted = self.owed_bytes

    def tell(self, event: Event, line: bytes) -> None:
        """Pass on an event of a peer that matches, or did until this event."""
        if event.seq <= self._watched_from or self.watches is None:
            return
        key, former = (event.peer.id, event.peer.boot), (event.peer.id, event.former)
        was_shown = key in self.shown or (event.former != "" and former in self.shown)
        if event.former:
            self.shown.discard(former)
        if self.watches.accepts(event.peer):
            self.shown.add(key)
        elif was_shown:
            self.shown.discard(key)
        else:
            return
        if event.peer.state in ("down", "left") and not self.watches.wants_gone:
            self.shown.discard(key)
        self.owe(line)

    def lag(self, limits: Limits) -> str:
        """Say why this watch has to begin anew: it reads too slowly, or was told of more peers than there can be."""
        if self.owed_bytes > self._granted + limits.query_backlog:
            return f"more than {limits.query_backlog} bytes wait to be read (limits.query_backlog); watch again"
        if len(self.shown) > 2 * limits.peers:  # new boots without end; a new snapshot starts afresh
            return "too many peers came and went; watch again"
        return ""

    # --- what is next ---------------------------------------------------------------------------

    @property
    def may_be_silent(self) -> bool:
        """Whether nothing need be heard of it for as long as it likes."""
        return self.watches is not None or self.awaits_reply or self.is_registered

    @property
    def is_idle(self) -> bool:
        """Whether it waits for nothing."""
        return self.is_through and not self.may_be_silent

    @property
    def has_lines(self) -> bool:
        """Whether something it asked waits."""
        return bool(self._lines)

    @property
    def can_be_answered(self) -> bool:
        """Whether something it asked waits, and nothing that it has to wait for or read before."""
        return bool(self._lines) and not self.awaits_reply and self.owed_bytes <= REPLIES_AHEAD

    @property
    def wants_to_write(self) -> bool:
        """Whether it is owed something."""
        return bool(self._owed)

    @property
    def wants_to_read(self) -> bool:
        """Whether more may be asked."""
        return not (self._lines or self.has_ended)

    @property
    def is_through(self) -> bool:
        """Whether all it asked is answered and sent."""
        return not (self._owed or self._lines or self.awaits_reply)


def is_over(sock: socket.socket) -> bool:
    """Whether the other end has closed a connection, and said nothing before."""
    return _waits(sock) == b""


def _waits(sock: socket.socket) -> bytes | None:
    """Look at the first byte that is not read yet: None if there is none, empty at the end."""
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except OSError:  # reset
        return b""
