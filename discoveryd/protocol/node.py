"""The engine: one node of the network, without a socket, a thread or a clock.

It is given what came in and the time, and returns what to send and what happened::

    >>> from random import Random
    >>> from discoveryd.protocol.link import Link, Source
    >>> from discoveryd.protocol.node import Node
    >>> from discoveryd.protocol.wire.record import Record
    >>> def node(name, address):
    ...     node = Node(record=Record(name=name), node_id=name, random=Random(name))
    ...     node.set_links([Link("eth0", 2, address, 24, "10.0.0.255")], now=0.0)
    ...     return node
    >>> a, b = node("a", "10.0.0.1"), node("b", "10.0.0.2")
    >>> [send] = a.poll(now=0.0).sends
    >>> send.to, send.datagram[:18]
    ('10.0.0.255', b'HELLO|2|default|a|')
    >>> outcome = b.receive(send.datagram, Source("10.0.0.1", b.links[0]), now=0.001)
    >>> [(event.kind, event.peer.name) for event in outcome.events]
    [('joined', 'a')]
    >>> [send.to for send in outcome.sends]  # b answers the newcomer at once
    ['10.0.0.1']

Each call returns an `Outcome`; the driver of the node sends its datagrams and calls `poll` again when
`next_deadline` has come. Nothing is raised for what others sent: it is counted in `drops`.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from discoveryd.errors import WireError
from discoveryd.protocol.link import Link, LinkState, Source
from discoveryd.protocol.outcome import NOTHING, Outcome, Send
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.reception import Reception
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.table.grace import GraceRule
from discoveryd.protocol.table.peer import Event, Peer
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import GoodbyeReason, Ping
from discoveryd.protocol.wire.record import Record

HEARD = ("hello", "bare", "ping", "pong", "msg", "ack", "will", "why", "say", "meet", "intro")
"""Kinds of datagrams, as those heard are counted."""


class Node(Reception):
    """One node: its HELLOs, its ears, its table. Made as `Reception` says."""

    # --- configuration --------------------------------------------------------------------------

    def set_links(
        self, links: Iterable[Link], now: float, others: Mapping[Link, tuple[str, ...]] = MappingProxyType({}),
        unlinked: Iterable[str] = (), internal: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """Use these links from now on; those that were there before are not touched.

        A new link begins with a burst of full HELLOs that solicit answers.

        Args:
            links: where we speak.
            now: the time.
            others: further addresses of ours there: no peer hears of them, but they are no foreign ones.
            unlinked: addresses of ours on no link.
            internal: names of links inside this machine (containers): no address there is named to others.
        """
        self.introductions.internal = frozenset(internal)
        self.others = {link: tuple(others.get(link, ())) for link in links}
        self.outbox.own_addresses = frozenset(
            (*unlinked, *(address for link, rest in self.others.items() for address in (link.address, *rest)))
        )
        self.beacon.greet_seeds(now)
        self.beacon.set_links(self.others, now)
        self.table.set_links(self.outbox.links)
        self._isolation.links_changed(now)
        used = self.outbox.links
        self.rate_limits.drops.changed(lambda: {"-", *(link.name for link in used)})

    def set_record(self, record: Record, now: float) -> None:
        """Announce another record, at once and a few times."""
        self.beacon.set_record(record, now)

    def resolve_seed(self, host: str, addresses: Iterable[str], now: float) -> None:
        """Note which addresses the name of a seed has from now on; new ones are greeted, former ones no more."""
        self.outbox.seeds.resolve(host, addresses)
        self.beacon.greet_seeds(now)

    def set_parameters(self, parameters: Parameters, now: float) -> None:
        """Change the interval, ttl, budget, seeds and limits; port, realm and loopback are for a lifetime."""
        limits = parameters.limits
        self.table.limit, self.table.remember = limits.peers, limits.remember
        self.rate_limits.set_limits(limits)
        self.challenges.set_rate(limits.answers)
        self.messages.set_limits(parameters.messages)
        if self.outbox.sealing is not None:
            self.outbox.sealing.windows.limit = limits.peers
        self.beacon.set_parameters(parameters, now)
        self.table.set_interval(self.outbox.pace)

    def set_grace(self, rules: tuple[GraceRule, ...]) -> None:
        """Give the peers of these rules time before their absence is told."""
        log = self.table.event_log
        if log.grace.rules != rules:
            log.grace.rules = rules
            log.look_again()

    def maintain(self, id: str, seconds: float, now: float) -> Outcome:
        """Tell nobody of the absence of a peer for so long; 0 ends that."""
        self.table.event_log.grace.maintain(id, now + seconds, now)
        self.table.event_log.look_again()
        return self._told(self.table.expire(now if self.heard_until is None else min(self.heard_until, now), now), now)

    def forget(self, id: str, now: float) -> Outcome:
        """Forget the rows of a node that are gone."""
        return self._told(self.table.forget(id, now), now)

    # --- hearing --------------------------------------------------------------------------------

    def heard_broadcast(self, source: Source, now: float, *, limited: bool) -> None:
        """Note that a datagram of this source went to 255.255.255.255, or to the broadcast address of its link.

        A driver calls this for every source when it hears it first and again now and then, after `receive`; a driver
        whose links hear all need not.
        """
        if source.link in self.outbox.links and source.address not in self.outbox.own_addresses:
            self.outbox.limited.heard(source.link, source.address, now, limited=limited)

    def refused(self, datagram: bytes, now: float) -> Outcome:
        """Take the kernel's word (ICMP port unreachable) that nothing listens where this datagram went."""
        try:
            sealing = self.outbox.sealing
            ping = decode(sealing.plain(datagram) if sealing else datagram)
        except WireError:
            return NOTHING
        events = self.prober.refused(ping.nonce, now) if isinstance(ping, Ping) else ()
        return self._told(events, now)

    def _told(self, events: tuple[Event, ...], now: float) -> Outcome:
        """Return an outcome of events alone; the receiver of a message may have gone by them."""
        if not events:
            return NOTHING
        self.messages.deliveries.peers_changed(now)
        return Outcome(events=events)

    # --- time -----------------------------------------------------------------------------------

    def poll(self, now: float) -> Outcome:
        """Do what is due: HELLOs, delayed answers, probes, expiry, the judgement of isolation.

        What is judged by silence waits until `drained` has told of that moment, and so does the next PING to a peer
        whose answer may be waiting: then `next_deadline` is past.
        """
        heard = now if self.heard_until is None else min(self.heard_until, now)
        if self._is_late(now):
            self._wake(now)
        events = self.table.expire(heard, now)
        self._polled = now
        beat = self.beacon.next_beat
        sends = self.beacon.poll(now)
        self.table.set_interval(self.outbox.pace)
        if self.beacon.next_beat != beat:
            self.table.look_ahead(now, self.beacon.next_beat)
        isolated = None
        if heard >= self.table.blind_until:
            probes, given_up = self.prober.poll(now, heard)
            sends += probes
            sends += self.introductions.poll(now)
            events = (*events, *given_up)
            if now >= self._isolation.next_deadline():
                isolated = self._isolation.judge(len(self.outbox.links), self.ttl(self.outbox.pace), heard, now)
        talk = self.messages.poll(now, heard, has_events=bool(events))
        if not sends and not events and isolated is None:
            return talk
        sent = (*self.outbox.release(sends, now), *talk.sends)
        return Outcome(sends=sent, events=events, isolated=isolated, deliveries=talk.deliveries)

    def drained(self, until: float) -> None:
        """Note that all that arrived before that moment was given to `receive`.

        A driver that never says so gives each datagram as it arrives.
        """
        self.heard_until = until

    def mistrust(self, until: float) -> None:
        """Note that datagrams which arrived before that moment may be lost: until then silence proves nothing.

        A peer that is silent by then is asked, and has one grace period.
        """
        self.table.mistrust(until)

    # --- what the driver asks for ---------------------------------------------------------------

    def goodbye(self, reason: GoodbyeReason = "stop") -> Outcome:
        """Return the goodbyes to send on every link and to the seeds; a few times, each called for anew."""
        sends = self.outbox.everywhere(self.outbox.hello(goodbye=True, reason=reason))
        return Outcome(sends=self.outbox.count(tuple(sends)))

    def will(self) -> tuple[Send, ...]:
        """Return the will to send on every link and to the seeds, should the process die; sealed anew by each call."""
        return self.outbox.will()

    def will_state(self) -> object:
        """Return a value that differs when the will is another: boot, links, seeds, keys, or how often it is sealed."""
        outbox = self.outbox
        return (outbox.boot, self.links, outbox.bequeathed, outbox.keyring, outbox.copies)

    def ping(self, row: Row, now: float) -> tuple[str, Outcome]:
        """PING one peer.

        Returns:
            the nonce that its `Answer` will carry, and what to send. Without an answer within 10 s
            none will be given.
        """
        nonce, sends = self.prober.ping(row, now)
        return nonce, Outcome(sends=self.outbox.count(tuple(sends))) if sends else NOTHING

    def inquire(self, target: Row | str, about: str, now: float) -> tuple[str, Outcome] | None:
        """Ask a peer, or whatever node has an address, what it hears of us, and of another node.

        Returns:
            the nonce that its `Said` will carry, and what to send; None where that much was asked already.
        """
        if isinstance(target, Row):
            return self.inquiries.ask(target.paths.best(now).source, about, now, target.boot)
        source = Source(target, self.outbox.link_to(target), unicast=True, key=self.keyring.sends)
        return self.inquiries.ask(source, about, now)

    def begin_flood(self, since: float, now: float) -> Outcome:
        """List no new peer until the flood is over: from then on more came in than can be looked at.

        A peer that came since then, and answered no PING, is taken for a part of it.
        """
        self.rate_limits.flooded_since = since
        return self._told(tuple(self.table.turn_away(since, now)), now)

    def end_flood(self) -> None:
        """List new peers again."""
        self.rate_limits.flooded_since = None

    def known_addresses(self, since: float, now: float) -> tuple[str, ...]:
        """Return the addresses that count in a flood: of seeds, of peers there before, of those that answered a PING.

        An answer cannot be forged without seeing the PING; a HELLO from a false address can. So that the answer
        gets through, an address that was just challenged counts for a moment. An address that itself brings a flood
        does not count.
        """
        known = (*self.outbox.seeds.addresses, *self.challenges.hopes(), *self.table.known_addresses(since))
        return tuple(address for address in known if not self.rate_limits.is_noisy(address, now))

    # --- what can be asked ----------------------------------------------------------------------

    def is_isolated(self, now: float) -> bool:
        """Return whether it is rather this node that is cut off than all the others that are down.

        Without a link: whether no routed peer is heard either.
        """
        links = len(self.outbox.links) or self.table.routed_count(now)
        return self._isolation.holds(links, self.ttl(self.outbox.pace), now)

    @property
    def is_cut_off(self) -> bool:
        """Whether this node is isolated, as it was told last, or has no link; it takes no look at the table."""
        return self._isolation.is_told or not self.outbox.links

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
        kinds = {kind: self.understood[kind] for kind in HEARD}
        kinds["hello"] += self.hello_rate.steady
        return kinds

    def peers(self, now: float, *, gone: bool = False) -> tuple[Peer, ...]:
        """Return the peers that are up, and with `gone` those that are no more."""
        return self.table.peers(now, gone=gone)

    def remember(self, addresses: Iterable[str], now: float) -> None:
        """Greet these addresses beyond our links: routed peers were there before a restart."""
        self.beyond.remember(addresses, now)

    def hears(self, addresses: Collection[str], now: float) -> bool:
        """Return whether a live peer is heard at one of these addresses."""
        return any(path.address in addresses for row in self.table.rows(now) for path in row.paths.fresh(now))

    def told_peers(self, now: float) -> tuple[Peer, ...]:
        """Return the peers that are up as the events so far tell it: with those that have an absence to be told."""
        return (*self.peers(now), *self.table.event_log.withheld(now))

    def interval(self, now: float) -> float:
        """Return the interval in force, seconds: stretched so that a segment stays within its budget."""
        return self.beacon.interval(now)

    def ttl(self, interval: float) -> float:
        """Return the ttl that goes with an interval in force."""
        return self.outbox.ttl(interval)
