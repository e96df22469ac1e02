"""Where datagrams come in and go out, without a socket: links, what is due and counted there, and sources."""

from dataclasses import dataclass, field
from typing import NamedTuple

from discoveryd.frozen import frozen
from discoveryd.protocol.addresses import Family, family_of, pack_address, zone_of

GROUP = "ff12::d15c:3400"
"""The IPv6 multicast group of all nodes on a link: transient, so not for IANA to assign, and link-local (RFC 4291)."""
BURST = (0.0, 0.1, 0.3)
"""Seconds after a start or a change at which the full HELLO is sent: one of three gets through."""
UNECHOED, ECHO_WITHIN = 8, 2.0
"""HELLOs in a row that did not come back, by chance one in 15,000 times where 30 % are lost, and the seconds in which
they would have."""
PLACES = (0.5, 1.5)
"""Where in a stretched burst a node may have its place: those of a crowd that began together come apart."""


class Link(NamedTuple):
    """One IPv4 network of one interface, where we speak from our primary address; or all IPv6 of one interface.

    Attributes:
        name: the interface, such as ``eth0``.
        index: its index in the kernel (a replugged interface gets a new one).
        address: our address on it; with IPv6 the link-local one.
        prefix: length of its network prefix.
        broadcast: where to send so that all on the link hear it: a broadcast address, or `GROUP`.
    """

    name: str
    index: int  # type: ignore[assignment]  # hides that of tuples, by which nobody searches a link
    address: str
    prefix: int
    broadcast: str

    @property
    def family(self) -> Family:
        """The family of the address."""
        return family_of(self.address)

    @property
    def packed(self) -> bytes:
        """The address, as it goes into a seal."""
        return pack_address(self.address)

    def holds(self, address: str) -> bool:
        """Return whether an address is one of this network; with IPv6 link-local ones are, and no others."""
        if ":" in self.address:
            return zone_of(address) == self.name
        if ":" in address:
            return False
        differs = int.from_bytes(pack_address(address), "big") ^ int.from_bytes(self.packed, "big")
        return differs >> (32 - self.prefix) == 0


@dataclass(slots=True, eq=False)
class LinkState:
    """What goes out by a link, or (link None) to the seeds, and what is counted there.

    Attributes:
        targets: addresses to which HELLOs go.
        since: when it was first used.
        burst: when the full HELLO is due.
        begun: when the burst began.
        place: of this node in a stretched burst.
        solicits: whether the burst asks for answers.
        limited: whether every HELLO goes to 255.255.255.255, since the last heartbeat.
        has_beaten: whether there was a heartbeat.
        every: beats from one HELLO here to the next.
        slowing: HELLOs that are still to say so before they come as seldom.
        echoed: HELLOs of ours that came back: they passed the rules of this machine both ways.
        last_echo: when the last of them came, None for never.
        unechoed: HELLOs that were sent since.
    """

    link: Link | None
    targets: tuple[str, ...]
    since: float
    sent: int = 0
    received: int = 0
    last_heard: float | None = None
    burst: list[float] = field(default_factory=list)
    begun: float = 0.0
    place: float = 1.0
    solicits: bool = False
    limited: bool = False
    has_beaten: bool = False
    every: int = 1
    slowing: int = 0
    echoed: int = 0
    last_echo: float | None = None
    unechoed: int = 0

    @property
    def name(self) -> str:
        """The interface, or ``-`` for what is routed."""
        return self.link.name if self.link else "-"

    def hears_nobody(self, now: float, within: float) -> bool:
        """Return whether nothing was understood for so many seconds."""
        return now > max(self.since, self.since if self.last_heard is None else self.last_heard) + within

    def misses_echo(self, now: float) -> bool:
        """Return whether so many HELLOs in a row did not come back that it is no accident."""
        silent_since = self.since if self.last_echo is None else self.last_echo
        return self.unechoed >= UNECHOED and now > silent_since + ECHO_WITHIN

    def skips(self, seq: int) -> bool:
        """Return whether the beat with this seq does not go here."""
        if self.every == 1 or seq % self.every == 0:
            return False
        self.slowing -= 1
        return self.slowing < 0

    def begin_burst(self, now: float, *, solicits: bool, place: float = 1.0) -> None:
        """Schedule the full HELLO a few times."""
        self.begun = now
        self.place = place
        self.burst = [now + offset for offset in BURST]
        self.solicits = self.solicits or solicits

    def stretch(self, times: float) -> None:
        """Spread what is left of the burst as the interval is, so many times: a crowd shall not shout."""
        left = BURST[-len(self.burst) :]
        self.burst = [self.begun + offset * (1 + (times - 1) * self.place) for offset in left]


@frozen(kw_only=False, eq=False)
class Source:
    """The sender of a datagram: compared by identity, so the net floor keeps one object per sender and link.

    Attributes:
        address: the sender's address, a link-local one with its zone.
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

