"""Ping requests of people and programs, while they are under way."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from discoveryd.errors import QueryError
from discoveryd.frozen import frozen
from discoveryd.protocol.bounded import TokenBuckets
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Answer, Outcome
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.table.peer import Peer
from discoveryd.protocol.table.row import Row
from discoveryd.query.reply import find_one
from discoveryd.runtime.arguments import check_ping

GAP = 0.2
"""Seconds between two PINGs of one request."""
MOST_REQUESTS = 16
"""Requests under way at the same time, of all programs."""
PINGS_PER_SECOND = 50
"""PINGs of all requests together: what a program asks must neither flood the network nor hold up liveness."""


@frozen
class PingResult:
    """The result of a few PINGs.

    Attributes:
        peer: as it was at the end.
        sent: PINGs.
        rtt_ms: of each answer, milliseconds.
        hears_us_s: how long ago the peer last heard a HELLO of ours; None for never, or no answer.
    """

    peer: Peer
    sent: int
    rtt_ms: tuple[float, ...]
    hears_us_s: float | None


@dataclass(slots=True, eq=False, kw_only=True)
class Pinging:
    """One request: PINGs to one row, of which some are left, then `done` with the result."""

    key: tuple[str, str]
    peer: Peer
    left: int
    due: float
    deadline: float
    done: Callable[[PingResult], None]
    nonces: set[str] = field(default_factory=set)
    rtts: list[float] = field(default_factory=list)
    hears_us_s: float | None = None

    def send(self, node: Node, row: Row, now: float) -> Outcome:
        """Send the next PING."""
        nonce, outcome = node.ping(row, now)
        self.nonces.add(nonce)
        self.left -= 1
        self.due = now + GAP if self.left else self.deadline
        return outcome

    def take(self, answer: Answer) -> None:
        """Note an answer; after the last one the request is over."""
        self.rtts.append(round(answer.rtt * 1000, 3))
        self.hears_us_s = answer.hears_us_s
        if not self.left and len(self.rtts) == len(self.nonces):
            self.due = self.deadline = float("-inf")

    def report(self) -> None:
        """Call `done` with the result so far."""
        times = tuple(self.rtts)
        self.done(PingResult(peer=self.peer, sent=len(self.nonces), rtt_ms=times, hears_us_s=self.hears_us_s))


class Pings:
    """The requests under way. Not thread-safe: its owner's lock guards it."""

    def __init__(self) -> None:
        self._under_way: list[Pinging] = []
        self._budget = TokenBuckets(PINGS_PER_SECOND, PINGS_PER_SECOND, sources=1)

    def __len__(self) -> int:
        return len(self._under_way)

    @staticmethod
    def duration(count: int, timeout: float) -> float:
        """Return the seconds that a request takes at most."""
        return (count - 1) * GAP + timeout

    def begin(
        self, node: Node, peer: str, *, count: int, timeout: float, done: Callable[[PingResult], None], now: float
    ) -> Pinging:
        """Add a request to ping a peer; its first PING is due at once.

        Raises:
            ConfigError, QueryError: as `Discovery.ping`.
        """
        check_ping(peer, count, timeout)
        row = find_one(node, peer, now)
        if row.kind == "bare":
            raise QueryError("bad_request", f"{peer} is a bare peer: it sends HELLO| and answers nothing")
        if len(self._under_way) >= MOST_REQUESTS:
            raise QueryError("busy", f"{MOST_REQUESTS} ping requests are under way already; try again later")
        deadline = now + self.duration(count, timeout)
        pinging = Pinging(key=row.key, peer=row.peer(now), left=count, due=now, deadline=deadline, done=done)
        self._under_way.append(pinging)
        return pinging

    def cancel(self, pinging: Pinging) -> None:
        """End a request without a result, unless it is over."""
        if pinging in self._under_way:
            self._under_way.remove(pinging)

    def next_deadline(self) -> float:
        """Return when `poll` has something to do."""
        return min((pinging.due for pinging in self._under_way), default=NEVER)

    def collect(self, answers: Iterable[Answer]) -> None:
        """Hand each answer to the request that waits for it."""
        for answer in answers:
            for pinging in self._under_way:
                if answer.nonce in pinging.nonces:
                    pinging.take(answer)

    def poll(self, node: Node, now: float) -> tuple[list[Outcome], list[Callable[[], None]]]:
        """Return the PINGs to send now, and calls that report the finished requests, to be made without the lock."""
        sends: list[Outcome] = []
        reports: list[Callable[[], None]] = []
        for pinging in [one for one in self._under_way if now >= one.due]:
            row = node.table.get(*pinging.key)
            if row is not None:  # else it was forgotten meanwhile: the report is of what it was
                pinging.peer = row.peer(now)
                if pinging.left and now < pinging.deadline:
                    if self._budget.allows("", now):
                        sends.append(pinging.send(node, row, now))
                    else:
                        pinging.due = now + 1 / PINGS_PER_SECOND
                    continue
            self._under_way.remove(pinging)
            reports.append(pinging.report)
        return sends, reports
