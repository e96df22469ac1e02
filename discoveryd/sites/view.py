"""What one gateway says of its site: a copy of its set, and for how long its word is proved."""

from __future__ import annotations

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import put_last
from discoveryd.sites.row import mark
from discoveryd.sites.wire import MAX_ENDS, MAX_SET, Beat, Change, Delta, SetPart

NEVER = float("inf")
MAX_WAITING = 256
"""Deltas kept that came before what they follow: on their way, or in a snapshot that is under way."""
MISSED = 2.5
"""Intervals of a gateway after which it is not heard any more."""
LATE = 1.5
"""Intervals of a gateway after which what another one says of a silent peer is newer than its list."""
RETRIES = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Seconds to the next request for a snapshot."""

Kept = str | int
"""Text of a peer that is kept; of another its part of the digest alone, so that the whole can be compared."""


class View:
    """The set of a site as one run of a gateway tells it.

    Attributes:
        run: of the gateway.
        id: of the gateway.
        rows: key -> what is kept of the peer.
        number: of the last change that is in the rows.
        is_whole: whether the rows are the set at some number.
        proved: the moment of which it is proved that the rows were the set, by our clock.
        heard: when its last beat came.
        beat: its last beat, and how old that was at most when it came (None for not proved).
        wants_at: when to ask for a snapshot, NEVER while none is needed.
    """

    __slots__ = (
        "_assembly", "_digest", "_parts", "_waiting", "age", "asked", "beat", "beat_at", "heard", "id", "is_sealed",
        "is_whole", "number", "proved", "rows", "run", "wants_at",
    )  # fmt: skip

    def __init__(self, run: str, id: str, *, is_sealed: bool) -> None:
        self.run, self.id, self.is_sealed = run, id, is_sealed
        self.rows: dict[str, Kept] = {}
        self.number = -1
        self.is_whole = False
        self.proved = self.heard = -NEVER
        self.beat: Beat | None = None
        self.age: float | None = None
        self.wants_at = NEVER
        self.asked = 0
        self._digest = 0
        self._waiting: dict[int, Delta] = {}
        self._assembly = (-1, 0)
        self._parts: dict[int, SetPart] = {}

    # --- what the gateway says ------------------------------------------------------------------

    def hear(self, beat: Beat, age: float | None, now: float) -> None:
        """Take a beat: what the set is now."""
        self.heard = now
        if self.beat is None or beat.set >= self.beat.set:
            self.beat, self.age, self.beat_at = beat, age, now

    def is_heard(self, now: float) -> bool:
        """Return whether beats of the gateway come."""
        return self.beat is not None and now < self.heard + MISSED * self.beat.interval

    def is_heard_at(self, moment: float) -> bool:
        """Return whether the beats of the gateway came in time until a moment: then its list was true at that time."""
        return self.beat is not None and moment < self.heard + LATE * self.beat.interval

    def is_equal(self) -> bool:
        """Return whether the rows are those that the last beat tells of, and note of which moment that is proved."""
        beat = self.beat
        if beat is None or not self.is_whole or self.number != beat.set or self._digest != beat.digest:
            return False
        if self.age is not None:
            self.proved = max(self.proved, self.beat_at - self.age)
        return True

    def follow(self, delta: Delta) -> list[Delta]:
        """Return the deltas that can be applied now that this one came, in their order."""
        if delta.set > self.number or not self.is_whole:
            put_last(self._waiting, delta.set, delta, MAX_WAITING)
        return self.due()

    def due(self) -> list[Delta]:
        """Return the deltas that wait and can be applied."""
        found, number = [], self.number
        while self.is_whole and number + 1 in self._waiting:
            number += 1
            found.append(self._waiting.pop(number))
        return found

    @property
    def has_gap(self) -> bool:
        """Whether deltas wait for one that did not come."""
        return self.is_whole and bool(self._waiting)

    def assemble(self, part: SetPart) -> tuple[Change, ...] | None:
        """Take a part of a snapshot; return the whole as soon as it is there.

        Raises:
            WireError: ``too-long``: the parts have more than the whole can have.
        """
        if (part.set, part.of) != self._assembly:
            if part.set < self._assembly[0]:
                return None
            self._assembly, self._parts = (part.set, part.of), {}
        self._parts[part.part] = part
        if sum(len(one.changes) for one in self._parts.values()) > part.count + MAX_ENDS:
            self._parts.clear()
            raise WireError("too-long", f"a snapshot of more than {part.count} peers")
        if len(self._parts) < part.of:
            return None
        changes = tuple(change for place in range(part.of) for change in self._parts[place].changes)
        self._assembly, self._parts = (-1, 0), {}
        return changes

    # --- its rows -------------------------------------------------------------------------------

    def apply(self, key: str, kept: Kept | None, digest: int) -> None:
        """Change one row: what is kept of it (None for nothing), and its part of the digest."""
        before = self.rows.pop(key, None)
        if before is not None:
            self._digest -= mark(key, before) if isinstance(before, str) else before
        if kept is not None and len(self.rows) < MAX_SET:
            self.rows[key] = kept
            self._digest += digest
        self._digest %= 2**64

    def load(self, rows: dict[str, Kept], digest: int, number: int) -> None:
        """Replace all rows."""
        self.rows, self._digest, self.number, self.is_whole = rows, digest, number, True
        self._waiting = {at: delta for at, delta in self._waiting.items() if at > number}

    def is_told_by(self, beat: Beat) -> bool:
        """Return whether the rows are the set that a beat tells of, be it of another gateway."""
        return self.is_whole and self.number >= 0 and (self._digest, len(self.rows)) == (beat.digest, beat.count)

    @property
    def digest(self) -> int:
        """The digest of the rows."""
        return self._digest

    def renew(self) -> None:
        """Hold the rows for those of some unknown number: they stay until a snapshot replaces them."""
        self.number = -1

    def forget(self) -> None:
        """Forget the rows: the word of the gateway does not hold any more."""
        self.rows, self._digest, self.is_whole, self.number = {}, 0, False, -1

    # --- snapshots ------------------------------------------------------------------------------

    def want(self, at: float) -> None:
        """Ask for a snapshot at that moment, unless it is asked for already."""
        if self.wants_at == NEVER:
            self.wants_at, self.asked = at, 0

    def has_asked(self, now: float, jitter: float) -> None:
        """Note that the snapshot was asked for; `jitter` is 0 to 1."""
        pause = RETRIES[min(self.asked, len(RETRIES) - 1)]
        self.wants_at, self.asked = now + pause * (1 + jitter / 4), self.asked + 1

    def is_satisfied(self) -> None:
        """Note that no snapshot is needed."""
        self.wants_at = NEVER
