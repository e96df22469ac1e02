"""What is let in, and how much anybody may make us do; what is turned away is counted with its reason."""

from __future__ import annotations

from discoveryd.errors import WireError
from discoveryd.protocol.answers import ANSWERS_PER_SECOND
from discoveryd.protocol.drops import Drops
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import LIMITED, NOTHING, Drop, Outcome
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.token_buckets import TokenBuckets
from discoveryd.protocol.wire.hello import is_bare

MAX_COMPLAINTS = 256
FORGET = 3600.0
"""Bad sources that are named (once for each reason) until all are forgotten, seconds; any further are only counted."""
FROM_ALL = 1e9
FROM_SOURCES = 8192
"""Datagrams a second from all sources together (what is too many of them, `discoveryd.protocol.flood` says), and
the sources that are counted one by one: twice as many as there are peers by default."""
PONGS_PER_PATH = 100
"""PONGs a second by one path of a peer that proved to be there. Nobody else spends them, and one that doubts us asks 10
times a second; what somebody sends in its name besides is answered too, for a PONG is never larger than its PING."""
RECORDS, RECORDS_AT_ONCE = 1.0, 3.0
"""Answers to plain solicits of one address a second, and at once: a node solicits three times as it starts."""
NOISY_FOR = 60.0
MAX_NOISY = 1024
"""Seconds for which an address that brought too much is sampled in a flood like that of a stranger, and such addresses
remembered; past it the one that was so longest ago is not."""
BEYOND = 20
"""Questions a second to all addresses beyond our links together that nobody named, and that do not seal."""
SOURCELESS = frozenset(("0", *map(str, range(224, 240))))
SOURCELESS_BEYOND = SOURCELESS | {"127"}
"""First bytes of addresses that no datagram comes from: this network, multicast, off loopback mode this machine."""
OF_NODES = (b"HELLO|", b"PING|", b"PONG|", b"SEALED|")
"""What only nodes say, from the port that they hold: no other program of their machines can send from it."""
UNNAMED = ("own-echo", "flood", "unproven", "downgrade")
"""Reasons that are nobody's fault, or of sources that are forged."""


class RateLimits:
    """The limits of what sources may ask of us, and what was dropped.

    Attributes:
        drops: (reason, interface) -> how many.
        complaints: (address, reason) that were named.
        flooded_since: in a flood, when there certainly was none yet.
    """

    def __init__(self, limits: Limits) -> None:
        self.drops = Drops()
        self.complaints: set[tuple[str, str]] = set()
        self._forgets_at = 0.0
        self._noisy: dict[str, float] = {}  # addresses that brought too much, and until when that counts
        self.flooded_since: float | None = None
        self.set_limits(limits)

    def set_limits(self, limits: Limits) -> None:
        """Allow so much from now on."""
        self.answers = TokenBuckets(limits.answers, ANSWERS_PER_SECOND)
        self.questions = TokenBuckets(limits.answers, ANSWERS_PER_SECOND)
        self.records = TokenBuckets(RECORDS, ANSWERS_PER_SECOND, burst=RECORDS_AT_ONCE)
        self.beyond = TokenBuckets(BEYOND, BEYOND, sources=1)
        self.pongs = TokenBuckets(PONGS_PER_PATH, FROM_ALL, FROM_SOURCES)
        self.newcomers = TokenBuckets(limits.newcomers, 20 * limits.newcomers)
        self.datagrams = TokenBuckets(limits.source_datagrams, FROM_ALL, FROM_SOURCES)
        self._limits = limits

    def check(self, source: Source, *, loopback: bool) -> None:
        """Refuse a source that no machine can have: nothing that is sent back to it arrives at its sender.

        Raises:
            WireError: ``impossible-source``.
        """
        first = source.address.partition(".")[0]
        is_fine = first not in SOURCELESS if loopback else first not in SOURCELESS_BEYOND
        if not is_fine or (source.link and source.address == source.link.broadcast) or source.address == LIMITED:
            raise WireError("impossible-source", f"{source.address} can be the address of no machine here")

    @staticmethod
    def check_port(datagram: bytes, source: Source) -> None:
        """Refuse what only nodes say, where another program of a machine on our link says it.

        Raises:
            WireError: ``foreign-port``.
        """
        if not source.port_fits and source.link and datagram.startswith(OF_NODES) and not is_bare(datagram):
            raise WireError("foreign-port", "not sent from the port of discoveryd, so by no node on this link")

    def look(self, source: Source, now: float) -> None:
        """Let a source have one more datagram looked at that is not the steady HELLO of a listed peer.

        Raises:
            WireError: ``rate``.
        """
        if now >= self._forgets_at:
            self._forgets_at = now + FORGET
            self.complaints.clear()
        if not self.datagrams.allows(source.address, now):
            raise self._too_many(source, now)

    def spare(self, source: Source, now: float) -> None:
        """Refuse what comes from a source that may have nothing more looked at, before any work is done for it.

        Raises:
            WireError: ``rate``.
        """
        if not self.datagrams.has_one(source.address, now):
            raise self._too_many(source, now)

    def is_noisy(self, address: str, now: float) -> bool:
        """Return whether an address brought more than its limit, not long ago."""
        return now < self._noisy.get(address, now)

    def _too_many(self, source: Source, now: float) -> WireError:
        self._noisy.pop(source.address, None)
        if len(self._noisy) >= MAX_NOISY:
            del self._noisy[next(iter(self._noisy))]
        self._noisy[source.address] = now + NOISY_FOR
        return WireError("rate", f"more than {self._limits.source_datagrams} datagrams a second")

    def admit(self, source: Source, now: float) -> None:
        """Let a source tell of one more peer.

        Raises:
            WireError: ``rate``.
        """
        if not self.newcomers.allows(source.address, now):
            raise WireError("rate", f"more than {self._limits.newcomers} new peers a second")

    def refusal(self, source: Source, now: float, *, is_ours: bool) -> WireError | None:
        """Say why a source is not answered.

        Only on the link or to a seed, and only so often: nobody shall amplify through us. Who seals counts by its boot:
        its address can be forged.
        """
        if not is_ours:
            return WireError("off-link", "asks from beyond our links and is no seed")
        if not self.answers.allows(source.boot or source.address, now):
            return WireError("rate", f"more than {self._limits.answers} answers a second")
        return None

    def record_refusal(self, source: Source, now: float, *, is_ours: bool) -> WireError | None:
        """Return why a solicit is not answered, None where it is."""
        if not is_ours:
            return WireError("off-link", "asks from beyond our links and is no seed")
        if source.boot:
            return self.refusal(source, now, is_ours=True)
        if not self.records.allows(source.address, now):
            return WireError("rate", f"more than {RECORDS:g} solicits a second")
        return None

    def pong_refusal(self, source: Source, boot: str, now: float) -> WireError | None:
        """Return why a PING is not answered that came by a path which proved to be there; mostly None."""
        if self.pongs.allows(f"{boot} {source.address}", now):
            return None
        return WireError("rate", f"more than {PONGS_PER_PATH} PINGs a second by one path")

    def drop(self, error: WireError, source: Source, link: str) -> Outcome:
        """Count what is not taken; name its source the first time."""
        self.drops.count(error.reason, link)
        complaint = (source.address, error.reason)
        if error.reason in UNNAMED or complaint in self.complaints or len(self.complaints) >= MAX_COMPLAINTS:
            return NOTHING
        self.complaints.add(complaint)
        return Outcome(drops=(Drop(reason=error.reason, detail=error.detail, address=source.address, link=link),))
