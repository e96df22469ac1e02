"""Who gives way when more programs ask than there are places.

Whoever has most places gives one to whoever has fewer, so that no user, with as many programs as he likes, keeps
another one out. Of one user's connections the one goes that waits for nothing, and for longest; what watches, or is
being answered, stays. A connection that asked nothing yet has no place: as many as there are places may wait for it
in a room of their own, so that one who opens them without end pushes out such as these, and others have time to ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from discoveryd.net.query_connection import Connection
from discoveryd.protocol.parameters import Limits


class Verdict(NamedTuple):
    """Who has to go, the newcomer perhaps, and why."""

    leaves: Connection
    why: str


def verdict(newcomer: Connection, others: Sequence[Connection], limits: Limits) -> Verdict | None:
    """Say who gives way to a newcomer, None while there is room.

    Whose a connection is, is looked up when there are enough of them for it to matter, and once.

    Args:
        newcomer: about to be answered for the first time.
        others: those that have asked, without those that registered a service: they are counted elsewhere.
        limits: how many there may be.
    """
    mine_at_most, all_at_most = limits.connections_per_user, limits.query_connections
    if len(others) < min(mine_at_most, all_at_most):
        return None
    mine = [one for one in others if one.owner == newcomer.owner]
    if len(mine) >= mine_at_most:
        why = f"{mine_at_most} connections of {newcomer.owner} are open already (limits.query_connections_per_user)"
        return Verdict(_idle(mine) or newcomer, why)
    if len(others) < all_at_most:
        return None
    why = f"{all_at_most} connections are open already (limits.query_connections)"
    [(most, count)] = Counter(one.owner for one in others).most_common(1)
    if count <= len(mine):
        return Verdict(_idle(mine) or newcomer, why)
    theirs = [one for one in others if one.owner == most]
    return Verdict(_idle(theirs) or min(theirs, key=_age), why)


def pushed_out(silent: Sequence[Connection], limits: Limits) -> Connection | None:
    """Pick who has to go of those who asked nothing yet: the first of who has most of them; None if none has."""
    if len(silent) <= limits.query_connections:
        return None
    [(most, _)] = Counter(one.owner for one in silent).most_common(1)
    return next((one for one in silent if one.owner == most and one.is_silent), None)


def may_watch(newcomer: Connection, others: Sequence[Connection], limits: Limits) -> bool:
    """Say whether there is room for one more that watches, of all and of this user.

    Args:
        newcomer: does not watch yet.
        others: those that watch.
        limits: how many there may be.
    """
    if len(others) < min(limits.watchers_per_user, limits.watchers):
        return True
    mine = sum(one.owner == newcomer.owner for one in others)
    return len(others) < limits.watchers and mine < limits.watchers_per_user


def _idle(clients: Sequence[Connection]) -> Connection | None:
    """Pick the one that is missed least, of those that do nothing."""
    return min((one for one in clients if one.is_idle), key=_age, default=None)


def _age(client: Connection) -> tuple[float, int]:
    return client.heard_at, client.number
