"""Last wills: which peers are asked because a will came, and what a refusal proves then.

::

    WILL|2|<realm>|<id>|<boot>|

A will says that the process of a node has died. It is sent by a process that the node left behind for this: to where
the goodbyes of the node would go, from its addresses and its port, three times within 60 ms. That process leaves the
port free for PINGs to be refused before it sends the first, and ends within 100 ms. ::

    WILL|2|default|web1|5f0c8b1e2d3a4f60|

Sealed it is written long before it is sent, and again whenever links, keys or seeds change; each of the three has a
counter of its own. Inside is nothing but the letter::

    W|

Any sender can forge a will where nothing is sealed, so it is a reason to ask, and no more.

- **Ask.** A listed peer whose will comes from an address of its own gets a PING: at once, or with more than 32 peers
  after a random delay of up to 1 ms for each peer that is listed; another 0.1 s later, or as much later as that delay
  may be, while nothing is heard of it, 5 in all. All such peers together get 200 a second. Another will of that peer
  within 1 s counts for nothing, and so does the will of a boot that is not listed.
- **Answer.** A peer that lives answers, and that is the end of it. If the machine of the peer refuses one of these
  PINGs (ICMP port unreachable), the peer is down, though it was not suspect; but not by a path on which PINGs were
  sent, 4 in a row, and none ever answered, nor if a refusal of that peer proved false before: a firewall refuses them.
- **Sealed.** The will of a boot that has not proved to live counts for nothing (``unproven``), and one whose counter is
  not above that of the last will of that boot neither (``replayed``).
"""

from collections.abc import Callable
from dataclasses import dataclass

from discoveryd.protocol.answers import ANSWERS_PER_SECOND, PROMPT_PEERS
from discoveryd.protocol.bounded import TokenBuckets, drop_first, put_last
from discoveryd.protocol.outbox import Outbox
from discoveryd.protocol.outcome import Send
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.path import Path
from discoveryd.protocol.table.peer import LIVE
from discoveryd.protocol.table.row import Key, Row
from discoveryd.protocol.table.table import PeerTable

DIED = "its process died"

AGAIN = 1.0
"""Seconds from a will until another one of that peer counts."""
TRIES = 5
GAP = 0.1
"""PINGs to such a peer while nothing comes back, and seconds between them: where 30 % of all PINGs are lost, one in
400 peers gets none of them. In a crowd a PING waits longer for the next, as for the first."""
MUTE = 4
"""PINGs in a row without an answer, and none answered before, after which a refusal is not believed: at 30 % loss one
in 15 peers answers none of four."""
PER_SECOND = 200
"""PINGs because of wills a second to all peers together; later ones wait."""
PAUSE = 0.05
"""Seconds that they wait."""


@dataclass(slots=True)
class Doubt:
    """A peer of which a will came: when, when the next PING is due, and how many there were."""

    row: Row
    began: float
    due: float
    tries: int = 0


class Wills:
    """PINGs the peers of which a will came.

    Args:
        table: the peers.
        outbox: knows what can be reached.
        ask: PINGs by a path.
    """

    def __init__(self, table: PeerTable, outbox: Outbox, ask: Callable[[Path, float], Send]) -> None:
        self._table = table
        self._outbox = outbox
        self._ask = ask
        self._doubts: dict[Key, Doubt] = {}
        self._budget = TokenBuckets(PER_SECOND, PER_SECOND, sources=1)
        self._earliest = -NEVER

    def hear(self, row: Row, now: float) -> None:
        """Take a will of a peer: PING it at once, or in a crowd within 1 ms for each peer that is listed.

        The machine of the peer returns some 1,000 refusals a second, 50 at once, to all that ask.
        """
        drop_first(self._doubts, lambda doubt: now >= doubt.began + AGAIN)
        if row.key not in self._doubts and row.state in LIVE and not row.is_replaced:
            due = now + self._spread(now) * self._outbox.random.random()
            put_last(self._doubts, row.key, Doubt(row, now, due), self._table.limit)

    def poll(self, now: float) -> list[Send]:
        """Return the PINGs that are due."""
        if now < self.next_due():
            return []
        sends = []
        for doubt in [doubt for doubt in self._doubts.values() if doubt.due <= now]:
            paths = sorted(filter(self._reaches, doubt.row.paths.last()), key=lambda path: not path.two_way)
            if not paths or doubt.tries >= TRIES or not self._holds(doubt):
                doubt.due = NEVER
            elif not self._budget.allows("", now):
                self._earliest = now + PAUSE
                break
            else:
                sends.append(self._ask(paths[doubt.tries % len(paths)], now))
                doubt.tries += 1
                doubt.due = now + max(GAP, self._spread(now))
        return sends

    def next_due(self) -> float:
        """Return when `poll` has something to do."""
        return max(min((doubt.due for doubt in self._doubts.values()), default=NEVER), self._earliest)

    def explains(self, path: Path, asked: float) -> bool:
        """Return whether the refusal of a PING by a path means that the process has died.

        The PING must have been sent after the will, and nothing heard since. That path must have brought a PONG before,
        or be so new that it had no time to: behind a firewall that refuses PINGs a peer answers none of them.
        """
        doubt = self._doubts.get(path.row.key)
        is_mute = path.answered_at == -NEVER and path.unanswered >= MUTE
        if doubt is None or doubt.row is not path.row or is_mute:
            return False
        return asked >= doubt.began and self._holds(doubt)

    def _holds(self, doubt: Doubt) -> bool:
        """Return whether nothing was heard of a live peer since its will."""
        row = doubt.row
        return self._table.get(*row.key) is row and row.state in LIVE and row.last_heard <= doubt.began

    def _spread(self, now: float) -> float:
        count = self._table.live_count(now)
        return count / ANSWERS_PER_SECOND if count > PROMPT_PEERS else 0.0

    def _reaches(self, path: Path) -> bool:
        return self._outbox.reaches(path.source)
