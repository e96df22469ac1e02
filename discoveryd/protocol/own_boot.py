"""Another machine that runs under our boot: a virtual machine that was cloned with its memory.

No other node can tell the two apart, and with keys both use the same nonces. So the first to learn of the other draws a
new boot. A HELLO of our boot from a foreign address is no proof: a relay may have sent ours back, and without keys
any sender can forge it. The address is asked; only another node of our boot answers for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from discoveryd.errors import WireError
from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.bounded import TokenBuckets, put_last
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import Outcome, Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import BareHello, Hello, NodeMessage, Ping, Pong

if TYPE_CHECKING:
    from discoveryd.protocol.reception import Reception

REDRAW = 600.0
"""Seconds between two new boots on evidence that is not sealed: an answer to a PING can be forged there."""
AGAIN, AT_LAST = 1.0, 60.0
"""Seconds to the second PING to an address, and between those to an address that never answers (a relay)."""
LIFE = 5.0
"""Seconds that an answer may take."""
MAX_DOUBLES = 64
QUESTIONS_PER_SECOND = 8
"""Addresses remembered (past it the first is forgotten), and PINGs to all of them together."""


@dataclass(slots=True)
class DoubtedAddress:
    """An address that speaks under our boot: the last PING to it, and how often there was one."""

    nonce: str = ""
    asked: float = -NEVER
    times: int = 0
    asked_us: float = -NEVER


class OwnBoot:
    """Asks addresses that speak under our boot whether a node is there, and draws the new boot.

    Args:
        rooms: of the engine.
        answer_ping: answers a PING.

    Attributes:
        doubted: the addresses that speak under our boot.
        count: how often a new boot was drawn.
        address: source of the datagram that was the reason of the last time, empty for never.
    """

    def __init__(self, rooms: Reception, answer_ping: Callable[[Ping, Source, float], Outcome]) -> None:
        self._rooms = rooms
        self._outbox = rooms.outbox
        self._answer_ping = answer_ping
        self.doubted: dict[str, DoubtedAddress] = {}
        self._buckets = TokenBuckets(QUESTIONS_PER_SECOND, QUESTIONS_PER_SECOND, sources=1)
        self._drawn_at = -NEVER
        self.count = 0
        self.address = ""

    def hear(self, message: NodeMessage, source: Source, now: float) -> Outcome:
        """Take a datagram of our boot from a foreign address: our own, come back, or that of a clone, or forged.

        The address is asked. When it answers for our boot a new boot is drawn; on a plain network seldom.
        """
        if message.realm != self._outbox.parameters.realm:
            raise WireError("other-realm", message.realm)
        if not source.key and self._outbox.keyring.sends:
            raise WireError("own-boot", "not sealed, in the name of this node, which seals")
        if not isinstance(message, Hello | Ping | Pong):
            raise WireError("own-echo", "not sent by this node")
        if isinstance(message, Pong):
            return self._hear_answer(message, source, now)
        if isinstance(message, Hello):
            reason = "own-echo" if message.seq <= self._outbox.seq else "own-boot"
            dropped = self._rooms.rate_limits.drop(WireError(reason, "not sent by this node"), source, now)
            return replace(dropped, sends=self._ask(source, now))
        if any(message.nonce == doubted.nonce for doubted in self.doubted.values()):
            raise WireError("own-echo")
        sends = self._ask(source, now)
        if source.address in self.doubted:
            self.doubted[source.address].asked_us = now
        answer = self._answer_ping(message, source, now)
        return replace(answer, sends=(*answer.sends, *sends))

    def hear_sealed(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take what was sealed under our boot elsewhere: with a counter we never used it was not by us.

        Raises:
            WireError: ``own-echo`` and what `hear` raises.
        """
        sealing = self._outbox.sealing
        assert sealing is not None, "something was opened"
        try:
            opened, source, is_used = sealing.open_double(datagram, source)
        except WireError:  # one of ours for another node, most likely
            raise WireError("own-echo") from None
        if not is_used:
            return self._draw(source, now)
        message = decode(opened.datagram)
        assert not isinstance(message, BareHello), "what is sealed has a sender"
        return self.hear(message, source, now)

    def _hear_answer(self, pong: Pong, source: Source, now: float) -> Outcome:
        """Draw a new boot where a PONG answers our PING.

        Two that ask each other at the same moment would both draw one: the lower address waits for the other once.
        """
        here, doubted = source.link.address if source.link else "", self._doubt(source)
        is_answer = doubted.nonce == pong.nonce and now < doubted.asked + LIFE
        if is_answer:
            doubted.nonce = ""
            is_answer = not (doubted.times == 1 and now < doubted.asked_us + AGAIN and here < source.address)
        if not is_answer:
            raise WireError("own-echo" if source.key else "own-boot", "an answer to no question of ours")
        if not source.key and now < self._drawn_at + REDRAW:
            raise WireError("own-boot", "a new boot was drawn not long ago")
        return self._draw(source, now)

    def _ask(self, source: Source, now: float) -> tuple[Send, ...]:
        """Ask an address that is reached, unless that was done lately."""
        doubted = self._doubt(source)
        pause = min(AGAIN * 2.0 ** min(doubted.times - 1, 6), AT_LAST)
        if not self._outbox.reaches(source) or now < doubted.asked + pause or not self._buckets.allows("", now):
            return ()
        doubted.nonce, doubted.asked = self._mixed(source.address), now
        doubted.times += 1
        put_last(self.doubted, source.address, doubted, MAX_DOUBLES)
        return (self._outbox.ping(doubted.nonce, source, self._outbox.id, self._outbox.boot),)

    def _doubt(self, source: Source) -> DoubtedAddress:
        return self.doubted.get(source.address) or DoubtedAddress()

    def _draw(self, source: Source, now: float) -> Outcome:
        """Go on under a new boot, and greet: for others a restart, until the clone speaks again."""
        self.count += 1
        self.address = source.address
        self._drawn_at = now
        self.doubted.clear()
        self._rooms.beacon.reboot(self._mixed(source.address), now)
        return Outcome(double=source.address)

    def _mixed(self, address: str) -> str:
        """Return random digits mixed with boot and addresses: a clone may have the state of the generator too."""
        ours = ",".join(sorted(link.address for link in self._outbox.links))
        mixed = f"{self._outbox.nonce()}|{self._outbox.boot}|{ours}|{address}"
        return blake2b(mixed.encode("ascii"), digest_size=8).hexdigest()
