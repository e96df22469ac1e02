"""What the query server asks of whoever knows the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from discoveryd.protocol.table.events import Event
from discoveryd.query.request import Filter, Request


class Backend(Protocol):
    """Called in the server's thread; never blocks. A `QueryError` it raises becomes the reply."""

    def greeting(self, nonce: str, *, is_stranger: bool) -> bytes:
        """Give the line sent on connect; a stranger is told nothing but that a token is wanted."""

    def allow(self, request: Request, nonce: str) -> None:
        """Look at the proof of a request on the connection that was greeted with this nonce.

        Raises:
            QueryError: ``denied``.
        """

    def hello(self, request: Request, nonce: str) -> bytes:
        """Give the reply line to a ``hello`` that was allowed."""

    def answer(self, request: Request) -> bytes:
        """Give the reply line to ``list``, ``show``, ``status`` or ``metrics``.

        Raises:
            QueryError: which becomes the reply.
        """

    def watch(self, chosen: Filter) -> tuple[bytes, int, set[tuple[str, str]]]:
        """Give the opening lines of a watch, the seq they stand for, and the keys of the peers in them."""

    def ping(self, request: Request, reply: Callable[[bytes], None], connection: int) -> None:
        """Ping until this connection is released, and call `reply` once, later, from any thread."""

    def reload(self, reply: Callable[[bytes], None]) -> None:
        """Have the configuration read again, and call `reply` once, later, from any thread."""

    def register(self, request: Request, connection: int) -> bytes:
        """Announce a service until this connection is released, and give the reply line."""

    def release(self, connection: int) -> None:
        """End what a connection asked for and registered; one that did neither is fine."""

    def events(self) -> list[Event]:
        """Give the events since the last call.

        Raises:
            SubscriptionLagged: some are missing.
        """
