"""A row of the table while it lives: the one mutable thing the engine keeps about a peer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from discoveryd.protocol.link import Source
from discoveryd.protocol.table.liveness import (
    HEARD_AGAIN,
    JITTER,
    PROBE_GAP,
    SUSPECT_MISSES,
    UNHEARD,
    Pace,
    Reach,
    misses,
    suspect_after,
)
from discoveryd.protocol.table.peer import LIVE, Kind, PathView, Peer, State, lasting_text
from discoveryd.protocol.table.standing import LEAST_LIFE
from discoveryd.protocol.wire.record import Record

STALE_INTERVALS = 2.2
"""A path that missed two HELLOs (each at most 10 % late) no longer is the best, if another did not."""

CLEARLY_LOST = 0.1
CLEARLY_SLOWER = 2
CLEARLY_LATER = 0.001
"""A path is better if it loses a tenth less, or takes half the time and a millisecond less: else it stays."""

NEVER = float("inf")

NEAR = 4
"""Beats from one seq to the next from which on the one that comes next may be forged: three in a row were lost, or it
is a leap."""
FAR = 64
"""Beats by which a seq of a live peer may be ahead of what the time since the last one explains: no further leap counts
at once."""
BELIEVED = 3
BELIEVED_INTERVALS = 1.5
"""HELLOs in a row, each newer than the one before, and the intervals they span at least, after which they are believed
rather than what was heard before: meanwhile a peer that is there would have been heard itself."""
REPLACED_INTERVALS = 2
"""Intervals of its own for which a boot that another one replaced may yet speak again."""
GIVEN_UP = 3
"""Beats for which a peer is not heard in the way it was (another key, or plain) after which it has given that up."""

_DIRECTIONS = {True: 0, None: 1, False: 2}
_NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Path:
    """One address of a peer on one link, ageing alone."""

    __slots__ = (
        "address", "answered_at", "expires", "hears_us_s", "last_heard", "link", "loss", "loss_at_most", "pinged",
        "probes", "proved_at", "reach", "row", "rtt", "since", "source", "steady", "turn_at", "two_way",
        "unanswered",
    )  # fmt: skip

    def __init__(self, row: Row, source: Source, now: float) -> None:
        self.row = row
        self.source = source
        self.address = source.address
        self.link = source.link.name if source.link else ""
        self.since = now
        self.last_heard = now
        self.expires = now
        self.steady: bytes | None = None
        self.reach: Reach | None = None
        self.loss: float | None = None  # share of its HELLOs that were lost here
        self.loss_at_most: float | None = None  # that it may be, measured on so few
        self.rtt: float | None = None
        self.two_way: bool | None = None
        self.hears_us_s: float | None = None  # as its last PONG told
        self.pinged = -NEVER
        self.answered_at = -NEVER
        self.unanswered = 0  # PINGs in a row, while it was up
        self.probes = 0  # unanswered, since it is suspect
        self.proved_at = NEVER  # when they prove something, if still none was answered
        self.turn_at = NEVER  # when it is pinged next

    def heard(self, seq: int) -> None:
        """Count a HELLO."""
        if self.reach is None:
            self.reach = Reach(seq)
        self.reach.hear(seq)
        if self.reach.seq >= self.reach.due:
            self.mark(self.reach)

    def mark(self, reach: Reach) -> None:
        """Tell the loss anew."""
        reach.mark()
        self.loss, self.loss_at_most = reach.loss()
        self.row.changed()

    def miss(self, missing: int) -> None:
        """Tell the loss anew, with so many HELLOs that should have come since the last one."""
        if self.reach is not None:
            self.loss, _ = self.reach.loss(missing)

    def miss_all(self, seq: int, missing: int) -> None:
        """Begin to measure anew with nothing but loss; from then on silence here proves nothing either."""
        self.reach = Reach(seq)
        self.loss, self.loss_at_most = self.reach.loss(missing)

    def answered(self, rtt: float, hears_us_s: float | None, *, two_way: bool | None, now: float) -> None:
        """Take what a PONG told."""
        self.answered_at = now
        # smoothed as TCP does (RFC 6298): one eighth of the new value
        self.rtt = rtt if self.rtt is None else self.rtt + (rtt - self.rtt) / 8
        self.hears_us_s = hears_us_s
        self.two_way = two_way
        self.unanswered = 0
        self.row.changed()

    def forget_answers(self) -> None:
        """Forget whether it hears us; it is to be asked soon after it was heard again."""
        self.two_way = None
        self.unanswered = 0
        self.turn_at = NEVER

    def forget_loss(self) -> None:
        """Measure its loss anew."""
        self.reach = None
        self.loss = self.loss_at_most = None
        self.row.changed()

    def distrust(self) -> None:
        """Forget what was measured: the path may be another one now."""
        self.forget_answers()
        self.forget_loss()
        self.rtt = None

    def beats(self, other: Path) -> bool:
        """Whether this way is so much better that it is worth changing over: two-way, then loss, then round trip."""
        mine, its = _DIRECTIONS[self.two_way], _DIRECTIONS[other.two_way]
        if mine != its:
            return mine < its
        more_lost = (other.loss or 0) - (self.loss or 0)
        if abs(more_lost) > CLEARLY_LOST:
            return more_lost > 0
        return self.rtt is not None and other.rtt is not None and CLEARLY_SLOWER * self.rtt + CLEARLY_LATER < other.rtt


MAX_PAST = 8
"""Former boots of a node that are remembered, by which one of two that take turns is known again."""


class Run(NamedTuple):
    """HELLOs that do not go on from the last one that counted, but each from the one before."""

    base: int = -1  # seq of the last one that counted
    seq: int = -1
    times: int = 0
    since: float = 0.0

    def extended(self, base: int, seq: int, now: float) -> Run:
        """Return this run with one more HELLO, or a new one that begins with it."""
        if base == self.base and 0 <= seq - self.seq < FAR:
            return self if seq == self.seq else Run(base, seq, self.times + 1, self.since)
        return Run(base, seq, 1, now)


class Announced(NamedTuple):
    """What an event says of a row, to tell whether there is something new to say."""

    state: State | None = None
    boot: str = ""
    clone: bool = False
    digest: str = ""
    addresses: tuple[str, ...] = ()
    deaf: bool = False
    sealed_with: str = ""
    unheard: bool = False
    shared: bool = False


UNANNOUNCED = Announced()


Key = tuple[str, str]
"""What tells rows apart: id and boot, for a boot that somebody else speaks under is another row; of a bare peer its
address and nothing."""


class Row:
    """A peer as the engine knows it. Times are those of the caller's clock."""

    __slots__ = (
        "_again",
        "_ahead",
        "_bare_beats",
        "_behind",
        "_fresh",
        "_leap",
        "_text",
        "_text_until",
        "_view",
        "agreed",
        "announced",
        "announced_at",
        "ask_at",
        "asked",
        "beats_from",
        "began",
        "boot",
        "clone",
        "digest",
        "doubted_until",
        "excused",
        "expires",
        "farewell",
        "first_seen",
        "former_heard",
        "handed",
        "heir",
        "id",
        "interval",
        "is_replaced",
        "key",
        "kind",
        "last_heard",
        "last_hello",
        "leaving",
        "life",
        "pace",
        "past",
        "paths",
        "patience",
        "probe_at",
        "proved",
        "question_at",
        "questions",
        "record",
        "refused",
        "rejects",
        "restarts",
        "sealed_until",
        "sealed_with",
        "seq",
        "several",
        "shared",
        "state",
        "suspect_after",
        "ttl",
        "unheard",
        "used",
    )  # fmt: skip

    def __init__(self, *, kind: Kind, id: str, boot: str, now: float) -> None:  # noqa: PLR0915 - as many slots
        self.key: Key = (id, boot)
        self.kind: Kind = kind
        self.id = id
        self.boot = boot
        self.state: State = "up"
        self.first_seen = now
        self.began = now  # this row; its node may have been there before
        self.last_heard = now
        self.last_hello = now  # one that was news
        self.beats_from = now  # since when its HELLOs should come: it is up, and we are awake
        self.unheard = False  # they do not, though it answers PINGs
        self.ask_at = NEVER  # when to PING it, so that its answers keep it up
        self._again = 0  # of its HELLOs that came in a row, while they count as unheard
        self.expires = now
        self.interval: float | None = None
        self.ttl = 0.0
        self.agreed = 0.0  # the ttl that it is known to have
        self.announced_at = now  # when that, or anything else it says of itself, was another the last time
        self.life = 0.0  # for how long its last HELLO holds: its ttl, or less while it is unproven
        self.patience = 0.0  # the shorter of `suspect_after` and `life`
        self.seq = -1
        self.farewell = -1  # seq of its goodbye
        self.leaving = False  # it said goodbye, and is asked whether it did
        self.doubted_until = -NEVER  # as long as it is asked first
        self._bare_beats = 0
        self.questions = 0  # asked since it is gone, whether it really is
        self.question_at = -NEVER  # when it may be asked again
        self.proved = False  # it answered a PING of ours
        self.sealed_with = ""  # id of the key, empty for plain
        self.sealed_until = -NEVER  # as long as what it sealed last, and nothing before, vouches for it
        self._ahead = self._behind = Run()  # of seqs too far above the last, and below it
        self._leap = (-1, -1)  # the last one that may be forged: from which seq, to which
        self.digest = ""
        self.record: Record | None = None
        self.asked = float("-inf")  # when its record was last asked for
        self.paths: dict[tuple[str, str], Path] = {}
        self.several = False  # of them
        self.suspect_after = NEVER  # seconds of silence; bare peers announce no interval to judge by
        self.used: Path | None = None  # the best way, when that was last considered
        self.probe_at = NEVER
        self.excused = -NEVER  # the silence before which we slept: when it began
        self.refused = -NEVER  # when its machine said that nobody listens
        self.rejects = False  # its machine says so though it does: a firewall
        self.restarts = 0
        self.clone = False
        self.shared = False  # another live node has one of its addresses
        self.is_replaced = False  # another boot took this id over: hidden, unless it speaks again
        self.former_heard = 0
        self.past: dict[str, int] = {}  # boots before this one, and their restarts
        self.heir: Row | None = None  # of another boot, that took its id over
        self.handed = (0, now)  # restarts that the heir counts besides its own, and when it came
        self.announced = UNANNOUNCED
        self.pace = Pace()
        self._fresh: list[Path] = []
        self._view: Peer | None = None
        self._text = ""
        self._text_until = 0.0

    @property
    def name(self) -> str | None:
        """What it calls itself, None until its record is here."""
        return self.record.name if self.record else None

    @property
    def is_shown(self) -> bool:
        """Whether it is live, and no newer boot took its id over."""
        return self.state in LIVE and not self.is_replaced

    def state_at(self, now: float) -> State:
        """Give the state, true also while no timer has run: the ttl is a promise."""
        if self.state in LIVE and now >= self.expires:
            return "down"
        return "suspect" if self.state == "up" and now >= self.suspect_at() else self.state

    def is_silent(self, now: float, remembered: float) -> bool:
        """Whether it fell silent without a goodbye, and probes begin to show it; not by a pause of our own."""
        if self.state not in LIVE:
            return self.state == "down" and now < self.last_heard + remembered
        return now >= self.suspect_at() + 2 * PROBE_GAP and self.excused != self.last_heard

    def suspect_at(self) -> float:
        """Say when its silence becomes suspicious."""
        return self.last_heard + self.suspect_after

    def announce(self, interval: float, ttl: float, digest: str, now: float) -> bool:
        """Take over what a HELLO says of its sender; whether it is news."""
        if (self.interval, self.ttl, self.digest) == (interval, ttl, digest):
            return False
        self.interval, self.ttl, self.digest, self.announced_at = interval, ttl, digest, now
        self.suspect_after = suspect_after(interval)
        self.changed()
        return True

    def live(self, life: float) -> None:
        """Let what is heard from now on hold for so long."""
        self.life = life
        self.patience = min(self.suspect_after, life)

    def goes_on(self, seq: int, now: float) -> bool:
        """Return whether a HELLO shows that its sender still sends, and make it the one to go on from if need be.

        A newer seq shows it. What was heard before may be repeated by a loop, or by whoever recorded it, for
        ever: it shows nothing. But a single forged HELLO with the highest seq there is must not make all that
        follow look repeated. So a seq that is too far ahead counts when several in a row are. Older ones do when,
        besides, they are newer than what a leap began with, or a PING was answered meanwhile: no recording can.
        """
        ahead = seq - self.seq
        if self.seq < 0 or 0 < ahead < NEAR:
            return True
        if ahead == 0:
            return False
        if ahead > 0 and (ahead < FAR + self._beats_since(now) or self.state not in LIVE):
            self._leap = (self.seq, seq)
            return True
        run = (self._ahead if ahead > 0 else self._behind).extended(self.seq, seq, now)
        if ahead > 0:
            self._ahead = run
        else:
            self._behind = run
        if run.times < BELIEVED or now - run.since < BELIEVED_INTERVALS * (self.interval or 0.0):
            return False
        if ahead < 0 and not self._has_leapt_over(seq) and not self._has_answered_since(run.since):
            return False
        self._leap = (self.seq, seq) if ahead > 0 else (-1, -1)
        self.seq = seq
        for path in self.paths.values():
            path.forget_loss()
        return True

    def move_on(self, seq: int) -> None:
        """Go on from a newer seq."""
        if self.unheard and seq > self.seq:
            self._again = self._again + 1 if seq == self.seq + 1 else 1
            if self._again >= HEARD_AGAIN:
                self.hear_again()
        self.seq = seq

    def hear_again(self) -> None:
        """Measure the loss anew: its HELLOs come again, or it is gone."""
        if self.unheard:
            self.unheard = False
            for path in self.paths.values():
                path.forget_loss()

    def miss_hellos(self, now: float) -> bool:
        """Judge by the time how many HELLOs of a peer that answers are missing; whether it now counts as unheard."""
        missing = misses(now - max(self.last_hello, self.beats_from), self.interval or self.ttl)
        if missing < SUSPECT_MISSES:
            return False
        is_new = missing >= UNHEARD and not self.unheard
        for path in self.paths.values():
            if is_new:
                path.miss_all(self.seq, missing)
            else:
                path.miss(missing)
        if is_new:
            self.unheard, self._again = True, 0
        self.changed()
        return is_new

    def is_sealed_news(self, seq: int, now: float) -> bool:
        """Whether something sealed shows that it lives now: what was recorded elsewhere is older than what we heard."""
        return seq > self.seq or self.state_at(now) not in LIVE

    @property
    def beats(self) -> int:
        """Count the beats that were heard, as far as it matters."""
        return self._bare_beats or 1 + max([path.reach.heard for path in self.paths.values() if path.reach], default=0)

    def beat(self) -> None:
        """Count a bare HELLO."""
        self._bare_beats += 1

    def _beats_since(self, now: float) -> float:
        return (1 + JITTER) * (now - self.last_hello) / (self.interval or NEVER)

    def _has_leapt_over(self, seq: int) -> bool:
        begun, landed = self._leap
        return begun < seq < landed and self.seq < landed + BELIEVED

    def _has_answered_since(self, moment: float) -> bool:
        """Return whether it answered a PING since then, when nothing else of it was heard."""
        since = max(moment, self.last_hello + self.suspect_after)
        return any(path.answered_at > since for path in self.paths.values())

    def path(self, source: Source) -> Path | None:
        """Give the way this source stands for, if it was heard there before."""
        return self.paths.get((source.address, source.link.name if source.link else ""))

    def add_path(self, source: Source, now: float) -> Path:
        """Begin a new way."""
        path = Path(self, source, now)
        self.paths[path.address, path.link] = path
        self.several = len(self.paths) > 1
        self.changed()
        return path

    def drop_path(self, path: Path) -> None:
        """Forget a way."""
        del self.paths[path.address, path.link]
        self.several = len(self.paths) > 1
        if path is self.used:
            self.used = None
        self.changed()

    def heard(self, path: Path, now: float) -> None:
        """Refresh: this datagram came from the peer itself, by this way."""
        self.questions, self.question_at = 0, -NEVER
        if self.refused > self.last_heard:
            self.rejects = True  # its machine refuses our PINGs, but it is there: a firewall
        if now >= path.last_heard:  # else it arrived before what was given already
            path.last_heard, path.expires = now, now + self.life
        if now >= self.last_heard:
            self.last_heard, self.expires = now, now + self.life

    def follow(self, former: Row) -> None:
        """Go on with the history of another boot of its node; a boot that was there before has a count of its own."""
        self.first_seen = former.first_seen
        known = former.past.get(self.boot)
        self.restarts = former.restarts + 1 if known is None else known
        former.handed = (former.restarts + 1 if known is None else 0, self.last_heard)
        past = {**former.past, former.boot: former.restarts}
        if known is not None and former.state not in LIVE:  # two take turns: neither is a restart of the other
            past[former.boot] = max(0, former.restarts - known - 1)
        self.past = dict(list(past.items())[-MAX_PAST:])

    def has_new_ttl(self) -> bool:
        """Return whether the last beat, come again, announced another ttl than at first; it then holds for so long."""
        expires = self.last_heard + self.life
        if self.expires == expires or self.excused == self.last_heard:
            return False
        self.expires = expires
        for path in self.paths.values():
            path.expires = path.last_heard + self.life
        return True

    def replace_by(self, heir: Row) -> None:
        """Hide it: a new boot goes on with it, unless this one speaks again, soon."""
        self.is_replaced = True
        self.fade()
        self.former_heard = 0
        self.heir = heir

    def fade(self) -> None:
        """Let it go soon: it is hidden."""
        self.expires = min(self.expires, self.last_heard + REPLACED_INTERVALS * (self.interval or self.ttl))

    def disinherit(self) -> None:
        """Show it again: its heirs were no restarts of it, so their history begins with the first of them."""
        self.is_replaced = False
        self.expires = max(self.expires, self.last_heard + self.life)
        restarts, came = self.handed
        heir, self.heir = self.heir, None
        while heir is not None:
            heir.restarts = max(0, heir.restarts - restarts)
            heir.first_seen = max(heir.first_seen, came)
            heir.changed()
            heir = heir.heir

    def is_stranger(self, since: float) -> bool:
        """Whether it came after that and never answered a PING; who seals did so before it was listed."""
        return not self.proved and self.first_seen >= since

    def deadline(self, now: float, remember: float) -> float:
        """Say when something becomes due for it if it is not heard again; once gone it is kept for so long."""
        if self.state not in LIVE:
            return self.last_heard + (max(remember, self.ttl) if self.proved else max(self.life, LEAST_LIFE))
        due = self.expires if self.state == "suspect" or self.is_replaced else self.last_heard + self.patience
        if not self.several:
            return due
        # a way first goes stale (another becomes the best), then expires
        stale = (
            self.stales(path) if now < self.stales(path) < path.expires else path.expires
            for path in self.paths.values()
        )
        return min(due, *stale)

    def changed(self) -> None:
        """Forget what was prepared for readers."""
        self._view = None
        self._text_until = 0.0

    def stales(self, path: Path) -> float:
        """Say when a way that is not heard again no longer is as good as one that is."""
        return path.last_heard + STALE_INTERVALS * (self.interval or self.ttl)

    def consider(self, now: float) -> None:
        """Change over to a better way, if there is one; nothing else does, so that it is told when it happens."""
        if self.several:
            best = self.best(now)
            for path in self.paths.values():
                if not self._is_out(path, now) and path.beats(best):
                    best = path
            self.used = best

    def best(self, now: float) -> Path:
        """Give the way to use: the one in use, unless it fell silent and another did not."""
        if not self.several:
            return next(iter(self.paths.values()))
        # when all fell silent together the last one heard is as good as any
        used = self.used
        paths = self.paths.values()
        return min(paths, key=lambda path: (self._is_out(path, now), now >= path.expires, path is not used))

    def last_paths(self) -> list[Path]:
        """Give the ways by which it was heard in the two intervals before it fell silent."""
        return [path for path in self.paths.values() if self.stales(path) > self.last_heard]

    def _is_out(self, path: Path, now: float) -> bool:
        """Return whether a way fell silent and another, which proved as much, did not."""
        if now < self.stales(path) or path.last_heard >= self.last_heard:
            return False
        if self.sealed_with or path.answered_at == -NEVER:
            return True
        # an address and an interval may be forged: who answered yields to nobody who did not, within its ttl
        return now >= path.expires or any(
            one.answered_at > -NEVER and one.last_heard > path.last_heard for one in self.paths.values()
        )

    def fresh(self, now: float) -> list[Path]:
        """Give the ways within their ttl, the best first; at least one."""
        best = self.best(now)
        if not self.several:
            return [best]
        return [best, *(path for path in self.paths.values() if path is not best and now < path.expires)]

    def lasting(self, now: float) -> Peer:
        """Give the row with all ages zero, kept from call to call while nothing else changes."""
        view, state = self._view, self.state_at(now)
        same_paths = not self.several or self.fresh(now) == self._fresh
        if view is not None and state == view.state and same_paths:
            return view
        self._text = ""
        self._fresh = self.fresh(now)
        self._view = self._peer(self._fresh, state)
        return self._view

    def text(self, now: float) -> str:
        """Give the JSON of `lasting`, encoded once per change."""
        if now < self._text_until:
            return self._text
        view = self.lasting(now)
        if not self._text:
            self._text = lasting_text(view)
        if len(self.paths) == 1:  # nothing but an event or more silence can change it
            self._text_until = min(self.expires, self.suspect_at()) if self.state == "up" else self.expires
        return self._text

    def peer(self, now: float) -> Peer:
        """Give the row as it is now, for good."""
        fresh = self.fresh(now)
        ages = (now - self.first_seen, now - self.last_heard, self.expires - now)
        paths = tuple(
            PathView(
                address=path.address,
                link=path.link,
                last_heard_s=now - path.last_heard,
                expires_s=path.expires - now,
                rtt_ms=_milliseconds(path.rtt),
                loss=_rounded(path.loss),
                two_way=path.two_way,
                hears_us_s=path.hears_us_s,
            )
            for path in fresh
        )
        return self._peer(fresh, self.state_at(now), ages, paths)

    def _peer(
        self,
        fresh: list[Path],
        state: State,
        ages: tuple[float, float, float] = (0.0, 0.0, 0.0),
        paths: tuple[PathView, ...] = (),
    ) -> Peer:
        record = self.record
        return Peer(
            id=self.id,
            name=self.name,
            state=state,
            kind=self.kind,
            address=fresh[0].address,
            addresses=tuple(dict.fromkeys(path.address for path in fresh)),
            link=fresh[0].link,
            boot=self.boot,
            services=record.services if record else (),
            tags=record.tags if record else _NO_TAGS,
            first_seen_s=ages[0],
            last_heard_s=ages[1],
            expires_s=ages[2],
            interval_s=self.interval,
            ttl_s=self.ttl,
            rtt_ms=_milliseconds(fresh[0].rtt),
            loss=_rounded(fresh[0].loss),
            two_way=fresh[0].two_way,
            restarts=self.restarts,
            clone=self.clone,
            key=self.sealed_with or None,
            hellos_arrive=not self.unheard,
            shares_address=self.shared,
            paths=paths,
        )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 3)
