"""Another site: what its gateways say, brought together, and what of it is true now.

Each gateway is followed by itself (`View`). While the site is reachable a row of it is

- ``up`` where a gateway whose word is proved lists it;
- ``left`` or ``down`` where a gateway said so, and none lists it. A list does not count where its gateway had been
  silent for longer than a beat takes by then: it may be down itself. And for `DOMINANT` seconds a goodbye, a replaced
  boot and a process that died count more than any list, for they are evidence, and the other gateway may not have heard
  of it yet;
- ``unknown`` where no gateway says so any more: that which listed it fell silent, or lists it no more without a word.

So a gateway that is cut off from its own LAN takes no peer down that another one hears, nor does one that has just
started and knows few peers, and nothing but the word of a gateway of the site brings a row back. While no word is
proved the site is unreachable, and all its peers are ``unknown``: that is told once, not for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from discoveryd.errors import WireError
from discoveryd.sites.changes import NOWHERE, Shown, Untold, reason_of
from discoveryd.sites.gone import EVIDENT, GonePeers
from discoveryd.sites.listing import TextWriter, Voucher, render
from discoveryd.sites.row import mark, read_row
from discoveryd.sites.values import SiteEvent
from discoveryd.sites.view import NEVER, Kept, View
from discoveryd.sites.wire import ENDS, Beat, Change, End, SetPart

MAX_VIEWS = 16
"""Runs of gateways of one site that are followed; past it the run that is silent longest is forgotten."""


class RemoteSite:
    """The peers of another site.

    Args:
        name: of the site.
        now: the time.

    Attributes:
        views: the gateways, by their run.
        is_wanted: whether a peer is to be kept, by its JSON; None to keep all.
        is_followed: whether peers are kept at all.
        is_listening: whether snapshots are subscribed to.
        is_reachable: whether the word of a gateway is proved, as it was told last.
        since: when that began or ended; the time of the first beat while it never was.
        was_reachable: whether it ever was.
        word: the views that count, the last ones that did while the site is unreachable.
        gone: peers that no gateway lists.
        seen: when each peer that is kept was first listed.
        ttl: seconds for which the word of a gateway holds.
    """

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.views: dict[str, View] = {}
        self.is_wanted: Callable[[dict[str, Any]], bool] | None = None
        self.is_followed = True
        self.is_listening = self.is_reachable = self.was_reachable = False
        self.since = now
        self.word: list[View] = []
        self.gone = GonePeers()
        self.seen: dict[str, float] = {}
        self.ttl = 0.0
        self._untold = Untold()

    def view(self, run: str, id: str, *, is_sealed: bool) -> View:
        """Return the view of a run, a new one if the run is not known."""
        view = self.views.get(run)
        if view is None:
            if len(self.views) >= MAX_VIEWS:
                self._drop(min(self.views.values(), key=lambda one: one.heard))
            view = self.views[run] = View(run, id, is_sealed=is_sealed)
        return view

    # --- what is true -----------------------------------------------------------------------------

    def shown(self, key: str) -> Shown:
        """Return state and text of a peer, as the gateways together tell it; what is not kept is nowhere."""
        gone = self.gone.get(key)
        if gone is not None and gone.state in EVIDENT:
            return gone.shown
        for view in self.word:
            kept = view.rows.get(key)
            if isinstance(kept, str) and (gone is None or gone.state != "down" or view.is_heard_at(gone.at)):
                return "up", kept, ""
        return gone.shown if gone is not None else NOWHERE

    def listing(self) -> Iterator[tuple[str, Shown, View | None]]:
        """Iterate over the peers: key, state and text, and the gateway that vouches for the peer."""
        told: set[str] = set()
        for place, view in enumerate(self.word):
            for key, kept in view.rows.items():
                if isinstance(kept, str) and key not in self.gone and (not place or key not in told):
                    yield key, ("up", kept, ""), view
            if place + 1 < len(self.word):
                told.update(view.rows)
        for key in self.gone:
            shown = self.shown(key)
            if shown[0] != "replaced":
                yield key, shown, None

    def peers(self, now: float) -> Iterator[dict[str, Any]]:
        """Iterate over the peers as JSON."""
        for key, shown, view in self.listing():
            yield self.peer(key, shown, now, view)

    def entries(self, now: float) -> Iterator[tuple[TextWriter, str, Shown, float]]:
        """Iterate over what a `TextWriter` makes the text of each peer of, with that writer."""
        writers: dict[View | None, TextWriter] = {}
        for key, (state, text, why), view in self.listing():
            writer = writers.get(view)
            if writer is None:
                writer = writers[view] = TextWriter(self._voucher(view, now))
            yield writer, key, (self._true(state), text, why), now - self.seen.get(key, now)

    def live(self) -> dict[str, str]:
        """Return key and text of the peers that are up, while the site is unreachable of those that were."""
        return {key: shown[1] for key, shown, _ in self.listing() if shown[0] == "up"}

    def look(self, key: str, now: float) -> dict[str, Any] | None:
        """Return a peer as JSON, None where it is not kept; its word is that of the gateway proved last."""
        shown = self.shown(key)
        views = [view for view in self.word if isinstance(view.rows.get(key), str)]
        view = max(views, key=lambda one: one.proved, default=None)
        return None if shown[0] in ("", "replaced") else self.peer(key, shown, now, view)

    def peer(self, key: str, shown: Shown, now: float, view: View | None = None) -> dict[str, Any]:
        """Return a peer as JSON."""
        state, text, why = shown
        return render(key, text, self._true(state), self._voucher(view, now), now - self.seen.get(key, now), why=why)

    def _true(self, state: str) -> str:
        """Return what is true of a state: while the site is unreachable that of a peer that was up is not known."""
        return "unknown" if state == "up" and not self.is_reachable else state

    def _voucher(self, view: View | None, now: float) -> Voucher:
        view = view or next(iter(self.word), None)
        return Voucher(self.name, view.id if view else None, now - view.proved if view else None, self.ttl)

    def proved(self) -> float | None:
        """Return the latest moment of which the word of a gateway is proved."""
        return max((view.proved for view in self.views.values() if view.proved > -NEVER), default=None)

    # --- what a gateway says ----------------------------------------------------------------------

    def change(self, view: View, changes: Iterable[Change], room: int, now: float) -> None:
        """Apply the changes of a delta; there is room for so many more peers. `tell` returns the events."""
        for key, text in changes:
            self._note(key)
            end = ENDS.get(text)
            if end is not None:
                self.gone.end(key, end, self._text(key, view.rows), now)
                view.apply(key, None, 0)
                if end.state == "replaced":
                    self._untold.replace(key)
                continue
            self.gone.pop(key, None)
            kept, digest = self._keep(key, text, room)
            view.apply(key, kept, digest)
            room -= self._see(key, kept, now)

    def hear(self, view: View, beat: Beat, age: float | None, now: float) -> None:
        """Take a beat: from now on its list may count where a peer was said to be gone. `tell` returns the events."""
        for key in self.gone.since(view.heard, now):
            if key in view.rows:
                self._note(key)
        view.hear(beat, age, now)

    def load(self, view: View, part: SetPart, changes: Iterable[Change], room: int, now: float) -> None:
        """Replace the rows of a view by a snapshot. `tell` returns the events.

        Args:
            view: of the gateway.
            part: a part of the snapshot.
            changes: the whole.
            room: for so many more peers there is room.
            now: the time.

        Raises:
            WireError: ``malformed``: it is not what it says.
        """
        rows, ends = self._read(view, part, changes, room, now)
        former = view.rows
        for key in (*former, *rows):
            self._note(key)
        view.load(rows, part.digest, part.set)
        for key, end in ends:
            text = self._text(key, former)
            if text:
                self._note(key)
                self.gone.end(key, ENDS[end], text, now)
        self._bury(former, now)
        for key in rows:
            self.gone.listed(key)

    def adopt(self, view: View, now: float) -> bool:
        """Give a view the rows of another gateway, where they are the set that its last beat tells of."""
        beat = view.beat
        other = next((one for one in self.views.values() if beat and one is not view and one.is_told_by(beat)), None)
        if beat is None or other is None:
            return False
        former = view.rows
        for key in former:
            self._note(key)
        view.load(dict(other.rows), beat.digest, beat.set)
        self._bury(former, now)
        return True

    def _read(
        self, view: View, part: SetPart, changes: Iterable[Change], room: int, now: float
    ) -> tuple[dict[str, Kept], list[Change]]:
        """Return what is kept of a snapshot, and the ends in it."""
        rows: dict[str, Kept] = {}
        ends: list[Change] = []
        total = 0
        others = [other.rows for other in self.views.values() if other is not view]
        # gateways of one site say the same of a peer: it is kept once
        known = {key: key for other in others for key in other}
        for key, text in changes:
            if text in ENDS:
                ends.append((key, text))
                continue
            kept, digest = self._keep(key, text, room)
            for other in others:
                if other.get(key) == kept:
                    kept = other[key]
            rows[known.get(key, key)] = kept
            total += digest
            room -= self._see(key, kept, now)
        if len(rows) != part.count or total % 2**64 != part.digest:
            raise WireError("malformed", f"a snapshot of {len(rows)} peers is not the set that it says")
        return rows, ends

    def _keep(self, key: str, text: str, room: int) -> tuple[Kept, int]:
        """Return what is kept of a peer, and its part of the digest."""
        digest = mark(key, text)
        has_room = room > 0 or key in self.seen
        is_kept = self.is_followed and has_room and (self.is_wanted is None or self.is_wanted(read_row(key, text)))
        return (text if is_kept else digest), digest

    def _see(self, key: str, kept: Kept, now: float) -> bool:
        """Note a peer that is kept; return whether it is new."""
        if is_new := isinstance(kept, str) and key not in self.seen:
            self.seen[key] = now
        return is_new

    def _text(self, key: str, rows: dict[str, Kept]) -> str:
        """Return the text of a peer that these rows have, any gateway lists, or that is gone; empty for none."""
        listed = (one.get(key) for one in (rows, *(view.rows for view in self.views.values())))
        gone = self.gone.get(key)
        return next((text for text in listed if isinstance(text, str)), gone.text if gone else "")

    def _bury(self, rows: dict[str, Kept], now: float) -> None:
        """Let those of these rows be unknown that no gateway lists, and of which none has said more."""
        views = [view.rows for view in self.views.values()]
        for key, text in rows.items():
            if isinstance(text, str) and key not in self.gone and not any(key in listed for listed in views):
                self.gone.end(key, End("unknown"), text, now)

    # --- time -------------------------------------------------------------------------------------

    def judge(self, ttl: Callable[[View], float], now: float) -> list[SiteEvent]:
        """Find out which word counts; return what follows for the site. `tell` returns what follows for peers."""
        fresh = [view for view in self.views.values() if view.is_whole and now < view.proved + ttl(view)]
        self.ttl = max((ttl(view) for view in fresh), default=self.ttl)
        if not fresh:
            if not self.is_reachable:
                return []
            self.is_reachable, self.since = False, now
            return [SiteEvent("site-unreachable", self.name, None, "no gateway of it has proved its word in time")]
        is_back = not self.is_reachable
        if fresh != self.word or is_back:
            for view in (*self.word, *fresh):
                for key in view.rows:
                    self._note(key)
            lost = [view for view in self.views.values() if view.is_whole and view not in fresh]
            self.word, self.gone.due = fresh, now
            for view in lost:
                rows = view.rows
                view.forget()
                self._bury(rows, now)
        if not is_back:
            return []
        self.is_reachable, self.was_reachable, self.since = True, True, now
        return [SiteEvent("site-back", self.name, None, "its gateways are heard, and their word is proved")]

    def revive(self, now: float) -> None:
        """Let a list count again where a goodbye, or a new boot, was told long ago: the peer is back since then."""
        if not self.is_reachable:
            return
        for key in self.gone.doubtful(now):
            gone = self.gone[key]
            lists = (view.rows.get(key) for view in self.word if view.heard > gone.at)
            if gone.state == "replaced" or any(isinstance(kept, str) for kept in lists):
                self._note(key)
                del self.gone[key]

    def next_deadline(self, ttl: Callable[[View], float]) -> float:
        """Return when `judge` or `revive` would find something, if nothing more is heard of the site."""
        ends = [self.gone.due, *(view.proved + ttl(view) for view in self.word)]
        return min(ends) if self.is_reachable else NEVER

    def tidy(self, remember: float, now: float) -> None:
        """Forget what was gone long ago, and gateways that were silent for so long."""
        self.gone.forget(now - remember)
        for view in [view for view in self.views.values() if now >= view.heard + remember]:
            self._drop(view)
        if len(self.seen) > max((len(view.rows) for view in self.views.values()), default=0) + len(self.gone):
            listed = {key for view in self.views.values() for key in view.rows}
            self.seen = {key: at for key, at in self.seen.items() if key in listed or key in self.gone}

    def _drop(self, view: View) -> None:
        del self.views[view.run]
        if view in self.word:
            self.word = [one for one in self.word if one is not view]

    def unfollow(self) -> None:
        """Forget all peers: the site is no longer followed, and nobody is told more of it."""
        self.is_reachable = self.was_reachable = False
        self.word = []
        for kept in (self.gone, self.seen, self._untold):
            kept.clear()
        for view in self.views.values():
            view.forget()
            view.is_satisfied()

    # --- events -----------------------------------------------------------------------------------

    def _note(self, key: str) -> None:
        """Note what was told last of a peer, before that changes."""
        if key not in self._untold:
            self._untold[key] = self.shown(key)

    @property
    def has_untold(self) -> bool:
        """Whether `tell` would return more events."""
        return self.is_reachable and bool(self._untold)

    def tell(self, most: int, now: float) -> list[SiteEvent]:
        """Return the events of peers that changed since they were told last; none while the site is unreachable."""
        told = self._untold.take(most, self.shown) if self.is_reachable else ()
        return [
            SiteEvent(
                one.kind, self.name, self.peer(one.key, one.shown, now), reason_of(one.kind, one.shown), one.former
            )
            for one in told
        ]
