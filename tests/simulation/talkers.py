"""Hosts of a simulated network that send each other messages, and note what comes of it."""

from __future__ import annotations

from collections import Counter
from random import Random

from discoveryd.protocol.messages.values import OutgoingMessage, PeerFilter, Target
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.protocol.wire.record import Record
from discoveryd.simulation.network import Clock, Host, Segment

SLOW = Parameters(interval=4.0, ttl=20.0)
"""Few HELLOs: a run costs what its messages cost."""


class Talker(Host):
    """A host that answers each question with its name and the payload, or as `answer` says.

    Attributes:
        handled: the messages that were handed out, in their order.
        told: the deliveries of its own messages, with the time of each.
        sent: (time, kind) of each datagram of messages.
        busy_for: seconds that a handler takes.
    """

    def __init__(self, segment, number, keyring=NO_KEYS, parameters=None, *, seed=0):
        super().__init__(segment.clock)
        self.name, self.segment, self.number = f"n{number}", segment, number
        self.handled, self.told, self.sent = [], [], []
        self.refusal, self.busy_for = "", 0.0
        self.answer = lambda message: self.name.encode() + b" " + message.payload
        self._make = lambda boots: Node(
            parameters or SLOW, Record(name=self.name, tags={"parity": str(number % 2)}),
            node_id=self.name, keyring=keyring, random=Random(f"{seed}/{number}/{boots}"),
        )  # fmt: skip
        self._boots = 0

    def start(self):
        node = self.node = self._make(self._boots)
        self._boots += 1
        node.messages.receipts.refusal_of = lambda _: self.refusal
        self.run(node, {self.segment: self.segment.link(self.number)})
        return self

    def say(self, name="deploy", payload=b"v2", *, target=None, **more):
        """Send a message; return its number."""
        number = self.node.messages.next_number()
        message = OutgoingMessage(number=number, name=name, payload=payload, target=target or Target(), **more)
        self.act(self.node.messages.send(message, self.clock.now))
        return number

    def track(self, delivery):
        self.told.append((self.clock.now, delivery))

    def handle(self, message):
        self.handled.append(message)
        if self.busy_for:
            self.clock.after(self.busy_for, lambda: self.finish(message))
        else:
            self.finish(message)

    def finish(self, message, status="handled"):
        answer = self.answer(message) if message.is_question else None
        self.act(self.node.messages.finish(message.key, status, answer, self.clock.now))

    def send(self, send):
        if send.kind in ("msg", "ack"):
            self.sent.append((self.clock.now, send.kind))
        super().send(send)

    def ends(self, number):
        """Return the final status of a message at each receiver, by name."""
        return {one.peer.id: one.status for _, one in self.told if one.number == number and one.is_final}

    def last(self, number):
        """Return how many seconds a message took."""
        return max(one.took_s for _, one in self.told if one.number == number)

    def answers(self, number):
        """Return the answers to a question, by name."""
        return {one.peer.id: one.answer for _, one in self.told if one.number == number and one.status == "answered"}


def crowd(count, *, seed=0, keyring=NO_KEYS, loss=0.0, settled=40.0, settled_loss=None, parameters=None):
    """Start hosts within a second, and let them get to know each other."""
    clock = Clock()
    random = Random(f"segment {seed}")
    segment = Segment(clock, random, loss=loss if settled_loss is None else settled_loss)
    hosts = [Talker(segment, number, keyring, parameters, seed=seed) for number in range(1, count + 1)]
    for host in hosts:
        clock.at(random.uniform(0, 1), host.start)
    clock.run(settled)
    segment.loss = loss
    return clock, segment, hosts


def by_parity(parity):
    """Return the target of all hosts with an even or odd number."""
    return Target(filter=PeerFilter(tags={"parity": str(parity)}))


def most_in_a_second(moments):
    """Return the greatest number of moments within one second."""
    moments = sorted(moments)
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1.0:
            first += 1
        most = max(most, last + 1 - first)
    return most


def count_sent(hosts, since):
    """Count the datagrams of messages that hosts sent since then, by kind."""
    return Counter(kind for host in hosts for at, kind in host.sent if at >= since)
