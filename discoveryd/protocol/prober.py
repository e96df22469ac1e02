"""PINGs: to suspects, so that silence is told from loss, and to everyone in turn, slowly, to know the paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from discoveryd.protocol.events import Event
from discoveryd.protocol.limiter import Limiter
from discoveryd.protocol.liveness import probes_needed
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.peer import LIVE
from discoveryd.protocol.probe import Pong
from discoveryd.protocol.row import NEVER, Row, Way
from discoveryd.protocol.table import DEAF_PINGS, PeerTable

PROBE_GAP = 0.2
"""Seconds between two probes of one suspect; as long one may take to be answered."""
PROBES_PER_SECOND = 100
"""Probes of all suspects together, when a whole network falls silent."""

TURN = 20.0
FIRST_TURN = (0.3, 1.0)
RETRY = 1.0
"""Seconds between two PINGs to one address: in turn, after it appeared, and after one was not answered."""
TURN_GAP = 0.2
"""At most 5 PINGs a second are sent in turn, however many peers there are: then a turn takes longer."""

REFUSED = "its machine says that no discoveryd listens there (port unreachable)"

PING_LIFE = 10.0
MAX_PINGS = 1024
"""Seconds that a PING may wait for its PONG, and how many may wait."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A PING that waits for its PONG."""

    at: float
    row: Row
    way: Way


class Prober:
    """Decides whom to PING and when, and what silence proves.

    Args:
        table: whose suspects and addresses it asks.
        random: for nonces and turns.
        write: makes the PING to send to a row, given its nonce and the way it goes.
    """

    def __init__(self, table: PeerTable, random: Random, write: Callable[[Row, Way, str], Send]) -> None:
        self._table = table
        self._random = random
        self._write = write
        self._asked: dict[str, Asked] = {}
        self._budget = Limiter(PROBES_PER_SECOND, PROBES_PER_SECOND, sources=1)
        self._turns: list[tuple[float, int, Row, Way]] = []
        self._tie = 0
        self._next_turn = 0.0

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, row: Row, way: Way, now: float) -> tuple[str, Send]:
        """Send one PING; give its nonce too."""
        nonce = f"{self._random.getrandbits(64):016x}"
        while len(self._asked) >= MAX_PINGS:
            del self._asked[next(iter(self._asked))]
        self._asked[nonce] = Asked(now, row, way)
        way.pinged = now
        return nonce, self._write(row, way, nonce)

    def answer(self, pong: Pong) -> Asked | None:
        """Give the PING that a PONG answers."""
        return self._asked.pop(pong.nonce, None)

    def watch(self, row: Row, now: float) -> None:
        """PING the addresses of a row in turn from now on."""
        for way in row.ways.values():
            if way.turn_at == NEVER:
                self._list(now + self._random.uniform(*FIRST_TURN), row, way)

    def is_asked(self, row: Row, way: Way, now: float) -> None:
        """Ask back who asks us, unless we just did: it may have stopped to hear us."""
        if row.state == "up" and now >= way.pinged + RETRY:
            self._list(now, row, way)

    def refused(self, nonce: str, now: float) -> tuple[Event, ...]:
        """Take the kernel's word that nobody listens where a PING of ours went.

        It is the end of a suspect. Of a peer that was just heard it is remembered; should it be
        heard again, its firewall said so, and such words count for nothing.
        """
        asked = self._asked.pop(nonce, None)
        if asked is None or asked.row.rejects:
            return ()
        asked.row.refused = now
        return self._table.give_up(asked.row, REFUSED, now)

    def poll(self, now: float) -> tuple[list[Send], list[Event]]:
        """Give what is due: PINGs, and peers to give up."""
        sends: list[Send] = []
        events: list[Event] = []
        self._forget(now)
        for row in [row for row in self._table.suspects.values() if now >= row.probe_at]:
            proof = self._proof(row, now)
            if proof:
                events += self._table.give_up(row, proof, now)
                continue
            row.probe_at = now + PROBE_GAP
            if self._budget.allows("", now):
                ways = row.fresh(now)
                sends.append(self.ask(row, ways[row.probes % len(ways)], now)[1])
                row.probes += 1
        self._take_turns(now, sends, events)
        return sends, events

    def next_deadline(self) -> float:
        """Say when `poll` has something to do."""
        turn = max(self._turns[0][0], self._next_turn) if self._turns else NEVER
        return min(turn, min((row.probe_at for row in self._table.suspects.values()), default=NEVER))

    def _proof(self, row: Row, now: float) -> str:
        """Say what proves that a suspect is gone; empty if nothing does."""
        if row.refused > row.last_heard and not row.rejects:
            return REFUSED
        worst = max(row.ways.values(), key=lambda way: way.loss or 0)
        needed = probes_needed(worst.loss)
        # who never answered does not prove anything by not answering
        if needed is None or not worst.two_way or row.probes < needed or now < worst.pinged + 2 * (worst.rtt or 0):
            return ""
        return f"{row.probes} probes unanswered, at {worst.loss or 0:.0%} loss"

    def _take_turns(self, now: float, sends: list[Send], events: list[Event]) -> None:
        """PING the next one whose turn it is, at most one in `TURN_GAP`."""
        while self._turns and self._turns[0][0] <= now and self._next_turn <= now:
            due, _, row, way = heappop(self._turns)
            if due != way.turn_at:
                continue  # its turn was moved
            way.turn_at = NEVER
            is_known = self._table.get(row.key) is row and row.ways.get((way.address, way.link)) is way
            if not is_known or row.state not in LIVE or row.superseded:
                continue  # it is listed again when it comes back
            is_answered = way.answered_at >= way.pinged
            if row.state == "suspect" or (is_answered and now < way.pinged + TURN * 0.9):
                self._list(now + TURN * self._random.uniform(0.9, 1.1), row, way)
                continue
            if not is_answered:
                events += self._table.unanswered(row, way, now)
            self._next_turn = now + TURN_GAP
            sends.append(self.ask(row, way, now)[1])
            self._list(now + (RETRY if way.unanswered <= DEAF_PINGS else TURN), row, way)

    def _list(self, due: float, row: Row, way: Way) -> None:
        way.turn_at = due
        self._tie += 1
        heappush(self._turns, (due, self._tie, row, way))

    def _forget(self, now: float) -> None:
        while self._asked:
            nonce, asked = next(iter(self._asked.items()))
            if now < asked.at + PING_LIFE:
                return
            del self._asked[nonce]
