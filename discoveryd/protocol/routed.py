"""The nodes beyond our links that HELLOs go to: seeds, and peers that proved to be there.

- **Live peers.** Each routed peer that answered a PING at its address, and is a seed, seals, or is of a network under
  ``hello.introduce``, gets each HELLO by unicast, as all on a link do.
- **Budget.** ``hello.routed_budget`` bounds the datagrams a second of one node to all of them. Live peers get nine
  tenths of it: the interval is at least their number divided by that, announced as on a segment, with the ttl that goes
  with it. A segment's own budget counts the peers on links alone.
- **Silent seeds** share what is left, at least a tenth: where that is not enough for all of them with each beat they
  take turns. So seeds that are dead delay no other node.
- **Former peers.** A routed peer that fell silent without a goodbye, or was known before a restart, gets a HELLO that
  solicits after 1, 2, 4 … 60 s, later ever more seldom, to 600 s after an hour, for a day: two halves of a network that
  was cut come together again without a seed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.table import PeerTable

LIVE_SHARE = 0.9
"""Part of the budget for peers that live."""
FIRST_PAUSE, PAUSE, LONGEST_PAUSE = 1.0, 60.0, 600.0
"""Seconds between two HELLOs to a former peer: doubled each time, up to the second, or a sixth of the time since."""
FORMER_LIFE = 86_400.0
"""Seconds for which a former peer is greeted."""
MAX_FORMER = 256
"""Former peers that are greeted, and routed peers that outlive a restart; past it the one added first is forgotten."""


@dataclass(slots=True)
class FormerPeer:
    """A routed peer that is not heard: since when, when it is greeted next, and how long after that again."""

    since: float
    due: float
    pause: float = FIRST_PAUSE


class RoutedPeers:
    """Knows which addresses beyond our links get the next HELLO.

    Args:
        outbox: knows the seeds, and what is reached.
        table: the peers.

    Attributes:
        live: the row of each live routed peer, by the address that is greeted.
        former: those that fell silent, by address.
        rate: HELLOs a second that the live ones announce.
    """

    def __init__(self, outbox: Outbox, table: PeerTable) -> None:
        self._outbox = outbox
        self._table = table
        self.live: dict[str, Row] = {}
        self.former: dict[str, FormerPeer] = {}
        self.rate = 0.0
        self._turn = 0
        self._room = 0.0
        self._filled_at: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is no node to greet, and never was."""
        outbox = self._outbox
        return not (self.live or self.former or outbox.aliases or outbox.seeds.addresses)

    def least_interval(self) -> float:
        """Return the interval by which the live ones stay within their part of the budget."""
        outbox = self._outbox
        return len(self.live) * outbox.copies / (LIVE_SHARE * outbox.parameters.routed_budget)

    def refresh(self, now: float) -> None:
        """Find out which routed peers live."""
        if self.is_idle:
            return
        outbox, found, rate = self._outbox, dict[str, Row](), 0.0
        for row in self._table.rows(now):
            for heard in row.paths if self.former else ():
                self.former.pop(heard.address, None)
            path = self._path(row, now) if row.proved else None
            if path is not None:
                found[outbox.aliases.get(path.address) or path.address] = row
                rate += 1.0 / (row.interval or row.ttl)
        before, self.live, self.rate = self.live, found, rate
        for address, row in before.items():
            if address not in found and row.state_at(now) == "down" and not row.is_replaced:
                self.greet(address, now)
        if outbox.routed_peers != (addresses := tuple(found)):
            outbox.routed_peers = addresses
            outbox.greet_seeds()

    def _path(self, row: Row, now: float) -> Path | None:
        """Return the routed path by which a peer is greeted; None where it is on a link, or not known to be there."""
        if row.paths.best(now).source.link is not None:
            return None
        paths = (path for path in row.paths.fresh(now) if path.source.link is None)
        return next((path for path in paths if self._outbox.reaches(path.source)), None)

    # --- those that are not heard -------------------------------------------------------------------

    def greet(self, address: str, now: float) -> None:
        """Greet an address beyond our links, where a peer was, again and again until one is heard there."""
        if address not in self.live and address not in self._outbox.seeds.addresses:
            put_last(self.former, address, FormerPeer(now, now), MAX_FORMER)

    def targets(self, now: float) -> list[str]:
        """Return the addresses that get the HELLO of this moment."""
        self.refresh(now)
        if self.is_idle:
            return []
        outbox = self._outbox
        room = self._fill(now)
        due = [address for address, former in self.former.items() if now >= former.due][:room]
        for address in due:
            self._wait(address, now)
        quiet = [
            seed for seed in outbox.seeds.addresses if seed not in self.live and seed not in outbox.own_addresses
        ]
        room -= len(due)
        if len(quiet) > room:  # in turns
            first = self._turn % len(quiet)
            self._turn += room
            quiet = (quiet[first:] + quiet[:first])[:room]
        self._room -= (len(due) + len(quiet)) * outbox.copies
        return list(dict.fromkeys((*self.live, *quiet, *due)))

    def _fill(self, now: float) -> int:
        """Return how many that are not heard may be greeted now."""
        outbox = self._outbox
        budget, spent = outbox.parameters.routed_budget, len(self.live) * outbox.copies / outbox.pace
        rate = max((1 - LIVE_SHARE) * budget, budget - spent)
        passed = 1.0 if self._filled_at is None else max(0.0, now - self._filled_at)
        self._filled_at = now
        self._room = min(max(1.0, rate, rate * outbox.pace), self._room + rate * passed)
        return max(0, int(self._room) // outbox.copies)

    def _wait(self, address: str, now: float) -> None:
        former = self.former[address]
        former.due = now + former.pause
        former.pause = min(2 * former.pause, max(PAUSE, (now - former.since) / 6), LONGEST_PAUSE)
        if now >= former.since + FORMER_LIFE:
            del self.former[address]

    # --- what outlives a restart --------------------------------------------------------------------

    def remember(self, addresses: Iterable[str], now: float) -> None:
        """Greet the routed peers that were known before a restart."""
        for address in addresses:
            self.greet(address, now)

    def known(self, now: float) -> tuple[str, ...]:
        """Return the addresses of routed peers that are to be known after a restart, the live ones first."""
        self.refresh(now)
        return (*self.live, *reversed(self.former))[:MAX_FORMER]
