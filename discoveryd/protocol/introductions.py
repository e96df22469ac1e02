r"""Introductions: a node asks a peer for others, and each that is named is asked itself. So one seed leads to all.

============  ==============================================================================
field         form
============  ==============================================================================
*after*       16 of ``0-9 a-f``: a boot, or zeros for none
*named*       0 to 640 of ``A-Z a-z 0-9 . : , ; _ -``: address, id and boot of each, as shown
============  ==============================================================================

MEET and INTRO
==============

::

    MEET|2|<realm>|<id>|<boot>|<nonce>|<after>|
    INTRO|2|<realm>|<boot>|<nonce>|<named>|

A MEET goes by unicast to a peer that answered a PING. One more field of zeros fills it up to 704 bytes, the length of
the longest INTRO; a shorter one is dropped, reason ``malformed``. *named* has live peers of the answering node, in the
order of their boots from the first above *after* on, and then from the lowest on, as many as fit. A question, and its
answer (``0..0`` stands for what fills it up)::

    MEET|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|0000000000000000|0..0|
    INTRO|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|10.2.0.7,db1,77b1c0d2e3f40516|

Sealed
======

::

    E|<nonce>|<after>
    I|<nonce>|<named>

A sealed INTRO has at most 988 bytes, and a MEET 988 or more.

- **Asking and answering nodes.** A node that seals asks seeds and routed peers that seal. Where nothing is sealed both
  ends must be of a network under ``hello.introduce``: the asking node asks no other, and the asked node answers no
  other; a plain PING from such a network is then answered as that of a seed is.
- **Named nodes.** First-hand only: a peer that is up and answered a PING at the address that is named; to a node that
  seals only peers that seal. Never a link-local address, nor one of a network inside the machine (containers).
- **When.** At once when there is a node to ask, then each second until nothing was new in a whole round through the
  boots; after that 2, 4 … 60 s ±10 % later. Seeds come first, then each peer in turn, and each question goes on where
  the last answer ended. A node is answered once a second, three times at once, and all together 20 times.
- **Candidates.** What is named is a candidate: never shown, nor named to others. It gets a PING for its boot within
  1 s, or 2 s for each 7 nodes (itself, those listed, and former peers), in which each node has a place of its own: by
  the order of boots, beginning with another one for each address. So all nodes that were told at once send it 3.5 PINGs
  a second together, at most 5 in any second, however many name it; by chance more where not all list the same. Without
  a PONG there are two more, 1 and 4 s later (or as long as that time is), and after 16 s none for an hour, however many
  name it. But one that seals, as all those do that name it, gets one more for each other peer that names it after that,
  up to 8 within that hour, and each other question is for it. All candidates together get 20 PINGs a second. Of those
  that one peer names 256 at most wait, or are remembered as silent; of all 1024.
- **Its own answer lists it.** A PONG proves that the boot is there. It gets HELLOs that solicit, after 0.5, 1, 2 and
  4 s, until it is listed by its own, as any peer.
- **Knocks.** A node that is sent a PING by an unknown boot beyond its links, and answers it, takes that for a candidate
  too, at once; if it seals, with up to 8 PINGs, also where it got its PINGs within that hour, after 15, 60 … 3600 s. So
  both try, and mostly one datagram of many is enough. In the same way the new address of a routed peer that seals is
  asked before anything else goes there.
- **Beyond our links.** Which nodes are greeted there, and how often: `discoveryd.protocol.routed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import TokenBuckets, drop_first
from discoveryd.protocol.candidates import Candidates, is_global
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import NOTHING, Handlers, Incoming, Outcome, Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.wire.meet import FROM_THE_FIRST, MAX_INTRO, Intro, Meet, NamedPeer, write_named

if TYPE_CHECKING:
    from discoveryd.protocol.reception import Reception

PER_SOURCE, AT_ONCE, PER_SECOND = 1.0, 3.0, 20.0
"""Questions a second of one node that are answered, at once, and of all nodes."""
LIFE = 5.0
"""Seconds that an answer may take."""
AGAIN, LONGEST_PAUSE = 1.0, 60.0
"""Seconds to the next question while there is news, and at most."""
@dataclass(slots=True)
class MeetAsked:
    """A question that waits for its answer: which boot was asked, where, for boots after which, and when."""

    boot: str
    address: str
    after: str
    at: float


class Introductions:
    """Asks for peers, names peers, and asks those that were named.

    Args:
        rooms: of the engine.

    Attributes:
        candidates: those that were named, and are asked.
        internal: names of links inside this machine (containers): no address there is named.
    """

    def __init__(self, rooms: Reception) -> None:
        self._rooms = rooms
        self.candidates = Candidates(rooms)
        self.internal: frozenset[str] = frozenset()
        self._answers = TokenBuckets(PER_SOURCE, PER_SECOND, burst=AT_ONCE)
        self._questions: dict[str, MeetAsked] = {}
        self._asked: dict[str, float] = {}  # when a boot was asked last
        self._after = FROM_THE_FIRST  # where the last answer ended
        self._is_seeking = False  # a candidate that was silent
        self._is_quick = self._has_news = True  # until nothing was new in a whole round through the boots
        self._due = NEVER
        self._pause = AGAIN

    def handlers(self) -> Handlers:
        """Return what hears each kind of message."""
        return {Meet: self.hear_meet, Intro: self.hear_intro}

    # --- naming peers -----------------------------------------------------------------------------

    def hear_meet(self, meet: Meet, incoming: Incoming, now: float) -> Outcome:
        """Name some peers to one that asks.

        Raises:
            WireError: as `RateLimits.check_sender`; ``malformed``, ``unproven``, ``off-link`` or ``rate``.
        """
        source, rooms = incoming.source, self._rooms
        rooms.rate_limits.check_sender(meet.realm, meet.boot, source, now, meet.id)
        if incoming.size < MAX_INTRO:
            raise WireError("malformed", f"a question of {incoming.size} bytes, at least {MAX_INTRO}")
        if not incoming.is_known or not rooms.outbox.credit.is_proven(source.address, now):
            raise WireError("unproven", "asks for peers, and has not answered a PING there")
        if not self.belongs(source.key, source.address):
            raise WireError("off-link", "asks for peers in plain, from no network under hello.introduce")
        if not self._answers.allows(source.boot or source.address, now):
            raise WireError("rate", f"more than {PER_SOURCE:g} questions for peers a second")
        rooms.understood["meet"] += 1
        outbox = rooms.outbox
        intro = Intro(
            realm=outbox.parameters.realm, boot=outbox.boot, nonce=meet.nonce,
            named=write_named(self.names(meet, source, now)),
        )  # fmt: skip
        return Outcome(sends=(outbox.unicast(intro.encode(), source, kind="intro"),))

    def names(self, meet: Meet, source: Source, now: float) -> list[NamedPeer]:
        """Return the peers that a node may be named, in the order in which it asks for them."""
        found = []
        for row in self._rooms.table.rows(now):
            path = row.paths.best(now)
            is_meant = row.kind == "node" and row.id != meet.id and path.address != source.address
            is_fit = row.sealed_with or (row.proved and not source.key)
            if is_meant and is_fit and row.state_at(now) == "up" and self._may_name(path, now):
                found.append(NamedPeer(path.address, row.id, row.boot))
        return sorted(found, key=lambda peer: (peer.boot <= meet.after, peer.boot))

    def _may_name(self, path: Path, now: float) -> bool:
        is_proved = self._rooms.outbox.credit.is_proven(path.address, now)
        return is_proved and path.link not in self.internal and is_global(path.address)

    def belongs(self, key: str, address: str) -> bool:
        """Return whether introductions are made with a node: it seals, or is of a network that is configured."""
        outbox = self._rooms.outbox
        return bool(key) or (outbox.keyring.takes_plain and outbox.introduced.hold(address))

    # --- asking for peers -------------------------------------------------------------------------

    def peer_changed(self, row: Row, now: float) -> None:
        """Note that a peer answered a PING: there may be a node to ask now."""
        outbox = self._rooms.outbox
        if self._due == NEVER and (outbox.keyring.sends or outbox.introduced) and self._path(row, now) is not None:
            self._due, self._pause, self._is_quick = now, AGAIN, True

    def _path(self, row: Row, now: float) -> Path | None:
        """Return the path by which a peer is asked for others; None if it is not."""
        rooms, path = self._rooms, row.paths.best(now)
        if row.kind == "bare" or row.state_at(now) != "up" or not rooms.outbox.credit.is_proven(path.address, now):
            return None
        if path.source.link is not None and path.address not in rooms.outbox.seeds.addresses:
            return None
        return path if rooms.outbox.reaches(path.source) and self.belongs(row.sealed_with, path.address) else None

    def _ask(self, now: float) -> list[Send]:
        rooms, outbox = self._rooms, self._rooms.outbox
        askable = [(row, path) for row in rooms.table.rows(now) if (path := self._path(row, now)) is not None]
        if not askable:
            self._due = NEVER
            return []
        self._asked = {row.boot: self._asked.get(row.boot, -NEVER) for row, _ in askable}
        seeds = outbox.seeds.addresses
        row, path = min(askable, key=lambda one: (self._asked[one[0].boot], one[1].address not in seeds))
        self._asked[row.boot], nonce = now, outbox.nonce()
        self._is_seeking = not (self._is_seeking or self._is_quick)  # each other question
        sought = self.candidates.sought() if self._is_seeking else None
        after = self._after if sought is None else f"{max(0, int(sought, 16) - 1):016x}"
        drop_first(self._questions, lambda question: now >= question.at + LIFE)
        self._questions[nonce] = MeetAsked(row.boot, path.address, after, now)
        self._pause = AGAIN if self._is_quick else min(2 * self._pause, LONGEST_PAUSE)
        self._due = now + self._pause * outbox.random.uniform(0.9, 1.1)
        meet = Meet(realm=outbox.parameters.realm, id=outbox.id, boot=outbox.boot, nonce=nonce, after=after)
        return [outbox.unicast(meet.encode(), path.source, row.boot, kind="meet")]

    def hear_intro(self, intro: Intro, incoming: Incoming, now: float) -> Outcome:
        """Take the names in an answer as candidates.

        Raises:
            WireError: as `RateLimits.check_sender`; ``unproven``; ``unexpected``: it answers no question of ours.
        """
        source, rooms = incoming.source, self._rooms
        rooms.rate_limits.check_sender(intro.realm, intro.boot, source, now)
        question = self._questions.get(intro.nonce)
        is_ours = question is not None and question.boot == intro.boot and now < question.at + LIFE
        if question is None or not is_ours or not (source.key or source.address == question.address):
            raise WireError("unexpected", "an answer to no question of ours")
        if not incoming.is_known or not self.belongs(source.key, source.address):
            raise WireError("unproven", "names peers, and is not known to live")
        del self._questions[intro.nonce]
        rooms.understood["intro"] += 1
        peers = intro.peers()
        if sum([self.candidates.take(peer, intro.boot, source.key, now) for peer in peers]):
            self._is_quick = self._has_news = True
            self._due = min(self._due, now + AGAIN)
        if not peers or any(peer.boot <= question.after for peer in peers):  # once round through the boots
            self._is_quick, self._has_news = self._has_news, False
        if peers and question.after == self._after:
            self._after = peers[-1].boot
        return NOTHING

    # --- time -------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Send]:
        """Return the questions and PINGs that are due."""
        return (self._ask(now) if now >= self._due else []) + self.candidates.poll(now)

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        return min(self._due, self.candidates.next_due)
