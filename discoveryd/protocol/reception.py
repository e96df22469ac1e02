"""How a datagram is taken that is not the plain, steady HELLO of a listed peer: limited, opened, heard, counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from discoveryd.errors import WireError
from discoveryd.protocol.hellos import Hellos
from discoveryd.protocol.incoming import Incoming
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import NOTHING, Outcome
from discoveryd.protocol.own_boot import OwnBoot
from discoveryd.protocol.probes import Probes
from discoveryd.protocol.rooms import Rooms
from discoveryd.protocol.wire.messages import SEALED, BareHello, Hello, Ping, Pong, decode


class Reception:
    """Hears datagrams, each by its kind.

    Args:
        rooms: of the engine.
        clock: tells the present moment where datagrams are given later than they arrived.

    Attributes:
        handlers: kind of message -> what hears it.
        own_boot: hears what comes under our own boot from elsewhere.
        rtts: round trips in seconds, one for each PONG.
    """

    def __init__(self, rooms: Rooms, clock: Callable[[], float] | None) -> None:
        self._rooms = rooms
        hellos = Hellos(rooms)
        probes = Probes(rooms, hellos, clock)
        self.rtts = probes.rtts
        self.own_boot = OwnBoot(rooms, probes.answer_ping)
        self.handlers: dict[type, Callable[[Any, Incoming, float], Outcome]] = {
            Hello: hellos.hear,
            BareHello: hellos.hear_bare,
            Ping: probes.hear_ping,
            Pong: probes.hear_pong,
        }

    def open(self, datagram: bytes, source: Source, now: float) -> tuple[Incoming, WireError | None]:
        """Return a datagram without its envelope, and why it could not be opened."""
        incoming = Incoming(datagram, source, len(datagram))
        if not datagram.startswith(SEALED):
            return incoming, None
        sealing = self._rooms.outbox.sealing
        if sealing is None:
            return incoming, WireError("sealed", "there are no keys here")
        try:
            return sealing.receive(datagram, source, now), None
        except WireError as error:
            return incoming, error

    def hear(self, incoming: Incoming, refusal: WireError | None, now: float) -> Outcome:
        """Hear a datagram and count it; `refusal` is why it could not be opened."""
        rooms, source = self._rooms, incoming.source
        try:
            rooms.rate_limits.take(incoming.datagram, source, now)
            rooms.outbox.credit.receive(source.address, incoming.size / self._hearers(source), now)
            outcome = self._hear(incoming, refusal, now)
        except WireError as error:
            return rooms.rate_limits.drop(error, source)
        state = rooms.outbox.link_state(source)
        state.received += 1
        state.last_heard = now
        return outcome

    def _hear(self, incoming: Incoming, refusal: WireError | None, now: float) -> Outcome:
        source, outbox = incoming.source, self._rooms.outbox
        is_foreign = outbox.is_foreign(source)
        if refusal is not None:
            if refusal.reason == "own-echo" and is_foreign:
                return self.own_boot.hear_sealed(incoming.datagram, source, now)
            raise refusal
        if not source.key and not outbox.keyring.takes_plain:
            raise WireError("plain", "not sealed, and security.mode is require")
        message = decode(incoming.datagram)
        if is_foreign and not isinstance(message, BareHello) and message.boot == outbox.boot:
            return self.own_boot.hear(message, source, now)
        return self.handlers[type(message)](message, incoming, now)

    def refused(self, datagram: bytes, now: float) -> Outcome:
        """Take the kernel's word that nobody listens where a datagram of ours went; only that of a PING counts."""
        sealing = self._rooms.outbox.sealing
        try:
            ping = decode(datagram if sealing is None else sealing.plain(datagram))
        except WireError:
            return NOTHING
        events = self._rooms.prober.refused(ping.nonce, now) if isinstance(ping, Ping) else ()
        return Outcome(events=events) if events else NOTHING

    def _hearers(self, source: Source) -> int:
        """Return how many nodes have the bytes of one datagram to spend: an unsealed broadcast went to all at once."""
        return 1 if source.unicast or source.key or source.link is None else 1 + len(self._rooms.table)
