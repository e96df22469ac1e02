"""Whether this node is cut off, rather than all the others down: judged from the table, told when it changes."""

from __future__ import annotations

from discoveryd.protocol.table.liveness import NEVER, PROBE_GAP, is_isolated
from discoveryd.protocol.table.table import PeerTable

GAP = 0.1
"""Seconds between two judgements at least, however many peers come and go: each reads the whole table."""
RECHECK = 0.5
"""Seconds to the next judgement while a peer counts as silent: heartbeats of the others end that without an event."""


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
        if isolated or self._table.silent_together(heard, within):
            self._due = min(self._due, now + RECHECK)
        self._seen, self._judged_at = self._changes(), now
        if isolated == self.is_told:
            return None
        self.is_told = isolated
        return isolated

    def holds(self, links: int, within: float, now: float) -> bool:
        """Return whether this node is isolated: it has no link, or most peers fell silent together."""
        return is_isolated(links, self._table.proved_up(now), self._table.silent_together(now, within))

    def _changes(self) -> tuple[int, int]:
        """Return what differs when a peer has fallen silent."""
        return len(self._table.suspects), self._table.event_counts["down"]
