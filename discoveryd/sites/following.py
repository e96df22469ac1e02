"""What this node hears of other sites: beats, deltas, snapshots, and which gateway's word counts when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import put_last
from discoveryd.sites.channel import Heard, SiteChannel
from discoveryd.sites.nonces import Echoes, Nonces
from discoveryd.sites.remote_site import RemoteSite
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.subjects import subject
from discoveryd.sites.values import SiteOutput, Subscribe, Unsubscribe
from discoveryd.sites.view import NEVER, View
from discoveryd.sites.wire import Beat, Delta, SetPart, Want

BEATS_PROVE = 2.5
"""Times the intervals of both sides that a proof holds at least: one beat may fail."""
HELLO_LAG = 3.0
"""Seconds by which a standby may tell the age of a nonce too old, before its patience grows: the HELLOs of a gateway
are that far apart on a large network."""
SOON, LATER = (0.0, 0.2), (0.5, 2.0)
"""Seconds within which a gateway asks for a snapshot, and a standby: that of a gateway serves it too."""
REORDERED = 0.3
"""Seconds that a delta may come late, before a snapshot is asked for."""
MAX_HOMES = 4096
"""Gateways of which it is known for which site they speak."""
TIDY_EVERY = 60.0
EVENTS_AT_ONCE, EVENTS_EVERY = 200, 0.02
"""Events of peers that are told in one call, and seconds to the next: each takes 20 µs of a thread that others need."""


class Following:
    """The other sites.

    Args:
        settings: of this node.
        channel: opens and seals.
        nonces: of our site.
        echoes: notes the nonces of other sites.
        random: returns a number from 0 to 1.

    Attributes:
        sites: by name.
        snapshots: that were taken.
        gateways: of other sites that are heard.
        interval: seconds between the beats of our own gateways.
        is_gateway: whether this node speaks for our site.
    """

    def __init__(
        self, settings: SiteSettings, channel: SiteChannel, nonces: Nonces, echoes: Echoes, random: Callable[[], float]
    ) -> None:
        self._channel, self._nonces, self._echoes, self._random = channel, nonces, echoes, random
        self.sites: dict[str, RemoteSite] = {}
        self._homes: dict[str, tuple[str, View]] = {}  # of each gateway its site
        self.snapshots = 0
        self.interval = settings.interval
        self.is_gateway = False
        self._judge_at = self._tidy_at = 0.0
        self._tell_at = self._want_at = NEVER  # the first that is due, or earlier
        self.gateways = 0
        self.settings = settings

    def set_settings(self, settings: SiteSettings) -> list[SiteOutput]:
        """Use other settings from now on: where other peers are to be kept, snapshots are asked for anew."""
        former, self.settings = self.settings, settings
        if (former.follow, former.rows) == (settings.follow, settings.rows):
            return []
        for site in self.sites.values():
            self._choose(site)
            for view in site.views.values():
                view.renew()
        self._judge_at = 0.0
        return list(self.subscriptions())

    def set_role(self, now: float, *, is_gateway: bool) -> None:
        """Note whether this node speaks for our site: it then knows the age of nonces better."""
        if is_gateway != self.is_gateway:
            self.is_gateway, self._judge_at = is_gateway, now

    # --- what comes -----------------------------------------------------------------------------

    def hear_beat(self, heard: Heard, beat: Beat, now: float) -> tuple[list[SiteOutput], bool]:
        """Take a beat of a gateway of another site; return too whether its word needs a fresh proof.

        Raises:
            WireError: ``table-full``, ``downgrade``, ``wrong-site``.
        """
        is_new = heard.site not in self.sites
        site = self._site(heard, now)
        self._echoes.hear(heard.site, beat.nonce, now, is_proved=heard.is_proved)
        if not heard.is_proved:
            return [], True
        view = site.view(heard.run, heard.id, is_sealed=heard.is_sealed)
        if not view.is_heard(now):
            self._judge_at = now  # there is one gateway more
        site.hear(view, beat, heard.age, now)
        put_last(self._homes, heard.id, (heard.site, view), MAX_HOMES)
        outputs = list(self._deltas([site])) if is_new else []
        outputs += self._compare(site, view, now) if site.is_followed else []
        is_doubtful = heard.age is None or heard.age > self.ttl(view) / 2
        return [*outputs, *self._judged(site, now)], is_doubtful

    def hear_delta(self, heard: Heard, delta: Delta, now: float) -> list[SiteOutput]:
        """Take changes of another site."""
        site = self.sites.get(heard.site)
        view = site.views.get(heard.run) if site else None
        if site is None or view is None or not site.is_followed:
            return []
        for due in view.follow(delta):
            self._apply(site, view, due, now)
        outputs = self._compare(site, view, now)
        if view.has_gap:
            outputs += self._want(site, view, now + REORDERED, now)
        return [*outputs, *self._judged(site, now)]

    def hear_part(self, heard: Heard, part: SetPart, now: float) -> list[SiteOutput]:
        """Take a part of a snapshot.

        Raises:
            WireError: ``unexpected``, ``malformed``.
        """
        site = self.sites.get(heard.site)
        view = site.views.get(heard.run) if site else None
        if site is None or view is None or not site.is_followed:
            raise WireError("unexpected", f"a snapshot of {heard.site}")
        if view.wants_at == NEVER or part.set < view.number:
            return []
        changes = view.assemble(part)
        if changes is None:
            return []
        site.load(view, part, changes, self._room(), now)
        self.snapshots += 1
        if heard.age is not None:
            view.proved = max(view.proved, now - heard.age)
        for due in view.due():
            self._apply(site, view, due, now)
        view.is_satisfied()
        outputs = self._compare(site, view, now)
        for other in site.views.values():
            if other is not view and not other.is_whole:
                outputs += self._compare(site, other, now)
        return [*outputs, *self._judged(site, now)]

    # --- time -----------------------------------------------------------------------------------

    def poll(self, now: float) -> list[SiteOutput]:
        """Ask for the snapshots that are due, and judge which word counts."""
        outputs: list[SiteOutput] = []
        if now >= self._want_at:
            outputs += self._ask_all(now)
        if now >= self._tell_at:
            self._tell_at = NEVER
            for site in self.sites.values():
                outputs += self._tell(site, now)
        if now >= self._judge_at:
            outputs += self._judge_all(now)
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY
            outputs += self._tidy(now)
        return outputs

    def next_deadline(self) -> float:
        """Return when `poll` is to be called next."""
        return min(self._judge_at, self._tidy_at, self._tell_at, self._want_at)

    def ttl(self, view: View) -> float:
        """Return for how many seconds the word of a gateway holds after the moment of which it is proved."""
        beat = view.beat.interval if view.beat else self.settings.interval
        lag = 0.0 if self.is_gateway else max(0.0, self._nonces.hello_gap() - HELLO_LAG)
        return max(self.settings.ttl, BEATS_PROVE * (self.interval + beat)) + 2 * lag

    def longest_age(self) -> float:
        """Return how old the word of another gateway of our own site may be."""
        return self.settings.ttl + 2 * self._nonces.hello_gap() + self.interval

    def subscriptions(self) -> Iterator[SiteOutput]:
        """Iterate over the subscriptions: to deltas of what is followed, and to the snapshots that are needed now."""
        if self._follows_all:
            yield Subscribe(subject(self.settings.realm, "*", "delta"))
        yield from self._deltas(self.sites.values())
        for site in self.sites.values():
            if site.is_listening:
                yield Subscribe(subject(self.settings.realm, site.name, "full"))

    @property
    def _follows_all(self) -> bool:
        return any(rule.site == "*" for rule in self.settings.follow)

    def _deltas(self, sites: Iterable[RemoteSite]) -> Iterator[SiteOutput]:
        """Iterate over the subscriptions to deltas, where not those of all sites are subscribed to."""
        for site in sites:
            if site.is_followed and not self._follows_all:
                yield Subscribe(subject(self.settings.realm, site.name, "delta"))

    # --- inside ---------------------------------------------------------------------------------

    def _site(self, heard: Heard, now: float) -> RemoteSite:
        home = self._homes.get(heard.id)
        if home is not None and home[0] != heard.site and home[1].is_heard(now):
            raise WireError("wrong-site", f"{heard.id} is a gateway of another site, and speaks for {heard.site}")
        site = self.sites.get(heard.site)
        if site is None:
            if not heard.is_proved:
                # what is perhaps a recording takes no place; the echo shows whether it lives
                return RemoteSite(heard.site, now)
            if len(self.sites) >= self.settings.sites:
                raise WireError("table-full", f"{len(self.sites)} sites")
            site = self.sites[heard.site] = RemoteSite(heard.site, now)
            self._choose(site)
        if not heard.is_sealed and any(view.is_sealed and view.is_heard(now) for view in site.views.values()):
            raise WireError("downgrade", f"{heard.id} of {heard.site}")
        return site

    def _choose(self, site: RemoteSite) -> None:
        """Note what is to be kept of a site."""
        about = [rule for rule in self.settings.follow if rule.is_about(site.name)]
        site.is_followed = bool(about)
        if not about:
            site.unfollow()

        def is_wanted(peer: dict[str, Any]) -> bool:
            return any(rule.accepts(peer) for rule in about)

        site.is_wanted = None if any(rule.is_whole for rule in about) else is_wanted

    def _room(self) -> int:
        return self.settings.rows - sum(len(site.seen) for site in self.sites.values())

    def _apply(self, site: RemoteSite, view: View, delta: Delta, now: float) -> None:
        site.change(view, delta.changes, self._room(), now)
        view.number = delta.set

    def _compare(self, site: RemoteSite, view: View, now: float) -> list[SiteOutput]:
        """Find out whether a view is what its gateway says; if not, and no other view is, want a snapshot."""
        if view.is_equal():
            view.is_satisfied()
            return self._listen(site)
        if view.beat is None:
            return []
        if view.is_whole and view.number > view.beat.set:
            # deltas have come since the beat; the next one tells whether all did
            if not view.has_gap:
                view.is_satisfied()
            return self._listen(site)
        if site.adopt(view, now):
            view.is_equal()
            view.is_satisfied()
            return self._listen(site)
        least, most = SOON if self.is_gateway else LATER
        pause = least + (most - least) * self._random()
        others = any(other.wants_at < NEVER for other in site.views.values() if other is not view)
        # what one gateway says will mostly do for the other
        return self._want(site, view, now + (REORDERED if view.is_whole else 0) + pause + (1.0 if others else 0), now)

    def _want(self, site: RemoteSite, view: View, at: float, now: float) -> list[SiteOutput]:
        view.want(max(at, now))
        self._want_at = min(self._want_at, view.wants_at)
        return self._listen(site)

    def _listen(self, site: RemoteSite) -> list[SiteOutput]:
        """Subscribe to the snapshots of a site while one is needed."""
        needs = any(view.wants_at < NEVER for view in site.views.values())
        if needs == site.is_listening:
            return []
        site.is_listening = needs
        topic = subject(self.settings.realm, site.name, "full")
        return [Subscribe(topic) if needs else Unsubscribe(topic)]

    def _ask(self, site: RemoteSite, view: View, now: float) -> list[SiteOutput]:
        if not view.is_heard(now):
            view.is_satisfied()
            return self._listen(site)
        view.has_asked(now, self._random())
        want = Want(run=view.run, nonce=self._nonces.own(now, self.ttl(view)), echo=self._echoes.of(site.name))
        return [*self._listen(site), self._channel.publish("want", want, site.name)]

    def _judged(self, site: RemoteSite, now: float) -> list[SiteOutput]:
        events = site.judge(self.ttl, now)
        self._judge_at = min(self._judge_at, site.next_deadline(self.ttl))
        return [*events, *self._tell(site, now)]

    def _tell(self, site: RemoteSite, now: float) -> list[SiteOutput]:
        events = site.tell(EVENTS_AT_ONCE, now)
        if site.has_untold:
            self._tell_at = min(self._tell_at, now + EVENTS_EVERY)
        return [*events]

    def _ask_all(self, now: float) -> list[SiteOutput]:
        outputs: list[SiteOutput] = []
        views = [(site, view) for site in self.sites.values() for view in site.views.values()]
        for site, view in views:
            if now >= view.wants_at:
                outputs += self._ask(site, view, now)
        self._want_at = min((view.wants_at for _, view in views), default=NEVER)
        return outputs

    def _judge_all(self, now: float) -> list[SiteOutput]:
        outputs: list[SiteOutput] = []
        self.gateways = 0
        for site in self.sites.values():
            site.revive(now)
            outputs += site.judge(self.ttl, now)
            if site.has_untold:
                self._tell_at = min(self._tell_at, now + EVENTS_EVERY)
            self.gateways += sum(view.is_heard(now) for view in site.views.values())
        self._judge_at = min((site.next_deadline(self.ttl) for site in self.sites.values()), default=NEVER)
        return outputs

    def _tidy(self, now: float) -> list[SiteOutput]:
        outputs: list[SiteOutput] = []
        for site in list(self.sites.values()):
            site.tidy(self.settings.remember, now)
            if not site.views:
                del self.sites[site.name]
            outputs += self._listen(site)
        return outputs

