"""Boots that nobody here knows: asked whether they live, and listed only after they said so.

So it is with every boot that seals, and in a flood with every boot. Whoever drives the node need not know of it: the
question and what follows from its answer are among what there is to send.
"""

from __future__ import annotations

from collections.abc import Callable

from discoveryd.protocol.challenges import Challenges, Question
from discoveryd.protocol.flood import SAMPLE
from discoveryd.protocol.hello import Hello
from discoveryd.protocol.limiter import Limiter
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.probe import Ping, Pong
from discoveryd.protocol.voice import Voice

MAX_SEALED_PING = 158
"""Bytes of a sealed PING at most; `discoveryd.protocol.seal` has the sum, and is not imported without keys."""
MAX_PROVED = 4096
"""Boots remembered that proved in a flood to be where they say; past it the first is asked again."""


class Strangers:
    """Asks boots that are not known, and remembers who answered.

    Args:
        voice: says it.
        nonce: gives one that nobody can foresee.
        rate: questions a second to one address.
    """

    def __init__(self, voice: Voice, nonce: Callable[[], str], rate: float) -> None:
        self.challenges = Challenges(nonce, rate=rate)
        self._voice = voice
        self._proved: dict[str, None] = {}
        self._flooding = Limiter(rate, SAMPLE)
        self._plain_ping = len(
            Ping(realm=voice.parameters.realm, id=voice.id, boot=voice.boot, nonce="0" * 16).encode()
        )

    def ask(self, hello: Hello, source: Source, size: int, now: float) -> tuple[Send, ...]:
        """Ask who sent a HELLO of so many bytes whether it is there; one that leaves is not asked.

        Without a seal it is for a flood alone, and so many are asked as a flood lets through: a question to an address
        where nobody is takes longer than all else that is done with a datagram.
        """
        if hello.goodbye or not (source.key or self._flooding.allows(source.address, now)):
            return ()
        return self.ask_boot(hello.boot, source, size, now, solicits=hello.solicit)

    def ask_boot(
        self, boot: str, source: Source, size: float, now: float, *, solicits: bool = False
    ) -> tuple[Send, ...]:
        """Ask a boot, from which so many bytes came, whether it is there."""
        longest = MAX_SEALED_PING if source.key else self._plain_ping
        nonce = self.challenges.ask(
            boot, source.address, now, size=size, longest=longest, solicits=solicits,
            whatever_address=bool(source.key and source.link),  # the seal covers the address, on a link
        )  # fmt: skip
        return () if nonce is None else (self._voice.ping(boot, nonce, source),)

    def answer(self, pong: Pong, source: Source, now: float) -> Question | None:
        """Give the question that a PONG answers, if it does; without a seal its boot is believed for this flood."""
        question = self.challenges.answer(pong.boot, source.address, pong.nonce, now)
        if question is not None and not source.key:
            if len(self._proved) >= MAX_PROVED:
                del self._proved[next(iter(self._proved))]
            self._proved[pong.boot] = None
        return question

    def has_proved(self, boot: str) -> bool:
        """Whether a boot answered in this flood."""
        return boot in self._proved

    def forget(self) -> None:
        """Forget who answered: the flood is over."""
        self._proved.clear()
