"""The connection to the NATS servers: one session after another, for ever, and what is to be sent meanwhile.

Nothing is kept while there is no session: what was said during an outage is never told later. A server that does not
answer a PING in time is left. What is subscribed to is asked for again in each session. All methods are for the thread
of the event loop, but for `NatsLink.status`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Any, Protocol

from discoveryd.runtime.notices import NoticeDamper, Notify, info, warning
from discoveryd.sites.access import Access
from discoveryd.sites.nats import NatsTrouble, Session, trouble_of
from discoveryd.sites.pinger import Pinger

PAUSES = (0.25, 0.5, 1.0, 2.0)
"""Seconds to the next attempt, after the first failure and so on, each times 0.5 to 1.5: a site is back within five."""
MOST_OWED = 8 * 1024 * 1024
"""Bytes that wait to be sent at most: a snapshot of the largest site, and more."""
MOST_BUFFERED = 256 * 1024
"""Bytes within nats-py from which on the rest waits here, where it can be dropped."""
BUFFERED_PAUSE = 0.02
"""Seconds after which it is seen whether the socket took some."""
MOST_DENIED = 16
"""Refusals by the permissions of the server that are told apart."""
_SUBJECT = "connection"


class AnySession(Protocol):
    """What is wanted of a session; `discoveryd.sites.nats.Session` is the real one."""

    is_over: asyncio.Event

    @property
    def buffered(self) -> int:
        """Bytes that the socket has not taken yet."""

    def trouble(self) -> NatsTrouble:
        """Return why the session is over."""

    async def open(self, server: str, access: Access, name: str) -> None:
        """Connect to a server."""

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send a message."""

    async def subscribe(self, subject: str) -> None:
        """Hear a subject from now on."""

    async def unsubscribe(self, subject: str) -> None:
        """Hear a subject no longer."""

    async def ping(self, timeout: float) -> float:
        """Return the seconds that the server took to answer."""

    async def close(self) -> None:
        """End the session."""


NewSession = Callable[[Callable[[str, bytes], None], Callable[[str], None], Callable[[str], None]], AnySession]


class NatsLink:
    """The connection of this node to the servers.

    Args:
        access: what to begin with.
        name: of this node, for the operator of the server.
        hear: called with subject and payload of each message.
        changed: called with whether there is a session now.
        notify: told when sessions begin and end.
        random: for the pauses.
        session: makes a session.
    """

    def __init__(
        self, access: Access, *, name: str, hear: Callable[[str, bytes], None], changed: Callable[[bool], None],
        notify: Notify, random: Random, session: NewSession = Session,
    ) -> None:  # fmt: skip
        self._access = access
        self._name = name
        self._hear = hear
        self._changed = changed
        self._notify = notify
        self._random = random
        self._make = session
        self._damper = NoticeDamper()
        self._subjects: set[str] = set()
        self._owed: deque[tuple[str, bytes]] = deque()
        self._owed_bytes = 0
        self._news = asyncio.Event()  # something is owed, other subjects are wanted, or there are other servers
        self._is_renewed = asyncio.Event()
        self._server: str | None = None  # that there is a session with
        self._since = monotonic()
        self._rtt: float | None = None
        self._trouble: tuple[str, str, str] | None = None  # server, kind, text
        self._denied: dict[str, int] = {}
        self._counts = dict.fromkeys(("sessions", "failures", "sent", "received", "unsent", "faults"), 0)
        self._fault = ""

    # --- for the part ---------------------------------------------------------------------------

    def renew(self, access: Access) -> None:
        """Connect elsewhere, or with other credentials, from now on; nothing happens where it is the same."""
        if access != self._access:
            self._access = access
            self._denied.clear()
            self._is_renewed.set()
            self._news.set()

    def subscribe(self, subject: str) -> None:
        """Hear what is published under a subject, in this session and in those to come."""
        self._subjects.add(subject)
        self._news.set()

    def unsubscribe(self, subject: str) -> None:
        """Hear a subject no longer."""
        self._subjects.discard(subject)
        self._news.set()

    def publish(self, subject: str, payload: bytes) -> None:
        """Send a message; without a session, or where too much waits already, it is dropped and counted."""
        if self._server is None or self._owed_bytes + len(payload) > MOST_OWED:
            self._counts["unsent"] += 1
            return
        self._owed.append((subject, payload))
        self._owed_bytes += len(payload)
        self._news.set()

    def status(self) -> dict[str, Any]:
        """Return what ``status`` shows of the connection. For any thread."""
        trouble, server = self._trouble, self._server
        return {
            "connected": server is not None,
            "server": server,
            "servers": list(self._access.servers),
            "since_s": round(monotonic() - self._since, 3),
            "rtt_ms": None if self._rtt is None else round(self._rtt * 1000, 3),
            "trouble": None if trouble is None else dict(zip(("server", "kind", "error"), trouble, strict=True)),
            "denied": [{"what": what, "count": count} for what, count in list(self._denied.items())],
            "fault": self._fault or None,
            **self._counts,
        }

    # --- the sessions ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a session with one of the servers until this is cancelled."""
        attempt = 0
        try:
            while True:
                self._is_renewed.clear()
                server = self._access.servers[attempt % len(self._access.servers)]
                try:
                    await self._session(server)
                except Exception as error:  # noqa: BLE001 - also what the library lets out: the next session is another
                    attempt = 1 if self._server is not None else attempt + 1  # after a session the first server again
                    self._tell_trouble(server, trouble_of(error))
                    self._lose()
                    pause = PAUSES[min(attempt, len(PAUSES)) - 1] * self._random.uniform(0.5, 1.5)
                    attempt %= len(self._access.servers) * len(PAUSES)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._is_renewed.wait(), pause)
                if self._is_renewed.is_set():
                    self._lose()
                    attempt = 0
        finally:
            self._lose()

    async def _session(self, server: str) -> None:
        """Speak with a server until it is lost (NatsTrouble) or there are other servers."""
        session = self._make(lambda *message: self._heard(pinger, *message), self._on_denied, self._on_fault)
        pinger = Pinger(session.ping, self._answered, self._news.set)
        await session.open(server, self._access, self._name)
        over = asyncio.ensure_future(session.is_over.wait())
        over.add_done_callback(lambda _: self._news.set())
        try:
            heard: set[str] = set()
            await self._adapt(session, pinger, heard)
            await pinger.start()
            self._win(server)
            while not self._is_renewed.is_set():
                await self._news.wait()
                self._news.clear()
                if session.is_over.is_set():
                    raise session.trouble()
                if pinger.fault is not None:
                    raise pinger.fault
                await self._adapt(session, pinger, heard)
                await self._send(session, pinger)
        finally:
            pinger.stop()
            over.cancel()
            await session.close()

    async def _adapt(self, session: AnySession, pinger: Pinger, heard: set[str]) -> None:
        """Ask the server for the subjects that are wanted."""
        if heard == self._subjects:
            return
        pinger.sent()
        for subject in self._subjects - heard:
            await session.subscribe(subject)
        for subject in heard - self._subjects:
            await session.unsubscribe(subject)
        heard.clear()
        heard |= self._subjects

    async def _send(self, session: AnySession, pinger: Pinger) -> None:
        """Send what is owed, as fast as the socket takes it, until the session is over or the server hangs."""
        while self._owed and not (session.is_over.is_set() or self._is_renewed.is_set() or pinger.fault):
            if session.buffered > MOST_BUFFERED:
                await asyncio.sleep(BUFFERED_PAUSE)
                continue
            subject, payload = self._owed.popleft()
            self._owed_bytes -= len(payload)
            await session.publish(subject, payload)
            pinger.sent()
            self._counts["sent"] += 1

    # --- what becomes of them -------------------------------------------------------------------

    def _win(self, server: str) -> None:
        self._server, self._since = server, monotonic()
        self._trouble, self._fault = None, ""
        self._denied.clear()
        self._counts["sessions"] += 1
        self._tell("connected", info("connected to NATS", server=server))
        self._changed(True)

    def _lose(self) -> None:
        """Note that there is no session, and forget what was to be sent."""
        if self._server is None:
            return
        self._server, self._since, self._rtt = None, monotonic(), None
        self._counts["unsent"] += len(self._owed)
        self._owed.clear()
        self._owed_bytes = 0
        self._changed(False)

    def _tell_trouble(self, server: str, trouble: NatsTrouble) -> None:
        self._counts["failures"] += 1
        self._trouble = (server, trouble.kind, str(trouble))
        notice = warning("no NATS server", server=server, kind=trouble.kind, error=str(trouble))
        self._tell(trouble.kind, notice)

    def _tell(self, state: str, notice: Any) -> None:
        if self._damper.take(_SUBJECT, state, notice, monotonic()):
            self._notify(notice)

    def _answered(self, rtt: float) -> None:
        self._rtt = rtt

    def _heard(self, pinger: Pinger, subject: str, payload: bytes) -> None:
        pinger.heard()
        self._counts["received"] += 1
        self._hear(subject, payload)

    def _on_denied(self, what: str) -> None:
        if what in self._denied or len(self._denied) < MOST_DENIED:
            self._denied[what] = self._denied.get(what, 0) + 1

    def _on_fault(self, what: str) -> None:
        self._counts["faults"] += 1
        if what != self._fault:
            self._fault = what
            self._notify(warning("a message of another site could not be handled", error=what))
