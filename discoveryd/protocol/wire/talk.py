"""The values by which peers talk: a part of a message, and its acknowledgement. Their rows are in `wire.kinds`."""

from binascii import Error, a2b_base64, b2a_base64

from discoveryd.errors import WireError
from discoveryd.frozen import frozen

MAX_PART = 600
"""Bytes of a payload, whatever they are, that fit into one datagram, plain or sealed, whatever the ids."""
MAX_PARTS = 128
"""Parts of a message or an answer."""
MAX_NAME = 32
MAX_FILTER = 200
FREE_FILTER = 40
"""Characters of a name and of a filter; past `FREE_FILTER` of them the payload beside it has so many bytes less."""
ACK_EXCESS = 16
"""Bytes that an acknowledgement has more than the shortest message with the same payload, which makes them up."""

ANSWER, ENDED, NOW = "q", "h", "a"
"""Flags of a message: an answer is wanted; an acknowledgement when its handler has ended; one of this datagram."""


@frozen
class MessagePart:
    """A message, or a part of it.

    Attributes:
        realm: of the sender.
        id: node id of the sender.
        boot: of the sender.
        number: 1 to 2^32-1, one more with each message of a boot.
        part: 0 for the first.
        parts: how many there are, 1 to 128.
        flags: any of `ANSWER`, `ENDED`, `NOW`; unknown ones mean nothing.
        have: bitmap of the parts of the answer that the sender has already.
        name: of the message; empty in further parts.
        filter: tells which nodes are meant; empty for each that hears it, and in further parts.
        payload: at most 600 bytes.

    Raises:
        WireError: ``malformed``: there is no such part, or the name is not where it belongs.
    """

    realm: str
    id: str
    boot: str
    number: int
    part: int = 0
    parts: int = 1
    flags: str = ""
    have: int = 0
    name: str = ""
    filter: str = ""
    payload: bytes = b""

    def __post_init__(self) -> None:
        if self.part >= self.parts or bool(self.name) is bool(self.part) or (self.filter and self.part):
            raise WireError("malformed", f"part {self.part} of {self.parts}, name {self.name!r}")

    def encode(self) -> bytes:
        """Write the datagram, so long that its acknowledgement with a payload of this length is no longer."""
        have = _bitmap(self.have)
        text = f"MSG|2|{self.realm}|{self.id}|{self.boot}|{self.number}|{self.part}|{self.parts}|{self.flags}|{have}"
        lacking = ACK_EXCESS - len(self.id + self.flags + have + self.name + self.filter)
        padding = b"0" * (lacking - 1) + b"|" if lacking > 0 else b""
        return b"%b|%b|%b" % (f"{text}|{self.name}|{self.filter}".encode("ascii"), to_base64(self.payload), padding)


@frozen
class Ack:
    """The acknowledgement of a message by one node, and a part of its answer.

    Attributes:
        realm: of the receiver of the message, which sends this.
        boot: of the same.
        to: the `mark` of the sender of the message.
        number: of the message.
        status: a letter, see `discoveryd.protocol.messages`.
        bitmap: of the parts of the message that are here.
        part: of the answer, 0 for the first.
        parts: how many the answer has, 0 where there is none yet.
        payload: of that part.
    """

    realm: str
    boot: str
    to: str
    number: int
    status: str
    bitmap: int = 0
    part: int = 0
    parts: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Write the datagram."""
        text = f"ACK|2|{self.realm}|{self.boot}|{self.to}|{self.number}|{self.status}|{_bitmap(self.bitmap)}"
        return b"%b|%b|" % (f"{text}|{self.part}|{self.parts}".encode("ascii"), to_base64(self.payload))


def read_bitmap(digits: str) -> int:
    """Read a bitmap: bit n tells of part n."""
    return int(digits, 16) if digits else 0


def _bitmap(bits: int) -> str:
    return f"{bits:x}" if bits else ""


def to_base64(payload: bytes) -> bytes:
    """Write a payload as it travels plain: base 64 without padding."""
    return b2a_base64(payload, newline=False).rstrip(b"=")


def from_base64(field: bytes) -> bytes:
    """Read what `to_base64` wrote; another text for the same bytes is refused.

    Raises:
        WireError: ``malformed``.
    """
    try:
        payload = a2b_base64(field + b"=" * (-len(field) % 4), strict_mode=True)
    except Error:
        payload = b""
    if len(payload) > MAX_PART or to_base64(payload) != field:
        raise WireError("malformed", f"payload {field[:40]!r}")
    return payload
