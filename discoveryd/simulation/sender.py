"""A node without a table, as a segment hears it; for networks of thousands of nodes.

A table of N peers at each of N nodes is N² rows: 10,000 nodes would take 300 GB. A simulated sender has the beacon of a
`Node` and is driven in the same way. The number of peers, and when a peer was last heard, are given from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import Random

from discoveryd.protocol.beacon import Answers, Beacon
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import NOTHING, Claim, Outcome, Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.messages import Ping, decode
from discoveryd.protocol.wire.record import Record


class SimulatedSender:
    """The datagrams of a `Node`, without its table.

    Args:
        parameters: of the node.
        record: that it announces.
        node_id: its id.
        random: source of boot id and jitter.
        listed: as many as the peers that a node in its place would list.
        silence: returns how long ago it would have heard a HELLO from an address, None for never.

    Attributes:
        answers: the answers that are due.
    """

    __slots__ = ("_beacon", "_outbox", "_silence", "answers", "boot")

    def __init__(
        self,
        parameters: Parameters,
        record: Record,
        *,
        node_id: str,
        random: Random,
        listed: Collection[str],
        silence: Callable[[str], float | None],
    ) -> None:
        self._silence = silence
        self._outbox = Outbox(parameters, record, random, node_id)
        self.boot = self._outbox.boot
        self.answers = Answers(self._outbox, lambda _: len(listed))
        self._beacon = Beacon(self._outbox, self.answers)

    def set_links(self, links: Iterable[Link], now: float) -> None:
        """Use these links from now on, beginning with the greetings."""
        self._beacon.set_links(links, now)

    def next_deadline(self) -> float:
        """Return the time at which `poll` is due."""
        return self._beacon.next_deadline()

    def poll(self, now: float) -> Outcome:
        """Return the datagrams that are due."""
        return Outcome(sends=tuple(self._beacon.poll(now)))

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Answer a datagram that was sent to this node alone: a PING or a solicit."""
        if datagram.startswith(b"PING") and isinstance(ping := decode(datagram), Ping):
            return Outcome(sends=(self._outbox.pong(ping.nonce, self._silence(source.address), source),))
        return self.solicited(source, now) if is_solicit(datagram) else NOTHING

    def refused(self, datagram: bytes, now: float) -> Outcome:  # noqa: ARG002 - as `Node.refused`
        """Ignore a datagram that came back."""
        return NOTHING

    def solicited(self, by: Source, now: float) -> Outcome:
        """Answer a solicit, or have it answered with the others that wait; rate limits are not modelled."""
        claim = Claim(by)
        return Outcome(sends=() if self.answers.joins(claim) else tuple(self.answers.answer(claim, now)))

    def ask(self, link: Link, to: str) -> Send:
        """Return a PING to a node."""
        return self._outbox.ping(self._outbox.nonce(), Source(to, link))


def is_solicit(datagram: bytes) -> bool:
    """Return whether a datagram is a HELLO that solicits."""
    return datagram.startswith(b"HELLO|2|") and datagram.endswith(b"|") and b"s" in datagram.split(b"|", 11)[10]
