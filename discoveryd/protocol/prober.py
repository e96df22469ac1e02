"""PINGs: to suspects, so that silence is told from loss, and to all peers in turn, slowly, to know the paths."""

from heapq import heapify, heappop, heappush
from typing import NamedTuple

from discoveryd.protocol.bounded import TokenBuckets, drop_first, put_last
from discoveryd.protocol.link import Source
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.table.liveness import LEAST_PROBE_GAP, NEVER, PROBE_GAP, probe_gap, probes_needed
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import LIVE, Event
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wills import DIED, Wills
from discoveryd.protocol.wire.messages import Pong

PROBES_PER_SECOND = 100
"""Probes of all suspects together, when a whole network falls silent."""
QUIET_PER_SECOND = 200
"""PINGs to all peers that answer but whose HELLOs do not come: as many as there may be HELLOs."""
TRIES = 16
"""PINGs to such a peer in the silence after which it would be suspect, did it not answer."""
TURN = 60.0
"""Seconds, ±10 %, between two PINGs to one address."""
FIRST_TURN = (0.3, 1.0)
"""Seconds after which a new address is PINGed, at the soonest and at the latest."""
RETRY = 1.0
DOUBT = 5.0
"""Seconds to the next PING after one that was not answered, and to a peer that says it does not hear us. To a peer that
never answered they double each time after the first few: it may be a forgery, or mute for good."""
PROMPT = 4
"""PINGs a second apart to a path that never answered: at 30 % loss each way one in 15 peers answers none of them."""
ASK_BACK = 2.0
"""Seconds since our last PING after which a peer that PINGs us is PINGed back: it may be about to give us up."""
PATIENCE = 20
"""PINGs in a row without an answer, in turn or to a suspect, after which there is no hurry."""
TURN_GAP = 0.2
"""At most 5 PINGs a second are sent in turn, however many peers there are: then a turn takes longer."""
NEWCOMERS = 5
NEWCOMERS_GAP = 0.1
"""So many at once, and the seconds between, of peers that never answered: until they do, little is believed of them."""
PING_LIFE = 10.0
MAX_PINGS = 1024
"""Seconds that a PING may wait for its PONG, and how many may wait."""
LEAST_TURNS = 1024
"""Turns kept before those that are void are cleared out."""

REFUSED = "its machine says that no discoveryd listens there (port unreachable)"


class AwaitedPong(NamedTuple):
    """A PING that waits for its PONG; `wanted` by a program."""

    at: float
    path: Path
    wanted: bool


class Turn(NamedTuple):
    """When a path is to be PINGed; void once the path has another turn (`Path.turn_at`)."""

    due: float
    tie: int
    listed: float
    path: Path


class Turns(list[Turn]):
    """The order in which paths are PINGed in turn: a heap.

    Attributes:
        gap: seconds between two moments at which some are taken.
        at_once: how many then.
        next: the next moment.
        most: turns kept before those that are void are cleared out.
    """

    def __init__(self, gap: float, at_once: int) -> None:
        super().__init__()
        self.gap = gap
        self.at_once = at_once
        self.next = -NEVER
        self.most = LEAST_TURNS

    def next_due(self) -> float:
        """Return when the first of them may be taken."""
        return max(self[0].due, self.next) if self else NEVER


class Prober:
    """Decides which peers to PING and when, and what silence proves.

    Args:
        table: its suspects and addresses are PINGed.
        outbox: writes the PINGs.

    Attributes:
        asked: PINGs that wait for an answer, by nonce.
        wanted: those that programs want: apart, so that they push out no PING that liveness rests on.
        turns: of paths that are PINGed in turn.
        newcomers: turns of peers that never answered.
        wills: peers that are asked because their will came.
    """

    def __init__(self, table: PeerTable, outbox: Outbox) -> None:
        self._table = table
        self._outbox = outbox
        self.asked: dict[str, AwaitedPong] = {}
        self.wanted: dict[str, AwaitedPong] = {}
        self._budget = TokenBuckets(PROBES_PER_SECOND, PROBES_PER_SECOND, sources=1)
        self._quiet_budget = TokenBuckets(QUIET_PER_SECOND, QUIET_PER_SECOND, sources=1)
        self._next_probe = self._next_quiet = -NEVER
        self.turns = Turns(TURN_GAP, 1)
        self.newcomers = Turns(NEWCOMERS_GAP, NEWCOMERS)
        self._tie, self.wills = 0, Wills(table, outbox, self.ask)

    def ping(self, row: Row, now: float) -> tuple[str, list[Send]]:
        """PING a peer for a program; return the nonce too. Nothing is sent while its links are gone."""
        nonce = self._outbox.nonce()
        for path in row.paths.fresh(now):
            if path.source.link is None or path.source.link in self._outbox.links:
                return nonce, [self.ask(path, now, nonce, wanted=True)]
        return nonce, []

    def ask(self, path: Path, now: float, nonce: str = "", *, wanted: bool = False) -> Send:
        """Send a PING by a path."""
        nonce = nonce or self._outbox.nonce()
        put_last(self.wanted if wanted else self.asked, nonce, AwaitedPong(now, path, wanted), MAX_PINGS)
        path.pinged = now
        return self._outbox.ping(nonce, path.source, path.row.id, path.row.boot)

    def answer(self, pong: Pong, source: Source) -> AwaitedPong | None:
        """Return the PING that a PONG answers: of the boot that was asked, and from where that is.

        Beyond our links a seed may answer from another of its addresses, and so may a node that seals.
        """
        asked = self.asked.get(pong.nonce) or self.wanted.get(pong.nonce)
        if asked is None or pong.boot != (asked.path.row.boot or pong.boot):
            return None
        is_there = any(path.address == source.address for path in (asked.path, *asked.path.row.paths.values()))
        is_beyond = source.link is None and asked.path.source.link is None
        if is_there or (is_beyond and (source.key or self._reaches(asked.path))):
            return self._take(pong.nonce)
        return None

    def watch(self, row: Row, now: float) -> None:
        """PING the addresses of a row in turn from now on."""
        for path in row.paths.values():
            is_near = path.source.link in self._outbox.links
            if path.turn_at == NEVER and (is_near or self._reaches(path)):  # it is new, or came back
                self._give_turn(now, now + self._outbox.random.uniform(*FIRST_TURN), path)

    def is_asked(self, path: Path, now: float) -> None:
        """PING a peer back that PINGs us, unless we just did: it may not hear us any more."""
        if path.row.state == "up" and now >= path.pinged + ASK_BACK and now < path.turn_at < NEVER:
            self._give_turn(now, now, path)

    def ask_now(self, path: Path, now: float) -> None:
        """PING a peer at once that has something for us and has not answered yet, unless that was just done."""
        if now >= path.pinged + PROBE_GAP and now < path.turn_at < NEVER:
            self._give_turn(now, now, path)

    def refused(self, nonce: str, now: float) -> tuple[Event, ...]:
        """Take the kernel's word that nobody listens where a PING of ours went.

        It is the end of a suspect. Of a peer that was just heard it is remembered; should it be heard again, its
        firewall said so, and such words count for nothing. So do those from an address that it no longer uses: another
        machine may have it.
        """
        asked = self._take(nonce)
        if asked is None or asked.path.row.rejects or asked.path not in asked.path.row.paths.last():
            return ()
        is_will = self.wills.explains(asked.path, asked.at)
        return self._table.refused(asked.path.row, DIED if is_will else REFUSED, now, is_certain=is_will)

    def poll(self, now: float, heard: float) -> tuple[list[Send], list[Event]]:
        """Return what is due: PINGs, and the events of peers that are given up.

        Args:
            now: the present moment.
            heard: until when all that arrived is known: what became due later waits.
        """
        sends, events = self.wills.poll(now), list[Event]()
        for waiting in (self.asked, self.wanted):  # those that were not answered in time
            drop_first(waiting, lambda ping: heard >= ping.at + PING_LIFE)
        if self._table.leavers and now >= self._next_probe:
            self._ask_leavers(now, sends)
        if self._table.suspects and now >= self._next_probe:
            self._probe(now, heard, sends, events)
        if self._table.quiet:
            self._ask_on(now, sends)
        for turns in (self.newcomers, self.turns):
            if turns and turns[0].due <= heard and turns.next <= now:
                self._take_turns(turns, now, heard, sends, events)
        return sends, events

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        due = min(self.turns.next_due(), self.newcomers.next_due(), self.wills.next_due())
        if self._table.leavers:
            due = min(due, max(next(iter(self._table.leavers.values())).last_heard, self._next_probe))
        if self._table.quiet:
            due = min(due, max(min(row.ask_at for row in self._table.quiet.values()), self._next_quiet))
        if self._table.suspects:
            due = min(due, max(min(row.probe_at for row in self._table.suspects.values()), self._next_probe))
        return due

    # --- suspects -------------------------------------------------------------------------------

    def _ask_leavers(self, now: float, sends: list[Send]) -> None:
        """PING the peers that are gone, and of which something came: nobody can forge an answer."""
        for key, row in list(self._table.leavers.items()):
            if not self._budget.allows("", now):
                self._next_probe = now + PROBE_GAP
                return
            del self._table.leavers[key]
            path = row.paths.best(now)
            if row.state not in LIVE and self._reaches(path) and now >= row.question_at:
                row.question_at = now + min(RETRY * 2.0**row.questions, TURN)
                row.questions = min(row.questions + 1, PATIENCE)
                sends.append(self.ask(path, now))

    def _probe(self, now: float, heard: float, sends: list[Send], events: list[Event]) -> None:
        """PING the suspects that are due, those that once answered first; give up those whose silence is a proof."""
        due = [row for row in self._table.suspects.values() if heard >= row.probe_at]
        for row in sorted(due, key=lambda row: (not row.proved, row.probe_at)):
            proof = self._proof(row, heard)
            if proof:
                events += self._table.give_up(row, proof, heard)
                continue
            paths = [path for path in row.paths.last() if self._reaches(path)]
            if not paths:
                row.probe_at = now + PROBE_GAP
                continue
            if not self._budget.allows("", now):
                self._next_probe = now + PROBE_GAP
                return
            path = min(paths, key=lambda path: path.probes)  # one after the other
            path.probes += 1
            if path.probes == probes_needed(path.loss_at_most):
                path.proved_at = now + max(PROBE_GAP, 2 * (path.rtt or 0.0))
            row.probe_at = now + self._gap(row, paths)
            if now < path.proved_at < row.probe_at:
                row.probe_at = path.proved_at
            sends.append(self.ask(path, now))

    def _gap(self, row: Row, paths: list[Path]) -> float:
        """Return the seconds to the next PING of a suspect; the life of one that is unproven is short."""
        worst = max((path.loss_at_most for path in paths if path.loss_at_most is not None), default=None)
        if min(path.probes for path in paths) > max(PATIENCE, probes_needed(worst) or 0):
            return max(RETRY, row.interval or 0.0)  # no proof will come: its ttl, which is long, decides
        if not row.proved:
            return LEAST_PROBE_GAP
        return probe_gap(worst, row.life - row.suspect_after)

    def _proof(self, row: Row, now: float) -> str:
        """Return what proves that a suspect is gone, empty if nothing does.

        Each path by which it was heard lately must be proved to be silent: where one of two cables is cut, the silence
        there says nothing of the other.
        """
        if row.refused > row.last_heard and not row.rejects:
            return REFUSED
        paths = row.paths.last()
        # a peer that never answered does not prove anything by not answering
        if not paths or not all(path.two_way and now >= path.proved_at for path in paths):
            return ""
        loss = max(path.loss or 0.0 for path in paths)
        return f"{sum(path.probes for path in paths)} probes unanswered, at {loss:.0%} loss"

    # --- those that answer, but whose HELLOs do not come --------------------------------------------

    def _ask_on(self, now: float, sends: list[Send]) -> None:
        """PING each of them on all its paths, again and again until it answers, or is suspect."""
        if now < self._next_quiet:
            return
        for key, row in [(key, row) for key, row in self._table.quiet.items() if now >= row.ask_at]:
            paths = [path for path in row.paths.fresh(now) if self._reaches(path)]
            is_heard = now < row.last_hello + row.suspect_after
            if is_heard or row.state != "up" or row.is_replaced or not paths:
                del self._table.quiet[key]
                continue
            if not self._quiet_budget.allows("", now):
                self._next_quiet = now + LEAST_PROBE_GAP
                return
            row.ask_at = now + max(LEAST_PROBE_GAP, row.suspect_after / TRIES)
            sends += [self.ask(path, now) for path in paths]

    # --- all peers, in turn -----------------------------------------------------------------------

    def _take_turns(self, turns: Turns, now: float, heard: float, sends: list[Send], events: list[Event]) -> None:
        """PING the next paths whose turn it is."""
        turns.next = now + turns.gap
        asked = 0
        while turns and turns[0].due <= heard and asked < turns.at_once:
            turn = heappop(turns)
            path, row = turn.path, turn.path.row
            if not self._holds(turn):
                continue
            is_answered = path.answered_at >= path.pinged
            if row.state == "suspect" or (is_answered and path.pinged >= turn.listed):  # it was asked meanwhile
                self._give_turn(now, max(now + RETRY, path.pinged + self._pause(path)), path)
                continue
            if not is_answered:
                events += self._table.unanswered(row, path, heard)
            sends.append(self.ask(path, now))
            self._give_turn(now, now + _retry(path), path)
            asked += 1

    def _pause(self, path: Path) -> float:
        """Return the seconds until a path that answered is PINGed again; 5 a second must do for all."""
        if not path.two_way and path.answered_at >= path.pinged:
            return DOUBT
        return max(TURN, len(self.turns) * TURN_GAP * 1.2) * self._outbox.random.uniform(0.9, 1.1)

    def _holds(self, turn: Turn) -> bool:
        """Return whether a turn is to be taken; a peer that is gone gets another when it comes back."""
        path, row = turn.path, turn.path.row
        if turn.due != path.turn_at:
            return False  # its turn was moved
        is_kept = self._table.get(*row.key) is row and row.paths.get((path.address, path.link)) is path
        if is_kept and row.is_shown and self._reaches(path):
            return True
        path.turn_at = NEVER
        return False

    def _give_turn(self, now: float, due: float, path: Path) -> None:
        """Give a path this turn in place of any other; where there are too many, clear out those that are void."""
        turns = self.turns if path.row.proved else self.newcomers
        if len(turns) >= turns.most:
            turns[:] = [kept for kept in turns if self._holds(kept)]
            heapify(turns)
            turns.most = max(LEAST_TURNS, 2 * len(turns))
        path.turn_at = due
        self._tie += 1
        heappush(turns, Turn(due, self._tie, now, path))

    def _reaches(self, path: Path) -> bool:
        return self._outbox.reaches(path.source)

    def _take(self, nonce: str) -> AwaitedPong | None:
        return self.asked.pop(nonce, None) or self.wanted.pop(nonce, None)


def _retry(path: Path) -> float:
    """Return the seconds until a path that has not answered yet is PINGed again."""
    if path.two_way and path.unanswered < PATIENCE:
        return RETRY
    return min(RETRY * 2.0 ** min(max(0, path.unanswered - PROMPT), PATIENCE), TURN)
