"""What the query server asks, answered out of a Discovery."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from discoveryd import __version__
from discoveryd.errors import SubscriptionLagged
from discoveryd.protocol import query
from discoveryd.protocol.events import Event
from discoveryd.protocol.node import Node
from discoveryd.protocol.peer import SCHEMA, peer_json
from discoveryd.runtime.pings import PingResult
from discoveryd.runtime.subscription import Subscription

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.metrics import Metrics


class Backend:
    """Answers requests; called in the thread of the query server."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._events: Subscription | None = None

    def subscribe(self) -> None:
        """Begin to collect events for those who watch."""
        self._events = self._discovery.subscribe()

    def greeting(self) -> bytes:
        """Give the line sent on connect."""
        return self._discovery.look(_greeting)

    def answer(self, request: query.Request) -> bytes:
        """Give the reply to what needs no waiting."""
        if request.op == "status":
            return query.encode(self._discovery.status())
        if request.op == "metrics":
            return query.encode({"ok": True, "schema": SCHEMA, **self._metrics.read()})
        if request.op == "list":
            return self._discovery.look(lambda node, now: query.list_line(node, request.filter, now))
        return query.encode(self._discovery.look(lambda node, now: query.show_answer(node, request.peer, now)))

    def page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request for the metrics; called in the thread of their server."""
        return self._metrics.answer(environ, start_response)

    def watch(self, chosen: query.Filter) -> tuple[bytes, int, dict[str, str]]:
        """Open a watch."""

        def opening(node: Node, now: float) -> tuple[bytes, int, dict[str, str]]:
            rows = node.table.rows(now, gone=chosen.wants_gone)
            shown = {row.key: row.id for row in rows if chosen.accepts(row.lasting(now))}
            return query.snapshot_lines(node, chosen, now), node.table.seq, shown

        return self._discovery.look(opening)

    def ping(self, request: query.Request, reply: Callable[[bytes], None]) -> None:
        """Ping; the reply comes later, in another thread."""
        self._discovery.begin_ping(
            request.peer, count=request.count, timeout=request.timeout, done=lambda result: reply(_pinged(result))
        )

    def events(self) -> list[Event]:
        """Give the events since the last call."""
        found: list[Event] = []
        assert self._events is not None
        try:
            while (event := self._events.get(timeout=0)) is not None:
                found.append(event)
        except SubscriptionLagged:
            self.subscribe()
            raise
        return found

    @cached_property
    def _metrics(self) -> Metrics:
        from discoveryd.runtime.metrics import Metrics  # noqa: PLC0415 - for those who ask

        return Metrics(self._discovery.status)


def _greeting(node: Node, _: float) -> bytes:
    return query.encode(
        {
            "discoveryd": __version__,
            "protocol": query.PROTOCOL,
            "schema": SCHEMA,
            "node": {"id": node.id, "name": node.record.name, "boot": node.boot},
        }
    )


def _pinged(result: PingResult) -> bytes:
    return query.encode(
        {
            "ok": True,
            "schema": SCHEMA,
            "peer": peer_json(result.peer),
            "sent": result.sent,
            "received": len(result.rtt_ms),
            "rtt_ms": list(result.rtt_ms),
            "hears_us_s": result.hears_us_s,
        }
    )
