"""The order in which waiting requests are answered: fair by work, not by the number of connections.

A user with hundreds of connections and thousands of requests in a row waits for itself alone: of those that wait, the
user on whom the least time was spent comes next, and of that user the connection that has waited longest.
"""

from __future__ import annotations

from collections import defaultdict

from discoveryd.net.query_connection import Connection


class Turns:
    """Connections with a request that can be answered now."""

    def __init__(self) -> None:
        self._waiting: dict[Connection, None] = {}  # in the order in which they came
        self._spent: defaultdict[str, float] = defaultdict(float)  # seconds by owner, since the last queue

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, client: Connection) -> None:
        """Append a connection, unless it waits already."""
        self._waiting.setdefault(client)

    def discard(self, client: Connection) -> None:
        """Remove a connection that is closed."""
        self._waiting.pop(client, None)

    def take(self) -> Connection:
        """Remove and return the connection to answer next.

        The owner is looked up only where more than one connection waits, so the ordinary path costs nothing.
        """
        if len(self._waiting) == 1:
            client = next(iter(self._waiting))
        else:
            client = min(self._waiting, key=lambda one: self._spent[one.owner])  # the first of equals
        del self._waiting[client]
        return client

    def charge(self, client: Connection, seconds: float) -> None:
        """Count the time that an answer took, as long as somebody else waits."""
        if self._waiting:
            self._spent[client.owner] += seconds
        else:
            self._spent.clear()
