"""Whether this node is cut off, rather than all the others down: judged from the table, told when it changes."""

from collections.abc import Iterable

from discoveryd.protocol.table.liveness import NEVER, PROBE_GAP
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.table import PeerTable

GAP = 0.1
"""Seconds between two judgements at least, however many peers come and go: each reads the whole table."""
RECHECK = 0.5
"""Seconds to the next judgement while a peer counts as silent: heartbeats of the others end that without an event."""

SILENT_FOR = 600.0
"""Seconds for which a peer that went down still counts as silent, when we doubt ourselves."""


class Isolation:
    """Judges isolation anew when the table has changed, and as long as peers count as silent.

    Args:
        table: its counts of silent and live peers are judged.

    Attributes:
        is_told: what was told last.
    """

    def __init__(self, table: PeerTable) -> None:
        self._table = table
        self._seen = self._changes()
        self._judged_at = 0.0
        self._due = NEVER
        self.is_told = False

    def next_deadline(self) -> float:
        """Return when `judge` should run again."""
        if self._seen != self._changes():
            return min(self._due, self._judged_at + GAP)
        return self._due

    def links_changed(self, now: float) -> None:
        """Judge anew as soon as possible, if there is anything to judge: the links are others than before."""
        if self._due < NEVER:
            self._due = now

    def judge(self, links: int, within: float, heard: float, now: float) -> bool | None:
        """Return whether this node is isolated, None where that is what was told last.

        Without a link the answer is no: that there is none is told anyway.

        Args:
            links: how many there are.
            within: the ttl in force, seconds.
            heard: until when every datagram that arrived was given to the engine.
            now: the present moment.
        """
        suspects = self._table.suspects.values()
        isolated = links > 0 and self.holds(links, within, heard)
        suspected = (row.suspect_at() + 2 * PROBE_GAP for row in suspects if row.proved)
        self._due = min((max(at, now + GAP) for at in suspected if at > heard), default=NEVER)
        if isolated or self.silent_together(heard, within):
            self._due = min(self._due, now + RECHECK)
        self._seen, self._judged_at = self._changes(), now
        if isolated == self.is_told:
            return None
        self.is_told = isolated
        return isolated

    def holds(self, links: int, within: float, now: float) -> bool:
        """Return whether this node is isolated: it has no link, or most peers fell silent together."""
        up = sum(row.proved and row.state_at(now) == "up" for row in self._table.rows(now))
        return is_isolated(links, up, self.silent_together(now, within))

    def silent_together(self, now: float, within: float) -> int:
        """Count the proved peers that fell silent, not long ago, in the last seconds in which any was heard."""
        rows = [row for row in self._table.rows(now, gone=True) if row.proved]
        heard = max((row.last_heard for row in rows), default=now)
        return silent_together((row.last_heard for row in rows if _is_silent(row, now)), heard, within)

    def _changes(self) -> tuple[int, int]:
        """Return what differs when a peer has fallen silent."""
        return len(self._table.suspects), self._table.event_counts["down"]


def _is_silent(row: Row, now: float) -> bool:
    """Return whether a peer fell silent without a goodbye, probes begin to show it, and we were awake."""
    if row.state not in LIVE:
        return row.state == "down" and now < row.last_heard + SILENT_FOR
    return now >= row.suspect_at() + 2 * PROBE_GAP and row.excused != row.last_heard


def silent_together(moments: Iterable[float], heard: float, within: float) -> int:
    """Return how many peers fell silent in the last seconds before any peer was heard last.

    A peer that is heard after that shows that our side works: as long as others are heard, a silence that began more
    than `within` ago is no reason to doubt ourselves.

    Args:
        moments: when the silent peers were last heard.
        heard: when any peer was last heard, the silent ones included.
        within: seconds, a ttl.
    """
    return sum(moment > heard - within for moment in moments)


def is_isolated(links: int, up: int, silent: int) -> bool:
    """Return whether we are rather cut off ourselves: no link, or at least half of four or more peers fell silent.

    Args:
        links: usable links; without any, the routed peers that are heard.
        up: peers heard in time.
        silent: peers that fell silent together, without a goodbye, not long ago.
    """
    return links == 0 or (up + silent >= 4 and silent >= up)
