"""What is sent, to which peers, what comes in, what may start a program, and what became of it, as immutable values."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase, translate
from typing import Final, Literal, get_args

from discoveryd.errors import QueryError, WireError
from discoveryd.frozen import frozen
from discoveryd.protocol.table.peer import Peer
from discoveryd.protocol.wire.record import Service
from discoveryd.protocol.wire.talk import MAX_FILTER, MAX_NAME

MAX_PAYLOAD = 65_536
"""Bytes of a message or an answer where datagrams are sealed; plain ones have at most `MAX_PART`."""
MAX_TIMEOUT = 600.0
"""Seconds for which a message may wait for its receivers."""

Refusal = Literal["no-handler", "denied", "busy", "too-long", "failed", "not-meant"]
"""Why a receiver did not do what a message asks for; not meant is one with another record by then."""
DeliveryStatus = Literal["sent", "acked", "handled", "answered", "refused", "timeout", "down"]
"""What became of a message at one receiver; `Delivery` explains it."""

LETTERS: Final[dict[str, str]] = {
    "received": "r",
    "handled": "h",
    "failed": "f",
    "denied": "d",
    "no-handler": "u",
    "busy": "b",
    "too-long": "l",
    "not-meant": "m",
}
"""Status of a message at its receiver, and its letter on the wire."""
STATUS_OF: Final = {letter: status for status, letter in LETTERS.items()}
REFUSALS: Final[tuple[Refusal, ...]] = get_args(Refusal)


NAME = re.compile(rf"[a-z0-9-]{{1,{MAX_NAME}}}")
"""Names of messages."""


@frozen
class PeerFilter:
    """Which nodes a message is for; each condition that is given must hold.

    Attributes:
        name: glob pattern for the name.
        tags: each of these, to the letter.
        service: name of a service that the node offers.
        link: interface of the sender on which the peer is heard; it does not travel.
    """

    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None
    link: str | None = None
    _name: re.Pattern[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name is not None:  # once, not for each row
            object.__setattr__(self, "_name", re.compile(translate(self.name)))

    def accepts(self, name: str | None, tags: Mapping[str, str], services: tuple[Service, ...]) -> bool:
        """Return whether a node with such a record is meant."""
        if self._name is not None and not self._name.match(name or ""):
            return False
        if self.service is not None and all(service.name != self.service for service in services):
            return False
        return all(tags.get(key) == value for key, value in self.tags.items())

    def encode(self) -> str:
        """Return the text that travels, which may be too long to (`MAX_FILTER`); empty for every node."""
        given = {"n": self.name, "t": dict(self.tags) or None, "s": self.service}
        given = {key: value for key, value in given.items() if value is not None}
        text = json.dumps(given, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        return urlsafe_b64encode(text).decode("ascii").rstrip("=") if given else ""


def read_filter(text: str) -> PeerFilter:
    """Read a filter as it travels. Conditions of a later release are not understood: no peer is meant by them.

    Raises:
        WireError: ``malformed``.
    """
    try:
        given = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))) if text else {}
        name, tags, service = given.pop("n", None), given.pop("t", {}), given.pop("s", None)
        texts = [*(one for one in (name, service) if one is not None), *tags, *tags.values()]
        is_right = not given and len(text) <= MAX_FILTER and all(isinstance(one, str) for one in texts)
    except (ValueError, TypeError, AttributeError, RecursionError):
        is_right = False
    if not is_right:
        raise WireError("malformed", f"filter {text[:40]!r}")
    return PeerFilter(name=name, tags=tags, service=service)


@frozen
class AllowRule:
    """Which messages may reach a program of the machine: all other messages for it are refused.

    Attributes:
        name: glob pattern of the name of the message.
        sender: glob pattern of the name or the id of the node that sent it. Each node of the group chooses both itself.
            With an ``@`` in it, as in ``*@paris``, it is about nodes of other sites, and without about none of them.
    """

    name: str
    sender: str

    def allows_name(self, name: str) -> bool:
        """Return whether messages of a name are among these, of whichever sender."""
        return fnmatchcase(name, self.name)

    def allows(self, message: IncomingMessage) -> bool:
        """Return whether a message is one of these."""
        if ("@" in self.sender) != bool(message.site):  # whatever nodes call themselves: the seal says where they are
            return False
        senders = (message.sender.name or "", message.sender.id)
        return self.allows_name(message.name) and any(fnmatchcase(one, self.sender) for one in senders)


@frozen
class Target:
    """The receivers of a message: the peers named, or those that a filter accepts; all peers where both are None.

    Attributes:
        peers: id and boot of each.
        filter: the conditions.
    """

    peers: tuple[tuple[str, str], ...] | None = None
    filter: PeerFilter | None = None


@frozen
class OutgoingMessage:
    """A message to send.

    Attributes:
        number: from `Exchange.next_number`.
        name: 1 to 32 of ``a-z 0-9 -``, by which the receiver finds the handler.
        payload: any bytes, at most `MAX_PAYLOAD` (`MAX_PART` where a receiver does not seal).
        target: its receivers.
        is_question: whether an answer is wanted.
        wants_handled: whether the end of the handler is waited for.
        timeout: seconds, for all of it.

    Raises:
        QueryError: ``bad_argument`` or ``too_long``.
    """

    number: int
    name: str
    payload: bytes = b""
    target: Target = field(default_factory=Target)
    is_question: bool = False
    wants_handled: bool = False
    timeout: float = 5.0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            wanted = f"1 to {MAX_NAME} of a-z 0-9 -"
            raise QueryError("bad_argument", f"the name of a message must be {wanted}, not {self.name!r:.60}")
        if not 0 < self.timeout <= MAX_TIMEOUT:
            raise QueryError("bad_argument", f"timeout must be up to {MAX_TIMEOUT:g} s, not {self.timeout:g}")
        if len(self.payload) > MAX_PAYLOAD:
            raise QueryError("too_long", f"the payload has {len(self.payload)} bytes, at most {MAX_PAYLOAD}")


@frozen
class Delivery:
    """A change of one message at one receiver.

    Attributes:
        number: of the message.
        peer: the receiver, as it is now.
        status: ``sent`` (it is expected), ``acked`` (received), ``handled`` (its handler ended well), ``answered``,
            ``refused`` (see `reason`), ``timeout``, or ``down`` (it left, fell silent or began anew meanwhile).
        reason: of ``refused``.
        answer: of ``answered``.
        took_s: seconds since the message was sent.
        is_final: whether nothing more comes of this receiver.
        is_last: whether nothing more comes of this message.
    """

    number: int
    peer: Peer
    status: DeliveryStatus
    reason: Refusal | None = None
    answer: bytes | None = None
    took_s: float = 0.0
    is_final: bool = False
    is_last: bool = False


@frozen
class IncomingMessage:
    """A message that came in whole, and for the first time.

    Attributes:
        key: boot of its sender and number.
        sender: the peer that sent it.
        name: of the message.
        payload: its bytes.
        is_question: whether an answer is wanted.
        wants_handled: whether its sender waits for the end of its handler.
        is_sealed: whether it was sealed, so that `sender` is proved by a key.
        room: bytes that the answer may have.
        site: name of the site that it comes from, which stands behind name and id of `sender` too (``anna@paris``); all
            else of `sender` is that of the gateway that handed it over. Empty for this network.
    """

    key: tuple[str, int]
    sender: Peer
    name: str
    payload: bytes
    is_question: bool
    wants_handled: bool
    is_sealed: bool
    room: int
    site: str = ""
