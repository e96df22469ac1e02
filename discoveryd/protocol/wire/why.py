"""The values by which a node finds out why another is not heard: a question, and its answer. Rows in `wire.kinds`."""

from typing import NamedTuple

from discoveryd.frozen import frozen

MAX_SAY = 512
"""Bytes of the longest answer, and of the shortest question: an answer is never longer than what asked for it."""
MAX_SEALED_SAY = 724
"""Bytes of the longest sealed answer: 87 around it, and 461 and a tag of 16 inside, in base 64."""
MAX_ABOUT = 64
MAX_RELEASE = 32
MAX_ADDRESS = 64
"""Characters: an IPv6 address has 39, and its prefix 4 more."""
MAX_DROPS = 160
MOST_SENT = 0xFFFFFFFF


class DropSaid(NamedTuple):
    """Why datagrams of the asking node were dropped there.

    Attributes:
        reason: one of `DROP_REASONS`, of whatever release.
        times: how many.
        last_s: seconds since the last one.
    """

    reason: str
    times: int
    last_s: int


@frozen
class Why:
    """A question to whatever node has an address: what do you hear of me, and of a third node?

    Attributes:
        realm: of the sender.
        id: node id of the sender.
        boot: of the sender.
        nonce: 16 hexadecimal digits, which the answer repeats.
        about: id, name or address of the third node, empty for none.
    """

    realm: str
    id: str
    boot: str
    nonce: str
    about: str = ""

    def encode(self) -> bytes:
        """Write the datagram, as long as the longest answer."""
        text = f"WHY|2|{self.realm}|{self.id}|{self.boot}|{self.nonce}|{self.about}|"
        return text.encode("ascii").ljust(MAX_SAY - 1, b"0") + b"|"


@frozen
class Say:
    """The answer of a node, about the link that the question came by.

    Attributes:
        realm: of the answering node.
        boot: of the answering node.
        nonce: that of the question.
        heard_ms: how long ago it last heard a HELLO of the asking node, None for never.
        release: of the program.
        network: its address and prefix there, such as ``10.0.0.2/24``; empty where the question was routed.
        broadcast: where its steady HELLOs go there.
        sent: its HELLOs there.
        echoed: how many of them came back to it.
        drops: why it dropped what the asking node sent, such as ``other-realm:12:3,rate:1:60``: reason, count, and
            seconds since the last one.
        state: of the third node as this one lists it, empty where it does not.
        address: of the third node.
        last_ms: how long ago the third node was last heard, None for never.
    """

    realm: str
    boot: str
    nonce: str
    heard_ms: int | None = None
    release: str = ""
    network: str = ""
    broadcast: str = ""
    sent: int = 0
    echoed: int = 0
    drops: str = ""
    state: str = ""
    address: str = ""
    last_ms: int | None = None

    def encode(self) -> bytes:
        """Write the datagram."""
        counts = f"{min(self.sent, MOST_SENT)}|{min(self.echoed, MOST_SENT)}"
        seen = f"{self.release}|{self.network}|{self.broadcast}|{counts}|{self.drops}"
        third = f"{self.state}|{self.address}|{_age(self.last_ms)}"
        return f"SAY|2|{self.realm}|{self.boot}|{self.nonce}|{_age(self.heard_ms)}|{seen}|{third}|".encode("ascii")

    def why_dropped(self) -> list[DropSaid]:
        """Return what `drops` says, without what this release does not understand."""
        parts = [one.split(":") for one in self.drops.split(",")]
        read = [one for one in parts if len(one) == 3 and one[0] and one[1].isdigit() and one[2].isdigit()]
        return [DropSaid(reason, int(count), int(last)) for reason, count, last in read]


def write_drops(drops: list[DropSaid]) -> str:
    """Return drops as an answer has them, as many as fit."""
    text = ""
    for one in drops:
        longer = f"{text},{one.reason}:{one.times}:{one.last_s}" if text else f"{one.reason}:{one.times}:{one.last_s}"
        if len(longer) <= MAX_DROPS:
            text = longer
    return text


def _age(ms: int | None) -> str:
    return "-" if ms is None else str(ms)
