"""Fair shares of the query server among users: of its places, and of its time.

A place: the user with most connections gives a place to a user with fewer, so that no user, with any number of
programs, keeps out another. Of the connections of one user an idle connection goes, the longest silent first; a
connection that watches or waits for a reply stays. A connection that has asked nothing has no place: as many as there
are places may wait apart, so that a program that opens connections without end pushes out its own kind, and others have
time to ask.

Time: of the requests that wait, the next to be answered is of the user on whom the least time was spent. So a user with
hundreds of connections and thousands of requests in a row waits for itself alone.

The user of a connection is looked up only where there are enough connections for it to matter, and once.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from discoveryd.net.query_connection import Connection
from discoveryd.protocol.parameters import Limits


def giving_way(newcomer: Connection, others: Sequence[Connection], limits: Limits) -> tuple[Connection | None, str]:
    """Return the connection that has to go for a newcomer (perhaps itself) and why; None while there is room.

    Args:
        newcomer: about to be answered for the first time.
        others: those that have asked, without those that registered a service, which are counted elsewhere.
        limits: how many there may be.
    """
    mine_at_most, all_at_most = limits.connections_per_user, limits.query_connections
    if len(others) < min(mine_at_most, all_at_most):
        return None, ""
    mine = [one for one in others if one.owner == newcomer.owner]
    if len(mine) >= mine_at_most:
        why = f"{mine_at_most} connections of {newcomer.owner} are open already (limits.query_connections_per_user)"
        return _idle(mine) or newcomer, why
    if len(others) < all_at_most:
        return None, ""
    why = f"{all_at_most} connections are open already (limits.query_connections)"
    [(most, count)] = Counter(one.owner for one in others).most_common(1)
    if count <= len(mine):
        return _idle(mine) or newcomer, why
    theirs = [one for one in others if one.owner == most]
    return _idle(theirs) or min(theirs, key=_age), why


def pushed_out(silent: Sequence[Connection], limits: Limits) -> Connection | None:
    """Return the connection that has to go of those that asked nothing yet: the first of the user with most of them."""
    if len(silent) <= limits.query_connections:
        return None
    [(most, _)] = Counter(one.owner for one in silent).most_common(1)
    return next((one for one in silent if one.owner == most and one.is_silent), None)


def may_watch(newcomer: Connection, watchers: Sequence[Connection], limits: Limits) -> bool:
    """Return whether a connection may watch besides those that do: of all, and of its user."""
    if len(watchers) < min(limits.watchers_per_user, limits.watchers):
        return True
    mine = sum(one.owner == newcomer.owner for one in watchers)
    return len(watchers) < limits.watchers and mine < limits.watchers_per_user


def _idle(clients: Sequence[Connection]) -> Connection | None:
    """Return the longest silent of the idle connections."""
    return min((one for one in clients if one.is_idle), key=_age, default=None)


def _age(client: Connection) -> tuple[float, int]:
    return client.heard_at, client.number


class FairQueue:
    """Connections with a request that can be answered now."""

    def __init__(self) -> None:
        self._waiting: dict[Connection, None] = {}  # in the order in which they came
        self._spent: defaultdict[str, float] = defaultdict(float)  # seconds by owner, since nothing waited

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, client: Connection) -> None:
        """Append a connection, unless it waits already."""
        self._waiting.setdefault(client)

    def discard(self, client: Connection) -> None:
        """Remove a connection that is closed."""
        self._waiting.pop(client, None)

    def take(self) -> Connection:
        """Remove and return the connection to answer next; of one user, the longest waiting."""
        if len(self._waiting) == 1:
            client = next(iter(self._waiting))
        else:
            client = min(self._waiting, key=lambda one: self._spent[one.owner])  # the first of equals
        del self._waiting[client]
        return client

    def charge(self, client: Connection, seconds: float) -> None:
        """Count the time that an answer took, as long as another connection waits."""
        if self._waiting:
            self._spent[client.owner] += seconds
        else:
            self._spent.clear()
