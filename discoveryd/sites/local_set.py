"""The set of our own site, as this node knows it first-hand: its number, its digest, and how it changes."""

from __future__ import annotations

from collections.abc import Iterable

from discoveryd.protocol.bounded import put_last
from discoveryd.sites.row import mark
from discoveryd.sites.values import LocalRow
from discoveryd.sites.wire import MAX_ENDS, Change, encode_end


class LocalSet:
    """The live peers of our site, this node among them.

    Attributes:
        rows: key -> text.
        number: of the last change.
        digest: of the rows.
        is_changed: whether the last survey differs from the rows.
        ids: of the nodes in the last survey; the id of a bare peer is an address, which other sites have too.
        count: peers in the last survey.
    """

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.number = 0
        self.digest = 0
        self.count = 0
        self.is_changed = False
        self._latest: dict[str, str] = {}
        self._ends: dict[str, str] = {}
        self._news: dict[str, str] = {}  # ends that were not told yet
        self.ids: frozenset[str] = frozenset()

    def learn(self, rows: Iterable[LocalRow]) -> None:
        """Take a survey: what is live, and what is gone.

        The end of a peer counts also where the set never had it: another gateway may list it.
        """
        latest = {}
        for row in rows:
            if row.state == "up":
                latest[row.key] = row.text
                self._ends.pop(row.key, None)
                self._news.pop(row.key, None)
            else:
                end = encode_end(row.state, row.reason)
                if self._ends.get(row.key) != end:
                    put_last(self._news, row.key, end, MAX_ENDS)
                put_last(self._ends, row.key, end, MAX_ENDS)
        self._latest, self.count = latest, len(latest)
        self.ids = frozenset(id for id, _, boot in (key.partition(" ") for key in latest) if boot)
        self.is_changed = bool(self._news) or latest != self.rows

    def changes(self) -> tuple[Change, ...]:
        """Bring the rows up to date, and return what has changed: first what is gone."""
        latest = self._latest
        gone = [key for key in self.rows if key not in latest]
        new = [(key, text) for key, text in latest.items() if self.rows.get(key) != text]
        told = {key: self._end(key) for key in gone} | self._news
        self._news = {}
        for key in gone:
            self.digest -= mark(key, self.rows.pop(key))
        for key, text in new:
            if key in self.rows:
                self.digest -= mark(key, self.rows[key])
            self.rows[key] = text
            self.digest += mark(key, text)
        self.digest %= 2**64
        self.is_changed = False
        return (*told.items(), *new)

    def snapshot(self) -> tuple[Change, ...]:
        """Return the whole set, and the peers that are gone."""
        return (*self.rows.items(), *((key, end) for key, end in self._ends.items() if key not in self.rows))

    def _end(self, key: str) -> str:
        if key in self._ends:
            return self._ends[key]
        return encode_end("replaced" if key.partition(" ")[0] in self.ids else "unknown")
