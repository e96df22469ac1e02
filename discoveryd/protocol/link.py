"""Where datagrams come in and go out: plain values, without a socket."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Link:
    """One IPv4 network of one interface, where we speak from our primary address.

    Attributes:
        name: the interface, such as ``eth0``.
        index: its index in the kernel (a replugged interface gets a new one).
        address: our address on it.
        prefix: length of its network prefix.
        broadcast: where to send so that all on the link hear it.
    """

    name: str
    index: int
    address: str
    prefix: int
    broadcast: str
    packed: bytes = field(init=False, repr=False, compare=False)  # the address, as it goes into a seal

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", pack_address(self.address))

    def __hash__(self) -> int:
        # looked up for each datagram; the index alone tells nearly all of them apart
        return self.index

    def holds(self, address: str) -> bool:
        """Whether an address is one of this network."""
        shift = 32 - self.prefix
        one, other = int.from_bytes(pack_address(address), "big"), int.from_bytes(self.packed, "big")
        return one >> shift == other >> shift


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Who sent a datagram: compared by identity, so the net floor keeps one object per sender and way in.

    Attributes:
        address: the sender's IPv4 address.
        link: the link it is on, by its network or because it was heard there by 255.255.255.255; None where what came
            by unicast is of no network of ours (a seed's answer).
        unicast: whether it came to us alone.
        key: id of the key it was sealed with, empty for plain.
        boot: of the node that sealed it, empty for plain.
        port_fits: whether it was sent from the port that all nodes send from.
    """

    address: str
    link: Link | None
    unicast: bool = False
    key: str = ""
    boot: str = ""
    port_fits: bool = True
    packed: bytes = field(init=False, repr=False)  # the address, as it goes into a seal

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", pack_address(self.address))


def pack_address(address: str) -> bytes:
    """Give the four bytes of an IPv4 address."""
    return bytes(map(int, address.split(".")))
