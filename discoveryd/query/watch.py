"""A ``watch`` from the daemon's side: which events its client is sent.

A client is sent each event of a peer that its filter accepts, and the one event by which a peer that it was shown
ceases to match. So a client that applies what it is sent to its snapshot has the peers that a ``list`` would give.
"""

from __future__ import annotations

from discoveryd.protocol.table.events import Event
from discoveryd.query.request import Filter


class Watch:
    """What one client watches.

    Args:
        chosen: the peers it asked for.
        seq: of the last event that its snapshot includes.
        shown: id and boot of each peer in the snapshot.

    Attributes:
        shown: id and boot of each peer that the client has been shown and that has not gone.
    """

    __slots__ = ("_chosen", "_seq", "shown")

    def __init__(self, chosen: Filter, seq: int, shown: set[tuple[str, str]]) -> None:
        self._chosen = chosen
        self._seq = seq
        self.shown = shown

    def wants(self, event: Event) -> bool:
        """Return whether the client is to be sent this event, and remember that it was."""
        if event.seq <= self._seq:
            return False
        key, former = (event.peer.id, event.peer.boot), (event.peer.id, event.former)
        was_shown = key in self.shown or (event.former != "" and former in self.shown)
        if event.former:
            self.shown.discard(former)
        if self._chosen.accepts(event.peer):
            self.shown.add(key)
        elif was_shown:
            self.shown.discard(key)
        else:
            return False
        if event.peer.state in ("down", "left") and not self._chosen.wants_gone:
            self.shown.discard(key)
        return True
