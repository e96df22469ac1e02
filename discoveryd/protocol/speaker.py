"""A node as a segment hears it, without a table: stands in where thousands of nodes would be too many.

A table of N peers at each of N nodes is N² rows: 10,000 nodes would take 300 GB. A speaker beats, greets,
and answers solicits and PINGs by the rules of `Node`, and is driven in the same way; how many peers there
are, and when it last heard one of them, it is told by those who know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from discoveryd.protocol.hello import Hello
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.liveness import JITTER
from discoveryd.protocol.node import ANSWERS_PER_SECOND, FULL_EVERY
from discoveryd.protocol.outcome import NOTHING, Outcome, Send
from discoveryd.protocol.outlet import BURST
from discoveryd.protocol.parameters import MAX_INTERVAL, MAX_TTL, Parameters
from discoveryd.protocol.probe import Ping, Pong, decode_probe
from discoveryd.protocol.record import Record
from discoveryd.protocol.row import NEVER


class Speaker:
    """What `Node` says, without what it knows.

    Args:
        parameters: how to speak.
        record: what to say of itself.
        node_id: its id.
        random: where boot id and jitter come from.
        peers: tells how many peers a node in its place would list.
        silence: tells how long ago it would have heard a HELLO from an address, None for never.
    """

    __slots__ = (
        "_answers", "_burst", "_interval", "_link", "_next_hello", "_parameters", "_peers", "_random", "_record",
        "_seq", "_silence", "boot", "id",
    )  # fmt: skip

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
        self._parameters = parameters
        self._record = record
        self._random = random
        self._peers = peers
        self._silence = silence
        self._link: Link | None = None
        self._interval = parameters.interval
        self._seq = 0
        self._burst: list[float] = []
        self._next_hello = NEVER
        self._answers: dict[str, float] = {}  # to whom, due

    def set_links(self, links: Iterable[Link], now: float) -> None:
        """Take the one link there is: greet, and beat from now on."""
        [self._link] = links
        self._burst = [now + offset for offset in BURST]
        self._next_hello = now + self._parameters.interval * self._random.uniform(0.5, 1.0)

    def next_deadline(self) -> float:
        """Say when `poll` has something to do."""
        return min(self._next_hello, *self._burst[:1], *self._answers.values(), NEVER)

    def poll(self, now: float) -> Outcome:
        """Say what is due."""
        sends = []
        if now >= self._next_hello:
            sends.append(self._beat(now))
        if self._burst and now >= self._burst[0]:
            self._burst = [due for due in self._burst if due > now]
            sends.append(self._greet())
        for to in [to for to, due in self._answers.items() if now >= due]:
            del self._answers[to]
            sends.append(self._hello(to, full=True))
        return Outcome(sends=tuple(sends))

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram that was sent to this node alone: a PING, or a solicit."""
        if datagram.startswith(b"PING"):
            return Outcome(sends=(self._answer(datagram, source.address),))
        if is_solicit(datagram):
            self.solicited(source.address, now)
            return Outcome()
        return NOTHING

    def refused(self, datagram: bytes, now: float) -> Outcome:  # noqa: ARG002 - as `Node.refused`
        """Pass over the kernel's word that nobody listens."""
        return NOTHING

    def solicited(self, by: str, now: float) -> None:
        """Take it that somebody asks for our record; whether that is too often is judged elsewhere."""
        if by not in self._answers:
            self._answers[by] = now + self._random.uniform(0, self._peers() / ANSWERS_PER_SECOND)

    def ask(self, to: str) -> Send:
        """Ask a node for a sign of life."""
        nonce = f"{self._random.getrandbits(64):016x}"
        ping = Ping(realm=self._parameters.realm, id=self.id, boot=self.boot, nonce=nonce)
        return Send(ping.encode(), self._link, to)

    def _answer(self, datagram: bytes, to: str) -> Send:
        ping = decode_probe(datagram)
        silence = self._silence(to)
        heard_ms = None if silence is None else round(silence * 1000)
        pong = Pong(realm=self._parameters.realm, boot=self.boot, nonce=ping.nonce, heard_ms=heard_ms)
        return Send(pong.encode(), self._link, to)

    def _greet(self) -> Send:
        assert self._link is not None
        return self._hello(self._link.broadcast, full=True, solicit=True)

    def _beat(self, now: float) -> Send:
        assert self._link is not None
        self._seq += 1
        crowd = (self._peers() + 1) / self._parameters.budget
        self._interval = min(max(self._parameters.interval, crowd), MAX_INTERVAL)
        self._next_hello = now + self._interval * self._random.uniform(1 - JITTER, 1 + JITTER)
        return self._hello(self._link.broadcast, full=self._seq % FULL_EVERY == 0)

    def _hello(self, to: str, *, full: bool, solicit: bool = False) -> Send:
        ttl = min(self._parameters.ttl * self._interval / self._parameters.interval, MAX_TTL)
        hello = Hello(
            realm=self._parameters.realm,
            id=self.id,
            boot=self.boot,
            interval_ms=round(self._interval * 1000),
            ttl_ms=round(ttl * 1000),
            digest=self._record.digest,
            seq=self._seq,
            solicit=solicit,
            record=self._record.encoded if full else None,
        )
        return Send(hello.encode(), self._link, to)


def is_solicit(datagram: bytes) -> bool:
    """Whether this is a HELLO that solicits."""
    return datagram.startswith(b"HELLO|1|") and b"s" in datagram.split(b"|", 8)[7]
