"""The history as a part of the daemon: when peers came and went, and how available they were. Off, it costs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from discoveryd.daemon.grace import one_of
from discoveryd.daemon.parts import Part
from discoveryd.errors import QueryError
from discoveryd.net.stamps import boottime
from discoveryd.protocol.table.peer import SCHEMA
from discoveryd.query.reply import encode, error_line
from discoveryd.runtime.notices import warning

if TYPE_CHECKING:
    from discoveryd.config import Config
    from discoveryd.config.sections import HistorySection
    from discoveryd.history.keeper import Keeper
    from discoveryd.history.reading import Reader
    from discoveryd.protocol.node import Node
    from discoveryd.query.request import Request
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.notices import Notice


NOTHING = {
    "path": "", "error": None, "watching": False, "nodes": 0, "stays": 0, "days": 0, "events": 0, "bytes": 0,
    "written": 0, "lost": 0, "errors": 0, "replaced": 0,
}  # fmt: skip
"""The status of a history that has not begun yet."""


class HistoryPart(Part):
    """Keeps the history as long as ``history.keep`` is on, in a file of the state directory.

    Args:
        config: what to begin with.
        discovery: the node.
        notify: told when the file cannot be written; in any thread.
    """

    name = "history"
    section = "history"

    def __init__(self, config: Config, discovery: Discovery, notify: Callable[[Notice], None]) -> None:
        trial = f"-{config.parameters.loopback}" if config.parameters.loopback else ""  # one of several on a machine
        self.path = os.path.join(config.paths.state_directory, f"history{trial}.db")
        self._section = config.history
        self._discovery = discovery
        self._notify = notify
        self._keeper: Keeper | None = None
        self._looks = 0
        self._lack = ""
        self._began: tuple[float, float, float] | None = None
        for op in ("history", "availability"):
            discovery.handlers.parts[op] = self._answer
        discovery.handlers.parts["forget"] = self._forget

    def start(self) -> None:
        """Note changes from the first one on, for the file that is opened later."""
        if self._section.keep:
            self._began = boottime(), time(), monotonic()
            self._discovery.look(_begin_to_note)

    def look(self) -> None:
        """Begin, but not with the first look: the first HELLO comes before."""
        self._looks += 1
        if self._looks > 1:
            self._turn()

    def reload(self, config: Config) -> None:
        """Begin, end, or keep more or less."""
        self._section = config.history
        self._turn()

    def status(self) -> dict[str, Any]:
        """Return where it is kept, how much there is, and why it cannot be written."""
        keeper = self._keeper
        if not self._section.keep or self._lack:
            return {"on": False}
        return {"on": True, **NOTHING, "path": self.path, **(keeper.status() if keeper else {})}

    def stop(self) -> None:
        """Write what is there and end."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        try:
            keeper.stop()
        except RuntimeError as error:  # a disk that hangs: the daemon goes on, or ends, without it
            self._notify(warning("the history hangs", why=str(error)))

    def _turn(self) -> None:
        if not self._section.keep:
            self.stop()
        elif self._keeper is not None:
            self._keeper.bounds = _bounds(self._section)
        elif not self._lack:
            try:
                from discoveryd.history.keeper import Keeper  # noqa: PLC0415 - SQLite only where there is a history
                from discoveryd.history.recorder import Clocks  # noqa: PLC0415 - as above
            except ImportError as error:  # a Python that was built without SQLite
                self._lack = f"this Python has no sqlite3 ({error}): install it, or set history.keep to off"
                self._notify(warning("there is no history", why=self._lack))
                self._discovery.look(_note_nothing)
                return
            began, self._began = self._began and Clocks(*self._began), None
            keeper = Keeper(self.path, _bounds(self._section), self._discovery, self._notify, began=began)
            keeper.start()
            self._keeper = keeper

    def _answer(self, request: Request, reply: Callable[[bytes], None]) -> None:
        """Have a request answered; called in the thread of the query server."""
        keeper = self._keeper
        if keeper is None:
            why = self._lack or "it begins some seconds after the start"
            why = why if self._section.keep else "history.keep is off"
            raise QueryError("off", f"there is no history: {why}")
        from discoveryd.history.reading import answer  # noqa: PLC0415 - loaded by now

        keeper.ask(lambda reader, _: answer(reader, request), lambda found: reply(_line(found)))


    def _forget(self, request: Request, reply: Callable[[bytes], None]) -> None:
        """Have a peer forgotten: its past, and its rows that are gone."""
        keeper, discovery = self._keeper, self._discovery

        def listed() -> tuple[str, str | None]:
            return discovery.look(lambda node, now: one_of(node, request.peer, now))

        def forgotten(id: str, name: str | None) -> dict[str, Any]:
            discovery.perform(lambda node, now: node.forget(id, now))
            is_up = discovery.look(lambda node, _: any(row.id == id for row in node.table.by_key.values()))
            return {"ok": True, "schema": SCHEMA, "id": id, "name": name, "up": is_up}

        def made(reader: Reader, keeper: Keeper) -> dict[str, Any]:
            try:
                n, id, name = reader.one(request.peer)
            except QueryError as error:
                if error.code != "not_found":
                    raise
                return forgotten(*listed())
            keeper.forget(id, n)
            return forgotten(id, name)

        if keeper is None:
            reply(encode(forgotten(*listed())))
        else:
            keeper.ask(made, lambda found: reply(_line(found)))


def _begin_to_note(node: Node, _: float) -> None:
    node.table.event_log.journal.wake = lambda: None


def _note_nothing(node: Node, _: float) -> None:
    node.table.event_log.journal.wake = None
    node.table.event_log.journal.take()


def _bounds(section: HistorySection) -> Any:
    from discoveryd.history.store import Bounds  # noqa: PLC0415 - as above

    return Bounds(*(getattr(section, key) for key in Bounds._fields))


def _line(found: dict[str, Any] | QueryError) -> bytes:
    return error_line(found.code, found.message, found.problems) if isinstance(found, QueryError) else encode(found)
