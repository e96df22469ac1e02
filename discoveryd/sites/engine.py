"""The engine of the sites: beats, deltas and snapshots, without a socket, a thread, a library or a clock.

It is given what came in and the time, and returns what to publish and what happened. The driver connects to NATS,
subscribes as it is told, and calls

- `learn` with a survey of the local table: at once after an event, before `poll`, before a message of `own_beats`, and
  else each `discoveryd.sites.survey.SURVEY_GAP`;
- `receive` with each message;
- `poll` when `next_deadline` has come: it is computed from what is known, so that nobody is woken without need;
- `connected` when the connection is there, and when it is lost.

What a call returns is done in its order. A publication that cannot be sent at once is dropped by the driver: late, it
would be false. Nothing is raised for what others sent: it is counted by a drop word (`discoveryd.sites.drops`).

**Readers.** Each node of a site subscribes and follows the other sites by itself. Its own gateways prove to it how
fresh their nonces are (`discoveryd.sites.nonces`), so it publishes nothing, but for a request for a snapshot. A standby
that takes the place of a gateway has all rows already.

**What is true.** `discoveryd.sites.remote_site` says when a row is ``up``, ``down``, ``left`` or ``unknown``. A broker
that delays, reorders, repeats, withholds or invents can make rows unknown, and nothing else, where payloads are sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from discoveryd.errors import WireError
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.sites.channel import Heard, SiteChannel
from discoveryd.sites.drops import SiteDrops
from discoveryd.sites.following import Following
from discoveryd.sites.nonces import Echoes, Nonces
from discoveryd.sites.questions import Questions
from discoveryd.sites.remote_site import RemoteSite
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.speaking import Speaking
from discoveryd.sites.subjects import TO_SITE, subject
from discoveryd.sites.values import SiteOutput, Subscribe, Survey
from discoveryd.sites.view import View
from discoveryd.sites.wire import Beat, Delta, SetPart, Talk, Want

NONCES_KEPT = 60.0
"""Seconds for which the nonces of the other gateways of our site are known again."""


class SiteEngine:
    """The part of one node in the exchange between sites: as a gateway it speaks for its site, as a standby it reads.

    Args:
        settings: the part of this node.
        node: id of this node.
        name: of this node.
        boot: of this node.
        random_bytes: draws bytes that nobody can guess (``os.urandom``).
        keyring: the keys of the fleet; payloads are sealed where the mode of the ring is not ``off``.
        process: tells one process from another (``os.getpid``), so that a fork does not seal.

    Attributes:
        settings: in force.
        own_beats: subject of the beats of our own gateways: a survey just before tells how fresh they are.
    """

    def __init__(
        self, settings: SiteSettings, *, node: str, name: str, boot: str, random_bytes: Callable[[int], bytes],
        keyring: Keyring = NO_KEYS, process: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.own_beats = subject(settings.realm, settings.site, "beat")
        self._drops = SiteDrops()
        self._nonces, self._echoes = Nonces(random_bytes), Echoes()
        self._channel = SiteChannel(
            keyring, self._nonces, site=settings.site, realm=settings.realm, id=node, run=random_bytes(8).hex(),
            process=process,
        )  # fmt: skip

        def random() -> float:
            return int.from_bytes(random_bytes(4), "big") / 2**32

        self._following = Following(settings, self._channel, self._nonces, self._echoes, random)
        self._speaking = Speaking(
            settings, self._channel, self._nonces, self._echoes, id=node, name=name, boot=boot, random=random
        )
        self._questions = Questions(self._channel, self._echoes, self._nonces.draw)
        self.set_keyring = self._channel.set_keyring

    # --- configuration --------------------------------------------------------------------------

    def set_settings(self, settings: SiteSettings, now: float) -> list[SiteOutput]:
        """Use other settings from now on; site and realm are for a lifetime.

        Rows stay. Where other peers are to be followed, the sets are asked for anew.
        """
        self.settings = self._speaking.settings = settings
        outputs = self._following.set_settings(settings)
        return [*(outputs if self._speaking.is_connected else ()), *self.poll(now)]

    # --- what the driver calls ------------------------------------------------------------------

    def connected(self, is_connected: bool, now: float) -> list[SiteOutput]:
        """Note that the connection is there, or lost; return the subscriptions to have."""
        self._speaking.is_connected = is_connected
        if not is_connected:
            return self.poll(now)
        self._speaking.roles.restart(now)
        realm, site = self.settings.realm, self.settings.site
        return [
            Subscribe(subject(realm, "*", "beat")),
            *(Subscribe(subject(realm, "*", kind, site)) for kind in TO_SITE),
            *self._following.subscriptions(),
            *self.poll(now),
        ]

    def learn(self, survey: Survey, now: float) -> list[SiteOutput]:
        """Take a survey of the local table; return what is to be said of it, if this node is a gateway."""
        return self._speaking.learn(survey, now)

    def receive(self, subject: str, payload: bytes, now: float) -> list[SiteOutput]:
        """Take a message, whatever it is."""
        site = ""
        try:
            opened = self._channel.open(subject, payload, now)
            if opened is None:
                return []
            place, heard = opened
            site = place.site
            return self._hear(place.kind, heard, now)
        except WireError as error:
            self._drops.count(error.reason, site, error.detail, now)
            return []

    def poll(self, now: float) -> list[SiteOutput]:
        """Do what is due: beats, requests for snapshots, verdicts about sites that are silent."""
        following, speaking = self._following, self._speaking
        gateways = following.gateways + len(speaking.roles.heard(speaking.interval, now)) + 1
        speaking.interval = following.interval = max(self.settings.interval, gateways / self.settings.beats)
        outputs = speaking.poll(now)
        following.set_role(now, is_gateway=speaking.role == "gateway")
        return [*outputs, *following.poll(now)]

    def next_deadline(self, now: float) -> float:
        """Return when `poll` is to be called next: now, where that is past."""
        return max(now, min(self._speaking.next_deadline(), self._following.next_deadline()))

    # --- questions to other sites ---------------------------------------------------------------

    def ask(self, site: str, body: bytes, now: float) -> tuple[str, list[SiteOutput]]:
        """Put a question to a gateway of another site; its number is that of the `SiteAnswer` that may come.

        Raises:
            QueryError: ``not_found``: no such site; ``site_unreachable``: none of its gateways is heard; ``too_long``.
        """
        return self._questions.ask(self._following.sites.get(site), site, body, now)

    def answer(self, number: str, body: bytes, now: float) -> list[SiteOutput]:
        """Answer a question; without effect where it came too long ago.

        Raises:
            QueryError: ``too_long``.
        """
        return self._questions.answer(number, body, now)

    # --- what can be asked ----------------------------------------------------------------------

    def rows(self, site: str | None, now: float) -> list[dict[str, Any]]:
        """Return the peers of another site, None for all other sites.

        Each has the keys of a peer (schema 1) and besides ``site``, ``via`` (id of the gateway that vouches for it) and
        ``vouched_s`` (how old the proof of its word is, at most). The state is ``up``, ``down``, ``left`` or
        ``unknown``. Peers that this node hears itself are left out: what it knows first-hand counts.
        """
        first_hand = self._first_hand()
        sites = [one for one in self._sites() if site in (None, one.name)]
        return [peer for one in sites for peer in one.peers(now) if peer["id"] not in first_hand]

    def texts(self, site: str | None, now: float) -> Iterator[tuple[str, str]]:
        """Return the same peers, as of this moment: the state of each, and the text of its JSON.

        The texts are made one by one, of what does not change any more: any thread may do that.
        """
        first_hand = self._first_hand()
        found = [
            entry for one in self._sites() if site in (None, one.name)
            for entry in one.entries(now) if entry[1].partition(" ")[0] not in first_hand
        ]  # fmt: skip
        return ((shown[0], writer.write(key, shown, seen)) for writer, key, shown, seen in found)

    def followed(self) -> list[str]:
        """Return the names of the other sites whose peers are kept."""
        return [site.name for site in self._sites() if site.is_followed]

    def live(self, site: str) -> dict[str, str]:
        """Return key and text of the peers of a site that are up, while it is unreachable of those that were."""
        found = self._following.sites.get(site)
        return {} if found is None else found.live()

    def look(self, site: str, keys: Iterable[str], now: float) -> list[dict[str, Any]]:
        """Return some peers of a site as JSON, also those that this node hears itself; it costs nothing for others."""
        found = self._following.sites.get(site)
        rows = () if found is None else (found.look(key, now) for key in keys)
        return [row for row in rows if row is not None]

    def status(self, now: float) -> dict[str, Any]:
        """Return the section ``sites`` of the status.

        Keys: ``site``, ``role`` (``gateway``, ``standby``, ``isolated``, ``settling``, ``disconnected``), ``gateways``
        (ids of those of this site that are heard), ``rows``, ``limit``, ``interval_s``, ``sites`` (of each: ``name``,
        ``state`` that is ``reachable``, ``unreachable`` or ``pending``, ``gateways``, ``peers`` that it lists,
        ``omitted`` of them that are not kept, ``unknown``, ``vouched_s``), ``dropped`` (of each reason: ``reason``,
        ``count``, ``site``, ``detail``, ``last_s``), ``sent`` and ``received`` (messages by kind), ``bytes_sent``,
        ``bytes_received``, ``snapshots``.
        """
        speaking, channel = self._speaking, self._channel
        heard = speaking.roles.heard(speaking.interval, now)
        return {
            "site": self.settings.site, "role": speaking.role,
            "gateways": [*heard, *([speaking.id] if speaking.role == "gateway" else [])],
            "rows": sum(len(site.seen) for site in self._sites()), "limit": self.settings.rows,
            "interval_s": round(speaking.interval, 3), "sites": [_site_json(site, now) for site in self._sites()],
            "dropped": self._drops.to_json(now), "sent": dict(channel.sent), "received": dict(channel.received),
            "bytes_sent": channel.bytes_sent, "bytes_received": channel.bytes_received,
            "snapshots": self._following.snapshots,
        }  # fmt: skip

    # --- inside ---------------------------------------------------------------------------------

    def _first_hand(self) -> frozenset[str]:
        return self._speaking.local.ids | self._speaking.elsewhere

    def _sites(self) -> list[RemoteSite]:
        return [site for _, site in sorted(self._following.sites.items())]

    def _hear(self, kind: str, heard: Heard, now: float) -> list[SiteOutput]:
        message = heard.message
        if heard.site == self.settings.site:
            if isinstance(message, Beat):
                return self._hear_colleague(heard, message, now)
            return []
        if self._speaking.roles.is_candidate(heard.id):
            raise WireError("wrong-site", f"{heard.id} is of this site, and speaks for {heard.site}")
        match message:
            case Beat():
                return self._hear_beat(heard, message, now)
            case Delta():
                return self._following.hear_delta(heard, message, now)
            case SetPart():
                return self._following.hear_part(heard, message, now)
            case Want():
                return self._speaking.want(heard.site, message, now)
            case Talk():
                take = self._questions.take if kind == "ask" else self._questions.take_answer
                return take(heard, message, now)

    def _hear_beat(self, heard: Heard, beat: Beat, now: float) -> list[SiteOutput]:
        outputs, is_doubtful = self._following.hear_beat(heard, beat, now)
        if is_doubtful or beat.asks:
            self._speaking.beat_soon(self._following.gateways, now, asks=is_doubtful)
        return outputs

    def _hear_colleague(self, heard: Heard, beat: Beat, now: float) -> list[SiteOutput]:
        """Take a beat that speaks for our own site: it must be of a node that is known here as one that can."""
        if not self._speaking.roles.is_candidate(heard.id):
            if self._speaking.role in ("gateway", "standby"):
                raise WireError("wrong-site", f"{heard.id}, which is not heard here, speaks for {heard.site}")
            return []
        made = self._nonces.made_after(heard.id, beat.boot, beat.hello)
        if made is None or now - made > self._following.longest_age():
            raise WireError("unproven", f"{heard.id} of this site names a HELLO that is too old")
        self._nonces.learn(beat.nonce, made, now, NONCES_KEPT)
        return self.poll(now) if self._speaking.roles.hear(heard.id, now) else []


def _site_json(site: RemoteSite, now: float) -> dict[str, Any]:
    view: View | None = next(iter(site.word), None)
    proved = site.proved()
    listed = len(view.rows) if view else 0
    kept = len(site.seen) - len(site.gone)
    unknown = sum(gone.state == "unknown" for gone in site.gone.values()) + (0 if site.is_reachable else kept)
    return {
        "name": site.name,
        "state": "reachable" if site.is_reachable else "unreachable" if site.was_reachable else "pending",
        "since_s": round(now - site.since, 3),
        "gateways": [view.id for view in site.views.values() if view.is_heard(now)],
        "peers": listed, "omitted": max(0, listed - kept), "unknown": unknown,
        "vouched_s": None if proved is None else round(now - proved, 3),
    }  # fmt: skip
