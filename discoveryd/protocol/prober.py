"""PINGs to suspects, so that silence is told from loss, and to all peers, to know the paths.

A PING is sent

- *to a suspect*: at once, then each 0.2 s, to its addresses one after the other. Faster, down to each 0.1 s, where the
  loss measured asks for more PINGs than that before the ttl is over; once per interval when as many as could prove
  anything went unanswered. All suspects together get 100 a second, the one that waited longest first;
- *in turn*, to each address of each peer: first 50 to 200 ms after the peer was heard first, then each 60 s ±10 %, at
  most 5 a second in all, so that with many peers a turn takes longer. After an unanswered PING again after 1 s, for 20
  times, then each 60 s; after 1, 2, 4, 8, 16 and 32 s if that address never answered. But a newcomer on a link gets its
  first 15 PINGs 75 ms apart, while at most 32 peers never answered; where there are more, the first comes after 0.3 to
  1 s. Each 5 s to a peer that answers but does not hear us;
- *back* to a node that pings us, if we sent it none for 2 s: it may be about to give us up;
- when a program asks for it, and to the older of two boots that use one id.

No address beyond our links gets a PING unless it is a seed, has answered one, was named by a peer, or a program wants
it.
"""

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
from discoveryd.protocol.turns import PATIENCE, RETRY, TURN, InTurn
from discoveryd.protocol.wills import DIED, Wills
from discoveryd.protocol.wire.messages import Pong

PROBES_PER_SECOND = 100
"""Probes of all suspects together, when a whole network falls silent."""
QUIET_PER_SECOND = 200
"""PINGs to all peers that answer but whose HELLOs do not come: as many as there may be HELLOs."""
TRIES = 16
"""PINGs to such a peer in the silence after which it would be suspect, did it not answer."""
PING_LIFE = 10.0
MAX_PINGS = 1024
"""Seconds that a PING may wait for its PONG, and how many may wait."""

REFUSED = "its machine says that no discoveryd listens there (port unreachable)"


class AwaitedPong(NamedTuple):
    """A PING that waits for its PONG; `wanted` by a program."""

    at: float
    path: Path
    wanted: bool


class Prober:
    """Decides which peers to PING and when, and what silence proves.

    Args:
        table: its suspects and addresses are PINGed.
        outbox: writes the PINGs.

    Attributes:
        asked: PINGs that wait for an answer, by nonce.
        wanted: those that programs want: apart, so that they push out no PING that liveness rests on.
        in_turn: all peers, each in its turn.
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
        self.in_turn = InTurn(table, outbox, self.ask)
        self.wills = Wills(table, outbox, self.ask)

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
        is_there = any(path.address == source.address for path in (asked.path, *asked.path.row.paths))
        is_beyond = source.link is None and asked.path.source.link is None
        if is_there or (is_beyond and (source.key or self._reaches(asked.path))):
            return self._take(pong.nonce)
        return None

    def refused(self, nonce: str, now: float) -> tuple[Event, ...]:
        """Take the kernel's word that nothing listens where a PING of ours went.

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
        self.in_turn.poll(now, heard, sends, events)
        return sends, events

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        due = min(self.in_turn.next_due(), self.wills.next_due())
        if self._table.leavers:
            due = min(due, max(next(iter(self._table.leavers.values())).last_heard, self._next_probe))
        if self._table.quiet:
            due = min(due, max(min(row.ask_at for row in self._table.quiet.values()), self._next_quiet))
        if self._table.suspects:
            due = min(due, max(min(row.probe_at for row in self._table.suspects.values()), self._next_probe))
        return due

    # --- suspects -------------------------------------------------------------------------------

    def _ask_leavers(self, now: float, sends: list[Send]) -> None:
        """PING the peers that are gone, and of which something came: an answer cannot be forged."""
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
            path = min(paths, key=lambda path: (path.probes, path.every))  # one after the other, the fast one first
            path.probes += 1
            if path.probes == probes_needed(path.assumed_loss):
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
        families = len(paths) / len({path.link for path in paths})  # both of a link are proved in the time of one
        return max(LEAST_PROBE_GAP, probe_gap(worst, row.life - row.suspect_after) / families)

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

    def _reaches(self, path: Path) -> bool:
        return self._outbox.reaches(path.source)

    def _take(self, nonce: str) -> AwaitedPong | None:
        return self.asked.pop(nonce, None) or self.wanted.pop(nonce, None)
