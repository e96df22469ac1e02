"""What this node says for its own site while it is a gateway of it: beats, deltas, and snapshots when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from discoveryd.protocol.bounded import TokenBuckets
from discoveryd.sites.channel import SiteChannel
from discoveryd.sites.local_set import LocalSet
from discoveryd.sites.nonces import Echoes, Nonces
from discoveryd.sites.roles import Roles
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.values import SiteEvent, SiteOutput, Survey
from discoveryd.sites.view import NEVER
from discoveryd.sites.wire import Beat, Delta, SetPart, Want, split_lines

Role = Literal["gateway", "standby", "isolated", "settling", "disconnected"]

SETTLE, QUIET, LONGEST_SETTLE = 3.0, 1.0, 15.0
"""Seconds after a start, or an isolation, before a node speaks for its site; so long it waits for the first calm of
that many; and the longest that it waits."""
BEAT_GAP = 0.5
"""Seconds between two beats at least, however many others ask for one."""
ASKING = 3
"""Beats of a gateway that has just begun that ask for answers at once."""
DELTA_GAP = 0.05
"""Seconds between two deltas at least: what changes together goes together."""
SNAPSHOTS, SNAPSHOT_GAP = 4, 2.0
"""Snapshots at once, and seconds per snapshot after that: each follower of the site takes each of them."""
SERVE_AGAIN = 0.5
"""Seconds to the next try, after a snapshot too much."""
MAX_ASKED = 8
"""Nonces of one site that a snapshot echoes."""
ECHOED = 3.0
"""Intervals for which a nonce is echoed: an older one is of a gateway that fell silent, or of a recording."""
JITTER = 0.1


class Speaking:
    """The words of this node for its site.

    Args:
        settings: of this node.
        channel: seals.
        nonces: of our site.
        echoes: the nonces of other sites.
        id: of this node.
        name: of this node.
        boot: of this node.
        random: returns a number from 0 to 1.

    Attributes:
        id: of this node.
        name: of this node.
        boot: of this node.
        is_connected: whether there is a connection.
        local: the set of our site.
        roles: of the nodes of the site.
        role: what this node does now.
        interval: seconds between two beats.
        elsewhere: ids of nodes of other sites that this node hears itself.
    """

    def __init__(
        self, settings: SiteSettings, channel: SiteChannel, nonces: Nonces, echoes: Echoes, *, id: str, name: str,
        boot: str, random: Callable[[], float],
    ) -> None:  # fmt: skip
        self.settings = settings
        self._channel, self._nonces, self._echoes, self._random = channel, nonces, echoes, random
        self.id, self.name, self.boot = id, name, boot
        self.local = LocalSet()
        self.roles = Roles(settings.site, id)
        self.role: Role = "disconnected"
        self.interval = settings.interval
        self.elsewhere: frozenset[str] = frozenset()
        self.is_connected = False
        self._settled_at = self._settle_until = NEVER
        self._is_isolated = False
        self._hello = 0
        self._beat_at = NEVER
        self._beaten_at = self._told_at = -NEVER
        self._asking = 0
        self._wants: dict[str, tuple[str, ...]] = {}
        self._serve_at = 0.0
        self._snapshots = TokenBuckets(1 / SNAPSHOT_GAP, FROM_ALL, burst=SNAPSHOTS)

    # --- what is known first-hand -----------------------------------------------------------------

    def learn(self, survey: Survey, now: float) -> list[SiteOutput]:
        """Take a survey; return what is to be said of it at once."""
        self._hello, self.elsewhere = survey.seq, survey.elsewhere
        self.boot, self.name = survey.boot or self.boot, survey.name or self.name
        if survey.rows is not None:
            before = self.local.count
            self.local.learn(survey.rows)
            if self.role in ("settling", "disconnected") and self.local.count > before:
                self._settled_at = min(max(self._settled_at, now + QUIET), self._settle_until)
        if self._settle_until == NEVER or survey.is_isolated:
            self._settled_at, self._settle_until = now + SETTLE, now + LONGEST_SETTLE
        self._is_isolated = survey.is_isolated
        self.roles.candidates((speaker.id for speaker in survey.speakers), with_self=self.settings.can_speak)
        self._nonces.survey(speaker for speaker in survey.speakers if self.roles.matters(speaker.id))
        return self.poll(now)

    # --- what others ask --------------------------------------------------------------------------

    def want(self, site: str, want: Want, now: float) -> list[SiteOutput]:
        """Take the wish of another site for a snapshot; return the snapshot, unless there were too many."""
        if want.run != self._channel.run or self.role != "gateway":
            return []
        self._wants[site] = (*self._wants.get(site, ())[-MAX_ASKED + 1 :], want.nonce)
        return self._serve(now)

    def beat_soon(self, gateways: int, now: float, *, asks: bool) -> None:
        """Beat before the next beat is due, for an echo that is waited for: theirs of us, or (`asks`) ours of them.

        Where there are many gateways each takes its time.
        """
        if self.role == "gateway":
            spread = gateways / (10 * self.settings.beats)
            self._beat_at = min(self._beat_at, max(self._beaten_at + BEAT_GAP, now + spread * self._random()))
            if asks:
                self._asking = max(self._asking, 1)

    # --- time -------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[SiteOutput]:
        """Do what is due, first of all find out what this node does."""
        outputs = self._judge(now)
        if self.role != "gateway":
            return outputs
        if self.local.is_changed and now >= self._told_at + DELTA_GAP:
            outputs += self._tell(now)
        if self._wants and now >= self._serve_at:
            outputs += self._serve(now)
        if now >= self._beat_at:
            outputs += self._beat(now)
        return outputs

    def next_deadline(self) -> float:
        """Return when `poll` is to be called next."""
        if self.role == "disconnected":
            return NEVER
        change = self.roles.next_change(self.interval)
        if self.role != "gateway":
            return min(change, self._settled_at) if self.role == "settling" else change
        tell = self._told_at + DELTA_GAP if self.local.is_changed else NEVER
        return min(self._beat_at, tell, change, self._serve_at if self._wants else NEVER)

    def _judge(self, now: float) -> list[SiteOutput]:
        former, self.role = self.role, self._role(now)
        if self.role == former or "gateway" not in (former, self.role):
            return []
        is_gateway = self.role == "gateway"
        if is_gateway:
            self._beat_at, self._asking = now, ASKING
            self._catch_up()
        text = f"this node speaks for its site{'' if is_gateway else f' no longer: it is {self.role}'}"
        return [SiteEvent("gateway", self.settings.site, None, text)]

    def _catch_up(self) -> None:
        """Bring the set up to date without a delta: no site follows it, or a follower can tell by its number."""
        if self.local.is_changed:
            self.local.changes()
            self.local.number += 1

    def _role(self, now: float) -> Role:
        if not self.is_connected:
            return "disconnected"
        speakers = self.roles.speakers(self.settings.gateways, self.interval, now)
        if self._is_isolated:
            return "isolated"
        if now < self._settled_at:
            return "settling"
        if self.id in speakers:
            return "gateway"
        # one that has its place taken speaks until its successor is heard
        is_awaited = self.role == "gateway" and not set(speakers) <= set(self.roles.heard(self.interval, now))
        return "gateway" if is_awaited else "standby"

    # --- what is said -----------------------------------------------------------------------------

    def _beat(self, now: float) -> list[SiteOutput]:
        outputs = self._tell(now) if self.local.is_changed else []
        beat = Beat(
            name=self.name, boot=self.boot, hello=self._hello, set=self.local.number, count=len(self.local.rows),
            digest=self.local.digest, nonce=self._nonces.own(now, self._keep()), interval=self.interval,
            asks=self._asking > 0, echo=self._echoes.next(now - ECHOED * self.interval),
        )  # fmt: skip
        self._asking -= self._asking > 0
        self._beaten_at = now
        self._beat_at = now + self.interval * (1 + JITTER * (2 * self._random() - 1))
        return [*outputs, self._channel.publish("beat", beat)]

    def _tell(self, now: float) -> list[SiteOutput]:
        """Return the deltas that lead to what is known now."""
        outputs: list[SiteOutput] = []
        for changes in split_lines(self.local.changes()):
            self.local.number += 1
            outputs.append(self._channel.publish("delta", Delta(set=self.local.number, changes=changes)))
        self._told_at = now
        return outputs

    def _serve(self, now: float) -> list[SiteOutput]:
        if not self._snapshots.allows("", now):
            self._serve_at = now + SERVE_AGAIN
            return []
        outputs = self._tell(now) if self.local.is_changed else []
        portions, local = split_lines(self.local.snapshot()), self.local
        wants, self._wants = self._wants, {}
        for place, changes in enumerate(portions):
            part = SetPart(
                set=local.number, part=place, of=len(portions), count=len(local.rows), digest=local.digest,
                changes=changes, echo=wants,
            )  # fmt: skip
            outputs.append(self._channel.publish("full", part))
        return outputs

    def _keep(self) -> float:
        """Return for how many seconds a nonce is known again."""
        return 3 * max(self.settings.ttl, 5 * self.interval)


FROM_ALL = 1e9
