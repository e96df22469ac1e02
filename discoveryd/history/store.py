"""The file that the history is kept in: an SQLite database, written by one thread in batches.

Nothing in it is overwritten but the end of what goes on. A stay is forgotten by its end, never by its start, and the
last stay of a peer never before the peer itself. The file is never rewritten as a whole (no VACUUM): what was freed is
used again, and the rest is given back in small steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from discoveryd.history.file import connect
from discoveryd.history.tally import Ended, Span, Stay, Uptime, heard_soon, joined, settled, tally
from discoveryd.history.timeline import DAY, Timeline

LATE = 600_000
"""Milliseconds after its end in which a day may still change: a peer is known to be down a ttl after its last HELLO."""
FREED = 256
"""Pages given back to the file system at a time."""
BRIEF = DAY
"""Milliseconds: a peer known for less makes room first, so that many newcomers push out none that matters."""

NEVER = 1 << 62
"""The end of what goes on."""

class Bounds(NamedTuple):
    """How much is kept: rows, and days by which it is forgotten."""

    events: int = 100_000
    stays: int = 100_000
    stay_days: int = 90
    days: int = 400
    nodes: int = 4096


MAX_WATCHES = 10_000
"""Watches kept, as old as the days: a laptop that sleeps ten times a day has fewer."""


_STAYS = (
    "SELECT s, n, start, end, ended, boot FROM stay INDEXED BY stay_end WHERE end >= :begin AND start < :end",
    "SELECT s, n, start, :now, ended, boot FROM stay INDEXED BY stay_open WHERE end IS NULL AND start < :end",
    (
        "SELECT s, stay.n, start, coalesce(end, :now), ended, boot FROM node CROSS JOIN stay ON stay.n = node.n "
        "AND start = (SELECT max(start) FROM stay WHERE n = node.n AND start < :begin) WHERE 1"
    ),
)
"""The stays between two moments, and the last one of each peer that began before; each part goes by an index."""


class NodeFacts(NamedTuple):
    """What is known of a peer besides its stays; tags and services are JSON."""

    id: str
    name: str | None
    address: str
    link: str
    tags: str
    services: str


class Store:
    """The history in its file. For one thread.

    Args:
        path: of the file; it is made where there is none.
        pages: most pages that the file may have, for tests; None for as many as there is room for.

    Attributes:
        timeline: of the runs of the daemon.

    Raises:
        OSError: the file cannot be made, or is a link.
        sqlite3.Error: it cannot be opened, or is none of ours.
        HistoryError: it was written by a later version.
    """

    def __init__(self, path: str, *, pages: int | None = None) -> None:
        self._sql = connect(path, pages)
        self.timeline = Timeline(self._sql.execute("SELECT start, ahead FROM run ORDER BY start"))

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    def begin(self) -> None:
        """Begin a batch: all of it is kept, or nothing."""
        self._sql.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Keep the batch."""
        self._sql.execute("COMMIT")

    def rollback(self) -> None:
        """Give up a batch, if one was begun."""
        if self._sql.in_transaction:
            self._sql.execute("ROLLBACK")

    # --- our own time ---------------------------------------------------------------------------

    def last_moment(self) -> int | None:
        """Return the last moment that is known of the run before; None without one."""
        found: int | None = self._sql.execute("SELECT max(end) FROM watch").fetchone()[0]
        return found

    def begin_run(self, start: int, ahead: int) -> int:
        """Note a run; what went on in the run before ended when that was last there. Return its number of stays."""
        last = self.last_moment()
        closed = 0
        if last is not None:
            why = "killed, or its machine lost power"
            self._sql.execute("UPDATE watch SET ended = 'killed' WHERE ended = ''")
            closed = self.end_all(last, f"this node was {why}")
        self._sql.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (start, ahead))
        return closed

    def set_ahead(self, start: int, ahead: int) -> None:
        """Note that the wall clock was set in a run."""
        self._sql.execute("UPDATE run SET ahead = ? WHERE start = ?", (ahead, start))

    def begin_watch(self, start: int) -> int:
        """Return the number of a watch that begins."""
        return self._insert("INSERT INTO watch (start, end, ended) VALUES (?, ?, '')", (start, start))

    def extend_watch(self, number: int, end: int, ended: str = "") -> None:
        """Note until when a watch goes on, or why it ended: ``stopped``, ``killed``, ``isolated``, ``suspended``."""
        self._sql.execute("UPDATE watch SET end = max(start, ?), ended = ? WHERE w = ?", (end, ended, number))

    def open_watch(self) -> int | None:
        """Return the number of the watch that goes on, None without one."""
        found = self._sql.execute("SELECT max(w) FROM watch WHERE ended = ''").fetchone()
        return found[0]  # type: ignore[no-any-return]

    def watches(self, since: int = 0) -> list[tuple[int, int, str]]:
        """Return the watches that go on after a moment: from, until, and how each ended."""
        return self._all("SELECT start, end, ended FROM watch WHERE end >= ? ORDER BY start", (since,))

    # --- peers ----------------------------------------------------------------------------------

    def keep_node(self, facts: NodeFacts, first: int) -> int:
        """Return the number of a peer, and keep what is known of it."""
        known = self._sql.execute("SELECT n FROM node WHERE id = ?", (facts.id,)).fetchone()
        if known is None:
            columns = "id, name, address, link, tags, services, first"
            return self._insert(f"INSERT INTO node ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", (*facts, first))
        changed = "UPDATE node SET name = ?, address = ?, link = ?, tags = ?, services = ? WHERE n = ?"
        self._sql.execute(changed, (*facts[1:], known[0]))
        return int(known[0])

    def begin_stay(self, n: int, boot: str, start: int, address: str, link: str) -> int:
        """Return the number of a stay that begins, but not before the last one under that boot ended."""
        last = self._sql.execute("SELECT max(end) FROM stay WHERE n = ? AND boot = ?", (n, boot)).fetchone()[0]
        columns = "n, boot, start, ended, reason, address, link"
        values = (n, boot, max(start, last or start), address, link)
        return self._insert(f"INSERT INTO stay ({columns}) VALUES (?, ?, ?, '', '', ?, ?)", values)

    def last_stay(self, n: int) -> tuple[str, str]:
        """Return the boot of the last stay of a peer, and how it ended; empty texts without one."""
        last = "SELECT boot, ended FROM stay WHERE n = ? ORDER BY start DESC LIMIT 1"
        boot, ended = self._sql.execute(last, (n,)).fetchone() or ("", "")
        return boot, ended

    def end_stay(self, number: int, end: int, ended: Ended, reason: str) -> None:
        """Note the end of a stay."""
        change = "UPDATE stay SET end = max(start, ?), ended = ?, reason = ? WHERE s = ?"
        self._sql.execute(change, (end, ended, reason, number))

    def end_all(self, end: int, reason: str) -> int:
        """Note that this node cannot tell any more how the stays that go on end; return how many there are."""
        change = "UPDATE stay SET end = max(start, ?), ended = 'unknown', reason = ? WHERE end IS NULL"
        return self._sql.execute(change, (end, reason)).rowcount

    def open_stays(self) -> list[tuple[int, str, str]]:
        """Return number, peer id and boot of the stays that go on."""
        return self._all("SELECT s, id, boot FROM stay JOIN node USING (n) WHERE end IS NULL")

    def add_event(self, moment: int, n: int, *rest: str) -> None:
        """Note what happened to a peer: kind, reason, address and link."""
        values = (moment, n, *rest)
        self._sql.execute("INSERT INTO event (t, n, kind, reason, address, link) VALUES (?, ?, ?, ?, ?, ?)", values)

    def forget(self, n: int) -> None:
        """Forget a peer with all that happened to it."""
        for table in ("stay", "event", "day", "node"):
            self._sql.execute(f"DELETE FROM {table} WHERE n = ?", (n,))

    # --- days -----------------------------------------------------------------------------------

    def mark(self, name: str) -> int:
        """Return a moment that was noted: until when days are summed up (``summed``), or stays lack (``complete``)."""
        found = self._sql.execute("SELECT moment FROM mark WHERE name = ?", (name,)).fetchone()
        return found[0] if found else 0

    def set_mark(self, name: str, moment: int) -> None:
        """Note a moment."""
        self._sql.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, moment))

    def sum_up(self, now: int, *, in_full: bool = False) -> None:
        """Sum up the days that are over, in full all up to `LATE` ago, so that stays may be forgotten."""
        begin, end = self.mark("summed"), now - LATE
        first = self._sql.execute("SELECT min(first) FROM node").fetchone()[0]
        begin = max(begin, end if first is None else first)
        parts = self.timeline.days(begin, end)
        if not in_full:
            today = self.timeline.day(now - LATE)
            parts = [part for part in parts if part[0] != today]
        for day, start, stop in parts:
            found = [(n, day, *one) for n, one in self.tallies(start, stop, now).items() if one.seen]
            self._sql.executemany(
                "INSERT INTO day VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (n, day) DO UPDATE SET "
                "seen = seen + excluded.seen, up = up + excluded.up, left = left + excluded.left, "
                "downs = downs + excluded.downs, restarts = restarts + excluded.restarts, "
                "longest = max(longest, excluded.longest)",
                found,
            )
        if parts:
            self.set_mark("summed", parts[-1][2])

    def tallies(self, begin: int, end: int, now: int, n: int | None = None) -> dict[int, Uptime]:
        """Return what each peer, or one, was between two moments, out of its stays; those gone before are there too."""
        if begin >= end:
            return {}
        stays: dict[int, list[Stay]] = {}
        one = "" if n is None else f" AND stay.n = {n:d}"
        values = {"now": now, "begin": begin, "end": end}
        rows = {row for part in _STAYS for row in self._all(part + one, values)}
        for _, number, *stay in sorted(rows, key=lambda row: row[1:3]):
            stays.setdefault(number, []).append(Stay(*stay))
        earliest = min((found[0].end for found in stays.values()), default=begin)
        watches: list[Span] = [(start, stop) for start, stop, _ in self.watches(min(earliest, begin))]
        common, told = settled(watches), dict[int, Uptime]()
        for number, found in stays.items():
            soon = heard_soon(watches, found)
            told[number] = tally(found, joined([*common, *soon]) if soon else common, begin, end)
        return told

    def day_sums(self, first: int, n: int | None = None) -> dict[int, Uptime]:
        """Return what each peer, or one, was on the days summed up from a day on."""
        rows = self._all(
            "SELECT n, sum(seen), sum(up), sum(left), sum(downs), sum(restarts), max(longest) FROM day "
            "WHERE day >= :first AND (:n IS NULL OR n = :n) GROUP BY n",
            {"first": first, "n": n},
        )
        return {number: Uptime(*sums) for number, *sums in rows}

    # --- bounds ---------------------------------------------------------------------------------

    def prune(self, bounds: Bounds, now: int) -> dict[str, int]:
        """Forget what is too old or too much; return how many rows of which kind."""
        gone = {
            "events": self._change("DELETE FROM event WHERE e <= (SELECT max(e) FROM event) - ?", (bounds.events,)),
            "stays": self._prune_stays(bounds, now),
            "days": self._change("DELETE FROM day WHERE day < ?", (self.timeline.day(now) - bounds.days,)),
            "nodes": self._prune_nodes(bounds.nodes, now - bounds.days * DAY),
        }
        self._change("DELETE FROM watch WHERE end < ? AND ended != ''", (now - bounds.days * DAY,))
        self._change("DELETE FROM watch WHERE w <= (SELECT max(w) FROM watch) - ?", (MAX_WATCHES,))
        oldest = self._sql.execute("SELECT min(start) FROM watch").fetchone()[0]
        older = "SELECT max(start) FROM run WHERE start <= ?"
        self._change(f"DELETE FROM run WHERE start < ({older})", (now if oldest is None else oldest,))
        return gone

    def give_back(self) -> None:
        """Give freed pages back to the file system, a few at a time; not within a batch."""
        self._sql.executescript(f"PRAGMA incremental_vacuum({FREED})")  # `execute` would free a single page

    def _prune_stays(self, bounds: Bounds, now: int) -> int:
        """Forget ended stays, but for the last of each peer: those too old, then of too many the oldest."""
        count = self._sql.execute("SELECT count(*) FROM stay").fetchone()[0]
        before = now - bounds.stay_days * DAY
        spare = "end < ? AND s NOT IN (SELECT max(s) FROM stay GROUP BY n)"
        if count > bounds.stays:
            self.sum_up(now, in_full=True)
            ends = f"SELECT end FROM stay WHERE {spare} ORDER BY end LIMIT 1 OFFSET ?"
            found = self._sql.execute(ends, (self.mark("summed"), count - bounds.stays)).fetchone()
            before = max(before, found[0] if found else self.mark("summed"))
        gone = self._change(f"DELETE FROM stay WHERE {spare}", (before,))
        if gone:
            self.set_mark("complete", before)
        return gone

    def _prune_nodes(self, limit: int, before: int) -> int:
        """Forget peers that are gone: those too long, then of too many first those known briefly, the longest gone."""
        last = "SELECT n, first, max(coalesce(end, ?)) AS last FROM node LEFT JOIN stay USING (n) GROUP BY n"
        rows = self._all(f"SELECT n, last FROM ({last}) ORDER BY last - first >= ?, last", (NEVER, BRIEF))
        gone = [n for n, end in rows if end < before]
        left = [n for n, end in rows if before <= end < NEVER]
        gone += left[: max(0, len(rows) - len(gone) - limit)]
        for n in gone:
            self.forget(n)
        return len(gone)

    # --- for readers ----------------------------------------------------------------------------

    def rows(self, statement: str, values: dict[str, Any]) -> list[Any]:
        """Return the rows of a statement that only reads."""
        return self._all(statement, values)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each kind, and the bytes of the file."""
        names = {"nodes": "node", "stays": "stay", "days": "day", "events": "event"}
        found = {name: self._one(f"SELECT count(*) FROM {table}") for name, table in names.items()}
        return {**found, "bytes": self._one("PRAGMA page_count") * self._one("PRAGMA page_size")}

    def _one(self, statement: str) -> int:
        return int(self._sql.execute(statement).fetchone()[0])

    def _all(self, statement: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        return self._sql.execute(statement, values).fetchall()

    def _insert(self, statement: str, values: Sequence[Any]) -> int:
        return self._sql.execute(statement, values).lastrowid or 0

    def _change(self, statement: str, values: Sequence[Any]) -> int:
        return self._sql.execute(statement, values).rowcount
