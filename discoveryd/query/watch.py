"""Both sides of a ``watch``: which events a client is sent, and the peers that it then knows.

A client is sent each event of a peer that its filter accepts, and the one event by which a peer that it was shown
ceases to match. So a client that applies what it is sent to its snapshot has the peers that a ``list`` would give.
Where a peer has only changed, and begins or ceases to match by that, the event is told as ``entered`` or ``departed``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar

from discoveryd.protocol.table.peer import STATES, Event, EventKind
from discoveryd.query.request import Filter

Value = TypeVar("Value")
WatchKind = EventKind | Literal["entered", "departed"]
_CHANGING: frozenset[EventKind] = frozenset(("updated", "restarted", "clone"))
"""Events that do not say by their kind that a peer came, went, or fell silent."""


class Watch:
    """What one client watches, for the daemon.

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

    def kind(self, event: Event) -> WatchKind | None:
        """Return as what the client is to be sent this event, None for not at all; remember that it was."""
        if event.seq <= self._seq:
            return None
        key, former = (event.peer.id, event.peer.boot), (event.peer.id, event.former)
        was_shown = key in self.shown or (event.former != "" and former in self.shown)
        if event.former:
            self.shown.discard(former)
        is_accepted = self._chosen.accepts(event.peer)
        if is_accepted:
            self.shown.add(key)
        elif was_shown:
            self.shown.discard(key)
        else:
            return None
        if event.peer.state in ("down", "left") and not self._chosen.wants_gone:
            self.shown.discard(key)
        if is_accepted == was_shown or event.kind not in _CHANGING:
            return event.kind
        return "entered" if is_accepted else "departed"


class Mirror(Generic[Value]):
    """The peers of a daemon, for a client: by id and boot, as one watch after another tells of them.

    A peer is gone once a snapshot lacks it, another boot has replaced it, or its state is not among `states`.

    Args:
        read: makes a value of a peer's JSON.
        states: of the peers to keep.

    Attributes:
        rows: the values of the last whole snapshot and of the events since.
        is_synced: whether there was a whole snapshot.
    """

    def __init__(self, read: Callable[[Mapping[str, Any]], Value], states: frozenset[str] = frozenset(STATES)) -> None:
        self._read = read
        self._states = states
        self._snapshot: dict[tuple[str, str], Value] = {}  # has come, not yet in force
        self.rows: dict[tuple[str, str], Value] = {}
        self.is_synced = False

    def take(self, line: Mapping[str, Any]) -> tuple[list[Value], list[Value]]:
        """Apply a line of a watch.

        Returns:
            the values that a snapshot took away, when its ``sync`` comes; and those it brought, or that of an event.
        """
        if line["event"] == "snapshot":
            self._snapshot = {_key(peer): self._read(peer) for peer in line["peers"] if peer["state"] in self._states}
        elif line["event"] == "sync":
            before, self.rows = self.rows, dict(self._snapshot)
            self.is_synced = True
            gone = [value for key, value in before.items() if key not in self.rows]
            return gone, [value for key, value in self.rows.items() if key not in before]
        elif "peer" in line:  # a daemon of a later version may send lines that are about no peer
            return [], [self._apply(line["peer"], line.get("former", ""))]
        return [], []

    def refresh(self, peers: Iterable[Mapping[str, Any]]) -> None:
        """Take over what a list says of the peers that are there; which are there is told by events alone."""
        for peer in peers:
            if _key(peer) in self.rows:
                self.rows[_key(peer)] = self._read(peer)

    def _apply(self, peer: Mapping[str, Any], former: str) -> Value:
        value = self._read(peer)
        if former:
            self.rows.pop((peer["id"], former), None)  # a boot that was replaced is not told to be gone
        if peer["state"] in self._states:
            self.rows[_key(peer)] = value
        else:
            self.rows.pop(_key(peer), None)
        return value


def _key(peer: Mapping[str, Any]) -> tuple[str, str]:
    return peer["id"], peer["boot"]
