"""The control token is never sent: a program sends a proof that it has the token, for one request on one connection.

::

    proof = HMAC-SHA256(key: the token as it stands in its file, text: NONCE, a line feed, REQUEST)

NONCE is that of the daemon's greeting, another for each connection. REQUEST is the request without its proof, as JSON
with its keys in order, without blanks, in ASCII. So a program that overhears a proof, or passes it on to the daemon,
gains no other request by it. A daemon gives a proof too, on request: that it has the token.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NONCE_BYTES = 16
"""Random bytes, written as hexadecimal digits."""


def is_nonce(text: object) -> bool:
    """Return whether this may be a nonce: no program can have us sign a text of its choice."""
    return isinstance(text, str) and len(text) == 2 * NONCE_BYTES and set(text) <= set("0123456789abcdef")


def text_of(request: Mapping[str, Any]) -> str:
    """Return the text that the proof of a request is about."""
    return json.dumps(
        {key: value for key, value in request.items() if key != "proof"}, sort_keys=True, separators=(",", ":")
    )


def proof_of(token: str, nonce: str, text: str) -> str:
    """Return the proof for a text."""
    from hmac import digest  # noqa: PLC0415 - for the few requests that change something

    return digest(token.encode("utf-8", "replace"), f"{nonce}\n{text}".encode(), "sha256").hex()


def daemon_proof(token: str, nonce: str, greeting_nonce: str) -> str:
    """Return the proof in the reply to a `hello` with this nonce."""
    return proof_of(token, nonce, text_of({"greeting": greeting_nonce}))
