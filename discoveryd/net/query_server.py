"""The query socket: one selector loop that serves every local program.

It moves lines, from and to each `Connection`. What a request means is its `Backend`'s business; a backend
never blocks.
"""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count

from discoveryd.errors import QueryError
from discoveryd.net.query_acceptor import Acceptor
from discoveryd.net.query_admission import may_watch, pushed_out, verdict
from discoveryd.net.query_backend import Backend
from discoveryd.net.query_connection import Connection, is_over
from discoveryd.net.query_turns import Turns
from discoveryd.net.systemd import Listener
from discoveryd.protocol.parameters import Limits
from discoveryd.query.reply import error_line, event_line
from discoveryd.query.request import PROVEN, Request, parse_request

ACCEPTED = 64
"""Connections taken in before requests are answered again."""
TURN = 0.05
"""Seconds spent on answers before the loop looks for what has come in meanwhile."""
LINGER = 1.0
"""Seconds in which a client that is being sent away may still read why."""


class QueryServer:
    """Listens, reads requests, writes replies and events, within its limits.

    Nothing is opened by the constructor. `run` is for one thread; `wake` and `stop` are for any. Listening elsewhere
    than within 127.0.0.0/8, it tells nothing to who has not shown the control token.

    Args:
        address: where to listen.
        backend: who answers.
        limits: connections, bytes per line, idle seconds, bytes owed.
        listener: one that listens already (a TCP socket of the service manager), instead of `address`;
            from `open` on it is ours, `close` closes it.
        told: where it is given, a taken port or a missing address is no error: `run` tries again, and this is called
            in its thread with what is wrong when that changes, with an empty text once it listens.
    """

    def __init__(
        self,
        address: tuple[str, int],
        backend: Backend,
        limits: Limits,
        listener: Listener | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.limits = limits
        self.refused = 0
        self.denied = 0
        self._backend = backend
        self._clients: dict[socket.socket, Connection] = {}
        self._numbers = count(1)
        self._late: deque[tuple[Connection, bytes]] = deque()  # replies from other threads
        self._turns = Turns()
        self._stack = ExitStack()
        self._told = told or (lambda _: None)
        self._acceptor = Acceptor(address, listener, is_patient=told is not None)
        self._selector: selectors.BaseSelector | None = None
        self._wake_read: socket.socket | None = None
        self._wake_write: socket.socket | None = None
        self._stopping = False
        self._wants_token = False

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._acceptor.address

    @property
    def error(self) -> str:
        """Why it does not listen; empty while it does."""
        return self._acceptor.error

    def open(self) -> None:
        """Listen.

        Raises:
            OSError: with the port, and who holds it where that can be found; see `told`.
        """
        with ExitStack() as stack:
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._acceptor.open(stack, self._selector)
            self._wants_token = not self.address[0].startswith("127.")
            self._wake_read, self._wake_write = socket.socketpair()
            for end in (self._wake_read, self._wake_write):
                stack.enter_context(end)
                end.setblocking(False)
            self._selector.register(self._wake_read, selectors.EVENT_READ)
            stack.callback(self._close_clients)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close everything; legal before `open` and more than once, not while `run` runs."""
        self._stack.close()
        self._selector = self._wake_read = self._wake_write = None

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
            "connections": sum(not client.is_registered for client in clients),
            "limit": self.limits.query_connections,
            "watchers": sum(client.watches is not None for client in clients),
            "refused": self.refused,
            "denied": self.denied,
        }

    def trouble(self, now: float) -> dict[str, str | float | None]:
        """Give why it does not listen, and the seconds to the next attempt; None while it does."""
        error, due = self._acceptor.error or None, self._acceptor.resumes_at
        return {"error": error, "next_try_s": round(max(due - now, 0.0), 3) if error else None}

    def run(self, clock: Callable[[], float], turned: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`; `turned` is called each time the loop comes round."""
        assert self._selector is not None
        while not self._stopping:
            turned()
            is_called = False
            for key, ready in self._selector.select(self._patience(clock())):
                if key.data is self._acceptor:
                    is_called = True
                elif key.fileobj is self._wake_read and self._wake_read is not None:
                    self._wake_read.recv(4096)
                elif isinstance(key.data, Connection):
                    self._serve(key.data, ready, clock())
            if is_called:  # after those who ask have been heard: who does so keeps its place
                for _ in range(ACCEPTED):
                    if not self._accept(clock()):
                        break
            self._answer_waiting(clock)
            self._deliver(clock())
            self._tidy(clock())
        for client in self._served():
            self._dismiss(client, "stopping", "discoveryd is stopping", clock())

    # --- connections ----------------------------------------------------------------------------

    def _accept(self, now: float) -> bool:
        """Take in the next one; False if there is none."""
        assert self._selector is not None
        sock = self._acceptor.accept(now)
        if sock is None:
            self.refused += self._acceptor.resumes_at > 0
            return False
        if len(self._clients) >= self.limits.connections_per_user and is_over(sock):
            self.refused += 1  # opened and closed again: in a crowd not worth a greeting
            sock.close()
            return True
        client = Connection(sock, next(self._numbers), now)
        self._clients[sock] = client
        self._selector.register(sock, selectors.EVENT_READ, client)
        client.owe(self._backend.greeting(client.nonce, is_stranger=self._wants_token))
        self._flush(client, now)
        pushed = pushed_out([one for one in self._served() if not one.has_asked], self.limits)
        if pushed is not None:
            why = "others came, and this connection asked nothing (limits.query_connections)"
            self._refuse(pushed, "busy", why, now)
            if pushed.is_through:
                self._close(pushed)  # nothing of it is unread, so what it was told arrives
        return True

    def _take_place(self, client: Connection, now: float) -> bool:
        """Give a client that asks for the first time a place, another's perhaps; False if it has to go."""
        others = [one for one in self._served() if one.has_asked and not one.is_registered]  # bounded elsewhere
        decided = verdict(client, others, self.limits)
        client.has_asked = True
        if decided is not None:
            self._send_away(decided.leaves, decided.why, now)
        return client.closing_at is None

    def _send_away(self, client: Connection, why: str, now: float) -> None:
        """Refuse one, and no longer wait for the first of those who were, if they are too many by now."""
        self._refuse(client, "busy", why, now)
        leaving = {one: one.closing_at for one in self._clients.values() if one.closing_at is not None}
        if len(leaving) > self.limits.query_connections:
            self._close(min(leaving, key=leaving.__getitem__))

    def _served(self) -> list[Connection]:
        """Give the clients that are not on their way out; from any thread."""
        return [client for client in list(self._clients.values()) if client.closing_at is None]

    def _serve(self, client: Connection, ready: int, now: float) -> None:
        is_open = client.sock in self._clients  # an earlier key may have closed it
        if is_open and ready & selectors.EVENT_READ and not client.read(now):
            self._close(client)
        self._flush(client, now)

    def _answer_waiting(self, clock: Callable[[], float]) -> None:
        """Answer requests in a fair order until none waits or the turn is over."""
        began = now = clock()
        while self._turns and now < began + TURN:
            client = self._turns.take()
            self._answer_next(client, now)
            self._flush(client, now)
            spent, now = now, clock()
            self._turns.charge(client, now - spent)

    def _answer_next(self, client: Connection, now: float) -> None:
        """Answer one request, unless the client should first read what it asked for before."""
        line = client.next_line()
        if line is None:
            return
        longest = self.limits.query_line
        if len(line) > longest:
            self._refuse_long(client, now)
        elif line.strip():
            self._request(client, line, now)

    def _refuse_long(self, client: Connection, now: float) -> None:
        why = f"a request is at most {self.limits.query_line} bytes (limits.query_line)"
        self._refuse(client, "too_long", why, now)

    def _request(self, client: Connection, line: bytes, now: float) -> None:
        try:
            request = parse_request(line)
            self._check_token(client, request)
            if not client.has_asked and not self._take_place(client, now):
                return
            if request.op == "watch":
                self._check_watchers(client)
                client.watch(request.filter, *self._backend.watch(request.filter))
            elif request.op == "ping":
                self._backend.ping(request, partial(self._later, client), client.number)
                client.awaits_reply = True
            elif request.op == "reload":
                self._backend.reload(partial(self._later, client))
                client.awaits_reply = True
            elif request.op == "register":
                client.owe(self._backend.register(request, client.number))
                client.is_registered = True
            elif request.op == "hello":
                client.owe(self._backend.hello(request, client.nonce))
            else:
                client.owe(self._backend.answer(request))
        except QueryError as error:
            self.denied += error.code == "denied"
            if error.code == "http":
                self._refuse(client, error.code, error.message, now)
            else:
                client.owe(error_line(error.code, error.message, error.problems))
        except OSError as error:  # no descriptor for a module that is loaded late, or for what it reads
            client.owe(error_line("failed", f"cannot be answered now: {error.strerror or error}"))

    def _check_token(self, client: Connection, request: Request) -> None:
        """Look for a proof of the token: from elsewhere before anything else, from here for what changes something."""
        if request.op != "hello" and self._wants_token and not client.is_admitted:
            why = 'it listens outside 127.0.0.0/8: first send {"op":"hello","proof":"..."}'
            raise QueryError("denied", f"{why} (docs/query.md, Control)")
        if request.op == "hello" or request.op in PROVEN:
            self._backend.allow(request, client.nonce)
            client.is_admitted = True

    def _check_watchers(self, client: Connection) -> None:
        watchers = [one for one in self._served() if one.watches is not None]
        if client.watches is None and not may_watch(client, watchers, self.limits):
            self.refused += 1
            raise QueryError("busy", "too many connections watch already (limits.watchers); list is still answered")

    def _later(self, client: Connection, reply: bytes) -> None:
        self._late.append((client, reply))
        self.wake()

    # --- what goes out --------------------------------------------------------------------------

    def _deliver(self, now: float) -> None:
        """Hand out late replies and events."""
        while self._late:
            client, reply = self._late.popleft()
            if client.sock in self._clients and client.closing_at is None:
                client.awaits_reply = False
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
                client.tell(event, line)
        for client in watchers:
            if why := client.lag(self.limits):
                self._refuse(client, "lagged", why, now)
            else:
                self._flush(client, now)

    def _flush(self, client: Connection, now: float) -> None:
        """Send what the socket takes, then see what is next for this client."""
        if client.sock not in self._clients:
            return
        if not client.send():
            self._close(client)
            return
        if client.can_be_answered:
            self._turns.add(client)
        elif client.is_overlong(self.limits.query_line) and not client.has_lines:
            self._refuse_long(client, now)
        if client.sock not in self._clients:  # dismissed for what it asked, and gone
            return
        is_dismissed = client.closing_at is not None
        if client.is_through and (client.has_ended or (is_dismissed and not client.hang_up())):
            self._close(client)
        else:
            self._listen_to(client)

    def _listen_to(self, client: Connection) -> None:
        """Wait for what can be done next: writing what is owed, reading while little is."""
        assert self._selector is not None
        wanted = selectors.EVENT_WRITE if client.wants_to_write else 0
        if client.wants_to_read:
            wanted |= selectors.EVENT_READ
        registered = client.sock in self._selector.get_map()
        if wanted and registered:
            self._selector.modify(client.sock, wanted, client)
        elif wanted:
            self._selector.register(client.sock, wanted, client)
        elif registered:
            self._selector.unregister(client.sock)

    def _refuse(self, client: Connection, code: str, message: str, now: float) -> None:
        self.refused += 1
        self._dismiss(client, code, message, now)

    def _dismiss(self, client: Connection, code: str, message: str, now: float) -> None:
        """Tell the client why, instead of all it has not read yet, and close once it read that."""
        self._release(client)
        client.dismiss(error_line(code, message), now + LINGER)
        self._flush(client, now)

    def _close(self, client: Connection) -> None:
        assert self._selector is not None
        if self._clients.pop(client.sock, None) is None:
            return
        self._turns.discard(client)
        self._release(client)
        if client.sock in self._selector.get_map():
            self._selector.unregister(client.sock)
        client.sock.close()

    def _release(self, client: Connection) -> None:
        client.is_registered = False
        if client.has_asked:
            self._backend.release(client.number)

    def _close_clients(self) -> None:
        for client in list(self._clients.values()):
            client.sock.close()
        self._clients.clear()

    # --- time -----------------------------------------------------------------------------------

    def _patience(self, now: float) -> float | None:
        """Say how long the loop may sleep: until a client is due to be sent away, not at all while one waits."""
        if self._turns:
            return 0.0
        idle = self.limits.query_idle
        due = [
            client.heard_at + idle if client.closing_at is None else client.closing_at
            for client in self._clients.values()
            if client.closing_at is not None or not client.may_be_silent
        ]
        if self._acceptor.resumes_at:
            due.append(self._acceptor.resumes_at)
        return max(0.0, min(due) - now) if due else None

    def _tidy(self, now: float) -> None:
        before = self.error
        self._acceptor.resume(now)
        if self.error != before:
            self._told(self.error)
        for client in list(self._clients.values()):
            if client.closing_at is not None:
                if now >= client.closing_at:
                    self._close(client)
            elif not client.may_be_silent and now >= client.heard_at + (idle := self.limits.query_idle):
                self._dismiss(client, "idle", f"nothing was asked for {idle:g} s (limits.query_idle)", now)
