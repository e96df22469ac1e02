"""PINGs to all peers, each in its turn, slowly, to know the paths; a newcomer that answers none is asked quickly."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.table.liveness import MUTE_PINGS, NEVER, PROBE_GAP
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import Event
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.table.table import PeerTable

TURN = 60.0
"""Seconds, ±10 %, between two PINGs to one address."""
FIRST_TURN = (0.05, 0.2)
FIRST_OF_MANY = (0.3, 1.0)
"""Seconds after which a new address is PINGed, at the soonest and at the latest: usually, and in a crowd."""
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
NEWCOMERS = 8
NEWCOMERS_GAP = 0.075
"""So many at once, and the seconds between, are PINGed of peers that never answered: until they do, little is believed
of them."""
FEW = 32
"""Newcomers on a link, up to which a mute one is PINGed again after `NEWCOMERS_GAP`, until it is clear that it does not
hear us: 1.1 s. In a crowd, or if it is beyond our links, it has more time."""
LEAST_TURNS = 1024
"""Turns kept before those that are void are cleared out."""


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


class InTurn:
    """Decides the order of turns.

    Args:
        table: its addresses are PINGed.
        outbox: knows what can be reached.
        ask: sends a PING by a path.

    Attributes:
        turns: of paths that are PINGed in turn.
        newcomers: turns of peers that never answered.
    """

    def __init__(self, table: PeerTable, outbox: Outbox, ask: Callable[[Path, float], Send]) -> None:
        self._table = table
        self._outbox = outbox
        self._ask = ask
        self.turns = Turns(TURN_GAP, 1)
        self.newcomers = Turns(NEWCOMERS_GAP, NEWCOMERS)
        self._tie = 0

    def watch(self, row: Row, now: float) -> None:
        """PING the addresses of a row in turn from now on."""
        for path in row.paths:
            is_near = path.source.link in self._outbox.links
            if path.turn_at == NEVER and (is_near or self._reaches(path)):  # it is new, or came back
                self._give_turn(now, now + self._outbox.random.uniform(*FIRST_TURN), path)
            elif row.every > path.every and now >= path.stale_at():
                self.ask_now(path, now)  # the peer takes this path for a good one: it shall ask here too
            elif row.proved and not row.sealed_with and row.believes_at() < path.turn_at < NEVER:
                # its answer makes the ttl count that it announces now
                self._give_turn(now, row.believes_at() + self._outbox.random.uniform(*FIRST_OF_MANY), path)

    def is_asked(self, path: Path, now: float) -> None:
        """PING a peer back that PINGs us: it may not hear us any more.

        Where we just did, nothing is to be done, unless it never answered: it may have begun to hear us, and its turn
        may be a minute away.
        """
        due = max(now, path.pinged + ASK_BACK)
        is_due = due == now or path.answered_at == -NEVER
        if is_due and path.row.state == "up" and due < path.turn_at < NEVER:
            self._give_turn(now, due, path)

    def ask_now(self, path: Path, now: float) -> None:
        """PING a peer at once that has something for us and has not answered yet, unless that was just done."""
        if now >= path.pinged + PROBE_GAP and now < path.turn_at < NEVER:
            self._give_turn(now, now, path)

    def poll(self, now: float, heard: float, sends: list[Send], events: list[Event]) -> None:
        """PING the paths that have their turn, knowing all that arrived until `heard`."""
        for turns in (self.newcomers, self.turns):
            if turns and turns[0].due <= heard and turns.next <= now:
                self._take_turns(turns, now, heard, sends, events)

    def next_due(self) -> float:
        """Return when `poll` has something to do."""
        return min(self.turns.next_due(), self.newcomers.next_due())

    def _take_turns(self, turns: Turns, now: float, heard: float, sends: list[Send], events: list[Event]) -> None:
        """PING the next paths in turn."""
        turns.next = now + turns.gap
        is_crowd, asked = len(self.newcomers) > FEW, 0
        at_once = max(1, turns.at_once // (2 if is_crowd else 1))
        while turns and turns[0].due <= heard and asked < at_once:
            turn = heappop(turns)
            path, row = turn.path, turn.path.row
            if not self._holds(turn):
                continue
            if is_crowd and path.pinged == -NEVER and now < turn.listed + FIRST_OF_MANY[0]:
                self._give_turn(now, turn.listed + self._outbox.random.uniform(*FIRST_OF_MANY), path)
                continue
            is_answered = path.answered_at >= path.pinged
            if row.state == "suspect" or (is_answered and path.pinged >= turn.listed):  # it was asked meanwhile
                self._give_turn(now, max(now + RETRY, path.pinged + self._pause(path)), path)
                continue
            if not is_answered and path.pinged >= turn.listed:
                events += self._table.unanswered(row, path, heard)
            if not self._outbox.may_ping(path.source, now):  # what is not sent cannot be answered
                self._give_turn(now, now + max(RETRY, self._retry(path)), path)
                continue
            asked += is_crowd or row.proved or path.pinged == -NEVER
            sends.append(self._ask(path, now))
            self._give_turn(now, now + self._retry(path), path)

    def _pause(self, path: Path) -> float:
        """Return the seconds until a path that answered is PINGed again; 5 a second must do for all."""
        if not path.two_way and path.answered_at >= path.pinged:
            return DOUBT if path.two_way is False else RETRY
        return max(TURN, len(self.turns) * TURN_GAP * 1.2) * self._outbox.random.uniform(0.9, 1.1)

    def _holds(self, turn: Turn) -> bool:
        """Return whether a turn is to be taken; a peer that is gone gets another when it comes back."""
        path, row = turn.path, turn.path.row
        if turn.due != path.turn_at:
            return False  # its turn was moved
        is_kept = self._table.get(*row.key) is row and path in row.paths
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

    def _retry(self, path: Path) -> float:
        """Return the seconds until a path that has not answered yet is PINGed again."""
        if path.two_way and path.unanswered < PATIENCE:
            return RETRY
        if path.answered_at == -NEVER and path.unanswered < MUTE_PINGS and self._may_hurry(path):
            return NEWCOMERS_GAP
        since = MUTE_PINGS if path.unanswered >= MUTE_PINGS else PROMPT
        return min(RETRY * 2.0 ** min(max(0, path.unanswered - since), PATIENCE), TURN)

    def _may_hurry(self, path: Path) -> bool:
        return not path.row.proved and path.source.link is not None and len(self.newcomers) <= FEW
