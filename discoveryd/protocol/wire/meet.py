"""The values of introductions: a question for other peers, and the answer that names some. Rows in `wire.kinds`."""

from collections.abc import Iterable
from typing import NamedTuple

from discoveryd.frozen import frozen
from discoveryd.protocol.addresses import canonical
from discoveryd.protocol.parameters import MAX_ID, is_word

MAX_NAMED = 640
"""Bytes of the peers that one answer names: 9 with the longest ids and addresses, some 15 as they mostly are."""
MAX_INTRO = 704
"""Bytes of the longest answer, and of the shortest question: an answer is never longer than what asked for it."""
MAX_SEALED_INTRO = 988
"""Bytes of the longest sealed answer: 87 around it, and 659 and a tag of 16 inside, in base 64."""
FROM_THE_FIRST = "0" * 16
"""Stands for the boot after which an answer is to begin, where there is none."""
_HEX = frozenset("0123456789abcdef")


class NamedPeer(NamedTuple):
    """A peer that another node named: where it is, and which boot.

    Attributes:
        address: at which it can be asked, never a link-local one.
        id: of its node.
        boot: of its node.
    """

    address: str
    id: str
    boot: str


@frozen
class Meet:
    """A question to a peer: name others.

    Attributes:
        realm: of the sender.
        id: node id of the sender.
        boot: of the sender.
        nonce: 16 hexadecimal digits, which the answer repeats.
        after: the answer begins with the next boot in their order, that it may go on where the last one ended.
    """

    realm: str
    id: str
    boot: str
    nonce: str
    after: str = FROM_THE_FIRST

    def encode(self) -> bytes:
        """Write the datagram, as long as the longest answer."""
        text = f"MEET|2|{self.realm}|{self.id}|{self.boot}|{self.nonce}|{self.after}|"
        return text.encode("ascii").ljust(MAX_INTRO - 1, b"0") + b"|"


@frozen
class Intro:
    """An answer: some of the live peers of the answering node, which it heard itself.

    Attributes:
        realm: of the answering node.
        boot: of the answering node.
        nonce: that of the question.
        named: the peers, such as ``10.2.0.7,web1,5f0c8b1e2d3a4f60;10.3.0.9,db1,a3d1e00942bb7c15``.
    """

    realm: str
    boot: str
    nonce: str
    named: str

    def encode(self) -> bytes:
        """Write the datagram."""
        return f"INTRO|2|{self.realm}|{self.boot}|{self.nonce}|{self.named}|".encode("ascii")

    def peers(self) -> list[NamedPeer]:
        """Return the peers that are named, without what this release does not understand."""
        named = (one.split(",") for one in self.named.split(";"))
        return [NamedPeer(*parts) for parts in named if len(parts) == 3 and _is_right(*parts)]


def _is_right(address: str, id: str, boot: str) -> bool:
    if not is_word(id, MAX_ID) or len(boot) != 16 or not _HEX.issuperset(boot):
        return False
    try:
        return canonical(address) == address
    except ValueError:
        return False


def write_named(peers: Iterable[NamedPeer]) -> str:
    """Return the first of these peers as an answer has them, as many as fit."""
    text = ""
    for peer in peers:
        longer = f"{text};{','.join(peer)}" if text else ",".join(peer)
        if len(longer) > MAX_NAMED:
            break
        text = longer
    return text
