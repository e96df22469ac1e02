"""When solicits are answered, so that all nodes together send about 1,000 answers a second, whoever asks.

Nobody is in command: where N nodes are heard each answers 1,000 / N times a second at most. Those who ask
meanwhile are served together, by one full HELLO to all; and so they are by any other full HELLO of ours
that happens to be due. A storm of starts costs each node a HELLO or two, not one answer for each of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.row import Key

PROMPT_PEERS = 32
ANSWERS_PER_SECOND = 1000
"""Up to 32 peers answer a solicit at once; more spread their answers to stay below 1,000 a second."""


@dataclass(slots=True)
class Waiting:
    """Who waits for our record: one, or several on its link.

    Attributes:
        size: bytes that came from them; no end where one of them proved to be there.
        key: id and boot of the first.
    """

    due: float
    source: Source
    size: float
    key: Key = ("", "")
    several: bool = False


class Answers:
    """The answers that are due, one for each link (and each seed).

    Args:
        random: for delays.
    """

    __slots__ = ("_last", "_random", "_waiting")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: dict[Link | str, Waiting] = {}
        self._last = -NEVER

    def __len__(self) -> int:
        """Count the links and seeds to be answered."""
        return len(self._waiting)

    def joins(self, source: Source, size: float = NEVER) -> bool:
        """Let it be served with those who wait already, if somebody does."""
        waiting = self._waiting.get(source.link or source.address)
        if waiting is None:
            return False
        waiting.several = waiting.several or waiting.source.address != source.address
        waiting.size += size
        return True

    def add(self, source: Source, crowd: int, now: float, size: float = NEVER, key: Key = ("", "")) -> None:
        """Take up the first who waits on its link, where we hear so many peers.

        Args:
            source: who waits.
            crowd: of peers.
            now: seconds.
            size: bytes that came from it, if it did not prove to be there.
            key: its id and boot.
        """
        due = now
        if crowd > PROMPT_PEERS:
            due += self._random.uniform(0, gap(crowd))
        self._waiting[source.link or source.address] = Waiting(max(due, self._last + gap(crowd)), source, size, key)

    def take(self, crowd: int, now: float) -> list[Waiting]:
        """Give what is due, unless we have heard of so many peers meanwhile that it has to wait."""
        earliest = self._last + gap(crowd)
        due = []
        for key, waiting in list(self._waiting.items()):
            if waiting.due > now:
                continue
            if now < earliest:
                waiting.due = earliest
                continue
            del self._waiting[key]
            self._last = now
            due.append(waiting)
        return due

    def serve(self, link: Link | None, now: float) -> bool:
        """Let a HELLO that goes to all on this link serve those who wait there; say whether it must be full for them.

        One that waits alone is served by unicast: a full HELLO for it alone would be a burden on all.
        """
        if link is None or link not in self._waiting or not self._waiting[link].several:
            return False
        del self._waiting[link]
        self._last = now
        return True

    def drop_link(self, link: Link) -> None:
        """Forget who waits on a link that is gone."""
        self._waiting.pop(link, None)

    def next_due(self) -> float:
        """Say when the next one is due."""
        return min(waiting.due for waiting in self._waiting.values()) if self._waiting else NEVER


def gap(crowd: int) -> float:
    """Say how long after an answer, or a request for a record, the next one may follow, seconds."""
    return crowd / ANSWERS_PER_SECOND
