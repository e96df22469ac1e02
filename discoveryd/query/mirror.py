"""A ``watch`` from the client's side: the peers that its lines tell of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from discoveryd.protocol.table.peer import STATES

Value = TypeVar("Value")


class Mirror(Generic[Value]):
    """The peers of a daemon, by id and boot, as one watch after another tells of them.

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
