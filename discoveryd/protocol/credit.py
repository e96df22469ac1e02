"""What may be sent to an address that has not proved to be there: no more than came from it, and a little.

A source address can be forged. So that nobody makes us send more to somebody else than it costs to make us, an address
has an account in bytes until it returns a nonce of ours, as QUIC has it (RFC 9000, section 8.1). Of a broadcast each
node that hears it has a part, so that all of them together send no more than came.
"""

from __future__ import annotations

from discoveryd.protocol.bounded import put_last

GIFT = 1000.0
"""Bytes that an address has at first: 14 plain PINGs or 6 sealed ones. At 30 % loss each way 14 PINGs all fail once in
12,000 times; with 8 of them, once in 200, a peer that lives was given up in one of eight starts of ten nodes."""
REFILL = 8.0
"""Bytes a second by which an account grows up to `GIFT`: a PING in ten seconds for a peer that never answers."""
HOLDS = 3600.0
"""Seconds for which a proof holds; peers are PINGed each minute, and so prove it again."""
FORGOTTEN = 600.0
"""Seconds after which an account with which nothing happened is forgotten: to begin anew gives less than to go on."""
MAX_ADDRESSES = 8192
"""Addresses of each kind; past it the address that proved it first, or spoke longest ago, is as if never heard."""


class Credit:
    """The accounts of addresses, and the addresses that need none.

    Attributes:
        withheld: datagrams that were not sent.
    """

    def __init__(self) -> None:
        self.withheld = 0
        self._proven: dict[str, float] = {}  # until when
        self._accounts: dict[str, tuple[float, float]] = {}  # bytes, as of then

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self._accounts)

    def is_proven(self, address: str, now: float) -> bool:
        """Return whether an address has returned a nonce of ours."""
        return now < self._proven.get(address, now)

    def prove(self, address: str, now: float) -> None:
        """Note that an address returned a nonce of ours."""
        put_last(self._proven, address, now + HOLDS, MAX_ADDRESSES)
        first = next(iter(self._proven))
        if now >= self._proven[first]:
            del self._proven[first]
        self._accounts.pop(address, None)

    def receive(self, address: str, size: float, now: float) -> None:
        """Add the bytes that came from an address to its account."""
        if not self.is_proven(address, now):
            self._set(address, self._bytes(address, now) + size, now)

    def spend(self, address: str, size: int, now: float) -> bool:
        """Take bytes from the account of an address; return whether so many may be sent there."""
        if self.is_proven(address, now):
            return True
        left = self._bytes(address, now) - size
        if left < 0:
            self.withheld += 1
            return False
        self._set(address, left, now)
        return True

    def _bytes(self, address: str, now: float) -> float:
        left, since = self._accounts.get(address, (GIFT, now))
        return max(left, min(GIFT, left + REFILL * max(0.0, now - since)))

    def _set(self, address: str, left: float, now: float) -> None:
        put_last(self._accounts, address, (left, now), MAX_ADDRESSES)
        first = next(iter(self._accounts))
        if now >= self._accounts[first][1] + FORGOTTEN:
            del self._accounts[first]
