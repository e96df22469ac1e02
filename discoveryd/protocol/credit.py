"""What may be sent to an address that has not proved to be there: no more than came from it, and a little.

A source address can be forged. So that nobody makes us send more to somebody else than it costs to make us, an address
has an account in bytes until it returns a nonce of ours, as QUIC has it (RFC 9000, section 8.1). Of a broadcast each
node that hears it has a part, so that all of them together send no more than came.
"""

from __future__ import annotations

GIFT = 1000.0
"""Bytes that an address has at first: 14 plain PINGs or 6 sealed ones. At 30 % loss each way 14 PINGs all fail once in
12,000 times; with 8 of them, once in 200, a peer that lives was given up in one of eight starts of ten nodes."""
REFILL = 8.0
"""Bytes a second by which an account grows up to `GIFT`: a PING in ten seconds for who is heard but never answers."""
HOLDS = 3600.0
"""Seconds for which a proof holds; peers are PINGed each minute, and so prove it again."""
FORGOTTEN = 600.0
"""Seconds after which an account with which nothing happened is forgotten: to begin anew gives less than to go on."""
MAX_ADDRESSES = 8192
"""Addresses of each kind; past it the one that proved it first, or spoke longest ago, is like one never heard."""


class Credit:
    """The accounts of addresses, and which need none.

    Attributes:
        withheld: datagrams that were not sent.
    """

    def __init__(self) -> None:
        self.withheld = 0
        self._proven: dict[str, float] = {}  # until when
        self._accounts: dict[str, tuple[float, float]] = {}  # bytes, as of then

    def __len__(self) -> int:
        """Count the accounts."""
        return len(self._accounts)

    def is_proven(self, address: str, now: float) -> bool:
        """Return whether an address has returned a nonce of ours."""
        return now < self._proven.get(address, now)

    def prove(self, address: str, now: float) -> None:
        """Take it that an address returned a nonce of ours."""
        self._proven.pop(address, None)
        _make_room(self._proven)
        self._proven[address] = now + HOLDS
        first = next(iter(self._proven))
        if now >= self._proven[first]:
            del self._proven[first]
        self._accounts.pop(address, None)

    def receive(self, address: str, size: float, now: float) -> None:
        """Take it that so many bytes came from an address."""
        if not self.is_proven(address, now):
            self._set(address, self._bytes(address, now) + size, now)

    def spend(self, address: str, size: int, now: float) -> bool:
        """Return whether so many bytes may be sent to an address; then they are taken from its account."""
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
        self._accounts.pop(address, None)
        _make_room(self._accounts)
        self._accounts[address] = (left, now)  # the last to go
        first = next(iter(self._accounts))
        if now >= self._accounts[first][1] + FORGOTTEN:
            del self._accounts[first]


def _make_room(addresses: dict[str, float] | dict[str, tuple[float, float]]) -> None:
    if len(addresses) >= MAX_ADDRESSES:
        del addresses[next(iter(addresses))]
