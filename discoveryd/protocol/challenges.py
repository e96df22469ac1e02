"""Unknown boots are asked first: are you there now? A recording, or a forger, cannot answer.

A challenge is a PING with a nonce that nobody can foresee. With keys each boot is challenged before it is listed, for
what it sealed may have been recorded. Without keys that is done in a flood, at other times with boots that are too
many, that contradict what is known, or that speak from beyond our links: the one that answers has the address it
speaks from. What a plain HELLO said is held until its sender answers.

The caller need not know of challenges: they, and what follows from their answers, are among what there is to send.
"""

from dataclasses import dataclass
from itertools import islice

from discoveryd.protocol.bounded import TokenBuckets, drop_first, put_last
from discoveryd.protocol.flood import SAMPLE
from discoveryd.protocol.link import Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Claim, Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.wire.messages import MAX_SEALED_PING, Hello, Ping

AGAIN = 0.3
"""Seconds until the same boot may be challenged again (RFC 8967, 4.3.1)."""
HOPEFUL = 8
"""Challenges with that pause: more than half may be lost on the way. Each further one without an answer doubles it:
most likely it is a recording."""
SELDOM = 60.0
MAX_TIMES = 100
"""Seconds of the longest pause, and the challenges counted: far more than lead to it."""
FIRST_TIMES = 8
AGAIN_TIMES = 4
"""Challenges a second to one address, in answers to it: of boots that were not challenged before, and of the others.
Those have a bucket of their own, so that a newcomer does not wait for what is repeated of runs that are over."""
FORGOTTEN = 600.0
"""Seconds after which a boot that may be challenged again, and was not, counts as new."""
MAX_SILENT = 4096
"""Boots that did not answer yet; past it the boot that was challenged longest ago counts as new."""
LIFE = 5.0
"""Seconds that an answer may take: far longer than a round trip, and how fresh an answer is."""
TOTAL = 1000
"""Challenges a second to all sources together: as many as a thousand nodes need to be listed within a second."""
BEYOND = 20
"""Challenges a second to all addresses beyond our links together that no peer named, and that do not seal."""
MAX_QUESTIONS = 4096
"""Challenges that wait for an answer; TOTAL for LIFE is more, but then each has had 3 s."""
MAX_HOPES = 64
"""Addresses just challenged that a flood does not shut out: the latest, for an answer comes in a moment or never."""


Place = tuple[str, str, str]
"""Id, boot and address."""


@dataclass(slots=True)
class Challenge:
    """A PING that waits for its PONG.

    Attributes:
        key: id and boot of the node that was asked.
        address: where.
        solicits: whether that node asks for our record.
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
    """The challenges of boots that are not known here, and have not answered yet.

    Args:
        outbox: writes the PINGs, with nonces that nobody can foresee.
        rate: answers a second to one address; of challenges, no longer than what causes them, there may be several
            times as many.

    Attributes:
        questions: those that wait, by nonce, the oldest first.
        asked: how often a challenge was sent.
        answered: how many boots answered.
        expired: challenges without an answer in time.
        forgotten: challenges given up for newer ones.
        refused: not sent, because of the rates.
        too_short: not sent, because the PING would have been longer than what caused it.
    """

    def __init__(self, outbox: Outbox, rate: float) -> None:
        self._outbox = outbox
        self._flooding = TokenBuckets(rate, SAMPLE)
        self._beyond = TokenBuckets(BEYOND, BEYOND, sources=1)
        self.set_rate(rate)
        self._silent: dict[Place, tuple[int, float]] = {}  # times asked, and until when not again; the last asked last
        self.questions: dict[str, Challenge] = {}
        self._places: dict[Place, str] = {}  # -> nonce
        realm, id, boot = outbox.parameters.realm, outbox.id, outbox.boot
        self._plain_ping = len(Ping(realm=realm, id=id, boot=boot, nonce="0" * 16).encode())
        self.asked = self.answered = self.expired = self.forgotten = self.refused = self.too_short = 0

    def set_rate(self, rate: float) -> None:
        """Allow so many answers a second to one address from now on."""
        self._first = TokenBuckets(FIRST_TIMES * rate, TOTAL)
        self._again = TokenBuckets(AGAIN_TIMES * rate, TOTAL)

    # --- asking -----------------------------------------------------------------------------------

    def hear(self, hello: Hello, claim: Claim, now: float, *, is_flood: bool = False) -> list[Send]:
        """Challenge the sender of a HELLO that was refused, unless it leaves; a plain HELLO is held until the answer.

        In a flood as many are challenged as it lets through: a PING to an address without a node takes longer than all
        else that is done with a datagram.
        """
        source = claim.source
        if not self._outbox.is_ours(source):
            sends = self.ask_beyond(claim, now)
        elif hello.goodbye or (is_flood and not source.key and not self._flooding.allows(source.address, now)):
            return []
        else:
            if source.link and not source.key and not is_flood:
                # a steady HELLO is a few bytes shorter, and a peer that is listed is asked in any case
                claim = claim._replace(size=self._plain_ping)
            sends = self.ask(claim, now)
        challenge = None if source.key else self._find(claim)
        if challenge is not None:
            challenge.hello, challenge.source = hello, source
        return sends

    def ask_beyond(self, claim: Claim, now: float) -> list[Send]:
        """Challenge a plain sender beyond our links that no peer named, and ask the seeds whether it is one of them."""
        outbox = self._outbox
        if outbox.is_ours(claim.source):
            return []
        asked = [] if claim.source.link else outbox.aliases.ask(tuple(outbox.seeds.addresses), outbox.nonce, now)
        sends = [outbox.ping(nonce, Source(seed, outbox.link_to(seed))) for seed, nonce in asked]
        if now >= self._pause(claim)[1] and self._beyond.allows("", now):
            sends += self.ask(claim, now)
        return sends

    def ask(self, claim: Claim, now: float) -> list[Send]:
        """Challenge a sender, if it is time to; never with more bytes than came from it."""
        self._expire(now)
        challenge = self._find(claim)
        if challenge is not None:
            challenge.solicits = challenge.solicits or claim.solicits
        times, due = self._pause(claim)
        if now < due:
            return []
        source = claim.source
        if claim.size < (MAX_SEALED_PING if source.key else self._plain_ping):
            self.too_short += 1
            return []
        if not (self._again if times else self._first).allows(source.address, now):
            self.refused += 1
            return []
        self.asked += 1
        pause = min(AGAIN * 2.0 ** max(0, times + 1 - HOPEFUL), SELDOM)
        put_last(self._silent, _pauses_of(claim), (min(times + 1, MAX_TIMES), now + pause), MAX_SILENT)
        drop_first(self._silent, lambda silent: now >= silent[1] + FORGOTTEN)
        if challenge is None:
            challenge = self._add(claim, now)
        challenge.asked = now  # again with the same nonce: an answer to the first PING may be on its way
        return [self._outbox.ping(challenge.nonce, source, *claim.key)]

    def ask_first(self, claim: Claim, now: float) -> list[Send]:
        """Challenge a sender that waits for our record; the credit of its address bounds what is sent there."""
        return self.ask(claim._replace(size=NEVER, solicits=True), now)

    # --- answers ----------------------------------------------------------------------------------

    def answer(self, boot: str, address: str, nonce: str, now: float) -> Challenge | None:
        """Return the challenge that a PONG answers; it is settled then."""
        self._expire(now)
        if not self.waits_for(boot, address, nonce):
            return None
        challenge = self._remove(nonce)
        for place in ("", address):
            self._silent.pop((*challenge.key, place), None)
        self.answered += 1
        return challenge

    def waits_for(self, boot: str, address: str, nonce: str) -> bool:
        """Return whether a challenge with this nonce waits for its answer."""
        challenge = self.questions.get(nonce)
        return challenge is not None and (challenge.key[1], challenge.address) == (boot, address)

    def move(self, boot: str, address: str, nonce: str) -> bool:
        """Expect the answer of a boot from this address instead; return whether it was challenged with this nonce.

        Only for what is sealed: the node that answers has not proved to have the address that was asked.
        """
        challenge = self.questions.get(nonce)
        if challenge is None or challenge.key[1] != boot:
            return False
        self._places.pop((*challenge.key, challenge.address), None)
        challenge.address = address
        self._places[*challenge.key, address] = nonce
        return True

    def hopes(self) -> list[str]:
        """Return the addresses challenged last."""
        return [challenge.address for challenge in islice(reversed(self.questions.values()), MAX_HOPES)]

    def _find(self, claim: Claim) -> Challenge | None:
        return self.questions.get(self._places.get((*claim.key, claim.source.address), ""))

    def _pause(self, claim: Claim) -> tuple[int, float]:
        """Return how often a sender was challenged in vain, and until when it is not challenged again."""
        return self._silent.get(_pauses_of(claim), (0, -NEVER))

    def _add(self, claim: Claim, now: float) -> Challenge:
        while len(self.questions) >= MAX_QUESTIONS:
            self._remove(next(iter(self.questions)))
            self.forgotten += 1
        nonce, address = self._outbox.nonce(), claim.source.address
        challenge = Challenge(nonce, claim.key, address, now, now + LIFE, claim.solicits)
        self.questions[nonce] = challenge
        self._places[*claim.key, address] = nonce
        return challenge

    def _expire(self, now: float) -> None:
        while self.questions and now >= next(iter(self.questions.values())).until:
            self._remove(next(iter(self.questions)))
            self.expired += 1

    def _remove(self, nonce: str) -> Challenge:
        challenge = self.questions.pop(nonce)
        place = (*challenge.key, challenge.address)
        if self._places.get(place) == nonce:  # else two that were asked elsewhere answered from one address
            del self._places[place]
        return challenge


def _pauses_of(claim: Claim) -> Place:
    """Return what a pause holds for: a boot that seals on a link, wherever it speaks from, for the seal covers that."""
    source = claim.source
    return (*claim.key, "" if source.key and source.link else source.address)
