"""The question put to a boot that nobody here knows: are you there now? A recording, or a forger, cannot answer.

It is a PING with a nonce that nobody can foresee. With keys each boot is asked before it is listed, for what it
sealed may have been recorded. Without keys that is done in a flood: who answers has the address it speaks from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from discoveryd.protocol.link import Source
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.token_buckets import TokenBuckets
from discoveryd.protocol.wire.hello import Hello

AGAIN = 0.3
"""Seconds until the same question may be put to the same boot again (RFC 8967, 4.3.1)."""
HOPEFUL = 8
"""Questions with that pause: more than half may be lost on the way. Each further one that nobody answers doubles it:
most likely it is a recording."""
SELDOM = 60.0
MAX_TIMES = 100
"""Seconds of the longest pause, and the questions counted: far more than lead to it."""
FIRST_TIMES = 8
AGAIN_TIMES = 4
"""Questions a second to one address, in answers to it: of boots that were not asked before, and of the others. Those
have a bucket of their own, so that a newcomer does not wait for what somebody repeats of runs that are over."""
FORGOTTEN = 600.0
"""Seconds after which one that may be asked again, and was not, counts as new."""
MAX_SILENT = 4096
"""Boots that did not answer yet; past it the one that was asked longest ago counts as new."""
LIFE = 5.0
"""Seconds that an answer may take: far longer than a round trip, and how fresh an answer is."""
TOTAL = 1000
"""Questions a second to all sources together: as many as a thousand nodes need to be listed within a second."""
MAX_QUESTIONS = 4096
"""Questions that wait for an answer; TOTAL for LIFE is more, but then each has had 3 s."""
MAX_HOPES = 64
"""Addresses just asked that a flood does not shut out: the latest, for an answer comes in a moment or not at all."""


@dataclass(slots=True)
class Question:
    """A PING that waits for its PONG.

    Attributes:
        key: id and boot of the node that was asked.
        address: where.
        solicits: whether who is asked wants to know of us.
        hello: what it said, which counts once it answers; None for what is sealed, which may be a recording.
        source: where that came from.
    """

    nonce: str
    key: Key
    address: str
    asked: float
    until: float
    solicits: bool = False
    hello: Hello | None = None
    source: Source | None = None


class Challenges:
    """The questions put to boots that nobody here knows, and have not answered yet.

    Args:
        nonce: gives 16 hexadecimal digits that nobody can foresee: from the operating system, not from a
            generator that other nonces betray.
        rate: answers a second to one address; of questions, no longer than what causes them, there may be several
            times as many.
        total: the same to all together, once for each kind.
        limit: questions that wait; when there are more the oldest is given up.

    Attributes:
        asked: how often a question was put.
        answered: how many boots answered.
        expired: questions nobody answered in time.
        forgotten: questions given up for newer ones.
        refused: not asked, because of the rates.
        too_short: not asked, because the question would have been longer than what caused it.
    """

    __slots__ = (
        "_again", "_first", "_limit", "_nonce", "_places", "_questions", "_silent", "_total", "answered", "asked",
        "expired", "forgotten", "refused", "too_short",
    )  # fmt: skip

    def __init__(
        self, nonce: Callable[[], str], *, rate: float, total: float = TOTAL, limit: int = MAX_QUESTIONS
    ) -> None:
        self._nonce = nonce
        self._total = total
        self.set_rate(rate)
        self._silent: dict[str, tuple[int, float]] = {}  # times asked, and until when not again; the last asked last
        self._limit = limit
        self._questions: dict[str, Question] = {}  # by nonce, the oldest first
        self._places: dict[tuple[str, str, str], str] = {}  # id, boot and address -> nonce
        self.asked = self.answered = self.expired = self.forgotten = self.refused = self.too_short = 0

    def __len__(self) -> int:
        """Count the questions that wait."""
        return len(self._questions)

    def ask(
        self, key: Key, address: str, now: float, *, size: float, longest: int, solicits: bool = False,
        whatever_address: bool = False,
    ) -> str | None:  # fmt: skip
        """Say what to ask a boot.

        Args:
            key: id and boot of its sender.
            address: where it came from.
            now: seconds.
            size: its bytes, as they came.
            longest: bytes of a PING.
            solicits: whether it asked who is there; remembered for the answer.
            whatever_address: whether the pauses are those of the boot, for nobody else can speak for it.

        Returns:
            the nonce of a PING; None if nothing is to be sent: it was just asked, too many are asked, or the PING
            would be longer than what came.
        """
        self._expire(now)
        question = self._questions.get(self._places.get((*key, address), ""))
        if question is not None:
            question.solicits = question.solicits or solicits
        whose = _whose(key, "" if whatever_address else address)
        times, due = self._silent.get(whose, (0, now))
        if now < due:
            return None
        if size < longest:
            self.too_short += 1
            return None
        if not (self._again if times else self._first).allows(address, now):
            self.refused += 1
            return None
        self.asked += 1
        self._await(whose, times + 1, now)
        if question is not None:
            question.asked = now
            return question.nonce  # an answer to the first may be on its way
        while len(self._questions) >= self._limit:
            self._remove(next(iter(self._questions)))
            self.forgotten += 1
        nonce = self._nonce()
        self._questions[nonce] = Question(nonce, key, address, now, now + LIFE, solicits)
        self._places[*key, address] = nonce
        return nonce

    def is_due(self, key: Key, address: str, now: float) -> bool:
        """Return whether a node that does not seal may be asked there, as far as its pauses tell."""
        return now >= self._silent.get(_whose(key, address), (0, now))[1]

    def hold(self, hello: Hello, source: Source) -> None:
        """Keep what a boot said that was asked: it counts once the boot answers."""
        question = self._questions.get(self._places.get((hello.id, hello.boot, source.address), ""))
        if question is not None:
            question.hello, question.source = hello, source

    def answer(self, boot: str, address: str, nonce: str, now: float) -> Question | None:
        """Give the question that a PONG answers; it is settled then."""
        self._expire(now)
        if not self.waits_for(boot, address, nonce):
            return None
        question = self._remove(nonce)
        self._silent.pop(_whose(question.key, ""), None)
        self._silent.pop(_whose(question.key, address), None)
        self.answered += 1
        return question

    def move(self, boot: str, address: str, nonce: str) -> bool:
        """Take it that what was asked elsewhere answers from this address; whether there is such a question.

        Only for what is sealed: who answers has not proved to have the address that was asked.
        """
        question = self._questions.get(nonce)
        if question is None or question.key[1] != boot:
            return False
        self._places.pop((*question.key, question.address), None)
        question.address = address
        self._places[*question.key, address] = nonce
        return True

    def waits_for(self, boot: str, address: str, nonce: str) -> bool:
        """Whether a question with this nonce waits for its answer."""
        question = self._questions.get(nonce)
        return question is not None and (question.key[1], question.address) == (boot, address)

    def set_rate(self, rate: float) -> None:
        """Allow so many answers a second to one address from now on."""
        self._first = TokenBuckets(FIRST_TIMES * rate, self._total)
        self._again = TokenBuckets(AGAIN_TIMES * rate, self._total)

    def hopes(self) -> list[str]:
        """Give the addresses asked last."""
        return [question.address for question in islice(reversed(self._questions.values()), MAX_HOPES)]

    def _await(self, whose: str, times: int, now: float) -> None:
        self._silent.pop(whose, None)
        first = next(iter(self._silent), "")
        if first and (len(self._silent) >= MAX_SILENT or now >= self._silent[first][1] + FORGOTTEN):
            del self._silent[first]
        pause = min(AGAIN * 2.0 ** max(0, times - HOPEFUL), SELDOM)
        self._silent[whose] = (min(times, MAX_TIMES), now + pause)

    def _expire(self, now: float) -> None:
        while self._questions:
            first = next(iter(self._questions))
            if now < self._questions[first].until:
                return
            self._remove(first)
            self.expired += 1

    def _remove(self, nonce: str) -> Question:
        question = self._questions.pop(nonce)
        place = (*question.key, question.address)
        if self._places.get(place) == nonce:  # else two that were asked elsewhere answered from one address
            del self._places[place]
        return question


def _whose(key: Key, address: str) -> str:
    return f"{' '.join(key)} {address}"
