"""Messages for people: what became of one at a peer, an answer, and a message that came."""

from __future__ import annotations

from base64 import b64decode

from discoveryd.query.formats import printable
from discoveryd.query.formats.table import NARROWEST, folded, name_of, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from discoveryd.query.formats.table import Screen

INDENT = 4
"""Columns before the further lines of an answer: only the name of a peer begins at the first one."""


def outcome_text(delivery: Mapping[str, Any]) -> str:
    """Return what became of a message at a receiver: ``h7 (10.0.0.7): refused, busy``."""
    why = f", {delivery['reason']}" if delivery["reason"] else ""
    return f"{peer_label(delivery['peer'])}: {printable(delivery['status'] + why)}"


def answer_text(delivery: Mapping[str, Any], screen: Screen) -> str:
    """Return an answer behind the label of its peer; its further lines are indented, so that none passes for another's.

    On a screen a long line is broken here: the terminal would go on at the first column.
    """
    label = peer_label(delivery["peer"])
    if screen.width is not None:
        label = shortened(label, max(screen.width - INDENT, NARROWEST), middle=True)
    payload = b64decode(delivery["answer"] or "")
    text = _text_of(payload)
    first, *more = [_note(payload)] if text is None else text.expandtabs().removesuffix("\n").split("\n")
    lines = folded(f"{label}  ", printable(first), screen.width, INDENT)
    for line in more:
        lines += folded(" " * INDENT, printable(line), screen.width, INDENT)
    return "\n".join(one.rstrip(" ") for one in lines)


def message_text(message: Mapping[str, Any], screen: Screen, clock: str) -> str:
    """Return a message that came: time, name, sender, payload; on one line where that fits."""
    payload = b64decode(message["payload"])
    text = _text_of(payload)
    said = _note(payload) if text is None else printable(text)
    what = f"{printable(message['name'])}{' (question)' if message['question'] else ''}"
    head = f"{clock}  "
    return "\n".join(
        folded(head, f"{what}  {peer_label(message['sender'])}  {said}".rstrip(" "), screen.width, len(head))
    )


def peer_label(peer: Mapping[str, Any]) -> str:
    """Return name and address of a peer, as several may have one name; two blanks, which end it, are not within it."""
    name = printable(name_of(peer)).replace("  ", r" \x20")
    return f"{name} ({printable(peer['address'])})"


def _text_of(payload: bytes) -> str | None:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _note(payload: bytes) -> str:
    return f"({len(payload)} bytes that are no text)"
