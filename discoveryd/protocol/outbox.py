"""Our datagrams: what each says, by which links it goes out, under which keys, and what may be sent at all.

To an address that has not proved to be there no more is sent than came from it, and a little (`Credit`); beyond our
links nothing but to seeds, to addresses that proved by a nonce to be of a node of the group (`SeedAddresses`), and a
few PINGs to those that peers named (`discoveryd.protocol.introductions`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING

from discoveryd.protocol.bounded import Credit
from discoveryd.protocol.hosts import Prefixes
from discoveryd.protocol.ipv6 import Ipv6Pace, at_pace
from discoveryd.protocol.limited_broadcast import LimitedBroadcast
from discoveryd.protocol.link import Link, LinkState, Source
from discoveryd.protocol.outcome import MessageKind, Send
from discoveryd.protocol.parameters import MAX_TTL, Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.protocol.seeds import SeedAddresses, Seeds
from discoveryd.protocol.wire.messages import (
    ANYONE,
    DEAF,
    MAX_PLAIN_PING,
    NO_ECHO,
    GoodbyeReason,
    Hello,
    Ping,
    Pong,
    Will,
    mark,
)
from discoveryd.protocol.wire.record import Record

if TYPE_CHECKING:
    from discoveryd.protocol.sealed.channel import Sealing

MAX_BEQUEATHED = 128
"""Addresses beyond our links that get the will: it is sealed anew for each whenever one comes or goes."""
DEAF_AFTER = 3
"""Intervals in which no peer was heard, after which a node says so."""


class Outbox:
    """Writes the datagrams of one node.

    Args:
        parameters: realm, seeds and ttl.
        record: what the node says of itself.
        random: where ids, jitter and nonces come from.
        id: of the node; drawn if empty.
        limited: knows which neighbours are on which link.

    Attributes:
        boot: the id of this run of the node.
        seq: number of the last heartbeat.
        pace: the interval that HELLOs announce, seconds.
        links: the state of each link in use; this dict stays the same.
        seeds: those that are configured, with their addresses.
        routed: the state of the paths to the seeds, and to peers beyond our links.
        routed_peers: addresses of these peers.
        introduced: networks of nodes that are greeted and answered as seeds are.
        own_addresses: all addresses of this machine on its links.
        aliases: other addresses of seeds.
        keyring: the keys in use, and the mode.
        sealing: the layer that seals, None as long as there never were keys.
        credit: bytes that may go to addresses that have not proved to be there.
        copies: datagrams of each HELLO to one target: one for each variant.
        expects_echo: whether what is sent to all comes back, as the kernel has it.
        flags: those that HELLOs carry: `DEAF`, `NO_ECHO`.
        sent: datagrams by kind.
        ipv6: decides which beats go by IPv6.
    """

    def __init__(
        self, parameters: Parameters, record: Record, random: Random, id: str, limited: LimitedBroadcast | None = None
    ) -> None:
        self.parameters = parameters
        self.record = record
        self.random = random
        self.boot = self.nonce()
        self.id = id or self.nonce()
        self.seq = 0
        self.pace = parameters.interval
        self.links: dict[Link, LinkState] = {}
        self.seeds = Seeds(parameters.seeds)
        self.routed = LinkState(None, tuple(self.seeds.addresses), 0.0)
        self.routed_peers: tuple[str, ...] = ()
        self.introduced = Prefixes(parameters.introduce)
        self.own_addresses: frozenset[str] = frozenset()
        self.aliases = SeedAddresses()
        self.keyring: Keyring = NO_KEYS
        self.sealing: Sealing | None = None
        self.credit = Credit()
        self.copies = 1
        self.expects_echo = False
        self.flags = ""
        self.sent: Counter[MessageKind] = Counter()
        self.limited = LimitedBroadcast() if limited is None else limited
        self.ipv6 = Ipv6Pace(self.limited.rows)

    def nonce(self) -> str:
        """Return 16 random hexadecimal digits."""
        return f"{self.random.getrandbits(64):016x}"

    # --- where to ---------------------------------------------------------------------------------

    def outlets(self) -> Iterable[LinkState]:
        """Return the states of the links in use, and of routed nodes if there are any."""
        return (*self.links.values(), self.routed) if self.routed.targets else self.links.values()

    def link_state(self, source: Source) -> LinkState:
        """Return the state with which a datagram of this source is counted."""
        return self.links.get(source.link, self.routed) if source.link else self.routed

    def reaches(self, source: Source) -> bool:
        """Return whether a source is on a link of ours, or a seed: nothing is sent elsewhere of our own accord."""
        if source.link:
            return source.link in self.links
        return source.address in self.seeds.addresses or source.address in self.aliases

    def is_ours(self, source: Source) -> bool:
        """Return whether a source belongs to the group: it is reached, seals, or is of a network to be introduced."""
        if source.key or self.reaches(source):
            return True
        return source.link is None and self.introduced.hold(source.address)

    def link_to(self, seed: str) -> Link | None:
        """Return the link that a seed is on: a sealed datagram is bound to it, at both ends."""
        return next((link for link in self.links if link.holds(seed) or self.limited.knows(link, seed)), None)

    def port_to(self, link: Link | None, address: str) -> int:
        """Return the port to which a datagram for an address goes, 0 for the one that all nodes have."""
        return 0 if link is not None and address == link.broadcast else self.seeds.port_of(address)

    def greet_seeds(self) -> bool:
        """Send HELLOs to the seeds and routed peers as they are now; return whether an address is new.

        A seed that is this node itself is left out.
        """
        former = self.routed.targets
        seeds = [address for address in self.seeds.addresses if address not in self.own_addresses]
        self.routed.targets = tuple(dict.fromkeys((*seeds, *self.routed_peers)))
        self.aliases.keep(seeds)
        return not set(seeds) <= set(former)

    # --- HELLOs to all ----------------------------------------------------------------------------

    def ttl(self, interval: float) -> float:
        """Return the ttl that goes with an interval in force."""
        return min(self.parameters.ttl * interval / self.parameters.interval, MAX_TTL)

    def hello(
        self, *, full: bool = False, solicit: bool = False, goodbye: bool = False, quiet: bool = False,
        pace: float | None = None, by: LinkState | None = None, reason: GoodbyeReason = "stop",
    ) -> Hello:  # fmt: skip
        """Return a HELLO of this moment.

        Args:
            full: with the record.
            solicit: asks for answers.
            goodbye: this node leaves.
            quiet: says nothing new.
            pace: the interval to announce where it is not the one in force.
            by: the link it goes by; None where that may be any.
            reason: of a goodbye.
        """
        pace = pace or self.pace
        hello = Hello(
            realm=self.parameters.realm,
            id=self.id,
            boot=self.boot,
            interval_ms=round(pace * 1000),
            ttl_ms=round(self.ttl(pace) * 1000),
            digest=self.record.digest,
            seq=self.seq,
            lasting=self.flags,
            solicit=solicit,
            goodbye=goodbye,
            goodbye_reason=reason,
            record=self.record.encoded if full else None,
            quiet=full and quiet,
        )
        return hello if by is None else at_pace(hello, by)

    def examine(self, now: float) -> None:
        """Find out what HELLOs are to say of this node from now on: whether it hears no peer, and not itself."""
        states = self.links.values()
        is_deaf = bool(states) and all(state.hears_nobody(now, DEAF_AFTER * self.pace) for state in self.outlets())
        # where IPv6 alone is filtered, peers hear of us and we of them
        heard = [state for link, state in self.links.items() if link.family == "ipv4"] or states
        misses_echo = self.expects_echo and any(state.misses_echo(now) for state in heard)
        self.flags = DEAF * is_deaf + NO_ECHO * misses_echo

    def everywhere(self, hello: Hello, routed: Sequence[str] | None = None) -> list[Send]:
        """Send a HELLO by all links where its turn is, a goodbye by every one, and to routed addresses.

        Args:
            hello: to send.
            routed: where to beyond the links; the seeds and all routed peers if not given.
        """
        datagram, is_steady = hello.encode(), hello.record is None and not hello.goodbye
        sends: list[Send] = []
        self.copies = 1
        for state in (*self.links.values(), self.routed):
            if not hello.goodbye and state.skips(hello.seq):
                continue
            targets = state.targets if routed is None or state.link else routed
            if not targets:
                continue  # most nodes have no peer beyond their links
            told = datagram if state.every == 1 else at_pace(hello, state).encode()
            out = self.by(state, told, limited=state.limited or not is_steady, targets=targets)
            self.copies = max(self.copies, -(-len(out) // len(targets)))
            sends += out
        return sends

    def by(
        self, state: LinkState, datagram: bytes, *, limited: bool, kind: MessageKind = "hello",
        only_sealed: bool = False, targets: Sequence[str] | None = None,
    ) -> list[Send]:  # fmt: skip
        """Send a datagram to all on one link, or to routed addresses: to the seeds and peers there if not given."""
        limited = limited and state.link is not None
        sends: list[Send] = []
        used = self.sealing.used() if self.sealing and not state.link else {}
        for target in state.targets if targets is None else targets:
            link = state.link or self.link_to(target)
            if self.sealing is None:
                sends.append(Send(datagram, link, target, limited, kind, self.port_to(link, target)))
                continue
            # sealed once for each: the same bytes twice would be a replay
            if state.link:
                variants = self.sealing.variants(state.link)
            else:
                known = self.aliases.of(target) if target in self.seeds.addresses else (target,)
                variants = self.sealing.variants_of(set().union(*(used.get(address, ()) for address in known)))
            sends += [
                Send(
                    self.sealing.seal(datagram, variant, link), link, target, limited, kind, self.port_to(link, target)
                )
                for variant in variants
                if variant or not only_sealed
            ]
        state.sent += len(sends)
        state.unechoed += len(sends)
        return sends

    @property
    def bequeathed(self) -> tuple[str, ...]:
        """The addresses beyond our links that get the will: routed peers first."""
        return tuple(dict.fromkeys((*self.routed_peers, *self.routed.targets)))[:MAX_BEQUEATHED]

    def will(self) -> tuple[Send, ...]:
        """Return the will to send on every link and beyond, should the process die; nothing is sent now."""
        datagram = Will(realm=self.parameters.realm, id=self.id, boot=self.boot).encode()
        sends: list[Send] = []
        for state in self.outlets():
            sent, unechoed = state.sent, state.unechoed
            targets = None if state.link else self.bequeathed
            sends += self.by(state, datagram, limited=True, kind="will", targets=targets)
            state.sent, state.unechoed = sent, unechoed
        return tuple(sends)

    # --- to one node ------------------------------------------------------------------------------

    def hello_to(self, source: Source, *, full: bool = False, solicit: bool = False) -> Send:
        """Send a HELLO to one node, where it was heard."""
        return self.unicast(self.hello(full=full, solicit=solicit, by=self.link_state(source)).encode(), source)

    def unicast(self, datagram: bytes, source: Source, boot: str = "", *, kind: MessageKind = "hello") -> Send:
        """Send a datagram to one node, where and as it was heard."""
        if self.sealing is not None:
            datagram = self.sealing.seal(datagram, source.key, source.link, boot or source.boot)
        port = self.port_to(source.link, source.address)
        return Send(datagram, source.link, source.address, kind=kind, port=port)

    def ping(self, nonce: str, source: Source, id: str = "", boot: str = "") -> Send:
        """Ask one run of a node for a sign of life, or (without id and boot) any node at that address."""
        to = ANYONE
        if boot:
            to = boot if source.key else mark(id, boot)  # a seal is for one boot, and its answer tells the id
        ping = Ping(realm=self.parameters.realm, id=self.id, boot=self.boot, nonce=nonce, to=to)
        return self.unicast(ping.encode(), source, boot, kind="ping")

    def pong(self, nonce: str, silence: float | None, source: Source, held: float = 0.0) -> Send:
        """Answer a PING.

        Args:
            nonce: of the PING.
            silence: seconds since we heard a HELLO of its sender, None for never.
            source: of the PING.
            held: seconds for which the PING lay here.
        """
        heard_ms = None if silence is None else round(silence * 1000)
        held_us = round(held * 1e6)
        pong = Pong(realm=self.parameters.realm, boot=self.boot, nonce=nonce, heard_ms=heard_ms, held_us=held_us)
        return self.unicast(pong.encode(), source, kind="pong")

    # --- what leaves ------------------------------------------------------------------------------

    def release(self, sends: Iterable[Send], now: float) -> tuple[Send, ...]:
        """Return what may be sent, and count it: no more to an unproven address than came from there."""
        return self.count(tuple(send for send in sends if self._may_leave(send, now)))

    def _may_leave(self, send: Send, now: float) -> bool:
        is_to_seed = send.link is None and send.to in self.seeds.addresses
        return send.is_to_all or is_to_seed or self.credit.spend(send.to, len(send.datagram), now)

    def may_ping(self, source: Source, now: float) -> bool:
        """Return whether a PING to a source would be sent now."""
        is_seed = source.link is None and source.address in self.seeds.addresses
        return is_seed or self.credit.covers(source.address, MAX_PLAIN_PING, now)

    def count(self, sends: tuple[Send, ...]) -> tuple[Send, ...]:
        """Count what is sent; return it."""
        for send in sends:
            self.sent[send.kind] += 1
        return sends
