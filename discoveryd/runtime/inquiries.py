"""Inquiries of people and programs, while they are under way: a node is asked, and others are asked about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from discoveryd.errors import QueryError
from discoveryd.protocol.inquiries import readable
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Outcome, Said
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Row
from discoveryd.query.address import is_address

MOST_INQUIRIES = 8
"""Inquiries under way at the same time, of all programs."""
MOST_ASKED = 3
"""Peers of one name that are asked themselves, and peers that are asked about another."""
TRIES, GAP = 4, 0.25
"""Times that a node is asked, and seconds between: at 30 % loss each way all are lost once in 15 times."""
PATIENCE = 1.2
"""Seconds in which the answers come."""
AGAIN = 0.1
"""Seconds until a question is tried again that was one too many for its address."""


@dataclass(slots=True, eq=False)
class Question:
    """What one node is asked, and its answers.

    Attributes:
        target: the peer, or the address of a node that is not listed.
        about: the third node that it is asked about, empty for none.
        is_witness: whether it is asked for the sake of that node.
        left: times that it may still be asked.
        wanted: answers that are enough.
        due: when it is asked next.
        nonces: of the times it was asked.
        said: the answers.
    """

    target: Row | str
    about: str = ""
    is_witness: bool = False
    left: int = TRIES
    wanted: int = 1
    due: float = 0.0
    nonces: set[str] = field(default_factory=set)
    said: list[Said] = field(default_factory=list)

    @property
    def is_answered(self) -> bool:
        """Whether enough answers came."""
        return len(self.said) >= self.wanted

    def ask(self, node: Node, now: float) -> Outcome | None:
        """Ask once more, unless too much is asked already."""
        asked = node.inquire(self.target, self.about, now)
        if asked is None:
            self.due = now + AGAIN
            return None
        self.nonces.add(asked[0])
        self.left -= 1
        self.due = now + GAP if self.left else NEVER
        return asked[1]

    def to_json(self, now: float) -> dict[str, Any]:
        """Return what was asked and answered."""
        row = self.target if isinstance(self.target, Row) else None
        address = self.target if isinstance(self.target, str) else self.target.paths.best(now).address
        name = (row.name or row.id) if row else None
        asked = {"address": address, "name": name, "about": self.about or None, "asked": len(self.nonces)}
        return {**asked, "answered": bool(self.said), **(_answer_json(self.said[0]) if self.said else {})}


def _answer_json(said: Said) -> dict[str, Any]:
    say = said.say
    third = {"state": say.state, "address": say.address, "last_heard_s": _seconds(say.last_ms)}
    return {
        "rtt_ms": round(said.rtt * 1000, 3),
        "hears_us_s": _seconds(say.heard_ms),
        "release": say.release or None,
        "network": say.network or None,
        "broadcast": say.broadcast or None,
        "sent": say.sent,
        "echoed": say.echoed,
        "drops": [{"reason": one.reason, "count": one.times, "last_s": one.last_s} for one in say.why_dropped()],
        "third": third if say.state else None,
    }


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


@dataclass(slots=True, eq=False)
class Inquiry:
    """Questions to some nodes, then `done` with all of them."""

    questions: Sequence[Question]
    deadline: float
    done: Callable[[Sequence[Question]], None]

    @property
    def is_over(self) -> bool:
        """Whether all have answered."""
        return all(question.is_answered for question in self.questions)

    def next_due(self) -> float:
        """Return when something is to be asked, or all is over."""
        if self.is_over:
            return -NEVER
        return min(self.deadline, *(one.due for one in self.questions if not one.is_answered))


class Inquiries:
    """The inquiries under way. Not thread-safe: its owner's lock guards it."""

    def __init__(self) -> None:
        self._under_way: list[Inquiry] = []

    def begin(
        self, questions: Sequence[Question], *, patience: float, done: Callable[[Sequence[Question]], None], now: float
    ) -> Inquiry:
        """Add an inquiry; its first questions are due at once.

        Raises:
            QueryError: ``busy``.
        """
        if len(self._under_way) >= MOST_INQUIRIES:
            raise QueryError("busy", f"{MOST_INQUIRIES} such requests are under way already; try again later")
        inquiry = Inquiry(questions, now + patience, done)
        self._under_way.append(inquiry)
        return inquiry

    def cancel(self, inquiry: Inquiry) -> None:
        """End an inquiry without a result, unless it is over."""
        if inquiry in self._under_way:
            self._under_way.remove(inquiry)

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        return min((inquiry.next_due() for inquiry in self._under_way), default=NEVER)

    def collect(self, said: Iterable[Said]) -> None:
        """Hand each answer to the question that waits for it."""
        for one in said:
            for question in (question for inquiry in self._under_way for question in inquiry.questions):
                if one.say.nonce in question.nonces:
                    question.said.append(one)

    def poll(self, node: Node, now: float) -> tuple[list[Outcome], list[Callable[[], None]]]:
        """Return what to ask now, and calls that report what is over, to be made without the lock."""
        outcomes: list[Outcome] = []
        over = [inquiry for inquiry in self._under_way if inquiry.is_over or now >= inquiry.deadline]
        for inquiry in self._under_way:
            for question in inquiry.questions if inquiry not in over else ():
                if now >= question.due and question.left and not question.is_answered:
                    outcome = question.ask(node, now)
                    outcomes += [outcome] if outcome else []
        self._under_way = [inquiry for inquiry in self._under_way if inquiry not in over]
        return outcomes, [partial(inquiry.done, inquiry.questions) for inquiry in over]


def questions_about(node: Node, wanted: str, now: float, *, is_entitled: bool) -> list[Question]:
    """Return the questions, each for one node, that find out why a peer is missing.

    Args:
        node: the engine, with the peers.
        wanted: the peer, by name, id, address or boot; it may never have been heard.
        now: the time.
        is_entitled: whether a node may be asked that is not listed, or beyond our links.
    """
    rows = node.table.find(wanted, now)
    asked = [Question(row) for row in rows if row.kind == "node" and (is_entitled or _is_near(node, row, now))]
    if not rows and is_entitled and may_be_asked(node, wanted):
        asked.append(Question(wanted))
    if not any(row.state_at(now) in LIVE for row in rows):
        about = rows[0].id if rows else readable(wanted)
        witnesses = [row for row in node.table.rows(now) if row not in rows and _may_witness(node, row, now)]
        witnesses.sort(key=lambda row: row.paths.best(now).rtt or NEVER)
        asked[MOST_ASKED:] = [Question(row, about, is_witness=True) for row in witnesses[:MOST_ASKED] if about]
    return asked


def _is_near(node: Node, row: Row, now: float) -> bool:
    return node.outbox.reaches(row.paths.best(now).source)


def _may_witness(node: Node, row: Row, now: float) -> bool:
    path = row.paths.best(now)
    return row.kind == "node" and row.proved and bool(path.two_way) and node.outbox.reaches(path.source)


def may_be_asked(node: Node, address: str) -> bool:
    """Return whether this may be the address of another node."""
    return is_address(address) and address not in node.outbox.own_addresses
