"""The query socket: one selector loop that serves every local program.

It moves lines. What a request means is its `Backend`'s business; a backend never blocks.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Protocol

from discoveryd.errors import QueryError
from discoveryd.net.links import explain_bind
from discoveryd.net.systemd import Listener
from discoveryd.protocol.events import Event
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.query import Filter, Request, error_line, event_line, parse_request

READ_SIZE = 65536
REPLIES_AHEAD = 1024 * 1024
"""Bytes that a client may owe us before we read its next request."""
LINGER = 1.0
"""Seconds in which a client that is being sent away may still read why."""
ACCEPT_PAUSE = 1.0
"""Seconds without accepting after the process ran out of descriptors."""


class Backend(Protocol):
    """What the server asks; called in its thread."""

    def greeting(self) -> bytes:
        """Give the line sent on connect."""

    def answer(self, request: Request) -> bytes:
        """Give the reply line to ``list``, ``show``, ``status`` or ``metrics``.

        Raises:
            QueryError: which becomes the reply.
        """

    def watch(self, chosen: Filter) -> tuple[bytes, int, dict[str, str]]:
        """Give the opening lines of a watch, the seq they stand for, and of the peers in them key and id."""

    def ping(self, request: Request, reply: Callable[[bytes], None]) -> None:
        """Ping, and call `reply` once, later, from any thread."""

    def events(self) -> list[Event]:
        """Give the events since the last call.

        Raises:
            SubscriptionLagged: some are missing.
        """


class Client:
    """One connection."""

    __slots__ = (
        "awaits_ping",
        "closing_at",
        "granted",
        "has_begun",
        "has_ended",
        "heard_at",
        "lines",
        "owed",
        "owed_bytes",
        "partial",
        "shown",
        "sock",
        "watched_from",
        "watches",
    )

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.partial = b""
        self.lines: deque[bytes] = deque()
        self.has_ended = False  # it will ask no more, but may still read
        self.owed: deque[memoryview] = deque()
        self.has_begun = False  # part of owed[0] was sent
        self.owed_bytes = 0
        self.heard_at = now
        self.closing_at: float | None = None
        self.awaits_ping = False  # what was asked after it waits, so that replies come in order
        self.watches: Filter | None = None
        self.watched_from = 0
        self.shown: dict[str, str] = {}  # of the peers it was told of: key -> id
        self.granted = 0  # bytes owed when the watch began; only what comes on top shows a slow reader

    def owe(self, line: bytes) -> None:
        """Queue a line."""
        self.owed.append(memoryview(line))
        self.owed_bytes += len(line)


class QueryServer:
    """Listens, reads requests, writes replies and events, within its limits.

    Nothing is opened by the constructor. `run` is for one thread; `wake` and `stop` are for any.

    Args:
        address: where to listen.
        backend: who answers.
        limits: connections, bytes per line, idle seconds, bytes owed.
        inherited: a socket that listens already.
    """

    def __init__(
        self, address: tuple[str, int], backend: Backend, limits: Limits, inherited: Listener | None = None
    ) -> None:
        self.address = address
        self._inherited = inherited
        self.limits = limits
        self.refused = 0
        self._backend = backend
        self._clients: dict[socket.socket, Client] = {}
        self._late: deque[tuple[Client, bytes]] = deque()  # replies from other threads
        self._stack = ExitStack()
        self._listener: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None
        self._wake_read: socket.socket | None = None
        self._wake_write: socket.socket | None = None
        self._stopping = False
        self._accept_at = 0.0

    def open(self) -> None:
        """Listen.

        Raises:
            OSError: with the port, and who holds it where that can be found.
        """
        with ExitStack() as stack:
            self._listener = stack.enter_context(self._inherited or _listen(self.address))
            self.address = self._listener.getsockname()
            self._wake_read, self._wake_write = socket.socketpair()
            for end in (self._wake_read, self._wake_write):
                stack.enter_context(end)
                end.setblocking(False)
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._wake_read, selectors.EVENT_READ)
            stack.callback(self._close_clients)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close everything; legal before `open` and more than once, not while `run` runs."""
        self._stack.close()
        self._listener = self._selector = self._wake_read = self._wake_write = None

    def stop(self) -> None:
        """Make `run` tell its clients and return."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Make the loop look for events and late replies."""
        if self._wake_write is not None:
            with suppress(BlockingIOError):  # it is full of wakes already
                self._wake_write.send(b"w")

    def counts(self) -> dict[str, int]:
        """Give what ``status`` says of this socket."""
        clients = self._served()
        return {
            "connections": len(clients),
            "limit": self.limits.query_connections,
            "watchers": sum(client.watches is not None for client in clients),
            "refused": self.refused,
        }

    def run(self, clock: Callable[[], float], turned: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`; `turned` is called each time the loop comes round."""
        assert self._selector is not None
        while not self._stopping:
            turned()
            for key, ready in self._selector.select(self._patience(clock())):
                if key.fileobj is self._listener:
                    self._accept(clock())
                elif key.fileobj is self._wake_read and self._wake_read is not None:
                    self._wake_read.recv(4096)
                elif isinstance(key.data, Client):
                    self._serve(key.data, ready, clock())
            self._deliver(clock())
            self._tidy(clock())
        for client in self._served():
            self._dismiss(client, "stopping", "discoveryd is stopping", clock())

    # --- connections ----------------------------------------------------------------------------

    def _accept(self, now: float) -> None:
        assert self._listener is not None
        assert self._selector is not None
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            # the connection stays in the queue: without a pause the loop would spin
            self.refused += 1
            self._selector.unregister(self._listener)
            self._accept_at = now + ACCEPT_PAUSE
            return
        limit = self.limits.query_connections
        if len(self._clients) >= 2 * limit:  # as many again are being told that they are refused
            self.refused += 1
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(sock, now)
        self._clients[sock] = client
        self._selector.register(sock, selectors.EVENT_READ, client)
        if len(self._served()) > limit:
            why = f"{limit} connections are open already (limits.query_connections)"
            self._refuse(client, "busy", why, now)
            return
        client.owe(self._backend.greeting())
        self._flush(client, now)

    def _served(self) -> list[Client]:
        """Give the clients that are not on their way out; from any thread."""
        return [client for client in list(self._clients.values()) if client.closing_at is None]

    def _serve(self, client: Client, ready: int, now: float) -> None:
        if ready & selectors.EVENT_READ and client.sock in self._clients:  # an earlier key may have closed it
            self._read(client, now)
        self._flush(client, now)

    def _read(self, client: Client, now: float) -> None:
        try:
            data = client.sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # reset by the other end
            self._close(client)
            return
        if not data:
            client.has_ended = True
            client.watches = None  # from now on we would not notice that the reader is gone
            data = b"\n"  # the last line may lack its end
        if client.closing_at is not None:
            return  # whatever it still says no longer matters
        client.heard_at = now
        *lines, client.partial = (client.partial + data).split(b"\n")
        client.lines.extend(lines)
        self._take_lines(client, now)

    def _take_lines(self, client: Client, now: float) -> None:
        """Answer what was asked, unless the client should first read what it asked for before."""
        longest = self.limits.query_line
        too_long = f"a request is at most {longest} bytes (limits.query_line)"
        while client.lines and not client.awaits_ping and client.owed_bytes <= REPLIES_AHEAD:
            line = client.lines.popleft()
            if len(line) > longest:
                self._refuse(client, "too_long", too_long, now)
            elif line.strip():
                self._request(client, line, now)
        if len(client.partial) > longest:
            self._refuse(client, "too_long", too_long, now)

    def _request(self, client: Client, line: bytes, now: float) -> None:
        try:
            request = parse_request(line)
            if request.op == "watch":
                opening, client.watched_from, client.shown = self._backend.watch(request.filter)
                client.watches = request.filter
                client.owe(opening)
                client.granted = client.owed_bytes
            elif request.op == "ping":
                self._backend.ping(request, lambda reply: self._later(client, reply))
                client.awaits_ping = True
            else:
                client.owe(self._backend.answer(request))
        except QueryError as error:
            if error.code == "http":
                self._refuse(client, error.code, error.message, now)
            else:
                client.owe(error_line(error.code, error.message))

    def _later(self, client: Client, reply: bytes) -> None:
        self._late.append((client, reply))
        self.wake()

    # --- what goes out --------------------------------------------------------------------------

    def _deliver(self, now: float) -> None:
        """Hand out late replies and events."""
        while self._late:
            client, reply = self._late.popleft()
            if client.sock in self._clients and client.closing_at is None:
                client.awaits_ping = False
                client.heard_at = now  # it was we who were silent
                client.owe(reply)
                self._flush(client, now)
        watchers = [client for client in self._served() if client.watches]
        try:
            events = self._backend.events()
        except QueryError as error:
            for client in watchers:
                self._dismiss(client, error.code, error.message, now)
            return
        for event in events:
            line = event_line(event) if watchers else b""
            for client in watchers:
                self._tell(client, event, line)
        for client in watchers:
            self._check_pace(client, now)

    def _check_pace(self, client: Client, now: float) -> None:
        """Send a watcher away that is too slow, or was told of more peers than there can be."""
        limit = self.limits.query_backlog
        if client.owed_bytes > client.granted + limit:
            why = f"more than {limit} bytes wait to be read (limits.query_backlog); watch again"
            self._refuse(client, "lagged", why, now)
        elif len(client.shown) > 2 * self.limits.peers:  # new boots without end; a new snapshot starts afresh
            self._refuse(client, "lagged", "too many peers came and went; watch again", now)
        else:
            self._flush(client, now)

    def _tell(self, client: Client, event: Event, line: bytes) -> None:
        """Pass on an event of a peer that matches, or did until this event."""
        if event.seq <= client.watched_from or client.watches is None:
            return
        key, id = event.peer.boot or event.peer.id, event.peer.id
        was_shown = key in client.shown
        if event.kind == "restarted":
            for former in [one for one, its_id in client.shown.items() if its_id == id and one != key]:
                del client.shown[former]
                was_shown = True
        if client.watches.accepts(event.peer):
            client.shown[key] = id
        elif was_shown:
            client.shown.pop(key, None)
        else:
            return
        if event.peer.state in ("down", "left") and not client.watches.wants_gone:
            client.shown.pop(key, None)
        client.owe(line)

    def _flush(self, client: Client, now: float) -> None:
        """Send what the socket takes, then see what is next for this client."""
        if client.sock not in self._clients:
            return
        while client.owed:
            try:
                sent = client.sock.send(client.owed[0])
            except BlockingIOError:
                break
            except OSError:  # gone
                self._close(client)
                return
            client.owed_bytes -= sent
            rest = client.owed[0][sent:]
            client.has_begun = bool(rest)
            if rest:
                client.owed[0] = rest
            else:
                client.owed.popleft()
        if client.lines:
            self._take_lines(client, now)
        if client.sock not in self._clients:  # dismissed for what it asked, and gone
            return
        is_through = not (client.owed or client.lines or client.awaits_ping)
        if is_through and (client.has_ended or (client.closing_at is not None and not _hang_up(client.sock))):
            self._close(client)
        else:
            self._listen_to(client)

    def _listen_to(self, client: Client) -> None:
        """Wait for what can be done next: writing what is owed, reading while little is."""
        assert self._selector is not None
        wanted = selectors.EVENT_WRITE if client.owed else 0
        if not client.lines and not client.has_ended:
            wanted |= selectors.EVENT_READ
        registered = client.sock in self._selector.get_map()
        if wanted and registered:
            self._selector.modify(client.sock, wanted, client)
        elif wanted:
            self._selector.register(client.sock, wanted, client)
        elif registered:
            self._selector.unregister(client.sock)

    def _refuse(self, client: Client, code: str, message: str, now: float) -> None:
        self.refused += 1
        self._dismiss(client, code, message, now)

    def _dismiss(self, client: Client, code: str, message: str, now: float) -> None:
        """Tell the client why, instead of all it has not read yet, and close once it read that."""
        begun = client.owed[0] if client.has_begun else None
        client.owed.clear()
        client.owed_bytes = 0
        if begun is not None:
            client.owe(bytes(begun))
        client.owe(error_line(code, message))
        client.lines.clear()
        client.partial = b""
        client.watches = None
        client.awaits_ping = False
        client.closing_at = now + LINGER
        self._flush(client, now)

    def _close(self, client: Client) -> None:
        assert self._selector is not None
        if self._clients.pop(client.sock, None) is None:
            return
        if client.sock in self._selector.get_map():
            self._selector.unregister(client.sock)
        client.sock.close()

    def _close_clients(self) -> None:
        for client in list(self._clients.values()):
            client.sock.close()
        self._clients.clear()

    # --- time -----------------------------------------------------------------------------------

    def _patience(self, now: float) -> float | None:
        """Say how long the loop may sleep: until a client is due to be sent away."""
        idle = self.limits.query_idle
        due = [
            client.heard_at + idle if client.closing_at is None else client.closing_at
            for client in self._clients.values()
            if client.closing_at is not None or not (client.watches or client.awaits_ping)
        ]
        if self._accept_at:
            due.append(self._accept_at)
        return max(0.0, min(due) - now) if due else None

    def _tidy(self, now: float) -> None:
        assert self._selector is not None
        if self._accept_at and now >= self._accept_at and self._listener is not None:
            self._accept_at = 0.0
            self._selector.register(self._listener, selectors.EVENT_READ)
        for client in list(self._clients.values()):
            if client.closing_at is not None:
                if now >= client.closing_at:
                    self._close(client)
            elif client.watches or client.awaits_ping:
                continue
            elif now >= client.heard_at + (idle := self.limits.query_idle):
                self._dismiss(client, "idle", f"nothing was asked for {idle:g} s (limits.query_idle)", now)


def _listen(address: tuple[str, int]) -> socket.socket:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            raise explain_bind(error, "TCP", *address) from None
        stack.pop_all()
    return listener


def _hang_up(sock: socket.socket) -> bool:
    """End our half, and say whether the other end still has to; it will once it has read why.

    Closed at once, with something of it unread, the connection would be reset and the reason lost.
    """
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return False  # gone already
    return True
