"""Grace as a part of the daemon: the rules of the configuration, and peers under maintenance by command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discoveryd.daemon.parts import Part
from discoveryd.errors import QueryError
from discoveryd.protocol.table.peer import SCHEMA
from discoveryd.query.reply import encode, find

if TYPE_CHECKING:
    from discoveryd.config import Config
    from discoveryd.protocol.node import Node
    from discoveryd.query.request import Request
    from discoveryd.runtime.discovery import Discovery


class GracePart(Part):
    """Puts the rules of ``grace`` in force, and answers ``maintenance``.

    Args:
        config: what to begin with.
        discovery: the node.
    """

    name = "grace"
    section = "grace"

    def __init__(self, config: Config, discovery: Discovery) -> None:
        self._discovery = discovery
        self._config = config
        discovery.handlers.parts["maintenance"] = self._maintain

    def open(self) -> None:
        """Put the rules in force."""
        self.reload(self._config)

    def reload(self, config: Config) -> None:
        """Put other rules in force; they hold for what waits, too."""
        self._discovery.look(lambda node, _: node.set_grace(config.grace.rules))

    def status(self) -> dict[str, Any]:
        """Return how many rules there are, the absences not told yet, and the peers under maintenance."""
        return self._discovery.look(_status)

    def _maintain(self, request: Request, reply: Callable[[bytes], None]) -> None:
        id, name = self._discovery.look(lambda node, now: one_of(node, request.peer, now))
        self._discovery.perform(lambda node, now: node.maintain(id, request.seconds, now))
        reply(encode({"ok": True, "schema": SCHEMA, "id": id, "name": name, "for_s": request.seconds}))


def _status(node: Node, now: float) -> dict[str, Any]:
    log = node.table.event_log
    maintained = {id: until for id, until in log.grace.maintained.items() if until > now}
    names = {row.id: row.name for row in node.table.by_key.values() if row.id in maintained}
    return {
        "rules": len(log.grace.rules),
        "waiting": len(log.withheld(now)),
        "maintenance": [
            {"id": id, "name": names.get(id), "left_s": round(until - now, 3)} for id, until in maintained.items()
        ],
    }


def one_of(node: Node, peer: str, now: float) -> tuple[str, str | None]:
    """Return id and name of the one peer that a text means; clones are one.

    Raises:
        QueryError: ``not_found``; ``ambiguous``, with the id of each.
    """
    found = {row.id: row.name for row in find(node, peer, now)}
    if len(found) > 1:
        several = tuple(sorted(found))
        message = f"{peer!r:.80} means {len(found)} peers: {', '.join(several)}; name an id"
        raise QueryError("ambiguous", message, several)
    [(id, name)] = found.items()
    return id, name
