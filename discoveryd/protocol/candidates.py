"""Candidates: nodes that a peer named, or that knocked; each is asked itself, a few times, before it is anything more.

The rules are part of the specification, in `discoveryd.protocol.introductions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from discoveryd.protocol.addresses import is_link_local
from discoveryd.protocol.bounded import drop_first, put_last
from discoveryd.protocol.hosts import is_unicast
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import Claim, Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.row import Key
from discoveryd.protocol.wire.meet import NamedPeer

if TYPE_CHECKING:
    from discoveryd.protocol.reception import Reception

WAITS = (1.0, 4.0, 16.0)
KNOCKED = (1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0, 16.0)
"""Seconds after each PING to a candidate; to one that knocked itself, and seals. At 20 % loss each way one in 3,500
answers none of the latter."""
MOST_NAMED = 8
"""PINGs within `SILENCE` to a candidate that other peers name too, and seals: one more for each of them. At 20 % loss
one pair in 16,000 would not meet by three of either side, and with 100 nodes there are 4,950 pairs."""
SILENCE = 3600.0
"""Seconds from the first PING to a candidate in which it gets no more than these."""
RENEWAL = 15.0
"""Seconds until a candidate that knocks, and seals, may be asked anew once more: four times as long each time."""
GREETINGS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds from the answer of a candidate, and then between the HELLOs that it gets until it is listed."""
PINGS_PER_SECOND = 20
"""PINGs to all candidates together."""
AT_ONE = 3.5
"""PINGs a second that all nodes together send to one address which a peer names to all of them: at most 5 in any
second, where all list the same peers and were told at once."""
MAX_CANDIDATES, MAX_OF_ONE = 1024, 256
"""Candidates of all peers, and of one: those that wait, and those that did not answer within the last hour."""


@dataclass(slots=True)
class Candidate:
    """A node that is said to be at an address: never shown; only what it says itself lists it.

    Attributes:
        key: its id and boot.
        by: boot of the peer that named it, empty if it knocked itself.
        others: boots of peers that named it after it had got its PINGs.
        questions: how often other peers were asked for it.
        source: where, and in which variant, it is asked.
        due: when it gets the next PING; without end when it has got all.
        tries: PINGs that it got, or HELLOs once it answered.
        is_met: whether it answered: then it gets HELLOs until it is listed.
        until: when it may be asked anew.
        renewals: how often it was asked anew before that, because it knocked; `renewable` when it may be again.
    """

    key: Key
    by: str
    source: Source
    due: float
    tries: int = 0
    is_met: bool = False
    until: float = NEVER
    renewals: int = 0
    renewable: float = -NEVER
    others: set[str] = field(default_factory=set)
    questions: int = 0

    @property
    def is_silent(self) -> bool:
        """Whether it got its PINGs, and one more peer that names it is a reason for one more."""
        most = MOST_NAMED - len(WAITS)
        return bool(self.by and self.source.key) and self.due == NEVER and len(self.others) < most


class Candidates(dict[str, Candidate]):
    """The candidates by address, those that were added first first.

    Args:
        rooms: of the engine.

    Attributes:
        named, met, refused: how many were named to us, answered, and were too many.
        next_due: when `poll` has something to do.
    """

    def __init__(self, rooms: Reception) -> None:
        super().__init__()
        self._rooms = rooms
        self.named = self.met = self.refused = 0
        self.next_due = NEVER
        self._free_at = -NEVER  # when the next PING may be sent

    def take(self, peer: NamedPeer, by: str, variant: str, now: float) -> bool:
        """Take a peer that was named for a candidate; return whether it is new."""
        outbox, table = self._rooms.outbox, self._rooms.table
        row = table.get(peer.id, peer.boot)
        is_known = peer.boot == outbox.boot or (row is not None and row.is_shown and row.proved)
        if is_known or peer.address in outbox.own_addresses or not is_global(peer.address):
            return False
        if not variant and not outbox.introduced.hold(peer.address):
            return False
        drop_first(self, lambda candidate: now >= candidate.until)
        if (known := self.get(peer.address)) is not None:
            self._name_again(known, peer, by, now)
            return False
        self.named += 1
        of_one = sum(candidate.by == by for candidate in self.values())
        if of_one >= MAX_OF_ONE or len(self) >= MAX_CANDIDATES:
            self.refused += 1
            return False
        due, source = now + self._turn(peer.address, now), self._source(peer.address, variant, peer.boot)
        self._add(Candidate((peer.id, peer.boot), by, source, due), now)
        return True

    def _name_again(self, known: Candidate, peer: NamedPeer, by: str, now: float) -> None:
        """Send one more PING to a candidate that did not answer, and that another peer knows to live."""
        if known.is_silent and known.key == (peer.id, peer.boot) and by not in (known.by, *known.others):
            known.others.add(by)
            known.due = now + self._turn(peer.address, now)
            self.next_due = min(self.next_due, known.due)

    def sought(self) -> str | None:
        """Return the boot of a candidate that did not answer, and that others may know to live; of each in its turn."""
        silent = [candidate for candidate in self.values() if candidate.is_silent and not self._is_met(candidate)]
        if not silent:
            return None
        sought = min(silent, key=lambda candidate: candidate.questions)
        sought.questions += 1
        return sought.key[1]

    def _source(self, address: str, variant: str, boot: str) -> Source:
        link = self._rooms.outbox.link_to(address)
        return Source(address, link, unicast=True, key=variant, boot=boot if variant else "")

    def _add(self, candidate: Candidate, now: float) -> None:
        candidate.until = now + SILENCE
        self.next_due = min(self.next_due, candidate.due)
        put_last(self, candidate.source.address, candidate, MAX_CANDIDATES)

    def _turn(self, address: str, now: float) -> float:
        """Return the seconds until our PING: nodes that list each other take one place each, by the order of boots."""
        outbox = self._rooms.outbox
        boots = [row.boot for row in self._rooms.table.rows(now) if row.boot]
        place, count = sum([boot < outbox.boot for boot in boots]), len(boots) + 1
        first = int.from_bytes(address.encode(), "big")  # no node is the last for all addresses
        return ((place + first) % count + outbox.random.random()) / count * self._spread(now)

    def _spread(self, now: float) -> float:
        """Return the seconds in which all nodes, those that were known before a restart too, send one PING each."""
        rooms = self._rooms
        return max(WAITS[0], (1 + rooms.table.live_count(now) + len(rooms.beyond.former)) / AT_ONE)

    def knock(self, key: Key, source: Source, now: float) -> None:
        """Take a node that speaks from an address beyond our links for a candidate: it was not asked there yet."""
        known = self.get(source.address)
        if source.link is not None or not self._rooms.introductions.belongs(source.key, source.address):
            return
        if known is None:
            if len(self) < MAX_CANDIDATES:
                self._add(Candidate(key, "", source, now), now)
            return
        is_renewed = bool(source.key) and known.tries > 0 and now >= known.renewable
        if known.is_met or not (is_renewed or known.tries == 0):
            return
        known.key, known.by, known.source, known.due = key, "", source, now  # it need not wait any longer
        if is_renewed:
            known.tries = 0
            known.renewable = now + min(RENEWAL * 4.0**known.renewals, SILENCE)
            known.renewals += 1
        self._add(known, now)

    def met_at(self, address: str, now: float) -> None:
        """Note that a node answered a PING at an address: if it was a candidate, it is greeted until it is listed."""
        candidate = self.get(address)
        if candidate is not None and not candidate.is_met:
            self.met += 1
            candidate.is_met, candidate.tries, candidate.due = True, 0, now + GREETINGS[0]
            self.next_due = min(self.next_due, candidate.due)

    # --- what is due ------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Send]:
        """Return the PINGs that are due, and HELLOs to those that answered."""
        if now < self.next_due:
            return []
        sends: list[Send] = []
        for candidate in sorted(self.values(), key=lambda candidate: candidate.due):
            if now < candidate.due:
                break
            if candidate.is_met:
                sends += self._greet(candidate, now)
                continue
            waits: tuple[float, ...] = KNOCKED if candidate.source.key and not candidate.by else WAITS
            waits += waits[-1:] * len(candidate.others)
            if candidate.tries >= len(waits) or self._is_met(candidate):
                candidate.due = NEVER
                continue
            if now < self._free_at:
                self.next_due = self._free_at
                return sends
            self._free_at = now + 1.0 / PINGS_PER_SECOND
            spread = self._spread(now) if candidate.by else 0.0
            candidate.due = now + max(waits[candidate.tries], spread)
            candidate.tries += 1
            claim = Claim(candidate.source, candidate.key, solicits=not self._is_listed(candidate))
            sends += self._rooms.challenges.ask(claim, now)
        self.next_due = min((candidate.due for candidate in self.values()), default=NEVER)
        return sends

    def _greet(self, candidate: Candidate, now: float) -> list[Send]:
        """Solicit the HELLO of a candidate that answered, until it is listed by that."""
        outbox, source = self._rooms.outbox, candidate.source
        candidate.tries += 1
        if self._is_listed(candidate) or candidate.tries >= len(GREETINGS):
            del self[source.address]
            if not self._is_listed(candidate):
                self._rooms.beyond.greet(source.address, now)
            return []
        candidate.due = now + GREETINGS[candidate.tries]
        return [outbox.unicast(outbox.hello(solicit=True).encode(), source, candidate.key[1])]

    def _is_listed(self, candidate: Candidate) -> bool:
        row = self._rooms.table.get(*candidate.key)
        return row is not None and row.is_shown

    def _is_met(self, candidate: Candidate) -> bool:
        row = self._rooms.table.get(*candidate.key)
        if row is None or not row.is_shown or not row.proved:
            return False
        path = row.paths.of(candidate.source)
        return bool(candidate.by) or (path is not None and self._rooms.outbox.reaches(path.source))



def is_global(address: str) -> bool:
    """Return whether an address means the same node to others: not one of a link, nor of loopback."""
    return is_unicast(address) and not is_link_local(address) and not address.startswith("169.254.")
