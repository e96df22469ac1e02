"""A node as a segment hears it, without a table: stands in where thousands of nodes would be too many.

A table of N peers at each of N nodes is N² rows: 10,000 nodes would take 300 GB. A speaker has the voice of
a `Node`, and is driven in the same way; how many peers there are, and when it last heard one of them, it is
told by those who know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from discoveryd.protocol.answers import Answers
from discoveryd.protocol.beacon import Beacon
from discoveryd.protocol.incoming import Claim
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import NOTHING, Outcome, Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.messages import Ping, decode
from discoveryd.protocol.wire.record import Record


class SimulatedSender:
    """What `Node` says, without what it knows.

    Args:
        parameters: how to speak.
        record: what to say of itself.
        node_id: its id.
        random: where boot id and jitter come from.
        peers: tells how many peers a node in its place would list.
        silence: tells how long ago it would have heard a HELLO from an address, None for never.

    Attributes:
        answers: the answers that are due.
    """

    __slots__ = ("_beacon", "_outbox", "_random", "_silence", "answers", "boot", "id")

    def __init__(
        self,
        parameters: Parameters,
        record: Record,
        *,
        node_id: str,
        random: Random,
        peers: Callable[[], int],
        silence: Callable[[str], float | None],
    ) -> None:
        self.boot = f"{random.getrandbits(64):016x}"
        self.id = node_id
        self._random = random
        self._silence = silence
        self._outbox = Outbox(parameters, record, id=node_id, boot=self.boot)
        self.answers = Answers(self._outbox, random, lambda _: peers())
        self._beacon = Beacon(self._outbox, self.answers, random, crowd=lambda _: peers())

    def set_links(self, links: Iterable[Link], now: float) -> None:
        """Take the links there are: greet, and beat from now on."""
        self._beacon.set_links(links, now)

    def next_deadline(self) -> float:
        """Say when `poll` has something to do."""
        return self._beacon.next_deadline()

    def poll(self, now: float) -> Outcome:
        """Say what is due."""
        return Outcome(sends=tuple(self._beacon.poll(now)))

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram that was sent to this node alone: a PING, or a solicit."""
        if datagram.startswith(b"PING") and isinstance(ping := decode(datagram), Ping):
            return Outcome(sends=(self._outbox.pong(ping.nonce, self._silence(source.address), source),))
        return self.solicited(source, now) if is_solicit(datagram) else NOTHING

    def refused(self, datagram: bytes, now: float) -> Outcome:  # noqa: ARG002 - as `Node.refused`
        """Pass over the kernel's word that nobody listens."""
        return NOTHING

    def solicited(self, by: Source, now: float) -> Outcome:
        """Take it that somebody asks for our record; whether that is too often is judged elsewhere."""
        claim = Claim(by)
        return Outcome(sends=() if self.answers.joins(claim) else tuple(self.answers.answer(claim, now)))

    def ask(self, link: Link, to: str) -> Send:
        """Ask a node for a sign of life."""
        return self._outbox.ping(f"{self._random.getrandbits(64):016x}", Source(to, link))


def is_solicit(datagram: bytes) -> bool:
    """Whether this is a HELLO that solicits."""
    return datagram.startswith(b"HELLO|2|") and datagram.endswith(b"|") and b"s" in datagram.split(b"|", 11)[10]
