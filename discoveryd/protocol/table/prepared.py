"""What is prepared of a row for its readers: a `list` of many peers would take four times as long without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from discoveryd.protocol.table.liveness import NEVER

if TYPE_CHECKING:
    from discoveryd.protocol.table.path import Path
    from discoveryd.protocol.table.peer import Peer, State


@dataclass(eq=False, repr=False, slots=True)
class Prepared:
    """A row as readers were given it last.

    It is made when a program asks, and dropped with the next event or measurement of the row: of a node that is heard,
    8 HELLOs later at most. So nothing is kept for rows that no program asks for, and only what is asked for is made.

    Attributes:
        state: of the row.
        fresh: its paths within their ttl, the best first.
        view: the row as a value, None where it was not asked for.
        text: its JSON, empty where it was not asked for.
        until: until when nothing but an event or a measurement can change state and paths, once there is a text.
    """

    state: State
    fresh: list[Path]
    view: Peer | None = None
    text: str = ""
    until: float = -NEVER
