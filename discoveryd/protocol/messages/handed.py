"""Messages of other sites, as a gateway hands them over: under a name kept for that, with the true sender within.

A message comes from a site to a gateway of this one, and on from there as any message of the gateway does. What its
receiver is told of the sender is ``anna@paris``, never the name of the gateway: a rule that trusts a node of this
network trusts no node elsewhere (`discoveryd.protocol.messages.values.AllowRule`). A node of a version without this
knows no handler of that name, and refuses.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

from discoveryd.errors import WireError
from discoveryd.protocol.messages.values import MAX_PAYLOAD, NAME, IncomingMessage
from discoveryd.protocol.table.peer import Peer

HANDED = "from-site"
"""The name under which they travel; no program can send one of it."""
HEAD = 1024
"""Bytes of what stands before the payload, at most."""
MAX_HANDED = MAX_PAYLOAD - HEAD
"""Bytes of a payload, or an answer, from site to site."""
_MOST = 64


class FarSender(NamedTuple):
    """The sender of a message from another site.

    Attributes:
        site: where it is.
        id: of the node.
        name: of the node.
    """

    site: str
    id: str
    name: str


def hand_over(sender: FarSender, name: str, payload: bytes) -> bytes:
    """Return the payload of a message that is handed over."""
    return json.dumps([*sender, name], separators=(",", ":"), ensure_ascii=False).encode() + b"\n" + payload


def handed(message: IncomingMessage) -> IncomingMessage:
    """Return a message with its true sender and name: what is not handed over as it is.

    Raises:
        WireError: ``malformed``: no gateway hands such a message over, or none that seals.
    """
    if message.name != HANDED:
        return message
    head, _, payload = message.payload[: HEAD + MAX_HANDED].partition(b"\n")
    try:
        site, id, name, inner = json.loads(head[:HEAD])
        texts = (site, id, name)
        is_right = all(isinstance(one, str) and one.isprintable() and 0 < len(one) <= _MOST for one in texts)
        is_right &= "@" not in site and isinstance(inner, str) and bool(NAME.fullmatch(inner)) and inner != HANDED
    except (ValueError, TypeError, RecursionError):
        is_right = False
    if not is_right or not message.is_sealed:
        raise WireError("malformed", f"a message of {message.sender.id} for another site")
    told = seen_as(FarSender(site, id, name), message.sender)
    return replace(message, sender=told, name=inner, payload=payload, site=site)


def seen_as(sender: FarSender, gateway: Peer) -> Peer:
    """Return the sender as its receiver is told of it: at the address of the gateway, with its site behind its name."""
    return replace(gateway, id=f"{sender.id}@{sender.site}", name=f"{sender.name}@{sender.site}")
