"""Boots that nobody here knows: asked whether they live, and listed only after they said so.

So it is with every boot that seals, in a flood with every boot, and at other times with those that are too many, or
whose HELLO contradicts what is known. Whoever drives the node need not know of it: the question and what follows from
its answer are among what there is to send.
"""

from __future__ import annotations

from collections.abc import Callable

from discoveryd.protocol.beacon import Beacon
from discoveryd.protocol.challenges import Challenges, Question
from discoveryd.protocol.flood import SAMPLE
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.table.peer import Kind
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.token_buckets import TokenBuckets
from discoveryd.protocol.wire.hello import Hello
from discoveryd.protocol.wire.probe import Ping, Pong

MAX_SEALED_PING = 158
"""Bytes of a sealed PING at most; `discoveryd.protocol.sealed.envelope`, imported only with keys, has the sum."""
UNASKED_PER_SECOND = 100
"""New peers a second that are listed before they answered a PING; nodes and bare ones each have so many."""


class Strangers:
    """Asks boots that are not known, and remembers who answered.

    Args:
        beacon: says it.
        nonce: gives one that nobody can foresee.
        rate: questions a second to one address.
    """

    def __init__(self, beacon: Beacon, nonce: Callable[[], str], rate: float) -> None:
        self.challenges = Challenges(nonce, rate=rate)
        self._beacon = beacon
        self._unasked = TokenBuckets(UNASKED_PER_SECOND, 2 * UNASKED_PER_SECOND, sources=2)
        self._flooding = TokenBuckets(rate, SAMPLE)
        self._plain_ping = len(
            Ping(realm=beacon.parameters.realm, id=beacon.id, boot=beacon.boot, nonce="0" * 16).encode()
        )

    def ask(
        self, hello: Hello, source: Source, size: int, now: float, *, is_flood: bool = False
    ) -> tuple[Send, ...]:
        """Ask who sent a HELLO of so many bytes whether it is there; one that leaves is not asked.

        In a flood so many are asked as it lets through: a question to an address where nobody is takes longer than
        all else that is done with a datagram.
        """
        if hello.goodbye or (is_flood and not source.key and not self._flooding.allows(source.address, now)):
            return ()
        key = hello.id, hello.boot
        if source.link and not source.key and not is_flood:
            size = self._plain_ping  # a steady HELLO is a few bytes shorter, and who is listed is asked in any case
        sends = self.ask_node(key, source, size, now, solicits=hello.solicit)
        if not source.key:
            self.challenges.hold(hello, source)
        return sends

    def ask_node(
        self, key: Key, source: Source, size: float, now: float, *, solicits: bool = False
    ) -> tuple[Send, ...]:
        """Ask one run of a node, from which so many bytes came, whether it is there."""
        longest = MAX_SEALED_PING if source.key else self._plain_ping
        nonce = self.challenges.ask(
            key, source.address, now, size=size, longest=longest, solicits=solicits,
            whatever_address=bool(source.key and source.link),  # the seal covers the address, on a link
        )  # fmt: skip
        return () if nonce is None else (self._beacon.ping(nonce, source, *key),)

    def answer(self, pong: Pong, source: Source, now: float) -> Question | None:
        """Give the question that a PONG answers, if it does."""
        return self.challenges.answer(pong.boot, source.address, pong.nonce, now)

    def may_list(self, kind: Kind, now: float) -> bool:
        """Return whether one more may be listed that was not asked."""
        return self._unasked.allows(kind, now)
