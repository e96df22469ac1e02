"""PINGs: to suspects, so that silence is told from loss, and to everyone in turn, slowly, to know the paths."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from random import Random
from typing import NamedTuple

from discoveryd.protocol.events import Event
from discoveryd.protocol.limiter import Limiter
from discoveryd.protocol.link import Source
from discoveryd.protocol.liveness import LEAST_PROBE_GAP, PROBE_GAP, probe_gap, probes_needed
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.peer import LIVE
from discoveryd.protocol.probe import Pong
from discoveryd.protocol.row import NEVER, Row, Way
from discoveryd.protocol.table import PeerTable

PROBES_PER_SECOND = 100
"""Probes of all suspects together, when a whole network falls silent."""

QUIET_PER_SECOND = 200
"""PINGs to all peers that answer but whose HELLOs do not come: as many as there may be HELLOs."""
TRIES = 16
"""PINGs to one of them in the silence after which it would be suspect, did it not answer."""

TURN = 60.0
"""Seconds, ±10 %, between two PINGs to one address."""
FIRST_TURN = (0.3, 1.0)
"""Seconds after which an address that is new is asked, at the soonest and at the latest."""
RETRY = 1.0
DOUBT = 5.0
"""Seconds to the next PING after one that was not answered, and of a peer that says it does not hear us.

Of one that never answered the seconds double each time after the first few: it may be a forgery, or mute for good."""
PROMPT = 4
"""PINGs a second apart to a path that never answered: at 30 % loss each way one in 15 peers answers none of them."""
ASK_BACK = 2.0
"""Seconds since our last PING after which one is sent back to who asks us: it may be about to give us up."""
PATIENCE = 20
"""PINGs in a row without an answer, in turn or to a suspect, after which there is no hurry."""
TURN_GAP = 0.2
"""At most 5 PINGs a second are sent in turn, however many peers there are: then a turn takes longer."""
NEWCOMERS = 5
NEWCOMERS_GAP = 0.1
"""So many in so many seconds of those that never answered: until they do, little is believed of them."""
LEAST_TURNS = 1024
"""Turns kept before those that are void are cleared out."""

PING_LIFE = 10.0
MAX_PINGS = 1024
"""Seconds that a PING may wait for its PONG, and how many may wait."""

REFUSED = "its machine says that no discoveryd listens there (port unreachable)"


class Asked(NamedTuple):
    """A PING that waits for its PONG."""

    at: float
    row: Row
    way: Way
    wanted: bool  # somebody waits for the answer


class Turn(NamedTuple):
    """When a way is to be pinged; void once the way has another turn (`Way.turn_at`)."""

    due: float
    tie: int
    listed: float
    row: Row
    way: Way


class Turns(list[Turn]):
    """A heap of turns.

    Attributes:
        gap: seconds between two times that some are taken.
        at_once: how many then.
        next: the next time.
        most: turns kept before those that are void are cleared out.
    """

    def __init__(self, gap: float, at_once: int) -> None:
        super().__init__()
        self.gap = gap
        self.at_once = at_once
        self.next = -NEVER
        self.most = LEAST_TURNS

    def next_due(self) -> float:
        """Say when the first of them may be taken."""
        return max(self[0].due, self.next) if self else NEVER


class Prober:
    """Decides whom to PING and when, and what silence proves.

    Args:
        table: whose suspects and addresses it asks.
        random: for nonces and turns.
        write: makes the PING to send to a row, given its nonce and the way it goes.
        reaches: whether we may send PINGs of our own accord that way.
    """

    def __init__(
        self,
        table: PeerTable,
        random: Random,
        write: Callable[[Row, Way, str], Send],
        reaches: Callable[[Way], bool] = lambda _: True,
    ) -> None:
        self._table = table
        self._random = random
        self._write = write
        self._reaches = reaches
        self._asked: dict[str, Asked] = {}
        self._wanted: dict[str, Asked] = {}  # apart, so that programs push out no PING that liveness rests on
        self._budget = Limiter(PROBES_PER_SECOND, PROBES_PER_SECOND, sources=1)
        self._quiet_budget = Limiter(QUIET_PER_SECOND, QUIET_PER_SECOND, sources=1)
        self._next_probe = self._next_quiet = -NEVER
        self._turns = Turns(TURN_GAP, 1)
        self._newcomers = Turns(NEWCOMERS_GAP, NEWCOMERS)
        self._tie = 0

    def __len__(self) -> int:
        """Count the PINGs that wait for an answer."""
        return len(self._asked) + len(self._wanted)

    def ask(self, row: Row, way: Way, now: float, *, wanted: bool = False) -> tuple[str, Send]:
        """Send one PING; give its nonce too."""
        nonce = f"{self._random.getrandbits(64):016x}"
        waiting = self._wanted if wanted else self._asked
        while len(waiting) >= MAX_PINGS:
            del waiting[next(iter(waiting))]
        waiting[nonce] = Asked(now, row, way, wanted)
        way.pinged = now
        return nonce, self._write(row, way, nonce)

    def answer(self, pong: Pong, source: Source) -> Asked | None:
        """Give the PING that a PONG answers: of the boot that was asked, and from where that is.

        Beyond our links a seed may answer from another of its addresses, and so may who seals.
        """
        asked = self._asked.get(pong.nonce) or self._wanted.get(pong.nonce)
        if asked is None or (asked.row.boot and pong.boot != asked.row.boot):
            return None
        is_there = any(way.address == source.address for way in (asked.way, *asked.row.ways.values()))
        is_beyond = source.link is None and asked.way.source.link is None
        if not is_there and not (is_beyond and (source.key or self._reaches(asked.way))):
            return None
        return self._take(pong.nonce)

    def watch(self, row: Row, now: float) -> None:
        """PING the addresses of a row in turn from now on."""
        for way in row.ways.values():
            if way.turn_at == NEVER and self._reaches(way):  # it is new, or came back
                self._list(now, now + self._random.uniform(*FIRST_TURN), row, way)

    def is_asked(self, row: Row, way: Way, now: float) -> None:
        """Ask back who asks us, unless we just did: it may not hear us any more."""
        if row.state == "up" and now >= way.pinged + ASK_BACK and now < way.turn_at < NEVER:
            self._list(now, now, row, way)

    def refused(self, nonce: str, now: float) -> tuple[Event, ...]:
        """Take the kernel's word that nobody listens where a PING of ours went.

        It is the end of a suspect. Of a peer that was just heard it is remembered; should it be
        heard again, its firewall said so, and such words count for nothing. So do those from an
        address that it no longer uses: somebody else may have it.
        """
        asked = self._take(nonce)
        if asked is None or asked.row.rejects or asked.way not in asked.row.last_ways():
            return ()
        return self._table.refused(asked.row, REFUSED, now)

    def poll(self, now: float, heard: float | None = None) -> tuple[list[Send], list[Event]]:
        """Give what is due: PINGs, and peers to give up.

        Args:
            now: the present moment.
            heard: until when all that arrived is known: what became due later waits. None for now.
        """
        heard = now if heard is None else heard
        sends: list[Send] = []
        events: list[Event] = []
        for waiting in (self._asked, self._wanted):
            if waiting:
                _forget(waiting, heard)
        if self._table.leavers and now >= self._next_probe:
            self._ask_leavers(now, sends)
        if self._table.suspects and now >= self._next_probe:
            self._probe(now, heard, sends, events)
        if self._table.quiet:
            self._ask_on(now, sends)
        for turns in (self._newcomers, self._turns):
            if turns and turns[0].due <= heard and turns.next <= now:
                self._take_turns(turns, now, heard, sends, events)
        return sends, events

    def next_deadline(self) -> float:
        """Say when `poll` has something to do."""
        due = min(self._turns.next_due(), self._newcomers.next_due())
        if self._table.leavers:
            due = min(due, max(next(iter(self._table.leavers.values())).last_heard, self._next_probe))
        if self._table.quiet:
            due = min(due, max(min(row.ask_at for row in self._table.quiet.values()), self._next_quiet))
        if self._table.suspects:
            probe_at = min(row.probe_at for row in self._table.suspects.values())
            due = min(due, max(probe_at, self._next_probe))
        return due

    # --- suspects -------------------------------------------------------------------------------

    def _ask_leavers(self, now: float, sends: list[Send]) -> None:
        """Ask those that are gone, and of which something came, whether they are: nobody can forge an answer."""
        for key, row in list(self._table.leavers.items()):
            if not self._budget.allows("", now):
                self._next_probe = now + PROBE_GAP
                return
            del self._table.leavers[key]
            way = row.best(now)
            if row.state not in LIVE and self._reaches(way) and now >= row.question_at:
                row.question_at = now + min(RETRY * 2.0**row.questions, TURN)
                row.questions = min(row.questions + 1, PATIENCE)
                sends.append(self.ask(row, way, now)[1])

    def _probe(self, now: float, heard: float, sends: list[Send], events: list[Event]) -> None:
        """Ask the suspects whose time it is, those that once answered first; give up whose silence is proof enough."""
        due = [row for row in self._table.suspects.values() if heard >= row.probe_at]
        for row in sorted(due, key=lambda row: (not row.proved, row.probe_at)):
            proof = self._proof(row, heard)
            if proof:
                events += self._table.give_up(row, proof, heard)
                continue
            ways = [way for way in row.last_ways() if self._reaches(way)]
            if not ways:
                row.probe_at = now + PROBE_GAP
                continue
            if not self._budget.allows("", now):
                self._next_probe = now + PROBE_GAP
                return
            way = min(ways, key=lambda way: way.probes)  # one after the other
            way.probes += 1
            if way.probes == probes_needed(way.loss_at_most):
                way.proved_at = now + max(PROBE_GAP, 2 * (way.rtt or 0.0))
            row.probe_at = now + self._gap(row, ways)
            if now < way.proved_at < row.probe_at:
                row.probe_at = way.proved_at
            sends.append(self.ask(row, way, now)[1])

    def _gap(self, row: Row, ways: list[Way]) -> float:
        """Return the seconds to the next PING of a suspect; the life of one that is unproven is short."""
        worst = max((way.loss_at_most for way in ways if way.loss_at_most is not None), default=None)
        if min(way.probes for way in ways) > max(PATIENCE, probes_needed(worst) or 0):
            return max(RETRY, row.interval or 0.0)  # no proof will come: its ttl, which is long, decides
        if not row.proved:
            return LEAST_PROBE_GAP
        return probe_gap(worst, row.life - row.suspect_after)

    def _proof(self, row: Row, now: float) -> str:
        """Say what proves that a suspect is gone; empty if nothing does.

        Each way by which it was heard lately must be proved to be silent: where one of two cables is
        cut, the silence there says nothing of the other.
        """
        if row.refused > row.last_heard and not row.rejects:
            return REFUSED
        ways = row.last_ways()
        # who never answered does not prove anything by not answering
        if not ways or not all(way.two_way and now >= way.proved_at for way in ways):
            return ""
        loss = max(way.loss or 0.0 for way in ways)
        return f"{sum(way.probes for way in ways)} probes unanswered, at {loss:.0%} loss"

    # --- those that answer, but whose HELLOs do not come --------------------------------------------

    def _ask_on(self, now: float, sends: list[Send]) -> None:
        """Ask each on all its paths, again and again until it answers, or is suspect."""
        if now < self._next_quiet:
            return
        for key, row in [(key, row) for key, row in self._table.quiet.items() if now >= row.ask_at]:
            ways = [way for way in row.fresh(now) if self._reaches(way)]
            is_heard = now < row.last_hello + row.suspect_after
            if is_heard or row.state != "up" or row.superseded or not ways:
                del self._table.quiet[key]
                continue
            if not self._quiet_budget.allows("", now):
                self._next_quiet = now + LEAST_PROBE_GAP
                return
            row.ask_at = now + max(LEAST_PROBE_GAP, row.suspect_after / TRIES)
            sends += [self.ask(row, way, now)[1] for way in ways]

    # --- everyone, in turn ------------------------------------------------------------------------

    def _take_turns(
        self, turns: Turns, now: float, heard: float, sends: list[Send], events: list[Event]
    ) -> None:
        """PING the next ones whose turn it is."""
        turns.next = now + turns.gap
        asked = 0
        while turns and turns[0].due <= heard and asked < turns.at_once:
            turn = heappop(turns)
            row, way = turn.row, turn.way
            if not self._holds(turn):
                continue
            is_answered = way.answered_at >= way.pinged
            if row.state == "suspect" or (is_answered and way.pinged >= turn.listed):  # it was asked meanwhile
                self._list(now, max(now + RETRY, way.pinged + self._pause(way)), row, way)
                continue
            if not is_answered:
                events += self._table.unanswered(row, way, heard)
            sends.append(self.ask(row, way, now)[1])
            self._list(now, now + _retry(way), row, way)
            asked += 1

    def _pause(self, way: Way) -> float:
        """Say when to PING again who answered; 5 a second must do for all."""
        if not way.two_way and way.answered_at >= way.pinged:
            return DOUBT
        return max(TURN, len(self._turns) * TURN_GAP * 1.2) * self._random.uniform(0.9, 1.1)

    def _holds(self, turn: Turn) -> bool:
        """Whether a turn is to be taken; a peer that is gone is listed again when it comes back."""
        row, way = turn.row, turn.way
        if turn.due != way.turn_at:
            return False  # its turn was moved
        if (
            self._table.get(*row.key) is row
            and row.ways.get((way.address, way.link)) is way
            and row.is_shown
            and self._reaches(way)
        ):
            return True
        way.turn_at = NEVER
        return False

    def _list(self, now: float, due: float, row: Row, way: Way) -> None:
        turns = self._turns if row.proved else self._newcomers
        if len(turns) >= turns.most:
            turns[:] = [turn for turn in turns if self._holds(turn)]
            heapify(turns)
            turns.most = max(LEAST_TURNS, 2 * len(turns))
        way.turn_at = due
        self._tie += 1
        heappush(turns, Turn(due, self._tie, now, row, way))

    def _take(self, nonce: str) -> Asked | None:
        return self._asked.pop(nonce, None) or self._wanted.pop(nonce, None)


def _forget(waiting: dict[str, Asked], now: float) -> None:
    """Remove the PINGs that were not answered in time."""
    while waiting:
        nonce, asked = next(iter(waiting.items()))
        if now < asked.at + PING_LIFE:
            return
        del waiting[nonce]


def _retry(way: Way) -> float:
    """Say when to PING again who has not answered yet."""
    if way.two_way and way.unanswered < PATIENCE:
        return RETRY
    return min(RETRY * 2.0 ** min(max(0, way.unanswered - PROMPT), PATIENCE), TURN)
