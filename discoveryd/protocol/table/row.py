"""A row of the table: all that is known of one peer. Only a row changes its own state, as `states` says."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

from discoveryd.protocol.link import Source
from discoveryd.protocol.table.liveness import LAST_CHANCE, NEVER, SUSPECT_INTERVALS, SUSPECT_MISSES, UNHEARD, misses
from discoveryd.protocol.table.path import Path, Paths
from discoveryd.protocol.table.peer import LIVE, UNANNOUNCED, Announced, Kind, Peer, State, lasting_text, peer_of
from discoveryd.protocol.table.prepared import Prepared
from discoveryd.protocol.table.standing import DOUBT, LEAST_LIFE, NO_FAREWELL, NO_RUN, Farewell, Run
from discoveryd.protocol.table.states import TRANSITIONS, Cause
from discoveryd.protocol.wire.messages import Hello
from discoveryd.protocol.wire.record import Record

REPLACED_INTERVALS = 2
"""Intervals of its own in which a replaced boot may be heard again."""
HEARD_AGAIN = 4
"""HELLOs in a row after which those of a peer that was heard by its PONGs alone arrive again."""

Key = tuple[str, str]
"""The identity of a row: node id and boot, since another node may claim the same boot; of a bare peer its address and
an empty string."""


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class Row:
    """A peer as the engine knows it. Times are those of the caller's clock."""

    kind: Kind
    id: str
    boot: str
    now: InitVar[float]
    key: Key = field(init=False)
    state: State = "up"
    stamp: int = 0  # changes with everything but measurements and the time of the last HELLO
    # when
    first_seen: float = field(init=False)  # of the node, whose former boots count
    began: float = field(init=False)  # of this row
    last_heard: float = field(init=False)
    last_hello: float = field(init=False)  # the last HELLO that counted
    beats_from: float = field(init=False)  # since when HELLOs should come: the row is up, and we are awake
    expires: float = field(init=False)
    excused: float = -NEVER  # beginning of the silence in which we slept
    # what the peer announces
    interval: float | None = None
    ttl: float = 0.0
    announced_at: float = field(init=False)  # when one of these, or the digest, changed
    agreed: float = 0.0  # the ttl that a PONG confirmed
    life: float = 0.0  # seconds for which the last HELLO holds: the ttl, or less while unproven
    suspect_after: float = NEVER  # seconds of silence; bare peers announce no interval to judge by
    patience: float = 0.0  # the shorter of the last two
    digest: str = ""
    record: Record | None = None
    has_record: bool = False  # it is that of the digest
    asked: float = -NEVER  # when we last asked for the record
    # what it proved
    proved: bool = False  # it answered a PING of ours, or seals
    sealed_with: str = ""  # id of the key, empty for plain
    sealed_until: float = -NEVER  # as long as the last sealed datagram vouches for it
    # its HELLOs
    seq: int = -1
    every: int = 1  # beats from one HELLO to the next on the path by which the peer is judged
    ahead: Run = NO_RUN  # of seqs too far above the last one that counted
    behind: Run = NO_RUN  # of seqs below it
    leap: tuple[int, int] = (-1, -1)  # the last leap, which may be forged: from which seq, to which
    bare_beats: int = 0
    flags: str = ""  # what it says of itself: `DEAF`, `NO_ECHO`
    unheard: bool = False  # its HELLOs do not arrive, though it answers PINGs
    arrived_again: int = 0  # HELLOs in a row, while `unheard`
    # its goodbye
    farewell: Farewell = NO_FAREWELL
    leaving: bool = False  # a goodbye came, and the peer is asked whether it was its own
    doubted_until: float = -NEVER  # until then a goodbye is asked about first
    # paths
    paths: Paths = field(init=False)
    several: bool = False
    shared: bool = False  # another live node has one of its addresses
    # of the prober
    probe_at: float = NEVER
    ask_at: float = NEVER  # when to PING a peer that is heard by its PONGs alone
    questions: int = 0  # asked since it is gone, whether it really is
    question_at: float = -NEVER  # when it may be asked again; until then the answer is waited for
    refused: float = -NEVER  # when its machine said that no discoveryd listens there
    rejects: bool = False  # its machine says so although one does: a firewall
    # other boots of its node
    restarts: int = 0
    clone: bool = False
    is_replaced: bool = False
    heard_replaced: int = 0  # times that it was heard since
    past: tuple[tuple[str, int], ...] = ()  # former boots, with their restarts
    heir: Row | None = None  # the boot that replaced it
    took_over: tuple[str, float] = ("", -NEVER)  # the boot that it continues, and when that was heard last
    handed: tuple[int, float] = (0, -NEVER)  # restarts that the heir counts besides, and when it came
    # what was told of it
    announced: Announced = UNANNOUNCED
    pace_full: float = -NEVER  # when its budget of events is whole again
    _prepared: Prepared | None = None  # for readers

    def __post_init__(self, now: float) -> None:
        self.key = (self.id, self.boot)
        self.first_seen = self.began = self.last_heard = self.last_hello = self.beats_from = now
        self.expires = self.announced_at = now
        self.paths = Paths(self)

    def changed(self) -> None:
        """Note a change: what was expected of this row, or prepared for readers, holds no more."""
        self.stamp += 1
        self.measured()

    def measured(self) -> None:
        """Note a measurement: what was prepared for readers holds no more."""
        self._prepared = None

    # --- state --------------------------------------------------------------------------------------

    def become(self, cause: Cause, now: float) -> None:
        """Change the state as `TRANSITIONS` says."""
        former, self.state = self.state, TRANSITIONS[self.state, cause]
        if self.state == "suspect":
            self.leaving = self.leaving or cause == "doubted"
            self.probe_at = now
            for path in self.paths:
                path.probes, path.proved_at = 0, NEVER
        else:
            self.leaving = False
        if self.state not in LIVE:
            self.hear_again()
            for path in self.paths:
                path.forget_answers()
        elif former not in LIVE:
            self.beats_from = now
        if self.state == "left":
            self.last_heard = self.expires = now
        self.changed()

    @property
    def name(self) -> str | None:
        """The name in its record, None until the record is here."""
        return self.record.name if self.record else None

    @property
    def is_shown(self) -> bool:
        """Whether the row is listed: live, and not replaced."""
        return self.state in LIVE and not self.is_replaced

    def state_at(self, now: float) -> State:
        """Return the state at a moment, also where no timer ran since: the ttl is a promise."""
        if self.state in LIVE and now >= self.expires:
            return "down"
        return "suspect" if self.state == "up" and now >= self.suspect_at() else self.state

    def suspect_at(self) -> float:
        """Return the time at which silence makes the row suspect."""
        return self.last_heard + self.suspect_after

    def is_stranger(self, since: float) -> bool:
        """Return whether it came after a moment and is unproven; what seals proved itself before it was listed."""
        return not self.proved and self.first_seen >= since

    def deadline(self, now: float, remember: float) -> float:
        """Return the time at which something is due for this row if it is not heard again.

        Args:
            now: the time.
            remember: seconds for which a gone row is kept.
        """
        if self.state not in LIVE:
            return self.last_heard + (max(remember, self.ttl) if self.proved else max(self.life, LEAST_LIFE))
        due = self.expires if self.state == "suspect" or self.is_replaced else self.last_heard + self.patience
        return min(due, self.paths.next_change(now)) if self.several else due

    # --- HELLOs and PONGs ---------------------------------------------------------------------------

    def take(self, path: Path, hello: Hello, record: Record | None, source: Source, now: float) -> None:
        """Keep what a HELLO announces, unless it was overtaken."""
        if path.source is not source:
            path.source = source
            self.changed()
        if hello.seq >= self.seq:
            if self.unheard and hello.seq > self.seq:
                self.arrived_again = self.arrived_again + 1 if hello.seq - self.seq <= self.every else 1
                if self.arrived_again >= HEARD_AGAIN:
                    self.hear_again()
            self.seq = hello.seq
            if not self._is_judged_by_others(path, now):
                self._be_paced(hello, now)
            if self.digest != hello.digest:
                self.digest, self.announced_at = hello.digest, now
                self.changed()
            if record is not None and record is not self.record:
                self.record = record
                self.changed()
            self.flags = hello.lasting
            self.has_record = self.record is not None and self.record.digest == self.digest

    def _is_judged_by_others(self, path: Path, now: float) -> bool:
        """Return whether HELLOs come more often by another path than by this one."""
        return path.every > 1 and any(one.every < path.every and now < one.stale_at() for one in self.paths)

    def _be_paced(self, hello: Hello, now: float) -> None:
        interval, ttl = hello.interval_ms / 1000, hello.ttl_ms / 1000
        if (self.interval, self.ttl) != (interval, ttl):
            self.interval, self.ttl, self.announced_at = interval, ttl, now
            self.suspect_after = SUSPECT_INTERVALS * interval
            self.changed()
        self.every = hello.every

    def refresh(self, path: Path, seconds: float, now: float) -> None:
        """Note a datagram by which the peer shows that it lives: its HELLO or PONG came by this path.

        Args:
            path: the path.
            seconds: for how long that holds.
            now: the time it arrived, perhaps before the last one.
        """
        self.hold_for(seconds)
        if self.questions:
            self.questions, self.question_at = 0, -NEVER
        if self.refused > self.last_heard:
            self.rejects = True  # its machine refuses our PINGs, but the peer is there: a firewall
        if now >= path.last_heard:
            path.hold(now, seconds)
        if now >= self.last_heard:
            self.last_heard, self.expires = now, now + seconds
        if self.is_replaced:
            self.fade()

    def hold_for(self, seconds: float) -> None:
        """Set for how long the next HELLO holds; before that time is over the peer is suspect, and asked."""
        self.life = seconds
        if self.interval is not None:
            usual = SUSPECT_INTERVALS * self.interval
            self.suspect_after = min(usual, seconds - LAST_CHANCE) if seconds > 2 * LAST_CHANCE else usual
        self.patience = min(self.suspect_after, seconds)

    def has_new_ttl(self) -> bool:
        """Return whether a duplicate of the last HELLO announced another ttl; the last HELLO then holds for so long."""
        expires = self.last_heard + self.life
        if self.expires == expires or self.excused == self.last_heard:
            return False
        self.expires = expires
        for path in self.paths:
            path.hold(path.last_heard, self.life)
        return True

    def restart_count(self, seq: int) -> None:
        """Continue from another seq, and measure the loss anew."""
        self.seq = seq
        for path in self.paths:
            path.forget_loss()

    def hear_again(self) -> None:
        """Measure the loss anew: the HELLOs of this peer arrive again, or it is gone."""
        if self.unheard:
            self.unheard = False
            self.restart_count(self.seq)

    def believes_at(self) -> float:
        """Return from when on an answer makes the announced ttl count: a forged one would be gone. NEVER if it does."""
        return NEVER if self.agreed == self.ttl else self.announced_at + min(self.agreed, LEAST_LIFE)

    def prove(self, now: float) -> None:
        """Note that the peer answered a PING; a goodbye from before that was not its own."""
        self.proved, self.rejects = True, False
        if now >= self.believes_at():
            self.agreed = self.ttl
        if self.state == "left" or self.leaving:
            self.doubted_until = now + DOUBT

    def replace(self, heir: Row) -> None:
        """Hide this row: a new boot continues it, unless this one is heard again soon."""
        self.is_replaced, self.heard_replaced, self.heir = True, 0, heir
        self.fade()
        self.changed()

    def fade(self) -> None:
        """Hold a replaced row for two of its intervals at most."""
        self.expires = min(self.expires, self.last_heard + REPLACED_INTERVALS * (self.interval or self.ttl))

    def miss_hellos(self, now: float) -> None:
        """Measure by the time how many HELLOs of a peer that answers are missing; after many it is `unheard`."""
        missing = misses(now - max(self.last_hello, self.beats_from), self.interval or self.ttl)
        if missing < SUSPECT_MISSES:
            return
        is_new = missing >= UNHEARD and not self.unheard
        for path in self.paths:
            if is_new:
                path.miss_all(self.seq, missing)
            else:
                path.miss(missing)
        if is_new:
            self.unheard, self.arrived_again = True, 0
        self.changed()

    @property
    def beats(self) -> int:
        """Count the beats heard, as far as it matters."""
        return self.bare_beats or 1 + max([path.reach.heard for path in self.paths if path.reach], default=0)

    def excuse(self, now: float) -> bool:
        """Start a grace period, as we slept; return whether the row was overdue. Each silence is excused once."""
        self.beats_from = now
        if not self.is_shown or self.excused == self.last_heard or now < min(self.suspect_at(), self.expires):
            return False
        self.excused = self.last_heard
        self.expires = max(self.expires, now + self.patience)
        for path in self.paths.last():
            path.expires = self.expires
            path.distrust()
        return True

    # --- for readers --------------------------------------------------------------------------------

    def lasting(self, now: float) -> Peer:
        """Return the row with all ages zero; the same object as long as nothing else changes."""
        prepared = self._prepare(now)
        if prepared.view is None:
            prepared.view = peer_of(self, prepared.fresh, prepared.state)
        return prepared.view

    def text(self, now: float) -> str:
        """Return the JSON of `lasting`, encoded once per change."""
        if text := self.kept_text(now):
            return text
        prepared = self._prepare(now)
        prepared.text = prepared.text or lasting_text(self, prepared.fresh, prepared.state)
        # nothing but an event or more silence can change it: of the peer, or of one of its paths
        until = min(self.expires, self.suspect_at()) if self.state == "up" else self.expires
        prepared.until = min(until, self.paths.steady_until(now)) if self.several else until
        return prepared.text

    def kept_text(self, now: float) -> str:
        """Return `text`, empty where it may have to be encoded anew."""
        return self._prepared.text if self._prepared is not None and now < self._prepared.until else ""

    def _prepare(self, now: float) -> Prepared:
        """Return what is prepared for readers, anew where time has changed the state or the paths."""
        state, prepared = self.state_at(now), self._prepared
        fresh = self.paths.fresh(now) if prepared is None or self.several else prepared.fresh
        if prepared is None or (state, fresh) != (prepared.state, prepared.fresh):
            prepared = self._prepared = Prepared(state, fresh)
        return prepared

    def peer(self, now: float) -> Peer:
        """Return the row as it is now, as an immutable value."""
        state = self.state_at(now)
        return peer_of(self, self.paths.fresh(now), state, now)
