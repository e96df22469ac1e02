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

A datagram goes through the rooms in this order: the steady HELLO of a listed peer needs a look at the table alone; of
all others the source is limited (`rate_limits`), sealed ones are opened (`sealed.channel`), and a HELLO, a PING or a
PONG is heard (`hellos`, `probes`), or a boot that is unknown is asked first (`challenges`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

from discoveryd.errors import WireError
from discoveryd.protocol.isolation import Isolation
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.outcome import NOTHING, Outcome
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.probes import WAKE_LATE
from discoveryd.protocol.reception import Reception
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.sequence import NEAR
from discoveryd.protocol.wire.messages import Ping, decode
from discoveryd.protocol.wire.record import Record

if TYPE_CHECKING:
    pass


class Node(Reception):
    """One node: its HELLOs, its ears, its table.

    Args:
        parameters: how it speaks.
        record: what it says of itself.
        node_id: stable id, 1 to 32 of ``A-Z a-z 0-9 . _ -``; drawn from `random` if empty.
        random: where boot id, jitter and nonces come from; the operating system unless a run is to repeat to the
            bit. With keys nobody may foresee it.
        keyring: keys, and what to do with them.
        process: tells processes apart (``os.getpid``): what was forked off must not seal.
        clock: tells the present moment where datagrams are given later than they arrived: a PONG says how long its
            PING lay here.

    Attributes:
        heard_until: the moment up to which every datagram that arrived was given, None for now.
        others: further addresses of ours, by link.
        handlers: kind of message -> what hears it.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        record: Record | None = None,
        *,
        node_id: str = "",
        random: Random | None = None,
        keyring: Keyring = NO_KEYS,
        process: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(parameters or Parameters(), record or Record(name="node"), node_id, random, clock)
        self._isolation = Isolation(self.table)
        self._process = process
        self.heard_until: float | None = None
        self._polled: float | None = None
        self.others: dict[Link, tuple[str, ...]] = {}
        self.table.interval = self.outbox.pace
        self.set_keyring(keyring)

    # --- configuration --------------------------------------------------------------------------

    def set_links(
        self, links: Iterable[Link], now: float, others: Mapping[Link, tuple[str, ...]] = MappingProxyType({})
    ) -> None:
        """Use these links from now on; those that were there before are not touched.

        A new link begins with a burst of full HELLOs that solicit answers.

        Args:
            links: where we speak.
            now: the time.
            others: further addresses of ours there: nobody hears of them, but they are no foreign ones.
        """
        for link in self.beacon.set_links(links, now):
            self.outbox.limited.drop_link(link)
        self.table.set_links(self.outbox.links)
        self._isolation.links_changed(now)
        used = self.outbox.links
        self.rate_limits.drops.changed(lambda: {"-", *(link.name for link in used)})
        self.others = {link: tuple(others.get(link, ())) for link in used}
        self.outbox.own_addresses = frozenset(
            address for link, rest in self.others.items() for address in (link.address, *rest)
        )

    def set_record(self, record: Record, now: float) -> None:
        """Announce another record, at once and a few times."""
        self.beacon.set_record(record, now)

    def set_parameters(self, parameters: Parameters, now: float) -> None:
        """Change the interval, ttl, budget, seeds and limits; port, realm and loopback are for a lifetime."""
        limits = parameters.limits
        self.table.limit, self.table.remember = limits.peers, limits.remember
        self.rate_limits.set_limits(limits)
        self.challenges.set_rate(limits.answers)
        if self.sealing is not None:
            self.sealing.windows.limit = limits.peers
        self.beacon.set_parameters(parameters, now)
        self.table.interval = self.outbox.pace

    def set_keyring(self, keyring: Keyring) -> None:
        """Use other keys, another one to send with, or another mode; no peer is lost, and the boot stays."""
        outbox = self.outbox
        if outbox.sealing is not None:
            outbox.sealing.set_keyring(keyring)
        elif keyring.keys:
            # not at the top: a node without keys must not wait for it
            from discoveryd.protocol.sealed.channel import Sealing  # noqa: PLC0415

            outbox.sealing = Sealing(
                keyring, self.table, self.rate_limits,
                realm=self.parameters.realm, id=self.id, boot=self.boot, process=self._process,
            )  # fmt: skip
        outbox.keyring = keyring
        self.table.set_ranks(keyring.ranks())

    # --- hearing --------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram. Whatever its bytes, nothing is raised and the time is linear in their number.

        `now` is when it arrived, which may be long before it is given, and before the `now` of the last `poll`
        (never before what `drained` told). A moment before one that was given already refreshes nothing backwards.
        """
        head, _, seq = datagram.rpartition(b"|")
        path = self.table.steady.get((head, source))
        if path is None and not seq and head.endswith(b"}"):  # a full one that repeats the record we hold is as good
            *fields, record = head.split(b"|", 11)
            path = self.table.steady.get((b"|".join(fields[:9]), source))
            if path is not None:
                held = path.row.record
                seq = fields[9] if held is not None and held.encoded == record and fields[10:] == [b""] else b""
        # fewer than 10 digits: no check of the range is needed
        if (
            path is not None
            and path.stamp == (row := path.row).stamp
            and row.last_heard <= now < path.expires
            and seq.isdigit()
            and len(seq) < 10
            and 0 <= (ahead := (number := int(seq)) - row.seq) < NEAR
            and (reach := path.reach) is not None
        ):
            if number > reach.seq:  # what `Path.heard` does
                if number >= reach.due:
                    if row.several:  # the loss is told anew, and another way may be the best by it
                        return self._receive(datagram, source, now)
                    reach.seq = number
                    reach.heard += 1
                    path.mark(reach)
                else:
                    reach.seq = number
                    reach.heard += 1
                if ahead:
                    row.seq = number
                    row.last_hello = row.last_heard = path.last_heard = now
                    row.expires = path.expires = now + row.life
                else:  # another way brought this beat first
                    self.hello_rate.beats -= 1
                    path.last_heard = row.last_heard
                    path.expires = row.expires
            else:  # a burst says it again
                self.hello_rate.beats -= 1
            link_state = path.link_state
            if link_state is None:
                link_state = path.link_state = self.outbox.link_state(source)
            link_state.received += 1
            link_state.last_heard = now
            self.hello_rate.steady += 1
            return NOTHING
        return self._receive(datagram, source, now)

    def _receive(self, datagram: bytes, source: Source, now: float) -> Outcome:
        """Take a datagram that is not the plain, steady HELLO of a listed peer."""
        incoming, refusal = self._open(datagram, source, now)
        if incoming.is_next:
            return self.receive(incoming.datagram, incoming.source, now)
        if now >= self.table.blind_until and self._is_late(now):
            self._wake(now)
        expired = self.table.expire(now)  # told also where the datagram is dropped
        outcome = self._hear(incoming, refusal, now)
        if not outcome.sends and not expired:
            return outcome
        sends = self.outbox.release(outcome.sends, now)
        return replace(outcome, sends=sends, events=(*expired, *outcome.events))

    def heard_broadcast(self, source: Source, now: float, *, limited: bool) -> None:
        """Note that a datagram of this source went to 255.255.255.255, or to the broadcast address of its link.

        A driver calls this for every source when it hears it first and again now and then, after `receive`; a driver
        whose links hear all need not.
        """
        if source.link in self.outbox.links and self.outbox.is_foreign(source):
            self.outbox.limited.heard(source.link, source.address, now, limited=limited)

    def refused(self, datagram: bytes, now: float) -> Outcome:
        """Take the kernel's word (ICMP port unreachable) that nobody listens where this datagram went."""
        try:
            ping = decode(datagram if self.sealing is None else self.sealing.plain(datagram))
        except WireError:
            return NOTHING
        events = self.prober.refused(ping.nonce, now) if isinstance(ping, Ping) else ()
        return Outcome(events=events) if events else NOTHING

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
        sends = self.beacon.poll(now)
        self.table.interval = self.outbox.pace
        isolated = None
        if heard >= self.table.blind_until:
            probes, given_up = self.prober.poll(now, heard)
            sends += probes
            events = (*events, *given_up)
            if now >= self._isolation.next_deadline():
                isolated = self._isolation.judge(len(self.outbox.links), self.ttl(self.outbox.pace), heard, now)
        if not sends and not events and isolated is None:
            return NOTHING
        return Outcome(sends=self.outbox.release(sends, now), events=events, isolated=isolated)

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        due = min(self.beacon.next_deadline(), self.table.next_expiry(), self.prober.next_deadline())
        return min(due, self._isolation.next_deadline())

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

    def _is_late(self, now: float) -> bool:
        """Return whether we did not see time pass (suspend, SIGSTOP)."""
        return self._polled is not None and now > self._polled + WAKE_LATE and now > self.next_deadline() + WAKE_LATE

    def _wake(self, now: float) -> None:
        """Come back from a pause: nobody is judged by it."""
        self._polled = now
        self.beacon.greet(now)
        self.table.mistrust(now)

    # --- what the driver asks for ---------------------------------------------------------------

    def goodbye(self) -> Outcome:
        """Return the goodbyes to send on every link and to the seeds; a few times, each called for anew."""
        sends = self.outbox.everywhere(self.outbox.hello(goodbye=True).encode())
        return Outcome(sends=self.outbox.count(tuple(sends)))

    def ping(self, row: Row, now: float) -> tuple[str, Outcome]:
        """PING one peer.

        Returns:
            the nonce that its `Answer` will carry, and what to send. Without an answer within 10 s
            none will be given.
        """
        nonce, sends = self.prober.ping(row, now)
        return nonce, Outcome(sends=self.outbox.count(tuple(sends))) if sends else NOTHING

    def begin_flood(self, since: float, now: float) -> Outcome:
        """List nobody new until the flood is over: from then on more came in than can be looked at.

        A peer that came since then, and answered no PING, is taken for a part of it.
        """
        self.rate_limits.flooded_since = since
        return Outcome(events=self.table.turn_away(since, now))

    def end_flood(self) -> None:
        """List new peers again."""
        self.rate_limits.flooded_since = None

    def known_addresses(self, since: float, now: float) -> tuple[str, ...]:
        """Return the addresses that count in a flood: of seeds, of peers there before, of those that answered a PING.

        An answer cannot be forged without seeing the PING; a HELLO from a false address can. So that the answer
        gets through, an address that was just challenged counts for a moment. An address that itself brings a flood
        does not count.
        """
        known = (*self.parameters.seeds, *self.challenges.hopes(), *self.table.known_addresses(since))
        return tuple(address for address in known if not self.rate_limits.is_noisy(address, now))

    # --- what can be asked ----------------------------------------------------------------------

    def is_isolated(self, now: float) -> bool:
        """Return whether it is rather this node that is cut off than all the others that are down.

        Without a link: whether no routed peer is heard either.
        """
        links = len(self.outbox.links) or self.table.routed_count(now)
        return self._isolation.holds(links, self.ttl(self.outbox.pace), now)
