"""Old names of `discoveryd.protocol.wire.messages`, until the rooms above use the new ones."""

from __future__ import annotations

from discoveryd.errors import WireError
from discoveryd.protocol.wire.messages import ANYONE, Ping, Pong, decode, mark

__all__ = ["ANYONE", "Ping", "Pong", "decode_probe", "mark"]


def decode_probe(datagram: bytes) -> Ping | Pong:
    """Read a PING or a PONG.

    Raises:
        WireError: ``malformed``, ``version`` or ``too-long``.
    """
    message = decode(datagram)
    if not isinstance(message, Ping | Pong):
        raise WireError("malformed", "neither PING nor PONG")
    return message
