"""The thread of the history: it takes what was noted, writes it in batches, and answers what is asked of the history.

Nothing waits for it but a program that asks: the engine notes changes in its journal, and a disk that is slow, full or
broken costs the history some of them, and the daemon nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from discoveryd.errors import HistoryError, QueryError
from discoveryd.history.file import in_words, is_broken
from discoveryd.history.kept import KeptStore
from discoveryd.history.reading import Reader
from discoveryd.history.recorder import Clocks, Recorder, clocks
from discoveryd.history.store import Bounds, Store
from discoveryd.protocol.table.journal import Sighting, remembered, sighting
from discoveryd.runtime.notices import Notice, info, warning
from discoveryd.runtime.worker import Worker

if TYPE_CHECKING:
    from discoveryd.protocol.node import Node
    from discoveryd.protocol.table.row import Key
    from discoveryd.runtime.discovery import Discovery

BEAT = 10.0
"""Seconds between two signs in the file that this node is there: what a kill takes from the end of a stay."""
BATCH = 0.5
"""Seconds in which notes are gathered: what a kill takes of them."""
TIDY = 600.0
"""Seconds between two looks for what is to be forgotten."""
TIDY_ROWS = 2000
"""Notes after which it is looked sooner."""
COUNT = 60.0
"""Seconds between two counts of what there is."""
JOIN = 5.0
"""Seconds in which the thread ends when it is told to."""
_WAKE: Final = object()
Ask = Callable[[Reader, "Keeper"], dict[str, Any]]
"""Makes the answer to a request."""
Done = Callable[[dict[str, Any] | QueryError], None]
"""Takes the answer, in the thread of the history."""


class Keeper:
    """Keeps the history of a node in a file. Nothing is opened before `start`.

    Args:
        path: of the file.
        bounds: how much is kept.
        discovery: the node.
        notify: told when the history cannot be written, and when it can again; in the thread of the history.
        began: since when changes have been noted.
        clocks: the time; a test has its own.
    """

    def __init__(
        self,
        path: str,
        bounds: Bounds,
        discovery: Discovery,
        notify: Callable[[Notice], None],
        *,
        began: Clocks | None = None,
        clocks: Callable[[], Clocks] = clocks,
    ) -> None:
        self.path = path
        self.bounds = bounds
        self._discovery = discovery
        self._notify = notify
        self._clocks = clocks
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._worker = Worker("history", self._run, self._fail)
        self._is_stopping = False
        # of the thread alone; `status` reads what it shows of it
        self._kept = KeptStore(path, began)
        self._compares = True  # the stays with the table: notes may lack
        self._notes: list[Sighting] = []  # that are not written yet
        self._error = ""
        self._lack: QueryError | None = None  # why there is none
        self._counts = dict.fromkeys(("written", "lost", "errors", "replaced"), 0)
        self._sizes: dict[str, int] = {}
        self._since_tidy = 0
        self._due = dict.fromkeys(("beat", "write", "tidy", "count"), 0.0)

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, which opens the file.

        Raises:
            OSError: no thread is left.
        """
        self._due["write"] = float("inf")
        self._listen(lambda: self._inbox.put(_WAKE))
        self._worker.start()

    def stop(self) -> None:
        """Write what is there and end. Safe to call again, and before `start`.

        Raises:
            RuntimeError: the thread did not end.
        """
        if not self._is_stopping:
            self._is_stopping = True
            self._inbox.put(None)
            self._listen(None)
        if not self._worker.join(JOIN):
            raise RuntimeError(f"the history did not end within {JOIN:g} s")

    def ask(self, make: Ask, done: Done) -> None:
        """Have an answer made; `done` gets it, or a QueryError. For any thread.

        Raises:
            QueryError: ``stopping``.
        """
        if self._is_stopping:
            raise QueryError("stopping", "the history has ended")
        self._inbox.put((make, done))

    def status(self) -> dict[str, Any]:
        """Return what ``status`` shows; for any thread."""
        recorder = self._kept.recorder
        return {
            "on": self._lack is None,
            "path": self.path,
            "error": self._error or None,
            "watching": recorder is not None and recorder.is_watching,
            **{name: self._sizes.get(name, 0) for name in ("nodes", "stays", "days", "events", "bytes")},
            **self._counts,
        }

    def _listen(self, wake: Callable[[], None] | None) -> None:
        def turn(node: Node, _: float) -> None:
            node.table.event_log.journal.wake = wake

        self._discovery.look(turn)

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (message := self._next()) is not None:
                self._write()
                if message is not _WAKE:
                    self._answer(*message)
            self._write(is_last=True)
        except RuntimeError:  # a thread of the node has died, which ends the daemon
            self._error = "the node has ended"
        finally:
            self._end()

    def _next(self) -> Any:
        """Return a request, `_WAKE` when it is time to write, None for the end."""
        while True:
            try:
                message = self._inbox.get(timeout=max(0.0, min(self._due.values()) - time.monotonic()))
            except Empty:
                return _WAKE
            if message is not _WAKE:
                return message
            self._due["write"] = min(self._due["write"], time.monotonic() + BATCH)

    def _write(self, *, is_last: bool = False) -> None:
        """Write what was noted, and what is due."""
        if is_last and self._kept.store is None:
            return
        now = time.monotonic()
        due = {name for name, moment in self._due.items() if now >= moment}
        self._due |= {"beat": now + BEAT, "write": float("inf")}
        clocks, there, heard = self._look()
        try:
            store, recorder = self._kept.open(clocks)
            with self._kept.batch(store):
                if self._kept.is_stale:
                    recorder.read_again(clocks)
                moment = recorder.look(clocks, heard)
                recorder.take(self._notes)
                if self._compares or self._kept.is_stale or "beat" in due:
                    self._compare(recorder, there)
                if is_last:
                    recorder.stop(clocks.booted)
                if "tidy" in due or self._since_tidy >= TIDY_ROWS:
                    self._tidy(store, recorder, moment)
            self._took(len(self._notes))
            if "count" in due:
                self._due["count"] = now + COUNT
                store.give_back()
                self._sizes = store.counts()
        except QueryError as error:  # no directory, which is no fault
            self._lack = error
            self._notes.clear()
        except (sqlite3.Error, HistoryError, OSError) as error:
            self._stumble(error)

    def _look(self) -> tuple[Clocks, set[Key], float | None]:
        """Take what was noted; return the time, the peers that are up, and, if we are cut off, since when."""

        def see(node: Node, now: float) -> tuple[list[Sighting], int, set[Key], float | None]:
            notes, lost = node.table.event_log.journal.take()
            heard = [row.last_heard for row in node.table.by_key.values()] if node.is_isolated(now) else None
            return notes, lost, remembered(node.table.by_key), None if heard is None else max(heard, default=now)

        notes, lost, there, heard = self._discovery.look(see)
        self._notes += notes
        self._counts["lost"] += lost
        self._compares = self._compares or lost > 0
        return self._clocks(), there, heard

    def _compare(self, recorder: Recorder, there: set[Key]) -> None:
        """Begin and end the stays that no note told of: of peers there before us, or where notes lack."""
        missing, extra = recorder.differing(there)
        if not (missing or extra):
            return

        def see(node: Node, now: float) -> tuple[list[Sighting], list[tuple[Key, float | None]]]:
            rows = node.table.by_key
            new = [sighting("there", "", rows[key], now) for key in missing if key in rows]
            return new, [(key, rows[key].last_heard if key in rows else None) for key in extra]

        new, gone = self._discovery.look(see)
        recorder.end_lost(gone)
        recorder.take(new)

    def _tidy(self, store: Store, recorder: Recorder, moment: int) -> None:
        self._due["tidy"] = time.monotonic() + TIDY
        self._since_tidy = 0
        store.sum_up(moment)
        if any(store.prune(self.bounds, moment).values()):
            recorder.pruned()

    def _took(self, notes: int) -> None:
        self._notes.clear()
        self._counts["written"] += notes
        self._since_tidy += notes
        self._compares = self._kept.is_stale = False
        self._lack = None
        if self._error:
            self._error = ""
            self._notify(info("the history is written again", path=self.path))

    def _answer(self, make: Ask, done: Done) -> None:
        try:
            done(self._made(make))
        except QueryError as error:
            done(error)
        except (sqlite3.Error, OSError) as error:
            self._stumble(error)
            done(self._unreadable())

    def _made(self, make: Ask) -> dict[str, Any]:
        """Return the answer to a request, which sees one state of the file."""
        store, recorder = self._kept.store, self._kept.recorder
        if store is None or recorder is None or self._error:
            raise self._unreadable()
        with self._kept.batch(store):
            return make(Reader(store, recorder.moment(self._clocks())), self)

    def _unreadable(self) -> QueryError:
        why = self._error or "it is not open yet"
        return self._lack or QueryError("failed", f"the history cannot be read now: {why}")

    def forget(self, id: str, n: int) -> None:
        """Forget a peer, for an answer."""
        assert self._kept.recorder is not None
        self._kept.recorder.forget(id, n)
        self._compares = True
        self._due["write"] = 0.0

    # --- the file -------------------------------------------------------------------------------

    def _stumble(self, error: Exception) -> None:
        """Count what could not be written, and tell once why; replace a file that is broken."""
        self._counts["errors"] += 1
        self._counts["lost"] += len(self._notes)
        self._notes.clear()
        self._compares = True
        why = in_words(error)
        if why != self._error:
            self._error = why
            self._notify(warning("the history cannot be written", path=self.path, why=why, every_s=BEAT))
        if is_broken(error):
            with suppress(OSError):
                kept = self._kept.set_aside()
                self._counts["replaced"] += 1
                self._due["beat"] = 0.0
                self._notify(warning("the history begins anew", kept=kept))

    def _end(self) -> None:
        """Close the file, and tell what waits that there is no more."""
        self._kept.close()
        for message in _left(self._inbox):
            if isinstance(message, tuple):
                message[1](QueryError("stopping", "the history has ended"))

    def _fail(self, _: str, error: BaseException) -> None:
        """Let the daemon go on without a history: others rely on it."""
        self._is_stopping = True
        with suppress(RuntimeError):
            self._listen(None)
        self._error = f"its thread has died: {error!r}"
        fields = {"path": self.path, "error": repr(error)}
        self._notify(Notice(level="error", text="the history has ended", fields=fields))


def _left(inbox: SimpleQueue[Any]) -> Iterable[Any]:
    with suppress(Empty):
        while True:
            yield inbox.get_nowait()
