"""Messages to one node of another site, and what became of them: the bodies of questions and answers between gateways.

Each is a JSON object on one line, and after it the payload. *Any bytes give a value or a* `WireError`, *nothing else.*
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

from discoveryd.errors import WireError
from discoveryd.frozen import frozen
from discoveryd.protocol.messages.handed import HEAD, MAX_HANDED
from discoveryd.protocol.messages.values import NAME, REFUSALS, DeliveryStatus
from discoveryd.query.json_text import dumps, loads
from discoveryd.query.messages import MAX_FAR_TIMEOUT

ERRORS = ("not_found", "ambiguous", "denied", "busy", "bad_request", "too_long", "stopping", "failed")
"""Codes of a `QueryError` there that are told here."""
MAX_ERROR = 300
_MOST = 64
_STATUSES = get_args(DeliveryStatus)
_Read = TypeVar("_Read")


@frozen
class FarMessage:
    """A message to a node of another site.

    Attributes:
        peer: id of the receiver.
        name: of the message.
        payload: its bytes.
        is_question: whether an answer is wanted.
        wants_handled: whether the end of the handler is waited for.
        timeout: seconds that the receiver may take.
        sender: name of the node that sends; its id is that of the question.
    """

    peer: str
    name: str
    payload: bytes
    is_question: bool
    wants_handled: bool
    timeout: float
    sender: str


@frozen
class FarOutcome:
    """What became of it.

    Attributes:
        status: of its delivery; empty where nothing was delivered.
        reason: why it was refused, empty where it was not.
        error: code of the error, empty for none.
        text: of the error.
        answer: to a question.
    """

    status: str = ""
    reason: str = ""
    error: str = ""
    text: str = ""
    answer: bytes = b""


def encode_far_message(message: FarMessage) -> bytes:
    """Return the body of a question."""
    head = {
        "peer": message.peer, "message": message.name, "ms": round(message.timeout * 1000), "from": message.sender,
        **({"ask": 1} if message.is_question else {}), **({"handled": 1} if message.wants_handled else {}),
    }  # fmt: skip
    return dumps(head).encode("ascii") + b"\n" + message.payload


def decode_far_message(body: bytes) -> FarMessage:
    """Read the body of a question. Raises WireError: ``malformed``."""
    return _decoded(body, _message)


def encode_far_outcome(outcome: FarOutcome) -> bytes:
    """Return the body of an answer."""
    given = {"status": outcome.status, "reason": outcome.reason, "error": outcome.error, "text": outcome.text}
    head = {key: value for key, value in given.items() if value}
    return dumps(head).encode("ascii") + b"\n" + outcome.answer


def decode_far_outcome(body: bytes) -> FarOutcome:
    """Read the body of an answer. Raises WireError: ``malformed``."""
    return _decoded(body, _outcome)


def _decoded(body: bytes, read: Callable[[Mapping[str, Any], bytes], _Read]) -> _Read:
    first, _, payload = body.partition(b"\n")
    if len(first) > 2 * HEAD or len(payload) > MAX_HANDED:
        raise WireError("malformed", f"a message of {len(body)} bytes between sites")
    try:
        return read(loads(first), payload)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError("malformed", f"a message between sites: {error!r:.40}") from None


def _message(head: Mapping[str, Any], payload: bytes) -> FarMessage:
    name, ms = head["message"], head["ms"]
    if not NAME.fullmatch(name) or type(ms) is not int or not 0 < ms <= MAX_FAR_TIMEOUT * 1000:
        raise ValueError("message")
    return FarMessage(
        peer=_text(head["peer"]), name=name, payload=payload, is_question=bool(head.get("ask")),
        wants_handled=bool(head.get("handled")), timeout=ms / 1000, sender=_text(head["from"]),
    )  # fmt: skip


def _outcome(head: Mapping[str, Any], payload: bytes) -> FarOutcome:
    status, reason, error = head.get("status", ""), head.get("reason", ""), head.get("error", "")
    if (status not in _STATUSES and not error) or reason not in ("", *REFUSALS):
        raise ValueError("status")
    text = head.get("text", "")
    if error and not (text.isprintable() and len(text) <= MAX_ERROR):
        raise ValueError("text")
    return FarOutcome(
        status=status, reason=reason, error=error if error in ERRORS or not error else "failed", text=text,
        answer=payload,
    )  # fmt: skip


def _text(text: str) -> str:
    if not 0 < len(text) <= _MOST or not text.isprintable():
        raise ValueError("text")
    return text
