"""When a node answers those that solicit its HELLO, and asks others for their record.

No node is in command: all nodes together send about 1,000 answers a second, however many ask. Where N nodes are heard
each answers 1,000 / N times a second at most. Peers that ask meanwhile are served together, by one full HELLO to all;
and so they are by any other full HELLO of ours that happens to be due. A storm of starts costs each node a HELLO or
two, not one answer for each of the others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Claim, Send
from discoveryd.protocol.table.liveness import NEVER

PROMPT_PEERS = 32
ANSWERS_PER_SECOND = 1000
"""Up to 32 peers answer a solicit at once; more spread their answers to stay below 1,000 a second."""


@dataclass(slots=True)
class Waiting:
    """An answer that is due.

    Attributes:
        claim: the first that asked; its size counts the bytes of all.
        several: whether others on its link asked besides.
    """

    due: float
    claim: Claim
    several: bool = False


class Answers:
    """The answers to solicits that are due, one for each link (and each seed).

    Args:
        outbox: writes them.
        crowd: counts the peers that are listed at a moment.
        ask_first: challenges a sender that has to prove to be there before it gets our record.

    Attributes:
        waiting: the answers that are due, by link or address.
    """

    def __init__(
        self, outbox: Outbox, crowd: Callable[[float], int],
        ask_first: Callable[[Claim, float], Iterable[Send]] = lambda _claim, _now: (),
    ) -> None:
        self.crowd = crowd
        self._outbox = outbox
        self._ask_first = ask_first
        self.waiting: dict[Link | str, Waiting] = {}
        self._last = -NEVER
        self._next_request = -NEVER  # for a record

    def joins(self, claim: Claim) -> bool:
        """Serve a solicit with those that wait on its link already; return whether any does."""
        source = claim.source
        waiting = self.waiting.get(source.link or source.address)
        if waiting is None:
            return False
        first = waiting.claim
        waiting.several = waiting.several or first.source.address != source.address
        waiting.claim = first._replace(size=first.size + claim.size)
        return True

    def answer(self, claim: Claim, now: float) -> list[Send]:
        """Answer the first solicit on its link, at once or when it is due.

        A sender that did not prove to be there, and sent fewer bytes than the answer has, is challenged first.
        """
        due, source, crowd = now, claim.source, self.crowd(now)
        wait = gap(crowd)
        if crowd > PROMPT_PEERS:
            due += self._outbox.random.uniform(0, wait)
        self.waiting[source.link or source.address] = Waiting(max(due, self._last + wait), claim)
        return self.poll(now)

    def poll(self, now: float) -> list[Send]:
        """Return the answers that are due, unless we have heard of so many peers meanwhile that they have to wait."""
        if now < self.next_due():
            return []  # before the peers are counted
        earliest = self._last + gap(self.crowd(now))
        sends: list[Send] = []
        for key, waiting in [(key, waiting) for key, waiting in self.waiting.items() if waiting.due <= now]:
            if now < earliest:
                waiting.due = earliest
                continue
            del self.waiting[key]
            self._last = now
            sends += self._answer(waiting, now)
        return sends

    def _answer(self, waiting: Waiting, now: float) -> Iterable[Send]:
        claim = waiting.claim
        datagram = self._outbox.hello(full=True, by=self._outbox.link_state(claim.source)).encode()
        if claim.size < len(datagram):
            return () if waiting.several else self._ask_first(claim, now)
        link = claim.source.link
        if waiting.several and link:
            return self._outbox.by(self._outbox.links[link], datagram, limited=True)
        return [self._outbox.unicast(datagram, claim.source)]

    def serve(self, link: Link | None, now: float) -> bool:
        """Serve those that wait on a link by a HELLO that goes to all; return whether it must be full for them.

        A single peer is served by unicast: a full HELLO for it alone would be a burden on all.
        """
        if link is None or link not in self.waiting or not self.waiting[link].several:
            return False
        del self.waiting[link]
        self._last = now
        return True

    def next_due(self) -> float:
        """Return when the next answer is due."""
        return min((waiting.due for waiting in self.waiting.values()), default=NEVER)

    def may_request(self, now: float) -> bool:
        """Return whether we may ask for a record already: as answers, requests keep a gap that grows with the crowd."""
        return now >= self._next_request

    def request(self, source: Source, now: float) -> Send:
        """Ask one peer for its record."""
        self._next_request = now + gap(self.crowd(now))
        return self._outbox.hello_to(source, solicit=True)


def gap(crowd: int) -> float:
    """Return the seconds after an answer, or a request for a record, until the next may follow."""
    return crowd / ANSWERS_PER_SECOND
