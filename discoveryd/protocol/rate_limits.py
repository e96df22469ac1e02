"""What counts, and what sources may bring and ask for; the rest is dropped, and counted with its reason.

In this order: no machine can have the source, or another program speaks in the name of a node there; the source brings
too much (before anything is opened or read); the sender is no node of this group; it is one new peer too many; it asks
for too many answers of a kind.
"""

from typing import NoReturn

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.addresses import is_sourceless
from discoveryd.protocol.answers import ANSWERS_PER_SECOND
from discoveryd.protocol.bounded import TokenBuckets, put_last
from discoveryd.protocol.drops import Drops, DropSources
from discoveryd.protocol.link import Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import LIMITED, NOTHING, Claim, Drop, Outcome
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.kinds import is_of_node

MAX_COMPLAINTS = 256
FORGET = 3600.0
"""Bad sources that are named (once for each reason) until all are forgotten, seconds; any further are only counted."""
FROM_ALL = 1e9
FROM_SOURCES = 8192
"""Datagrams a second from all sources together (what is too many of them, `discoveryd.protocol.flood` says), and
the sources that are counted one by one: twice as many as there are peers by default."""
PONGS_PER_PATH = 100
"""PONGs a second by one path of a peer that proved to be there. No other sender spends them, and a peer that doubts us
asks 10 times a second; what is sent in its name besides is answered too, for a PONG is never larger than its PING."""
RECORDS, RECORDS_AT_ONCE = 1.0, 3.0
"""Answers to plain solicits of one address a second, and at once: a node solicits three times as it starts. A boot that
answers a PING there for the first time gives all of them back."""
UNASKED_PER_SECOND = 100
"""New peers a second that are listed before they answered a PING; nodes and bare ones each have so many."""
NOISY_FOR = 60.0
MAX_NOISY = 1024
"""Seconds for which an address that brought too much is sampled in a flood like that of a stranger, and such addresses
remembered; past it the address for which that is longest ago is not."""
UNNAMED = ("own-echo", "flood", "unproven", "downgrade")
"""Reasons that are no sender's fault, or of sources that are forged."""


class RateLimits:
    """The limits of what sources may bring and ask for, and what was dropped.

    Args:
        outbox: this node, its links, limits and keys.
        table: the peers.

    Attributes:
        drops: (reason, interface) -> how many.
        drop_sources: the latest sources of them.
        complaints: (address, reason) that were named.
        flooded_since: in a flood, when there certainly was none yet.
    """

    def __init__(self, outbox: Outbox, table: PeerTable) -> None:
        self.drops = Drops()
        self.drop_sources = DropSources()
        self.complaints: set[tuple[str, str]] = set()
        self.flooded_since: float | None = None
        self._outbox = outbox
        self._table = table
        self._forgets_at = 0.0
        self._noisy: dict[str, float] = {}  # addresses that brought too much, and until when that counts
        self._is_local = bool(outbox.parameters.loopback)
        self._unasked = TokenBuckets(UNASKED_PER_SECOND, 2 * UNASKED_PER_SECOND, sources=2)
        self.set_limits(outbox.parameters.limits)

    def set_limits(self, limits: Limits) -> None:
        """Allow so much from now on."""
        self._limits = limits
        self.datagrams = TokenBuckets(limits.source_datagrams, FROM_ALL, FROM_SOURCES)
        self.newcomers = TokenBuckets(limits.newcomers, 20 * limits.newcomers)
        self.answers = TokenBuckets(limits.answers, ANSWERS_PER_SECOND)
        self.questions = TokenBuckets(limits.answers, ANSWERS_PER_SECOND)
        self.records = TokenBuckets(RECORDS, ANSWERS_PER_SECOND, burst=RECORDS_AT_ONCE)
        self.pongs = TokenBuckets(PONGS_PER_PATH, FROM_ALL, FROM_SOURCES)

    # --- what comes in ----------------------------------------------------------------------------

    def take(self, datagram: bytes, source: Source, now: float) -> None:
        """Take a token from the source's bucket, for a datagram that is not the steady HELLO of a listed peer.

        Raises:
            WireError: ``impossible-source``, ``foreign-port`` or ``rate``.
        """
        address = source.address
        is_impossible = is_sourceless(address) or (address.startswith("127.") and not self._is_local)
        if is_impossible or (source.link and address == source.link.broadcast) or address == LIMITED:
            # nothing that is sent back to it arrives at its sender
            raise WireError("impossible-source", f"{address} can be the address of no machine here")
        if now >= self._forgets_at:
            self._forgets_at = now + FORGET
            self.complaints.clear()
        self._check_port(datagram, source)
        if not self.datagrams.allows(address, now):
            self._refuse(address, now)

    def check(self, datagram: bytes, source: Source, now: float) -> None:
        """Refuse what another program says in the name of a node on our link, or a source with an empty bucket.

        Both before any work is done for it. A node sends from the port that it holds: no other program of its machine
        can send from it.

        Raises:
            WireError: ``foreign-port`` or ``rate``.
        """
        self._check_port(datagram, source)
        if not self.datagrams.has_one(source.address, now):
            self._refuse(source.address, now)

    def _check_port(self, datagram: bytes, source: Source) -> None:
        if not source.port_fits and source.link and is_of_node(datagram):
            raise WireError("foreign-port", "not sent from the port of discoveryd, so by no node on this link")

    def _refuse(self, address: str, now: float) -> NoReturn:
        put_last(self._noisy, address, now + NOISY_FOR, MAX_NOISY)
        raise WireError("rate", f"more than {self._limits.source_datagrams} datagrams a second")

    def is_noisy(self, address: str, now: float) -> bool:
        """Return whether an address brought more than its limit, not long ago."""
        return now < self._noisy.get(address, now)

    # --- the sender -------------------------------------------------------------------------------

    def check_sender(self, realm: str, boot: str, source: Source, now: float, id: str = "") -> None:
        """Refuse our own datagrams, those of another realm, and plain ones in the name of a peer that seals.

        Raises:
            WireError: ``own-echo``, ``other-realm`` or ``downgrade``.
        """
        if boot == self._outbox.boot:
            raise WireError("own-echo")
        if realm != self._outbox.parameters.realm:
            raise WireError("other-realm", realm)
        if not source.key and self._outbox.keyring.sends:
            sealed = self._table.sealed(id, boot, now)
            if sealed is not None:
                raise WireError("downgrade", f"{sealed.id} seals, and this is plain")

    def admit(self, key: Key, source: Source, now: float, *, is_known: bool = True) -> None:
        """Refuse a peer that is new, where there are too many, and what may be a recording (not `is_known`).

        Raises:
            Unproven: it has to answer first: in a flood (unless it was there before), or with many others at once.
            WireError: ``rate`` or ``table-full``.
        """
        if not is_known:
            raise Unproven("unproven", "not known to live")
        table, since = self._table, self.flooded_since
        if since is not None and not source.key and not table.knew(key, since):
            raise Unproven("flood", "nobody new is listed in a flood")
        if key in table.by_key:
            return
        if not self.newcomers.allows(source.address, now):
            raise WireError("rate", f"more than {self._limits.newcomers} new peers a second")
        routed = self._limits.routed
        is_beyond = source.link not in self._outbox.links and not self._outbox.is_ours(source)
        if is_beyond and table.is_crowded_beyond(routed):
            raise WireError("table-full", f"{routed} peers beyond our links")
        if not source.key and not self._unasked.allows("node" if key[1] else "bare", now):
            raise Unproven("unproven", f"more than {UNASKED_PER_SECOND} new peers a second: it has to answer first")

    # --- what is answered -------------------------------------------------------------------------

    def refusal(self, source: Source, now: float) -> WireError | None:
        """Return why a source is not answered, None where it is.

        Only on the link or to a seed, and only so often: nobody shall amplify through us. A source that seals counts by
        its boot: its address can be forged.
        """
        if not self._outbox.is_ours(source):
            return WireError("off-link", "asks from beyond our links and is no seed")
        if not self.answers.allows(source.boot or source.address, now):
            return WireError("rate", f"more than {self._limits.answers} answers a second")
        return None

    def takes_solicit(self, source: Source, now: float) -> bool:
        """Return whether a solicit is answered; else it is counted, but not as a drop of its HELLO."""
        is_plain = not source.boot and self._outbox.is_ours(source)
        if is_plain and self.records.allows(source.address, now):
            return True
        many = WireError("rate", f"more than {RECORDS:g} solicits a second")
        refusal = many if is_plain else self.refusal(source, now)
        if refusal:
            self.drops.count(refusal.reason, self._outbox.link_state(source).name)
        return refusal is None

    def may_challenge(self, claim: Claim, now: float) -> bool:
        """Return whether a plain solicit that is one too many gets a PING: a node that has just started answers it."""
        row = self._table.by_key.get(claim.key)
        is_new = row is not None and not row.proved
        return is_new and not claim.source.boot and self.questions.allows(claim.source.address, now)

    def pong_refusal(self, source: Source, boot: str, now: float) -> WireError | None:
        """Return why a PING is not answered that came by a path which proved to be there; mostly None."""
        if self.pongs.allows(f"{boot} {source.address}", now):
            return None
        return WireError("rate", f"more than {PONGS_PER_PATH} PINGs a second by one path")

    # --- what is dropped --------------------------------------------------------------------------

    def drop(self, error: WireError, source: Source, now: float) -> Outcome:
        """Count what is not taken, and remember its source, which is named the first time."""
        link_state = self._outbox.link_state(source)
        link = link_state.name
        self.drops.count(error.reason, link)
        if source.address in self._outbox.own_addresses and error.reason == "own-echo":
            link_state.echoed += 1
            link_state.last_echo = now
            link_state.unechoed = 0
        elif error.reason != "own-echo":
            self.drop_sources.note(error.reason, source.address, link, error.detail, now)
        complaint = (source.address, error.reason)
        if error.reason in UNNAMED or complaint in self.complaints or len(self.complaints) >= MAX_COMPLAINTS:
            return NOTHING
        self.complaints.add(complaint)
        return Outcome(drops=(Drop(reason=error.reason, detail=error.detail, address=source.address, link=link),))
