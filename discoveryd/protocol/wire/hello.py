"""Old names of `discoveryd.protocol.wire.messages`, until the rooms above use the new ones."""

from __future__ import annotations

from discoveryd.errors import WireError
from discoveryd.protocol.wire.messages import MAX_DATAGRAM, MAX_STEADY, BareHello, Hello, decode, is_bare

__all__ = ["MAX_DATAGRAM", "MAX_STEADY", "Hello", "decode_hello", "is_bare"]


def decode_hello(datagram: bytes) -> Hello | None:
    """Read a HELLO, None for a bare one.

    Raises:
        WireError: ``malformed``, ``version`` or ``too-long``.
    """
    message = decode(datagram)
    if isinstance(message, BareHello):
        return None
    if not isinstance(message, Hello):
        raise WireError("malformed", "no HELLO")
    return message
