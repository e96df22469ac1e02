"""What was sealed once counts once: windows over counters, and the question put to an unknown boot.

How a node is to use these. What `Sealer.open` gave goes to `Windows.take`:

- a boot with a window: each counter is taken once, and what is taken is treated as if it had come plain;
- a boot without one may be long gone, and the datagram a recording of it. It is not listened to, but for this: a
  HELLO makes us ask (`Challenges.ask`): a PING, sealed for that boot alone, with a nonce that nobody can
  foresee. A PING is answered, by unicast, and nothing else follows from it: it was sealed for our boot. A PONG,
  sealed for our boot, that repeats the nonce (`Challenges.answer`) was made by a boot that lives:
  `Windows.admit`, and its next HELLO is listened to (with a solicit for which we then owe it an answer).

So no clock is compared and nothing is kept on a disk, as in RFC 8967; and windows may be forgotten at any time: who
is heard after that is asked again, which takes one round trip, and recordings stay worthless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from discoveryd.errors import WireError
from discoveryd.protocol.limiter import Limiter
from discoveryd.protocol.seal import MAX_SEALED_PING, Opened

WIDTH = 1024
"""Counters below the highest that may still come: one second of the most that a node sends (1,000 answers and
100 probes). Wi-Fi holds broadcasts back for some 0.1 to 0.3 s while unicasts, which spend the same counters, pass.
What comes later than that is dropped, and nobody misses it: a newer HELLO has been heard."""
_ALL = (1 << WIDTH) - 1

AGAIN = 0.3
"""Seconds until the same question may be put to the same boot again (RFC 8967, 4.3.1)."""
LIFE = 5.0
"""Seconds that an answer may take: far longer than a round trip, and how fresh an answer is."""
TOTAL = 1000
"""Questions a second to all sources together: as many as a thousand nodes need to be listed within a second."""
MAX_QUESTIONS = 4096
"""Questions that wait for an answer; TOTAL for LIFE is more, but then each has had 3 s."""


class Window:
    """Which counters of one boot and class were taken (RFC 4303, 3.4.3; as RFC 6479 without shifting it in vain).

    Args:
        top: all counters up to this one count as taken.
    """

    __slots__ = ("_taken", "_top")

    def __init__(self, top: int) -> None:
        self._top = top
        self._taken = _ALL  # bit n: the counter n below the top

    def take(self, counter: int) -> bool:
        """Take a counter; False if it was taken before, or is too old to tell."""
        ahead = counter - self._top
        if ahead > 0:
            # never shifted by more than its width: a counter may be 2^64
            self._taken = ((self._taken << ahead) | 1) & _ALL if ahead < WIDTH else 1
            self._top = counter
            return True
        if ahead <= -WIDTH:
            return False
        bit = 1 << -ahead
        if self._taken & bit:
            return False
        self._taken |= bit
        return True


class Windows:
    """The windows of the boots that have proved to live: one for broadcasts and one for unicasts each.

    They are apart because Wi-Fi delays broadcasts and not unicasts (RFC 9467).

    Args:
        limit: boots; when there are more the one that was silent longest is forgotten, and is asked again
            when it speaks. Only who has the key can bring that about. 1,000 take 0.7 MB.
    """

    __slots__ = ("_boots", "_limit", "forgotten")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._boots: dict[str, tuple[Window, Window]] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        """Count the boots."""
        return len(self._boots)

    def __contains__(self, boot: str) -> bool:
        """Whether a boot has proved to live, and is not forgotten."""
        return boot in self._boots

    def take(self, opened: Opened) -> bool:
        """Take a datagram that was opened; False if its boot is unknown, and has to be asked.

        Raises:
            WireError: ``replayed``.
        """
        windows = self._boots.get(opened.boot)
        if windows is None:
            return False
        if not windows[opened.is_unicast].take(opened.counter):
            kind = "unicast" if opened.is_unicast else "broadcast"
            raise WireError("replayed", f"{kind} {opened.counter} of {opened.id} ({opened.boot})")
        del self._boots[opened.boot]
        self._boots[opened.boot] = windows  # the last to go
        return True

    def admit(self, opened: Opened) -> None:
        """Listen to a boot from now on: by this datagram it has proved to live.

        All it sealed before this one, of both classes, is void: it may have been recorded.
        """
        if opened.boot in self._boots:
            return
        while len(self._boots) >= self._limit:
            del self._boots[next(iter(self._boots))]
            self.forgotten += 1
        self._boots[opened.boot] = (Window(opened.counter), Window(opened.counter))


@dataclass(slots=True)
class _Question:
    nonce: str
    asked: float
    until: float


class Challenges:
    """The questions put to boots that nobody here knows, and have not answered yet.

    Args:
        nonce: gives 16 hexadecimal digits that nobody can foresee: from the operating system, not from a
            generator that other nonces betray.
        rate: questions a second to one address, which can be forged: so much can be made to arrive there.
        total: the same to all together.
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
        "_limit", "_limiter", "_nonce", "_questions", "answered", "asked", "expired", "forgotten", "refused",
        "too_short",
    )  # fmt: skip

    def __init__(
        self, nonce: Callable[[], str], *, rate: float, total: float = TOTAL, limit: int = MAX_QUESTIONS
    ) -> None:
        self._nonce = nonce
        self._limiter = Limiter(rate, total)
        self._limit = limit
        self._questions: dict[tuple[str, str], _Question] = {}  # by boot and address, the oldest first
        self.asked = self.answered = self.expired = self.forgotten = self.refused = self.too_short = 0

    def __len__(self) -> int:
        """Count the questions that wait."""
        return len(self._questions)

    def ask(self, boot: str, address: str, size: int, now: float) -> str | None:
        """Say what to ask a boot.

        Args:
            boot: who sealed the datagram.
            address: where it came from.
            size: its bytes, as sealed.
            now: seconds.

        Returns:
            the nonce of a PING, to be sealed for that boot with the key its datagram was sealed with; None if
            nothing is to be sent: it was just asked, too many are asked, or a PING would be longer than `size`.
        """
        self._expire(now)
        question = self._questions.get((boot, address))
        if question is not None and now < question.asked + AGAIN:
            return None
        if size < MAX_SEALED_PING:
            self.too_short += 1
            return None
        if not self._limiter.allows(address, now):
            self.refused += 1
            return None
        self.asked += 1
        if question is not None:
            question.asked = now
            return question.nonce  # an answer to the first may be on its way
        while len(self._questions) >= self._limit:
            del self._questions[next(iter(self._questions))]
            self.forgotten += 1
        nonce = self._nonce()
        self._questions[boot, address] = _Question(nonce, now, now + LIFE)
        return nonce

    def answer(self, boot: str, address: str, nonce: str, now: float) -> bool:
        """Whether a PONG that was sealed for our boot answers a question; it is settled then."""
        self._expire(now)
        question = self._questions.get((boot, address))
        if question is None or question.nonce != nonce:
            return False
        del self._questions[boot, address]
        self.answered += 1
        return True

    def _expire(self, now: float) -> None:
        while self._questions:
            first = next(iter(self._questions))
            if now < self._questions[first].until:
                return
            del self._questions[first]
            self.expired += 1
