"""The rooms of the engine, and how a datagram goes through them: limited, opened, heard by its kind, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from discoveryd.errors import WireError
from discoveryd.protocol.answers import Answers
from discoveryd.protocol.beacon import Beacon
from discoveryd.protocol.challenges import Challenges
from discoveryd.protocol.hellos import Hellos
from discoveryd.protocol.incoming import Incoming
from discoveryd.protocol.limited_broadcast import LimitedBroadcast
from discoveryd.protocol.link import Link, LinkState, Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Outcome
from discoveryd.protocol.own_boot import OwnBoot
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.prober import Prober
from discoveryd.protocol.probes import Probes
from discoveryd.protocol.rate_limits import RateLimits
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.table.peer import Peer
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.messages import SEALED, BareHello, Hello, Ping, Pong, decode
from discoveryd.protocol.wire.record import Record

if TYPE_CHECKING:
    from discoveryd.protocol.sealed.channel import Sealing


class Reception:
    """What the engine consists of: each room is built once from those it needs, and hears what is for it.

    Args:
        parameters: how the node speaks.
        record: what it says of itself.
        node_id: its id, drawn if empty.
        random: where ids, jitter and nonces come from, None for the operating system.
        clock: tells the present moment where datagrams are given later than they arrived.

    Attributes:
        table: the peers.
        outbox: writes what is sent, and knows this node, its links and keys.
        credit: bytes that may go to addresses that have not proved to be there.
        limited: knows which links need limited broadcasts.
        sent: datagrams sent, by kind.
        rate_limits: refuses what does not count or is too much.
        drops: datagrams dropped, by reason and interface.
        challenges: asks unknown boots first.
        answers: sends our record to nodes that solicit it.
        beacon: sends HELLOs to all.
        prober: PINGs peers.
        hello_rate: measures how many HELLOs are heard.
        handlers: kind of message -> what hears it.
        doubles: hears what comes under our own boot from elsewhere.
        rtts: round trips in seconds, one for each PONG.
        understood: datagrams heard, by kind, but the HELLOs that took the fast path.
    """

    def __init__(
        self, parameters: Parameters, record: Record, node_id: str, random: Random | None,
        clock: Callable[[], float] | None,
    ) -> None:
        self.random = random or SystemRandom()
        boot = self.nonce()
        self.id = node_id or self.nonce()
        limits = parameters.limits
        self.table = table = PeerTable(limit=limits.peers, remember=limits.remember, own_id=self.id)
        self.limited = LimitedBroadcast(lambda now: table.rows(now, gone=True))
        self.outbox = outbox = Outbox(parameters, record, id=self.id, boot=boot, limited=self.limited)
        self.credit, self.sent = outbox.credit, outbox.sent
        self.rate_limits = RateLimits(outbox, table)
        self.drops = self.rate_limits.drops
        self.challenges = Challenges(outbox, self.nonce, rate=limits.answers)
        self.answers = Answers(outbox, self.random, table.live_count, self.challenges.ask_first)
        self.beacon = Beacon(outbox, self.answers, self.random, crowd=table.live_count, speaking=table.speaking)
        self.hello_rate = self.beacon.hello_rate
        self.prober = Prober(table, self.random, outbox)
        self.understood: Counter[str] = Counter()
        hellos = Hellos(self)
        probes = Probes(self, hellos, clock)
        self.rtts = probes.rtts
        self.doubles = OwnBoot(self, probes.answer_ping)
        self.handlers: dict[type, Callable[[Any, Incoming, float], Outcome]] = {
            Hello: hellos.hear,
            BareHello: hellos.hear_bare,
            Ping: probes.hear_ping,
            Pong: probes.hear_pong,
        }

    # --- a datagram -------------------------------------------------------------------------------

    def _open(self, datagram: bytes, source: Source, now: float) -> tuple[Incoming, WireError | None]:
        """Return a datagram without its envelope, and why it could not be opened."""
        incoming = Incoming(datagram, source, len(datagram))
        if not datagram.startswith(SEALED):
            return incoming, None
        sealing = self.outbox.sealing
        if sealing is None:
            return incoming, WireError("sealed", "there are no keys here")
        try:
            return sealing.open(datagram, source, now), None
        except WireError as error:
            return incoming, error

    def _hear(self, incoming: Incoming, refusal: WireError | None, now: float) -> Outcome:
        """Hear a datagram and count it; `refusal` is why it could not be opened."""
        source = incoming.source
        try:
            self.rate_limits.take(incoming.datagram, source, now)
            # an unsealed broadcast went to all nodes at once, which share its bytes
            hearers = 1 if source.unicast or source.key or source.link is None else 1 + len(self.table)
            self.outbox.credit.receive(source.address, incoming.size / hearers, now)
            outcome = self._dispatch(incoming, refusal, now)
        except WireError as error:
            return self.rate_limits.drop(error, source)
        state = self.outbox.link_state(source)
        state.received += 1
        state.last_heard = now
        return outcome

    def _dispatch(self, incoming: Incoming, refusal: WireError | None, now: float) -> Outcome:
        source, outbox = incoming.source, self.outbox
        is_foreign = outbox.is_foreign(source)
        if refusal is not None:
            if refusal.reason == "own-echo" and is_foreign:
                return self.doubles.hear_sealed(incoming.datagram, source, now)
            raise refusal
        if not source.key and not outbox.keyring.takes_plain:
            raise WireError("plain", "not sealed, and security.mode is require")
        message = decode(incoming.datagram)
        if is_foreign and not isinstance(message, BareHello) and message.boot == outbox.boot:
            return self.doubles.hear(message, source, now)
        return self.handlers[type(message)](message, incoming, now)

    # --- what can be asked ------------------------------------------------------------------------

    def nonce(self) -> str:
        """Return 16 random hexadecimal digits."""
        return f"{self.random.getrandbits(64):016x}"

    @property
    def boot(self) -> str:
        """Id of this run; a new one when a clone has it too."""
        return self.outbox.boot

    @property
    def parameters(self) -> Parameters:
        """The parameters in force."""
        return self.outbox.parameters

    @property
    def record(self) -> Record:
        """What the node says of itself."""
        return self.outbox.record

    @property
    def seq(self) -> int:
        """Number of the last heartbeat."""
        return self.outbox.seq

    @property
    def keyring(self) -> Keyring:
        """The keys in use, and the mode."""
        return self.outbox.keyring

    @property
    def sealing(self) -> Sealing | None:
        """The sealed layer, None as long as there never were keys."""
        return self.outbox.sealing

    @property
    def links(self) -> tuple[Link, ...]:
        """The links in use."""
        return tuple(self.outbox.links)

    @property
    def outlets(self) -> tuple[LinkState, ...]:
        """Counters of each link in use."""
        return tuple(self.outbox.links.values())

    @property
    def received(self) -> dict[str, int]:
        """Datagrams heard and understood, by kind."""
        kinds = {kind: self.understood[kind] for kind in ("hello", "bare", "ping", "pong")}
        kinds["hello"] += self.hello_rate.steady
        return kinds

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Return the peers that are up, and with `gone` those that are no more."""
        return self.table.peers(now, gone=gone)

    def interval(self, now: float) -> float:
        """Return the interval in force, seconds: stretched so that a segment stays within its budget."""
        return self.beacon.interval(now)

    def ttl(self, interval: float) -> float:
        """Return the ttl that goes with an interval in force."""
        return self.outbox.ttl(interval)
