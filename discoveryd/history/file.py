"""The file of the history: its tables, how it is opened, and what becomes of one that is broken."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, suppress
from typing import Final

from discoveryd.errors import HistoryError

VERSION = 1
"""Of the tables; a file of a later version is left alone."""
WAL_PAGES = 256
"""Pages of 4 kB that the log beside the file has before it is brought into the file."""
PATIENCE = 0.5
"""Seconds to wait for another daemon that has the file."""
_BROKEN = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
"""What SQLite calls a file that is none of its own, or not any more."""

_TABLES: Final = """
CREATE TABLE node (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT, first INTEGER NOT NULL,
    address TEXT NOT NULL, link TEXT NOT NULL, tags TEXT NOT NULL, services TEXT NOT NULL);
CREATE TABLE stay (s INTEGER PRIMARY KEY, n INTEGER NOT NULL, boot TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER,
    ended TEXT NOT NULL, reason TEXT NOT NULL, address TEXT NOT NULL, link TEXT NOT NULL);
CREATE TABLE event (e INTEGER PRIMARY KEY, t INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL,
    reason TEXT NOT NULL, address TEXT NOT NULL, link TEXT NOT NULL);
CREATE TABLE day (n INTEGER NOT NULL, day INTEGER NOT NULL, seen INTEGER NOT NULL, up INTEGER NOT NULL,
    left INTEGER NOT NULL, downs INTEGER NOT NULL, restarts INTEGER NOT NULL, longest INTEGER NOT NULL,
    PRIMARY KEY (n, day)) WITHOUT ROWID;
CREATE TABLE watch (w INTEGER PRIMARY KEY, start INTEGER NOT NULL, end INTEGER NOT NULL, ended TEXT NOT NULL);
CREATE TABLE run (start INTEGER PRIMARY KEY, ahead INTEGER NOT NULL);
CREATE TABLE mark (name TEXT PRIMARY KEY, moment INTEGER NOT NULL) WITHOUT ROWID;
"""
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS stay_of ON stay (n, start)",
    "CREATE INDEX IF NOT EXISTS stay_end ON stay (end) WHERE end IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS stay_open ON stay (n) WHERE end IS NULL",
)


def connect(path: str, pages: int | None = None) -> sqlite3.Connection:
    """Return a connection to the file, which is made where there is none, and is for one daemon at a time.

    Args:
        path: of the file.
        pages: most pages that it may have; None for as many as there is room for.

    Raises:
        OSError: it cannot be made, or is a link.
        sqlite3.Error: it cannot be opened, or is none of ours.
        HistoryError: it was written by a later version.
    """
    # names and addresses are not for all to read
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    sql = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE, cached_statements=64)
    with ExitStack() as undo:
        undo.callback(sql.close)
        _prepare(sql, path, pages)
        undo.pop_all()
    return sql


def _prepare(sql: sqlite3.Connection, path: str, pages: int | None) -> None:
    sql.execute("PRAGMA locking_mode = EXCLUSIVE")  # and so without memory that is shared through a file
    version = sql.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise HistoryError(f"{path} was written by a later version of discoveryd (tables {version}): move it away")
    if not version:
        sql.execute("PRAGMA auto_vacuum = INCREMENTAL")
    sql.execute("PRAGMA journal_mode = WAL")
    sql.execute("PRAGMA synchronous = NORMAL")
    sql.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    sql.execute(f"PRAGMA journal_size_limit = {4096 * WAL_PAGES}")
    sql.execute("PRAGMA cache_size = -1024")
    if pages is not None:
        sql.execute(f"PRAGMA max_page_count = {pages:d}")
    if not version:
        sql.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    for index in _INDEXES:
        sql.execute(index)


def set_aside(path: str) -> str:
    """Rename a file that cannot be read, with what SQLite keeps beside it; one set aside before goes.

    Returns:
        its new name.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = f"{path}.corrupt"
    with suppress(FileNotFoundError):
        os.replace(f"{path}-wal", f"{aside}-wal")
    os.replace(path, aside)
    return aside


def is_broken(error: Exception) -> bool:
    """Return whether an error says that the file is none of SQLite's, or not any more."""
    return getattr(error, "sqlite_errorname", "").startswith(_BROKEN)


def in_words(error: Exception) -> str:
    """Return why a file cannot be used, and what helps where that is known."""
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
        return "another daemon keeps its history there: give each its own paths.state"
    return str(error)
