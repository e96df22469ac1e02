"""The query socket: one selector loop moves lines from and to each local program.

The meaning of a request is the business of the `Backend`, the seam between this server and what knows the answers.
"""

import selectors
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count

from discoveryd.errors import QueryError
from discoveryd.net.query_admission import FairQueue, giving_way, may_watch, pushed_out
from discoveryd.net.query_backend import Backend
from discoveryd.net.query_connection import Connection, is_over
from discoveryd.net.sockets import NOT_YET, TcpServer
from discoveryd.net.systemd import Listener
from discoveryd.protocol.parameters import Limits
from discoveryd.query.reply import error_line, event_line
from discoveryd.query.request import Request, parse_request
from discoveryd.query.watch import WatchKind

RETRY = 5.0
"""Seconds between two attempts to listen where another program does, or at an address that is not there yet."""
ACCEPTED = 64
"""Connections taken in before requests are answered again."""
TURN = 0.05
"""Seconds spent on answers before the loop reads what has come in meanwhile."""
LINGER = 1.0
"""Seconds in which a client that is being sent away may still read why."""


class QueryServer(TcpServer):
    """Listens, reads requests, writes replies and events, within its limits.

    Nothing is opened by the constructor. `run` is for one thread; `wake` and `stop` are for any. Listening elsewhere
    than within 127.0.0.0/8, it answers only clients that have proved to have the control token.

    Args:
        address: where to listen.
        backend: gives the answers.
        limits: connections, bytes per line, idle seconds, bytes owed.
        listener: a socket that listens already (of the service manager), instead; `close` closes it.
        told: as `TcpServer` has it; without, a taken port or a missing address is an error of `open`.

    Attributes:
        limits: may be replaced while it runs.
        refused: connections refused or sent away.
        denied: requests without the token that they need.
    """

    def __init__(
        self,
        address: tuple[str, int],
        backend: Backend,
        limits: Limits,
        listener: Listener | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(address, listener, retry=RETRY, forgives=NOT_YET if told else (), told=told)
        self.limits = limits
        self.refused = 0
        self.denied = 0
        self._backend = backend
        self.clients: dict[socket.socket, Connection] = {}
        self._numbers = count(1)
        self._late: deque[tuple[Connection, bytes | Callable[[], bytes], bool, bool]] = deque()  # from other threads
        self._waiting = FairQueue()
        self._wants_token = False

    def open(self) -> None:
        """Listen, as `TcpServer.open`."""
        super().open()
        self._wants_token = not self.address[0].startswith("127.")

    def counts(self) -> dict[str, int]:
        """Return what ``status`` shows of this socket."""
        clients = self._served()
        return {
            "connections": sum(not client.is_registered for client in clients),
            "limit": self.limits.query_connections,
            "watchers": sum(client.is_watching for client in clients),
            "refused": self.refused,
            "denied": self.denied,
        }

    def run(self, clock: Callable[[], float], turned: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`; `turned` is called once each round of the loop."""
        while not self.is_stopping:
            turned()
            ready, is_called = self.wait(self.patience(clock()))
            for client, events in ready:
                self._serve(client, events, clock())
            if is_called:  # after the requests have been read: a client that asks keeps its place
                for _ in range(ACCEPTED):
                    if not self._accept(clock()):
                        break
            self._answer_waiting(clock)
            self._deliver(clock())
            self._tidy(clock())
        for client in self._served():
            self._dismiss(client, "stopping", "discoveryd is stopping", clock())

    # --- places ---------------------------------------------------------------------------------

    def _accept(self, now: float) -> bool:
        """Take in the next connection; return False if there is none."""
        sock = self.accept(now)
        if sock is None:
            self.refused += self.resumes_at > 0
            return False
        if len(self.clients) >= self.limits.connections_per_user and is_over(sock):
            self.refused += 1  # opened and closed again: with so many others not worth a greeting
            sock.close()
            return True
        client = self.clients[sock] = Connection(sock, next(self._numbers), now)
        client.owe(self._backend.greeting(client.nonce, is_stranger=self._wants_token))
        self._flush(client, now)
        pushed = pushed_out([one for one in self._served() if not one.has_asked], self.limits)
        if pushed is not None:
            why = "others came, and this connection asked nothing (limits.query_connections)"
            self._refuse(pushed, "busy", why, now)
            if pushed.is_through:
                self._close(pushed)  # nothing of it is unread, so the refusal arrives
        return True

    def _take_place(self, client: Connection, now: float) -> bool:
        """Give a place to a client that asks for the first time; return False if the client has to go."""
        others = [one for one in self._served() if one.has_asked and not one.is_registered]  # bounded elsewhere
        leaving, why = giving_way(client, others, self.limits)
        client.has_asked = True
        if leaving is not None:
            self._refuse(leaving, "busy", why, now)
            dismissed = {one: one.closing_at for one in self.clients.values() if one.closing_at is not None}
            if len(dismissed) > self.limits.query_connections:
                self._close(min(dismissed, key=dismissed.__getitem__))
        return client.closing_at is None

    def _served(self) -> list[Connection]:
        """Return the clients that are not on their way out; from any thread."""
        return [client for client in list(self.clients.values()) if client.closing_at is None]

    # --- requests -------------------------------------------------------------------------------

    def _serve(self, client: Connection, events: int, now: float) -> None:
        try:
            if client.sock in self.clients and events & selectors.EVENT_READ:  # else displaced in this round
                client.read(now)
        except OSError:  # reset
            self._close(client)
        self._flush(client, now)

    def _answer_waiting(self, clock: Callable[[], float]) -> None:
        """Answer requests in a fair order until none waits or the turn is over."""
        began = now = clock()
        while self._waiting and now < began + TURN:
            client = self._waiting.take()
            line = client.next_line() or b""  # none while the client should first read earlier replies
            if len(line) > client.longest_line(self.limits):
                self._refuse(client, "too_long", client.too_long(self.limits), now)
            elif line.strip():
                self._request(client, line, now)
            self._flush(client, now)
            before, now = now, clock()
            self._waiting.charge(client, now - before)

    def _request(self, client: Connection, line: bytes, now: float) -> None:
        try:
            request = parse_request(line)
            self._check_token(client, request)
            if client.has_asked or self._take_place(client, now):
                self._answer(client, request)
        except QueryError as error:
            self.denied += error.code == "denied"
            if error.code == "http":
                self._refuse(client, error.code, error.message, now)
            else:
                client.owe(error_line(error.code, error.message, error.problems))
        except OSError as error:  # no descriptor for a module that is loaded late, or for what it reads
            client.owe(error_line("failed", f"cannot be answered now: {error.strerror or error}"))

    def _answer(self, client: Connection, request: Request) -> None:
        match request.op:
            case "watch" | "messages":
                watchers = [one for one in self._served() if one.is_watching]
                if not client.is_watching and not may_watch(client, watchers, self.limits):
                    self.refused += 1
                    why = "too many connections watch already (limits.watchers); list is still answered"
                    raise QueryError("busy", why)
                if request.op == "watch" and not request.site:
                    client.begin_watch(*self._backend.watch(request.filter))
                else:
                    self._backend.begin(request, partial(self._later, client), client.number)
                    client.hears_messages = True
            case _ if request.takes_a_while:
                self._backend.begin(request, partial(self._later, client), client.number)
                client.awaits_reply = True
            case "register":
                client.owe(self._backend.register(request, client.number))
                client.is_registered = True
            case "hello":
                client.owe(self._backend.hello(request, client.nonce))
            case _:
                client.owe(self._backend.answer(request))

    def _check_token(self, client: Connection, request: Request) -> None:
        """Check the proof of the token: from another machine for any request, from this one for a change."""
        if request.op != "hello" and self._wants_token and not client.is_admitted:
            why = 'it listens outside 127.0.0.0/8: first send {"op":"hello","proof":"..."}'
            raise QueryError("denied", f"{why} (docs/query.md, Control)")
        if request.needs_proof:
            self._backend.allow(request, client.nonce)
            client.is_admitted = True

    def _later(
        self, client: Connection, line: bytes | Callable[[], bytes], *, is_last: bool = True, opens: bool = False
    ) -> None:
        """Send a line, or what a function returns that is called in this thread; to be called in any."""
        self._late.append((client, line, is_last, opens))
        self.wake()

    def _deliver(self, now: float) -> None:
        """Send late lines and events."""
        self._deliver_late(now)
        watchers = [client for client in self._served() if client.watch]
        try:
            events = self._backend.events()
        except QueryError as error:
            for client in watchers:
                self._dismiss(client, error.code, error.message, now)
            return
        for event in events:
            lines: dict[WatchKind, bytes] = {}
            for client in watchers:
                if client.watch and (kind := client.watch.kind(event)):
                    lines[kind] = lines.get(kind) or event_line(event, kind)
                    client.owe(lines[kind])
        for client in watchers:
            if why := client.lag(self.limits):
                self._refuse(client, "lagged", why, now)
            else:
                self._flush(client, now)

    def _deliver_late(self, now: float) -> None:
        while self._late:
            client, line, is_last, opens = self._late.popleft()
            if client.sock in self.clients and client.closing_at is None:
                client.awaits_reply &= not is_last
                client.heard_at = now  # the silence was ours
                client.owe(line if isinstance(line, bytes) else line(), opens=opens)
                self._flush(client, now)
                if not is_last and (why := client.lag(self.limits)):
                    self._refuse(client, "lagged", why, now)

    def _flush(self, client: Connection, now: float) -> None:
        """Send what the socket takes, then wait for the next thing that this client can do."""
        if client.sock not in self.clients:
            return
        try:
            client.send()
        except OSError:  # gone
            self._close(client)
            return
        if client.is_overlong(self.limits):
            self._refuse(client, "too_long", client.too_long(self.limits), now)
        else:
            if client.can_be_answered:
                self._waiting.add(client)
            if client.is_through and (client.has_ended or (client.closing_at is not None and not client.hang_up())):
                self._close(client)
            else:
                self.expect(client.sock, client.wanted_events, client)

    def _refuse(self, client: Connection, code: str, message: str, now: float) -> None:
        self.refused += 1
        self._dismiss(client, code, message, now)

    def _dismiss(self, client: Connection, code: str, message: str, now: float) -> None:
        """Tell the client why, instead of all it has not read yet, and close once it has read that."""
        self._release(client)
        client.dismiss(error_line(code, message), now + LINGER)
        self._flush(client, now)

    def _close(self, client: Connection) -> None:
        if self.clients.pop(client.sock, None) is None:
            return
        self._waiting.discard(client)
        self._release(client)
        self.expect(client.sock, 0, client)
        client.sock.close()

    def _release(self, client: Connection) -> None:
        client.is_registered = False
        if client.has_asked:
            self._backend.release(client.number)

    def due(self, client: Connection) -> float | None:
        """Return when the time of a client is over; None for a client that may be silent."""
        if client.closing_at is not None:
            return client.closing_at
        return None if client.may_be_silent else client.heard_at + self.limits.query_idle

    def patience(self, now: float) -> float | None:
        """Return how long the loop may sleep: not at all while a request waits."""
        return 0.0 if self._waiting else super().patience(now)

    def _tidy(self, now: float) -> None:
        self.resume(now)
        for client in [one for one in self.clients.values() if (due := self.due(one)) is not None and now >= due]:
            if client.closing_at is not None:
                self._close(client)
            else:
                why = f"nothing was asked for {self.limits.query_idle:g} s (limits.query_idle)"
                self._dismiss(client, "idle", why, now)
