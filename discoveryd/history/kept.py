"""The store of a daemon that goes on whatever becomes of the file: opened when it can be, begun anew when it broke."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from discoveryd.errors import QueryError
from discoveryd.files import trusted
from discoveryd.history.file import in_words, set_aside
from discoveryd.history.recorder import Clocks, Recorder
from discoveryd.history.store import Store


class KeptStore:
    """A store with its recorder, as long as there is one. For one thread.

    Args:
        path: of the file.
        began: since when changes have been noted; None for since it is opened.

    Attributes:
        store: None while the file is not open.
        recorder: writes into it.
        is_stale: whether the recorder has to read the store again: a batch failed, or it was just opened.
    """

    def __init__(self, path: str, began: Clocks | None) -> None:
        self.path = path
        self._began = began
        self.store: Store | None = None
        self.recorder: Recorder | None = None
        self.is_stale = False

    def open(self, clocks: Clocks) -> tuple[Store, Recorder]:
        """Return the store and its recorder, opened where they are not.

        Raises:
            QueryError: ``off``, there is no state directory, and none can be made.
            OSError: what is there is none of ours.
            sqlite3.Error, HistoryError: the file cannot be used.
        """
        if self.store is not None and not os.path.exists(self.path):  # somebody removed it: begin anew
            self.close()
        if self.store is None or self.recorder is None:
            self._make_directory()
            store = Store(self.path)
            recorder = Recorder(store, self._began or clocks)
            with ExitStack() as undo:
                undo.callback(store.close)
                with self.batch(store):
                    recorder.begin()
                    store.sum_up(store.timeline.now(clocks.booted))
                undo.pop_all()
            self._began = None
            self.store, self.recorder, self.is_stale = store, recorder, True
        return self.store, self.recorder

    @contextmanager
    def batch(self, store: Store) -> Iterator[None]:
        """Keep all that is written meanwhile, or nothing."""
        store.begin()
        with ExitStack() as undo:
            undo.callback(self._undo, store)
            yield
            store.commit()
            undo.pop_all()

    def _undo(self, store: Store) -> None:
        self.is_stale = True
        with suppress(sqlite3.Error):
            store.rollback()

    def close(self) -> None:
        """Close the file, if it is open."""
        store, self.store, self.recorder = self.store, None, None
        if store is not None:
            with suppress(sqlite3.Error):
                store.close()

    def set_aside(self) -> str:
        """Close a file that is broken and rename it, so that a new one can be begun; return its new name.

        Raises:
            OSError: it cannot be renamed.
        """
        self.close()
        return set_aside(self.path)

    def _make_directory(self) -> None:
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        except OSError as error:
            raise QueryError("off", f"there is no history, for want of a state directory: {in_words(error)}") from None
        for name in (self.path, f"{self.path}-wal"):
            trusted.check(name)
