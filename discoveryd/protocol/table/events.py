"""An event: what happened to a peer, as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from discoveryd.protocol.table.peer import Peer, State, peer_json

EventKind = Literal["joined", "updated", "suspect", "recovered", "down", "left", "restarted", "clone"]
KINDS: tuple[EventKind, ...] = get_args(EventKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of the table.

    Attributes:
        kind: what happened.
        seq: one more than that of the event before, from 1.
        peer: the whole row after the change, also when it ended.
        reason: a clause for people.
        former: the boot that this one replaces, for readers that keep rows by boot: with ``restarted``, and with
            ``joined`` if the node was known before; else empty.
    """

    kind: EventKind
    seq: int
    peer: Peer
    reason: str
    former: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the event as ``watch`` sends it."""
        found = {"event": self.kind, "seq": self.seq, "peer": peer_json(self.peer), "reason": self.reason}
        return {**found, "former": self.former} if self.former else found


class Announced(NamedTuple):
    """What the last event said of a row, to find out whether there is something new to say."""

    state: State | None = None
    boot: str = ""
    clone: bool = False
    digest: str = ""
    addresses: tuple[str, ...] = ()
    deaf: bool = False
    sealed_with: str = ""
    unheard: bool = False
    shared: bool = False


UNANNOUNCED = Announced()
