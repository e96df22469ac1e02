"""Bounds of what others can make us keep, do and send: dicts that keep the latest entries, token buckets, accounts."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

GIFT = 1500.0
"""Bytes that an address has at first: 15 plain PINGs, or 9 sealed ones, and a HELLO with its record. At 30 % loss each
way 15 PINGs all fail once in 24,000 times; with 8 of them, once in 200, a peer that lives was given up in one of eight
starts of ten nodes."""
REFILL = 8.0
"""Bytes a second by which an account grows up to `GIFT`: a PING in ten seconds for a peer that never answers."""
HOLDS = 3600.0
"""Seconds for which a proof holds; peers are PINGed each minute, and so prove it again."""
FORGOTTEN = 600.0
"""Seconds after which an account with which nothing happened is forgotten: to begin anew gives less than to go on."""
RESOLVED = 5.0
MAX_UNRESOLVED = 256
"""Seconds after which the kernel has given up looking for the hardware address of an address (it asks three times in
about 3 s, ARP) and can forget it, and the unproven addresses that it may be asked to find in that time: a quarter of
what its table holds by default (gc_thresh3). What is sent to more forged addresses than it holds makes all fail that
needs a new entry, whatever program sends it: also broadcasts."""
MAX_ADDRESSES = 8192
"""Addresses of each kind; past it the address that proved it first, or spoke longest ago, is as if never heard."""

MAX_REUSED = 1024
MAX_REUSED_TAGS = 256
"""Texts of tags, as many services without tags, and sets of tags, that are kept once for all peers: 6 MB at worst, if
strangers choose them."""


@lru_cache(MAX_REUSED)
def reuse(text: str) -> str:
    """Return an equal text met before, if there is one: most tags of a peer are those of others too.

    Past the bound the text that was met longest ago is forgotten. `sys.intern` keeps all for ever until Python 3.12.5.
    """
    return text


def put_last(kept: dict[Key, Value], key: Key, value: Value, limit: int) -> None:
    """Put an entry at the end; past the limit, which may have become lower, the first ones are dropped."""
    kept.pop(key, None)
    while len(kept) >= limit:
        del kept[next(iter(kept))]
    kept[key] = value


def drop_first(kept: dict[Key, Value], is_over: Callable[[Value], bool]) -> None:
    """Drop the first entries as long as they are over."""
    while kept and is_over(kept[first := next(iter(kept))]):
        del kept[first]


class TokenBuckets:
    """A token bucket per source address, over one for all: how much each source, and all together, may make us do.

    Args:
        rate: tokens per second and source; a source that was quiet may have as many at once.
        total: tokens per second for all sources together, because source addresses can be forged.
        sources: buckets kept; past it the bucket that was used longest ago is forgotten (`total` still holds).
        burst: tokens of a source that was quiet; as many as in a second if it is not given.
    """

    def __init__(self, rate: float, total: float, sources: int = 1024, *, burst: float = 0.0) -> None:
        self._rate = rate
        self._burst = burst or rate
        self._refill = self._burst / rate  # seconds until an empty bucket is full again: then to have none is as good
        self._total = total
        self._sources = sources
        self._all = (total, 0.0)
        self._buckets: dict[str, tuple[float, float]] = {}  # in the order of their last use

    def allows(self, source: str, now: float) -> bool:
        """Take a token of this source and return whether it and all together had one left."""
        mine = _filled(self._buckets.get(source, (self._burst, now)), self._rate, self._burst, now)
        everyone = _filled(self._all, self._total, self._total, now)
        if mine < 1 or everyone < 1:
            return False
        self._all = (everyone - 1, max(now, self._all[1]))
        put_last(self._buckets, source, (mine - 1, now), self._sources)
        drop_first(self._buckets, lambda bucket: now >= bucket[1] + self._refill)
        return True

    def refill(self, source: str) -> None:
        """Give a source all its tokens back."""
        self._buckets.pop(source, None)

    def has_one(self, source: str, now: float) -> bool:
        """Return whether this source has a token left."""
        bucket = self._buckets.get(source)
        return bucket is None or _filled(bucket, self._rate, self._burst, now) >= 1


def _filled(bucket: tuple[float, float], rate: float, burst: float, now: float) -> float:
    tokens, at = bucket
    return min(burst, tokens + max(0.0, now - at) * rate)  # what arrived earlier may be given later


class Credit:
    """The accounts of addresses, and the addresses that need none.

    A source address can be forged. So that no sender makes us send more to a victim than it costs to make us, an
    address has an account in bytes until it returns a nonce of ours, as QUIC has it (RFC 9000, section 8.1). Of a
    broadcast each node that hears it has a part, so that all of them together send no more than came. And so that no
    sender fills the kernel's table of neighbours with addresses without a node, few of them are spoken to at a time.

    Attributes:
        withheld: datagrams that were not sent.
        proven: addresses that need no account, and until when.
        accounts: the bytes of each other address, as of some moment.
        unresolved: those spoken to lately, and until when the kernel may look for them.
    """

    def __init__(self) -> None:
        self.withheld = 0
        self.proven: dict[str, float] = {}
        self.accounts: dict[str, tuple[float, float]] = {}
        self.unresolved: dict[str, float] = {}

    def is_proven(self, address: str, now: float) -> bool:
        """Return whether an address has returned a nonce of ours."""
        return now < self.proven.get(address, now)

    def prove(self, address: str, now: float) -> None:
        """Note that an address returned a nonce of ours."""
        put_last(self.proven, address, now + HOLDS, MAX_ADDRESSES)
        drop_first(self.proven, lambda until: now >= until)
        self.accounts.pop(address, None)
        self.unresolved.pop(address, None)

    def receive(self, address: str, size: float, now: float) -> None:
        """Add the bytes that came from an address to its account."""
        if not self.is_proven(address, now):
            self._set(address, self._bytes(address, now) + size, now)

    def covers(self, address: str, size: int, now: float) -> bool:
        """Return whether so many bytes may be sent to an address; nothing is taken."""
        return self.is_proven(address, now) or self._bytes(address, now) >= size

    def spend(self, address: str, size: int, now: float) -> bool:
        """Take bytes from the account of an address; return whether so many may be sent there."""
        if self.is_proven(address, now):
            return True
        left = self._bytes(address, now) - size
        if left < 0 or not self._may_resolve(address, now):
            self.withheld += 1
            return False
        self._set(address, left, now)
        return True

    def _may_resolve(self, address: str, now: float) -> bool:
        drop_first(self.unresolved, lambda until: now >= until)
        if address not in self.unresolved:
            if len(self.unresolved) >= MAX_UNRESOLVED:
                return False
            self.unresolved[address] = now + RESOLVED
        return True

    def _bytes(self, address: str, now: float) -> float:
        left, since = self.accounts.get(address, (GIFT, now))
        return max(left, min(GIFT, left + REFILL * max(0.0, now - since)))

    def _set(self, address: str, left: float, now: float) -> None:
        put_last(self.accounts, address, (left, now), MAX_ADDRESSES)
        drop_first(self.accounts, lambda account: now >= account[1] + FORGOTTEN)
