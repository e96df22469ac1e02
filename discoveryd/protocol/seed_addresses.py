"""Other addresses of seeds: a seed with several addresses answers from any of them.

A node that repeats a nonce that was sent to a seed, and nowhere else, is that seed, wherever it answers from. With keys
a node that repeats a nonce sealed for it alone is one of us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.table.liveness import NEVER

AGAIN = 1.0
"""Seconds between two rounds of PINGs; they are sent only where an unknown node speaks from beyond our links."""
AT_ONCE = 8
"""Seeds asked in one round; where there are more, the next ones in the next."""
LIFE = 5.0
"""Seconds that an answer may take."""
MAX_ALIASES = 1024
"""Addresses remembered; past it the one that was proved first is forgotten."""


class SeedAddresses:
    """Addresses beyond our links that proved by a nonce whose they are."""

    def __init__(self) -> None:
        self._seeds: dict[str, str] = {}  # by address; empty where a seal vouches for it, and no seed was asked
        self._asked: dict[str, tuple[str, float]] = {}  # seed and time, by nonce
        self._next_round = -NEVER
        self._turn = 0

    def __len__(self) -> int:
        """Return the number of addresses."""
        return len(self._seeds)

    def __contains__(self, address: str) -> bool:
        """Return whether an address has proved whose it is."""
        return address in self._seeds

    def of(self, seed: str) -> set[str]:
        """Return the addresses of a seed, its own included."""
        return {seed, *(address for address, whose in self._seeds.items() if whose == seed)}

    def ask(self, seeds: Sequence[str], nonce: Callable[[], str], now: float) -> list[tuple[str, str]]:
        """Return seeds to PING, each with its nonce; none where that was done just now."""
        if now < self._next_round or not seeds:
            return []
        self._next_round = now + AGAIN
        self._asked = {nonce: asked for nonce, asked in self._asked.items() if now < asked[1] + LIFE}
        chosen = [seeds[(self._turn + place) % len(seeds)] for place in range(min(AT_ONCE, len(seeds)))]
        self._turn += len(chosen)
        round_ = [(seed, nonce()) for seed in chosen]
        self._asked.update({one: (seed, now) for seed, one in round_})
        return round_

    def answer(self, nonce: str, address: str, now: float) -> float | None:
        """Take a PONG from an address; return when the seed that it proves to be was asked, None for no seed."""
        seed, asked = self._asked.pop(nonce, ("", -NEVER))
        if now >= asked + LIFE:
            return None
        self.admit(address, seed)
        return asked

    def admit(self, address: str, seed: str = "") -> None:
        """Remember that an address is that of a seed, or of a node that has the key."""
        put_last(self._seeds, address, self._seeds.get(address) or seed, MAX_ALIASES)

    def keep(self, seeds: Sequence[str]) -> None:
        """Forget the addresses of former seeds."""
        self._seeds = {address: seed for address, seed in self._seeds.items() if not seed or seed in seeds}
