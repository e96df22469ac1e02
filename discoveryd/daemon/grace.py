"""Grace as a part of the daemon: the rules of the configuration, and peers under maintenance by command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any

from discoveryd.daemon.parts import Part
from discoveryd.daemon.state_file import StateFile
from discoveryd.errors import QueryError
from discoveryd.protocol.parameters import MAX_ID, is_word
from discoveryd.protocol.table.grace import LONGEST, MOST_MAINTAINED
from discoveryd.protocol.table.peer import SCHEMA
from discoveryd.query.reply import encode, find

if TYPE_CHECKING:
    from discoveryd.config import Config
    from discoveryd.protocol.node import Node
    from discoveryd.query.request import Request
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.notices import Notice

NAME = "maintenance"
MAX_SIZE = 128 * 1024
"""Bytes of the file: what `MOST_MAINTAINED` lines take."""
HEAD = "# Peers under maintenance, and until when: seconds since 1970. discoveryd writes this file.\n"


class GracePart(Part):
    """Puts the rules of ``grace`` in force, and answers ``maintenance``, which outlives a restart of the daemon.

    Args:
        config: what to begin with.
        discovery: the node.
        notify: told where the file of what is under maintenance cannot be read or written.
    """

    name = "grace"
    section = "grace"

    def __init__(self, config: Config, discovery: Discovery, notify: Callable[[Notice], None]) -> None:
        self._discovery = discovery
        self._config = config
        trial = f"-{config.parameters.loopback}" if config.parameters.loopback else ""  # one of several on a machine
        holds = "what is under maintenance cannot be {fault}: a restart ends it"
        directory = config.paths.state_directory
        self._file = StateFile(directory, f"{NAME}{trial}", limit=MAX_SIZE, holds=holds, notify=notify)
        self._kept: Mapping[str, float] = {}
        discovery.handlers.parts["maintenance"] = self._maintain

    def open(self) -> None:
        """Put the rules in force, and what was under maintenance when the daemon before this one ended."""
        self.reload(self._config)
        found = maintained(self._file.read().decode("ascii", "replace"), time())

        def maintain(node: Node, now: float) -> dict[str, float]:
            for id, left in found.items():
                node.maintain(id, left, now)
            return _maintained(node, now)

        self._kept = self._discovery.look(maintain)

    def look(self) -> None:
        """Write down what is under maintenance, if that has changed."""
        kept, now = self._discovery.look(lambda node, now: (_maintained(node, now), now))
        if kept != self._kept:
            ends = {id: round(time() + until - now) for id, until in kept.items()}
            lines = "".join(f"{id} {end}\n" for id, end in ends.items())
            if self._file.write((HEAD + lines).encode("ascii")):
                self._kept = kept

    def stop(self) -> None:
        """Write down what changed last."""
        with suppress(RuntimeError):  # a thread has died
            self.look()

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


def _maintained(node: Node, now: float) -> dict[str, float]:
    return {id: until for id, until in node.table.event_log.grace.maintained.items() if until > now}


def maintained(text: str, wall: float) -> dict[str, float]:
    """Return for how many seconds each peer in the file is still under maintenance, by id.

    Args:
        text: of the file; a line that is not ours is passed over.
        wall: the wall clock.
    """
    found = {}
    for line in text.splitlines():
        id, _, end = line.partition(" ")
        if is_word(id, MAX_ID) and end.isascii() and end.isdigit() and (left := int(end[:16]) - wall) > 0:
            found[id] = min(left, LONGEST)
    return dict(list(found.items())[-MOST_MAINTAINED:])


def _status(node: Node, now: float) -> dict[str, Any]:
    log = node.table.event_log
    ends = _maintained(node, now)
    names = {row.id: row.name for row in node.table.by_key.values() if row.id in ends}
    return {
        "rules": len(log.grace.rules),
        "waiting": len(log.withheld(now)),
        "maintenance": [
            {"id": id, "name": names.get(id), "left_s": round(until - now, 3)} for id, until in ends.items()
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
