"""The seeds: addresses that are greeted by unicast, named themselves or by a host name.

A seed is written as an address or a host name, with a port where that is not `hello.port`: ``10.1.0.5``,
``hub.example.org``, ``hub.example.org:3401``. The engine resolves no name: its driver tells it which addresses a name
has (`Seeds.resolve`), and tells it again when they change.

- **Seeds of several addresses.** Where a plain datagram comes from an address beyond our links that no seed has, the
  seeds get a PING to any node at the address, 8 in a round and one round a second at most. A PONG that repeats such a
  nonce, or that of any PING to a seed, makes the address it comes from one of that seed. So does a PONG that proves a
  boot, wherever it comes from.
"""

from collections.abc import Callable, Iterable, Sequence

from discoveryd.protocol.bounded import drop_first, put_last
from discoveryd.protocol.hosts import Seed, parse_seed
from discoveryd.protocol.table.liveness import NEVER

MAX_OF_NAME = 16
"""Addresses of one name that are greeted: the first ones."""
AGAIN = 1.0
"""Seconds between two rounds of PINGs; they are sent only where an unknown node speaks from beyond our links."""
AT_ONCE = 8
"""Seeds asked in one round; where there are more, the next ones in the next."""
LIFE = 5.0
"""Seconds that an answer may take."""
MAX_ALIASES = 4096
"""Addresses remembered; past it the one that was proved first is forgotten."""


class SeedAddresses(dict[str, str]):
    """Addresses beyond our links that proved by a nonce that they are those of a seed, or of a node that has the key.

    The seed by address; empty where a seal vouches for the address, and no seed was asked.

    A node that repeats a nonce that was sent to a seed, and nowhere else, is that seed, wherever it answers from. With
    keys a node that repeats a nonce sealed for it alone is one of us.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, tuple[str, float]] = {}  # seed and time, by nonce
        self._next_round = -NEVER
        self._turn = 0

    def of(self, seed: str) -> set[str]:
        """Return the addresses of a seed, its own included."""
        return {seed, *(address for address, named in self.items() if named == seed)}

    def ask(self, seeds: Sequence[str], nonce: Callable[[], str], now: float) -> list[tuple[str, str]]:
        """Return seeds to PING, each with its nonce; none where that was done just now."""
        if now < self._next_round or not seeds:
            return []
        self._next_round = now + AGAIN
        drop_first(self._asked, lambda asked: now >= asked[1] + LIFE)
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
        put_last(self, address, self.get(address) or seed, MAX_ALIASES)

    def keep(self, seeds: Sequence[str]) -> None:
        """Forget the addresses of former seeds."""
        for address in [address for address, seed in self.items() if seed and seed not in seeds]:
            del self[address]


class Seeds:
    """The seeds of a node, and the addresses that they have.

    Attributes:
        named: the seeds as configured.
        addresses: those of all seeds, in their order, each with its port (0 for the one that all nodes have). Of two
            seeds at one address the first counts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._found: dict[str, tuple[str, ...]] = {}
        self.set(texts)

    def set(self, texts: Iterable[str]) -> None:
        """Have these seeds from now on; what names that stay stand for is kept."""
        self.named = tuple(map(parse_seed, texts))
        kept = {seed.host for seed in self.named}
        self._found = {host: found for host, found in self._found.items() if host in kept}
        self._collect()

    def resolve(self, host: str, addresses: Iterable[str]) -> None:
        """Note which addresses a name has."""
        if any(seed.is_name and seed.host == host for seed in self.named):
            self._found[host] = tuple(dict.fromkeys(addresses))[:MAX_OF_NAME]
            self._collect()

    def addresses_of(self, seed: Seed) -> tuple[str, ...]:
        """Return the addresses of a seed, none where its name is not resolved."""
        return self._found.get(seed.host, ()) if seed.is_name else (seed.host,)

    def port_of(self, address: str) -> int:
        """Return the port of a seed, 0 for the one that all nodes have."""
        return self.addresses.get(address, 0)

    def _collect(self) -> None:
        self.addresses: dict[str, int] = {}
        for seed in self.named:
            for address in self.addresses_of(seed):
                self.addresses.setdefault(address, seed.port)
