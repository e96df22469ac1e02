"""A model of NATS: subjects with wildcards, order per connection, and what goes wrong: loss, delay, stalls, lies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache, partial

LEAST, MOST = 0.002, 0.02
"""Seconds from one connection to another."""


@dataclass
class Faults:
    """What goes wrong between connections.

    Attributes:
        loss: share of deliveries lost.
        double: share of deliveries that come twice.
        reorder: share of deliveries that are overtaken.
        delay: most seconds of such a delivery.
    """

    loss: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    delay: float = 1.0


@dataclass(eq=False)
class Connection:
    """A client of the broker: `hear` takes subject and payload.

    Attributes:
        site: of the client: sites can be cut off.
        is_stalled: nothing comes or goes, and nobody is told; all of it comes when that ends.
    """

    hear: object
    site: str
    subjects: set = field(default_factory=set)
    is_open: bool = True
    is_stalled: bool = False
    last: float = 0.0
    held: list = field(default_factory=list)

    def wants(self, subject):
        return any(matches(pattern, subject) for pattern in self.subjects)


@cache
def matches(pattern, subject):
    """Return whether a subject is one of a subscription; ``*`` stands for one token."""
    ours, theirs = pattern.split("."), subject.split(".")
    return len(ours) == len(theirs) and all(one in ("*", other) for one, other in zip(ours, theirs, strict=True))


class Broker:
    """All servers together.

    Attributes:
        cut: pairs of sites between which nothing passes; a pair (site, site) cuts a site from its own server.
        tape: all that was published.
        published: messages by kind.
        delivered: deliveries by kind of message, and bytes under ``bytes``.
        lie: called with subject and payload of each delivery; returns what is delivered instead.
    """

    def __init__(self, clock, random, faults=None):
        self.clock, self.random = clock, random
        self.faults = faults or Faults()
        self.connections = []
        self.cut = set()
        self.tape = []
        self.keeps_tape = True
        self.delivered, self.published = Counter(), Counter()
        self.lie = None

    def connect(self, hear, site):
        connection = Connection(hear, site)
        self.connections.append(connection)
        return connection

    def close(self, connection):
        connection.is_open = False
        self.connections.remove(connection)

    def is_cut(self, one, other):
        return (one, other) in self.cut or (other, one) in self.cut or (one, one) in self.cut or (other, other) in self.cut

    def publish(self, sender, subject, payload):
        if self.keeps_tape:
            self.tape.append((subject, payload, sender.site))
        self.published[subject.split(".")[3]] += 1
        if sender.is_stalled:
            sender.held.append((subject, payload))
            return
        for receiver in self.connections:
            if receiver is not sender and receiver.wants(subject) and not self.is_cut(sender.site, receiver.site):
                self.deliver(receiver, subject, payload)

    def deliver(self, receiver, subject, payload):
        """Deliver once, twice or never, in order unless a fault overtakes it."""
        faults, dice = self.faults, self.random.random
        if faults.loss and dice() < faults.loss:
            return
        messages = self.lie(subject, payload) if self.lie else [(subject, payload)]
        for message in messages * (2 if faults.double and dice() < faults.double else 1):
            due = self.clock.now + LEAST + dice() * (MOST - LEAST)
            if faults.reorder and dice() < faults.reorder:
                due += dice() * faults.delay
            else:
                due = receiver.last = max(due, receiver.last)
            self.clock.at(due, partial(self.arrive, receiver, *message))

    def arrive(self, receiver, subject, payload):
        if not receiver.is_open:
            return
        if receiver.is_stalled:
            receiver.held.append((None, (subject, payload)))
            return
        self.delivered[subject.split(".")[3]] += 1
        self.delivered["bytes"] += len(payload)
        receiver.hear(subject, payload)

    def stall(self, connection, *, is_stalled):
        """Stop a connection without a word, or let all that waited pass."""
        connection.is_stalled = is_stalled
        if not is_stalled:
            held, connection.held = connection.held, []
            for subject, payload in held:
                if subject is None:
                    self.arrive(connection, *payload)
                else:
                    self.publish(connection, subject, payload)
