"""A datagram as the engine takes it, and what it says of its sender, which may be forged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from discoveryd.protocol.link import Source
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.row import Key

if TYPE_CHECKING:
    from discoveryd.protocol.sealed.envelope import Opened


class Incoming(NamedTuple):
    """A datagram that came in, plain, whatever it came in.

    Attributes:
        datagram: plain.
        source: where it came from; where it was sealed, with the key and the boot that sealed it.
        size: bytes that came.
        opened: what else was in the envelope, None where there was none.
        is_known: whether it counts as it is; else the boot that sealed it has not proved to live, and it may be a
            recording.
        is_next: whether it was sealed, is a steady HELLO, and newer than any heard before.
    """

    datagram: bytes
    source: Source
    size: int
    opened: Opened | None = None
    is_known: bool = True
    is_next: bool = False


class Claim(NamedTuple):
    """The sender of a datagram, as the datagram names it.

    Attributes:
        source: where the datagram came from.
        key: id and boot.
        size: bytes that came from there; without end where the sender has proved to be there.
        solicits: whether it asks for our record.
    """

    source: Source
    key: Key = ("", "")
    size: float = NEVER
    solicits: bool = False
