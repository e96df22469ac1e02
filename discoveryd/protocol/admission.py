"""Whether a datagram counts: by its realm, its boot and its key, and by how many new peers are listed already."""

from __future__ import annotations

from discoveryd.errors import Unproven, WireError
from discoveryd.protocol.link import Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Outcome
from discoveryd.protocol.rate_limits import RateLimits
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.token_buckets import TokenBuckets

UNASKED_PER_SECOND = 100
"""New peers a second that are listed before they answered a PING; nodes and bare ones each have so many."""


class Admission:
    """Refuses what does not count, with the reason.

    Args:
        outbox: this node, its links and keys.
        table: the peers.
        rate_limits: the limits of what sources may bring, and the counters.

    Attributes:
        flooded_since: in a flood, when there certainly was none yet.
    """

    def __init__(self, outbox: Outbox, table: PeerTable, rate_limits: RateLimits) -> None:
        self.flooded_since: float | None = None
        self._outbox = outbox
        self._table = table
        self._rate_limits = rate_limits
        self._unasked = TokenBuckets(UNASKED_PER_SECOND, 2 * UNASKED_PER_SECOND, sources=2)

    def is_foreign(self, source: Source) -> bool:
        """Return whether a source is another machine."""
        return source.address not in self._outbox.own_addresses

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
        if table.get(*key) is not None:
            return
        self._rate_limits.admit(source, now)
        routed = self._outbox.parameters.limits.routed
        if not self._outbox.is_ours(source) and table.is_crowded_beyond(routed):
            raise WireError("table-full", f"{routed} peers beyond our links")
        if not source.key and not self._unasked.allows("node" if key[1] else "bare", now):
            raise Unproven("unproven", f"more than {UNASKED_PER_SECOND} new peers a second: it has to answer first")

    def refusal(self, source: Source, now: float) -> WireError | None:
        """Return why a source is not answered, None where it is."""
        return self._rate_limits.refusal(source, now, is_ours=self._outbox.is_ours(source))

    def drop(self, error: WireError, source: Source) -> Outcome:
        """Count a datagram that is not taken."""
        return self._rate_limits.drop(error, source, self._outbox.link_state(source).name)

    def dropped(self, reason: str, detail: str, source: Source) -> Outcome:
        """Count a datagram that is not taken, but that something follows from."""
        return self.drop(WireError(reason, detail), source)
