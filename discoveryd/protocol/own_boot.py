"""Another machine that runs under our boot: a virtual machine that was cloned with its memory.

Nobody else can tell the two apart, and with keys both use the same nonces. So whichever learns of the other draws
a new boot. A HELLO of our boot from a foreign address is no proof: a relay may have sent ours back, and without keys
anybody can forge one. The address is asked; only another node of our boot answers for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from discoveryd.protocol.beacon import Beacon
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.token_buckets import TokenBuckets

REDRAW = 600.0
"""Seconds between two new boots on evidence that is not sealed: who answers a PING can forge that."""
AGAIN, AT_LAST = 1.0, 60.0
"""Seconds to the second question put to an address, and between those to one that never answers (a relay)."""
LIFE = 5.0
"""Seconds that an answer may take."""
MAX_DOUBLES = 64
QUESTIONS_PER_SECOND = 8
"""Addresses remembered (past it the first is forgotten), and questions to all of them together."""


@dataclass(slots=True)
class Question:
    """What an address was asked: the last PING, and how often there was one."""

    nonce: str
    asked: float
    times: int
    heard: float = -NEVER  # when it asked us the same


class OwnBoot:
    """Asks addresses that speak under our boot whether a node is there, and draws the new boot.

    Args:
        beacon: says it.

    Attributes:
        count: how often a new boot was drawn.
        address: whose datagram was the reason of the last time, empty for never.
    """

    def __init__(self, beacon: Beacon) -> None:
        self._beacon = beacon
        self._questions: dict[str, Question] = {}
        self._limiter = TokenBuckets(QUESTIONS_PER_SECOND, QUESTIONS_PER_SECOND, sources=1)
        self._drawn_at = -NEVER
        self.count = 0
        self.address = ""

    def __len__(self) -> int:
        """Count the addresses remembered."""
        return len(self._questions)

    def ask(self, address: str, random_bits: str, now: float) -> str | None:
        """Give the nonce of the PING to send there; None where it was asked lately."""
        former = self._questions.get(address)
        times = former.times if former else 0
        pause = min(AGAIN * 2.0 ** min(times - 1, 6), AT_LAST)
        if (former and now < former.asked + pause) or not self._limiter.allows("", now):
            return None
        if former is None and len(self._questions) >= MAX_DOUBLES:
            del self._questions[next(iter(self._questions))]
        nonce = self._mixed(random_bits, address)
        heard = former.heard if former else -NEVER
        self._questions[address] = Question(nonce, now, times + 1, heard)
        return nonce

    def is_mine(self, nonce: str) -> bool:
        """Whether this is the nonce of a question of ours that came back."""
        return any(question.nonce == nonce for question in self._questions.values())

    def asks_us(self, address: str, now: float) -> None:
        """Remember that this address asked us."""
        if address in self._questions:
            self._questions[address].heard = now

    def proves(self, nonce: str, address: str, here: str, now: float) -> bool:
        """Whether a PONG answers our question, so that a new boot is to be drawn here.

        Two that ask each other at the same moment would both draw one: the lower address waits for the other once.
        """
        question = self._questions.get(address)
        if question is None or question.nonce != nonce or now >= question.asked + LIFE:
            return False
        question.nonce = ""
        return not (question.times == 1 and now < question.heard + AGAIN and here < address)

    def may_draw(self, now: float) -> bool:
        """Whether a new boot may be drawn on evidence that is not sealed."""
        return now >= self._drawn_at + REDRAW

    def draw(self, address: str, random_bits: str, now: float) -> str:
        """Give the boot to use from now on, because of what came from this address."""
        self.count += 1
        self.address = address
        self._drawn_at = now
        self._questions.clear()
        return self._mixed(random_bits, address)

    def _mixed(self, random_bits: str, address: str) -> str:
        """Mix random bits with who we are: what was cloned may have the state of the generator too."""
        ours = ",".join(sorted(link.address for link in self._beacon.outlets))
        mixed = f"{random_bits}|{self._beacon.boot}|{ours}|{address}"
        return blake2b(mixed.encode("ascii"), digest_size=8).hexdigest()
