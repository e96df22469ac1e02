"""Messages in the query protocol, both sides: what a program wants sent, and the lines that tell what became of it."""

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict, get_args

from discoveryd.errors import QueryError
from discoveryd.frozen import frozen
from discoveryd.protocol.messages.handed import HANDED, MAX_HANDED
from discoveryd.protocol.messages.values import (
    MAX_TIMEOUT,
    Delivery,
    DeliveryStatus,
    IncomingMessage,
    PeerFilter,
)
from discoveryd.protocol.table.peer import SCHEMA, Peer, peer_from_json, peer_json
from discoveryd.query.fields import EVERY_SITE

BUILTIN: Final = frozenset(("echo", "upper", "info"))
"""Names that every node answers by itself; so they may be sent without the control token."""
DONE: Final = frozenset(("acked", "handled", "answered"))
"""Final statuses of a receiver that did what was asked."""
STATUSES: Final = tuple(status for status in get_args(DeliveryStatus) if status != "sent")
"""What can become of a message at a receiver, in the end."""
MAX_FAR_TIMEOUT = 60.0
"""Seconds for a message to another site."""
MAX_NAMED_PEERS = 64
"""Peers that one message can name; each is looked for in the table."""


class Where(TypedDict, total=False):
    """The receivers of a message: `to`, `everyone`, or a filter of the next four, all of which must hold.

    `to` has names, ids (or the first digits) and addresses; `name` is a glob pattern. This node is never a receiver.
    With `site`, `to` is one peer of that site.
    """

    to: str | Iterable[str]
    everyone: bool
    name: str | None
    tags: Mapping[str, str] | None
    service: str | None
    link: str | None
    site: str | None


@frozen
class Draft:
    """A message as a program wants it sent.

    Attributes:
        name: of the message.
        payload: its bytes.
        where: its receivers.
        is_question: whether an answer is wanted.
        wants_handled: whether the end of the handler is waited for.
        timeout: seconds, for all of it.

    Raises:
        QueryError: ``bad_argument``: a value of another type or range, or not exactly one kind of target; ``too_long``.
    """

    name: str
    payload: bytes | str = b""
    where: Where
    is_question: bool = False
    wants_handled: bool = False
    timeout: float = 5.0

    def __post_init__(self) -> None:
        named = self.where.get("to") or ()
        to = (named,) if isinstance(named, str) else tuple(named)  # once: it may be an iterator
        object.__setattr__(self, "where", {**self.where, "to": to})
        if not isinstance(self.name, str) or not self.name:
            raise _bad(f"message must be the name of a message, not {self.name!r:.60}")
        if not isinstance(self.payload, bytes | str):
            raise _bad(f"payload must be bytes or text, not {self.payload!r:.60}")
        if not isinstance(self.timeout, int | float) or not 0 < self.timeout <= MAX_TIMEOUT:
            raise _bad(f"timeout must be more than 0 and at most {MAX_TIMEOUT:g} s, not {self.timeout!r:.60}")
        if len(self.to) > MAX_NAMED_PEERS:
            raise _bad(f"at most {MAX_NAMED_PEERS} peers can be named, not {len(self.to)}: use a filter")
        if sum((bool(self.to), bool(self.where.get("everyone")), self.filter is not None)) != 1:
            raise _bad("name the receivers: peers, a filter (name, tags, service, link), or everyone; one of the three")
        if self.name == HANDED:
            raise _bad(f"{HANDED} is kept for what gateways hand over for other sites: take another name")
        if self.site:
            self._check_far()

    def _check_far(self) -> None:
        """Check what a message to another site may be."""
        if len(self.to) != 1:
            raise _bad(f"a message to a site is for one peer, which is named: not for {len(self.to) or 'a filter'}")
        if self.site == EVERY_SITE:
            raise _bad(f"a message is for a peer of one site: name it, not {EVERY_SITE!r}")
        if self.timeout > MAX_FAR_TIMEOUT:
            raise _bad(f"timeout of a message to a site must be at most {MAX_FAR_TIMEOUT:g} s, not {self.timeout:g}")
        if len(self.content) > MAX_HANDED:
            why = f"the payload has {len(self.content)} bytes; from site to site at most {MAX_HANDED}"
            raise QueryError("too_long", why)

    @property
    def site(self) -> str:
        """The site that the receiver belongs to, empty for this network."""
        return self.where.get("site") or ""

    @property
    def to(self) -> tuple[str, ...]:
        """The peers that are named."""
        return tuple(self.where.get("to") or ())

    @property
    def filter(self) -> PeerFilter | None:
        """The filter, None without one."""
        found = {key: self.where.get(key) for key in ("name", "tags", "service", "link")}
        given: dict[str, Any] = {key: value for key, value in found.items() if value}
        return PeerFilter(**given) if given else None

    @property
    def content(self) -> bytes:
        """The payload as bytes."""
        return self.payload.encode("utf-8", "replace") if isinstance(self.payload, str) else self.payload

    def request(self) -> dict[str, Any]:
        """Return the fields of the request, for `QueryClient.stream`."""
        where: dict[str, Any] = {key: value for key, value in self.where.items() if value and key != "to"}
        if "tags" in where:
            where["tags"] = dict(where["tags"])
        return {
            "message": self.name,
            "payload": b64encode(self.content).decode("ascii"),
            "timeout_s": self.timeout,
            **({"peers": list(self.to)} if self.to else {}),
            **({"wait_handled": True} if self.wants_handled else {}),
            **where,
        }


@frozen
class MessageResult:
    """What became of a message.

    Attributes:
        deliveries: the last of each receiver, in the order in which they came.
    """

    deliveries: tuple[Delivery, ...]

    @property
    def expected(self) -> int:
        """The number of receivers."""
        return len(self.deliveries)

    @property
    def counts(self) -> dict[str, int]:
        """How many receivers ended as ``acked``, ``handled``, ``answered``, ``refused``, ``timeout`` and ``down``."""
        return summary(Counter(delivery.status for delivery in self.deliveries))

    @property
    def is_complete(self) -> bool:
        """Whether there were receivers, and all of them did what was asked."""
        return bool(self.deliveries) and all(delivery.status in DONE for delivery in self.deliveries)

    @property
    def answers(self) -> tuple[tuple[Peer, bytes], ...]:
        """The peers that answered, each with its answer."""
        return tuple((each.peer, each.answer or b"") for each in self.deliveries if each.status == "answered")


def summary(ended: Mapping[str, int]) -> dict[str, int]:
    """Return the number of receivers by final status, each of which is there."""
    return {status: ended.get(status, 0) for status in STATUSES}


def readable(payload: bytes) -> str | None:
    """Return a payload as text, None where it is none that a person could read."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.translate({10: None, 9: None}).isprintable() else None


# --- in the status --------------------------------------------------------------------------------


class EndCount(TypedDict):
    """Receivers of our messages that ended in one way."""

    status: str
    count: int


class RefusalCount(TypedDict):
    """Messages refused for one reason."""

    reason: str
    count: int


class OutgoingStatus(TypedDict):
    """Messages of this node."""

    sent: int
    pending: int
    ended: list[EndCount]
    refused: list[RefusalCount]


class IncomingStatus(TypedDict):
    """Messages of other nodes."""

    received: int
    repeated: int
    running: int
    handled: int
    refused: list[RefusalCount]


class MessageDatagrams(TypedDict):
    """Datagrams of messages and acknowledgements."""

    sent: int
    received: int


class ProgramStatus(TypedDict):
    """A file of ``messages.d``: why it is not run (else None), messages that it takes now, and its runs."""

    name: str
    why: str | None
    taken: int
    run: int
    failed: int
    timeout: int


class MessageStatus(TypedDict):
    """Messages, and what takes them."""

    outgoing: OutgoingStatus
    incoming: IncomingStatus
    datagrams: MessageDatagrams
    handlers: list[str]
    programs: list[ProgramStatus]
    watchers: int


# --- lines of the daemon -----------------------------------------------------------------------------


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as a line of ``send`` and ``ask`` has it."""
    answer = delivery.answer
    return {
        "delivery": {
            "peer": peer_json(delivery.peer),
            "status": delivery.status,
            "reason": delivery.reason,
            "answer": None if answer is None else b64encode(answer).decode("ascii"),
            "text": None if answer is None else readable(answer),
            "took_s": round(delivery.took_s, 6),
            "final": delivery.is_final,
        }
    }


def summary_json(ended: Mapping[str, int]) -> dict[str, Any]:
    """Return the last line of ``send`` and ``ask``."""
    return {"ok": True, "schema": SCHEMA, "summary": {"expected": sum(ended.values()), **summary(ended)}}


def message_json(message: IncomingMessage) -> dict[str, Any]:
    """Return a message as a line of ``messages`` has it."""
    return {
        "message": {
            "number": message.key[1],
            "name": message.name,
            "sender": peer_json(message.sender),
            "payload": b64encode(message.payload).decode("ascii"),
            "text": readable(message.payload),
            "sealed": message.is_sealed,
            "question": message.is_question,
            "site": message.site or None,
        }
    }


# --- and their reader --------------------------------------------------------------------------------


def delivery_of(found: Mapping[str, Any], number: int) -> Delivery:
    """Return the delivery that a line tells of."""
    answer = found["answer"]
    return Delivery(
        number=number,
        peer=peer_from_json(found["peer"]),
        status=found["status"],
        reason=found["reason"],
        answer=None if answer is None else b64decode(answer),
        took_s=found["took_s"],
        is_final=found["final"],
    )


def message_of(found: Mapping[str, Any]) -> IncomingMessage:
    """Return the message that a line tells of; the daemon has acknowledged it, and nothing can be answered."""
    sender = peer_from_json(found["sender"])
    return IncomingMessage(
        key=(sender.boot, found["number"]),
        sender=sender,
        name=found["name"],
        payload=b64decode(found["payload"]),
        is_question=found["question"],
        wants_handled=False,
        is_sealed=found["sealed"],
        room=0,
        site=found.get("site") or "",
    )


def _bad(message: str) -> QueryError:
    return QueryError("bad_argument", message)
