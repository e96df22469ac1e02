"""A path: one address of a peer on one link. Each path ages alone; of several the best is used."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

from discoveryd.protocol.addresses import is_link_local
from discoveryd.protocol.link import LinkState, Source
from discoveryd.protocol.table.liveness import NEVER

if TYPE_CHECKING:
    from discoveryd.protocol.table.row import Row

STALE_INTERVALS = 2.2
"""A path that missed two HELLOs (each at most 10 % late) is no longer the best, if another path did not miss them."""

CLEARLY_LOST = 0.1
CLEARLY_SLOWER = 2
CLEARLY_LATER = 0.001
"""A path is better if it loses a tenth less, or takes half the time and a millisecond less; else nothing changes."""

WINDOW = 64
"""HELLOs over which loss is measured: 51 s at the default interval."""
ENOUGH = 8
"""HELLOs after which the loss is known, and after each of which it is calculated anew."""
DEVIATIONS = 2.0
"""A measurement may be wrong by two standard deviations: of 16 HELLOs one may be lost where the loss is one in five."""

_DIRECTIONS = {True: 0, None: 1, False: 2}


class Reach:
    """Which HELLOs of a sender came: a count, with marks to forget what is older than `WINDOW`.

    `seq`, `heard` and `due` are public for the fast path of the engine, which does what `hear` does in place, and calls
    `mark` when `seq` has reached `due`. `marks` are the seq and the count at the end of each of the last steps, one
    after the other: an array, of 32 bits as a seq has, takes a quarter of what a list of tuples does.

    Args:
        seq: of the last HELLO.
        every: beats from one HELLO to the next.
    """

    __slots__ = ("due", "every", "heard", "marks", "seq")

    def __init__(self, seq: int, every: int = 1) -> None:
        self.seq = seq
        self.every = every
        self.heard = 0
        self.due = seq + ENOUGH * every
        self.marks = array("I", (seq, 0))

    def hear(self, seq: int) -> None:
        """Count a HELLO. A duplicate, and a HELLO that was overtaken, do not count."""
        if seq > self.seq:
            self.seq = seq
            self.heard += 1

    def mark(self) -> None:
        """Move the window."""
        self.due = self.seq + ENOUGH * self.every
        self.marks.extend((self.seq, self.heard))
        while len(self.marks) > 4 and self.seq - self.marks[2] >= WINDOW * self.every:
            del self.marks[:2]

    def loss(self, missing: int = 0) -> tuple[float, float] | tuple[None, None]:
        """Return the share of HELLOs lost in the window, 0 to 1, and its upper bound (Wilson).

        None before `ENOUGH` were sent.

        Args:
            missing: HELLOs that should have come since the last.
        """
        begin = self.seq + (missing - WINDOW) * self.every
        first = 2 * max(bisect_right(self.marks[::2], begin) - 1, 0)
        seq, heard = self.marks[first : first + 2]
        sent = (self.seq - seq) // self.every + missing
        lost = max(0, sent - (self.heard - heard))
        if missing >= WINDOW:
            sent = lost = missing
        if sent < ENOUGH:
            return None, None
        spread = DEVIATIONS * sqrt(lost * (sent - lost) / sent + DEVIATIONS**2 / 4)
        return lost / sent, (lost + DEVIATIONS**2 / 2 + spread) / (sent + DEVIATIONS**2)


@dataclass(eq=False, repr=False, slots=True)
class Path:
    """An address of a peer on a link, with what was measured there. Times are those of the caller's clock."""

    row: Row
    source: Source  # the last sender by this path: its address, its link, by unicast or not
    since: float
    address: str = field(init=False)
    is_link_local: bool = field(init=False)
    link: str = field(init=False)  # name of our interface, empty for a routed path
    last_heard: float = field(init=False)
    last_hello: float = -NEVER
    expires: float = field(init=False)
    every: int = 1  # beats of the peer from one HELLO here to the next
    expected: tuple[bytes, Source] | None = None  # the next steady HELLO but its seq, as long as the row
    stamp: int = -1  # has this stamp
    link_state: LinkState | None = None  # where such HELLOs are counted
    reach: Reach | None = None  # None until a HELLO came
    loss: float | None = None  # share of HELLOs that were lost here
    loss_at_most: float | None = None  # upper bound of it, as few HELLOs were counted
    rtt: float | None = None
    two_way: bool | None = None
    hears_us_s: float | None = None  # from the last PONG
    pinged: float = -NEVER
    answered_at: float = -NEVER
    unanswered: int = 0  # PINGs in a row, while the row was up
    probes: int = 0  # PINGs without an answer since the row is suspect
    proved_at: float = NEVER  # from when on these probes prove that the peer is gone
    turn_at: float = NEVER  # time of the next PING

    def __post_init__(self) -> None:
        self.address = self.source.address
        self.is_link_local = is_link_local(self.address)
        self.link = self.source.link.name if self.source.link else ""
        self.last_heard = self.expires = self.since

    def heard(self, seq: int, now: float, every: int = 1) -> bool:
        """Count a HELLO, which comes with each so many beats; return whether its beat is new on this path."""
        if every != self.every:
            self.every = every
            self.forget_loss()
        self.last_hello = max(self.last_hello, now)
        is_first = self.reach is None or seq > self.reach.seq
        if self.reach is None:
            self.reach = Reach(seq, every)
        self.reach.hear(seq)
        if self.reach.seq >= self.reach.due:
            self.mark(self.reach)
        return is_first

    def mark(self, reach: Reach) -> None:
        """Calculate the loss anew."""
        reach.mark()
        self.loss, self.loss_at_most = reach.loss()
        self.row.measured()

    def miss(self, missing: int) -> None:
        """Calculate the loss anew, with so many HELLOs that should have come since the last one."""
        if self.reach is not None:
            self.loss, _ = self.reach.loss(missing)

    def miss_all(self, seq: int, missing: int) -> None:
        """Start a new measurement in which all is lost: from now on silence on this path proves nothing."""
        self.reach = Reach(seq, self.every)
        self.loss, self.loss_at_most = self.reach.loss(missing)

    def answered(self, rtt: float, hears_us_s: float | None, *, two_way: bool | None, now: float) -> None:
        """Keep what a PONG reports."""
        self.answered_at = now
        # smoothed as TCP does (RFC 6298): one eighth of the new value
        self.rtt = rtt if self.rtt is None else self.rtt + (rtt - self.rtt) / 8
        self.hears_us_s = hears_us_s
        self.two_way = two_way
        self.unanswered = 0
        self.row.measured()

    def forget_answers(self) -> None:
        """Forget whether the peer hears us; a PING is due soon after the peer is heard again."""
        self.two_way = None
        self.unanswered = 0
        self.turn_at = NEVER

    def forget_loss(self) -> None:
        """Start the measurement of the loss anew."""
        self.reach = None
        self.loss = self.loss_at_most = None
        self.row.changed()

    def distrust(self) -> None:
        """Forget all measurements: we may be in another network now."""
        self.forget_answers()
        self.forget_loss()
        self.rtt = None

    def stale_at(self) -> float:
        """Return the time at which this path becomes stale, if nothing more comes by it."""
        return self.last_heard + STALE_INTERVALS * (self.row.interval or self.row.ttl) * self.slowness

    def is_of_family(self, address: str) -> bool:
        """Return whether an address is of the family of this path."""
        return (":" in address) is (":" in self.address)

    def hold(self, until: float, seconds: float) -> None:
        """Keep the path for so many seconds after what came by it, or for longer where little is to come."""
        self.last_heard = until
        self.expires = until + seconds * self.slowness

    @property
    def slowness(self) -> float:
        """How much longer it is from one HELLO here to the next than on the path by which the peer is judged."""
        return self.every / self.row.every

    @property
    def assumed_loss(self) -> float | None:
        """The upper bound of the loss; as long as a slow path tells none, the worst of the others of the peer."""
        if self.loss_at_most is not None or self.every == 1:
            return self.loss_at_most
        known = [path.loss_at_most for path in self.row.paths if path.loss_at_most is not None]
        return max(known, default=None)

    def is_out(self, now: float) -> bool:
        """Return whether this path fell silent and another path, which proved as much, did not."""
        row = self.row
        if now < self.stale_at() or self.last_heard >= row.last_heard:
            return False
        if row.sealed_with or self.answered_at == -NEVER:
            return True
        # forged: an address and an interval may be; a path with an answer stays the best for its ttl, unless another
        # path with an answer was heard later
        return now >= self.expires or any(
            path.answered_at > -NEVER and path.last_heard > self.last_heard for path in row.paths
        )

    def beats(self, other: Path) -> bool:
        """Return whether this path is clearly better than another: two-way first, then loss, then round trip.

        A link-local address, with which most programs can do nothing, is better than another only where it is not
        known to be deaf, and the other is.
        """
        if self.is_link_local is not other.is_link_local:
            local, usable = (self, other) if self.is_link_local else (other, self)
            is_wanted = usable.two_way is False and local.two_way is not False
            return is_wanted is self.is_link_local
        mine, its = _DIRECTIONS[self.two_way], _DIRECTIONS[other.two_way]
        if mine != its:
            return mine < its
        more_lost = (other.loss or 0) - (self.loss or 0)
        if abs(more_lost) > CLEARLY_LOST:
            return more_lost > 0
        return self.rtt is not None and other.rtt is not None and CLEARLY_SLOWER * self.rtt + CLEARLY_LATER < other.rtt


class Paths:
    """The paths of a row, each with another address or link, in the order in which they were found.

    Attributes:
        used: the best path, when that was last considered.
    """

    __slots__ = ("_paths", "_row", "used")

    def __init__(self, row: Row) -> None:
        self._row = row
        self._paths: tuple[Path, ...] = ()  # replaced as a whole: a loop over them may drop some
        self.used: Path | None = None

    def __iter__(self) -> Iterator[Path]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def of(self, source: Source) -> Path | None:
        """Return the path of a source, if something was heard there before."""
        address, link = source.address, source.link.name if source.link else ""
        for path in self._paths:
            if path.address == address and path.link == link:
                return path
        return None

    def add(self, source: Source, now: float) -> Path:
        """Add the path of a source, which is a change of its row."""
        path = Path(self._row, source, now)
        self._set((*self._paths, path))
        return path

    def drop(self, path: Path) -> None:
        """Forget a path."""
        self._set(tuple([one for one in self._paths if one is not path]))
        if path is self.used:
            self.used = None
        self._row.changed()

    def _set(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._row.several = len(paths) > 1

    def consider(self, now: float) -> None:
        """Change to a better path if there is one. Only here, so that it is announced when it happens."""
        if self._row.several:
            best = self.best(now)
            for path in self._paths:
                if not path.is_out(now) and path.beats(best):
                    best = path
            if best is not self.used:
                self.used = best
                self._row.measured()

    def best(self, now: float) -> Path:
        """Return the path to use: the one in use, unless it fell silent and another did not."""
        if not self._row.several:
            return self._paths[0]
        # when all fell silent together the last one heard is as good as any
        return min(self._paths, key=lambda path: (path.is_out(now), now >= path.expires, path is not self.used))

    def fresh(self, now: float) -> list[Path]:
        """Return the paths within their ttl, the best first; at least one."""
        best = self.best(now)
        if not self._row.several:
            return [best]
        return [best, *(path for path in self._paths if path is not best and now < path.expires)]

    def last(self) -> list[Path]:
        """Return the paths by which the peer was heard in the two intervals before it fell silent."""
        return [path for path in self._paths if path.stale_at() > self._row.last_heard]

    def steady_until(self, now: float) -> float:
        """Return until when the paths stay as they are if nothing is measured; in the past if one fell silent."""
        first = min([min(path.stale_at(), path.expires) for path in self._paths])
        return first if now < first else -NEVER

    def next_change(self, now: float) -> float:
        """Return the time at which a path becomes stale (another becomes the best) or, after that, expires."""
        return min(
            path.stale_at() if now < path.stale_at() < path.expires else path.expires for path in self._paths
        )
