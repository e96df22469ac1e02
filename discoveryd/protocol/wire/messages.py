"""The values that nodes exchange: HELLO, PING, PONG and WILL, each of which writes its datagram.

How they are read, plain and sealed, is in `wire.kinds`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from discoveryd.frozen import frozen
from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.wire.fields import MOST
from discoveryd.protocol.wire.meet import Intro, Meet
from discoveryd.protocol.wire.talk import Ack, MessagePart
from discoveryd.protocol.wire.why import Say, Why

VERSION = b"2"
MAX_DATAGRAM = 1024
"""Bytes of any datagram: simple listeners use a buffer of this size."""
MAX_STEADY = 128
"""Bytes of a HELLO without its record."""
MAX_PLAIN_PING = 109
"""Bytes of a plain PING, with the longest realm and id."""
MAX_SEALED_PONG = 155
MAX_SEALED_PING = 158
"""Bytes: 39 around it, an id of 32, a counter of 16, and 68 for what is inside; then up to the next 4 of base 64."""
MAX_SEALED_ACK = 203
"""Bytes of an acknowledgement without an answer: 87 around it, and 86 inside, in base 64."""
MAX_SEALED_STEADY = 256
"""Bytes of a sealed HELLO without its record; 172 without lasting flags."""
SEALED = b"SEALED|"
"""The first bytes of an envelope, in which any kind but the bare HELLO may travel."""
QUIET = b"0"
"""The end of a HELLO with the record that says nothing new."""
WILL = b"WILL"
"""The word of a last will, which has a scope and a range of counters of its own when it is sealed."""
BARE = b"HELLO|"
"""All that the simplest sender has to say."""
DEAF, NO_ECHO, SELDOM = "d", "e", "t"
"""Lasting flags: the sender hears nobody; its own broadcasts do not come back to it; each tenth beat goes this way."""
TENTH = 10
"""Beats from a HELLO with `SELDOM` to the next one that goes the same way."""
ANYONE = "0" * 16
"""Stands for the node of a PING whose sender knows only the address."""

GoodbyeReason = Literal["stop", "restart", "upgrade", "reboot", "poweroff"]
"""Why a node leaves. ``stop`` claims nothing more; ``restart``: it is back soon; ``upgrade``: in another version, too;
``reboot`` and ``poweroff``: its machine goes down, and in the first case comes back."""
REASON_LETTERS: Final[Mapping[GoodbyeReason, str]] = MappingProxyType(
    {"stop": "", "restart": "r", "upgrade": "u", "reboot": "b", "poweroff": "p"}
)
"""The letter that stands beside the ``g`` of a goodbye."""

# --- the values -----------------------------------------------------------------------------------


@frozen
class Hello:
    """One HELLO. Its fields were checked when it was read.

    Attributes:
        realm: 1 to 16 of ``A-Z a-z 0-9 . _ -``.
        id: node id, 1 to 32 of the same.
        boot: 16 hexadecimal digits, random for each run.
        interval_ms: until the next HELLO, 1 to 600,000.
        ttl_ms: how long this one is valid, `interval_ms` to 3,600,000.
        digest: of the record, 16 hexadecimal digits.
        seq: 0 to 2^32-1, one more with each beat.
        lasting: letters of what holds for more than this HELLO, `DEAF`, `NO_ECHO`, `SELDOM`; unknown ones too.
        solicit: asks for a full HELLO by unicast.
        goodbye: the sender leaves.
        goodbye_reason: why, with a goodbye; else without a meaning.
        record: the encoded record, None in a steady HELLO.
        quiet: with the record, in its turn: as a steady one it need wake nobody.
    """

    realm: str
    id: str
    boot: str
    interval_ms: int
    ttl_ms: int
    digest: str
    seq: int
    lasting: str = ""
    solicit: bool = False
    goodbye: bool = False
    goodbye_reason: GoodbyeReason = "stop"
    record: bytes | None = None
    quiet: bool = False

    @property
    def every(self) -> int:
        """Beats from this HELLO to the next one that goes the same way."""
        return TENTH if SELDOM in self.lasting else 1

    def encode(self) -> bytes:
        """Write the datagram; only a steady one, and a quiet one, end in a digit."""
        steady = (
            f"HELLO|2|{self.realm}|{self.id}|{self.boot}|{self.interval_ms}|{self.ttl_ms}"
            f"|{self.lasting}|{self.digest}|{self.seq}"
        ).encode("ascii")
        once = (b"s" if self.solicit else b"") + (self._goodbye() if self.goodbye else b"")
        if self.record is not None:
            return b"%b|%b|%b|%b" % (steady, once, self.record, QUIET if self.quiet else b"")
        return b"%b|%b|" % (steady, once) if once else steady

    def _goodbye(self) -> bytes:
        return f"g{REASON_LETTERS[self.goodbye_reason]}".encode("ascii")


@frozen(kw_only=False)
class BareHello:
    """The HELLO of the simplest sender, which says nothing of itself."""

    def encode(self) -> bytes:
        """Write the datagram."""
        return BARE


@frozen
class Ping:
    """A question to one node: are you there?

    Attributes:
        realm: of the sender.
        id: node id of the sender.
        boot: of the sender.
        nonce: 16 hexadecimal digits, which the answer repeats.
        to: the node that is meant: its `mark`, its boot where the PING is sealed for that, or `ANYONE`.
    """

    realm: str
    id: str
    boot: str
    nonce: str
    to: str = ANYONE

    def encode(self) -> bytes:
        """Write the datagram."""
        return f"PING|2|{self.realm}|{self.id}|{self.boot}|{self.nonce}|{self.to}|".encode("ascii")


@frozen
class Pong:
    """The answer, always shorter than its PING.

    Attributes:
        realm: of the answering node.
        boot: of the answering node.
        nonce: that of the PING.
        heard_ms: how long ago it last heard a HELLO of the pinger, None for never.
        held_us: how long the PING lay with it before the answer was written.
    """

    realm: str
    boot: str
    nonce: str
    heard_ms: int | None
    held_us: int = 0

    def encode(self) -> bytes:
        """Write the datagram."""
        heard = "-" if self.heard_ms is None else min(self.heard_ms, MOST)
        held = min(max(self.held_us, 0), MOST)
        return f"PONG|2|{self.realm}|{self.boot}|{self.nonce}|{heard}|{held}|".encode("ascii")


@frozen
class Will:
    """A last will: it is sent for a node whose process has died.

    Attributes:
        realm: of that node.
        id: its node id.
        boot: the run that is over.
    """

    realm: str
    id: str
    boot: str

    def encode(self) -> bytes:
        """Write the datagram."""
        return f"WILL|2|{self.realm}|{self.id}|{self.boot}|".encode("ascii")


NodeMessage = Hello | Ping | Pong | MessagePart | Ack | Will | Why | Say | Meet | Intro
"""What tells the boot of its sender."""
Message = NodeMessage | BareHello


def mark(id: str, boot: str) -> str:
    """Return the name of one run of one node in a PING, 16 hexadecimal digits.

    A PONG has no room for an id, so only a question to both tells which node answers: else a sender could say HELLO
    from the address and with the boot of another node, under an id that does not exist, and that node would answer for
    it.
    """
    return blake2b(f"{id}|{boot}".encode("ascii"), digest_size=8).hexdigest()
