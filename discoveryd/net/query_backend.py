"""The seam between the query socket and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from discoveryd.protocol.table.peer import Event
from discoveryd.query.request import Filter, Request
from discoveryd.query.watch import Watch


class Backend(Protocol):
    """Gives the answers, in the thread of the server; never blocks. A `QueryError` that it raises becomes the reply."""

    def greeting(self, nonce: str, *, is_stranger: bool) -> bytes:
        """Return the line sent on connect; a stranger learns only that a token is wanted."""

    def allow(self, request: Request, nonce: str) -> None:
        """Check the proof of a request on the connection that was greeted with this nonce; raise ``denied``."""

    def hello(self, request: Request, nonce: str) -> bytes:
        """Return the reply line to a ``hello`` that was allowed."""

    def answer(self, request: Request) -> bytes:
        """Return the reply line to ``list``, ``show``, ``status`` or ``metrics``."""

    def watch(self, chosen: Filter) -> tuple[bytes, Watch]:
        """Return the opening lines of a watch, and the watch that continues from them."""

    def begin(self, request: Request, reply: Callable[..., None], connection: int) -> None:
        """Begin what ends with this connection; `reply` takes lines from any thread, `is_last=False` if more come.

        What `opens` a watch may be as long as it has to, and does not count as owed by a slow reader.
        """

    def register(self, request: Request, connection: int) -> bytes:
        """Announce a service until this connection is released, and return the reply line."""

    def release(self, connection: int) -> None:
        """End what a connection asked for and registered, if anything."""

    def events(self) -> list[Event]:
        """Return the events since the last call.

        Raises:
            SubscriptionLagged: some are missing.
        """
