# ruff: noqa: ARG002 - the shape, before what fills it
"""The engine of the sites: beats, deltas and snapshots, without a socket, a thread, a library or a clock.

It is given what came in and the time, and returns what to publish and what happened. The driver connects to NATS,
subscribes as it is told, and calls

- `learn` with a survey of the local table: at once after an event, else each `discoveryd.sites.survey.SURVEY_GAP`;
- `receive` with each message;
- `poll` when `next_deadline` has come;
- `connected` when the connection is there, and when it is lost.

What a call returns is done in its order. A publication that cannot be sent at once is dropped by the driver: late, it
would be false. Nothing is raised for what others sent: it is counted by a drop word (`discoveryd.sites.drops`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.subjects import TO_SITE, subject
from discoveryd.sites.values import SiteOutput, Subscribe, Survey

NEVER = float("inf")


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
    """

    def __init__(
        self, settings: SiteSettings, *, node: str, name: str, boot: str, random_bytes: Callable[[int], bytes],
        keyring: Keyring = NO_KEYS, process: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        self.settings = settings
        self._node, self._name, self._boot = node, name, boot
        self._random_bytes, self._keyring, self._process = random_bytes, keyring, process
        self._is_connected = False

    # --- configuration --------------------------------------------------------------------------

    def set_settings(self, settings: SiteSettings, now: float) -> list[SiteOutput]:
        """Use other settings from now on; site and realm are for a lifetime."""
        self.settings = settings
        return []

    def set_keyring(self, keyring: Keyring) -> None:
        """Use other keys from now on."""
        self._keyring = keyring

    # --- what the driver calls ------------------------------------------------------------------

    def connected(self, is_connected: bool, now: float) -> list[SiteOutput]:
        """Note that the connection is there, or lost; return the subscriptions to have."""
        self._is_connected = is_connected
        realm, site = self.settings.realm, self.settings.site
        if not is_connected:
            return []
        return [
            *(Subscribe(subject(realm, "*", kind)) for kind in ("beat", "delta")),
            *(Subscribe(subject(realm, "*", kind, site)) for kind in TO_SITE),
        ]

    def learn(self, survey: Survey, now: float) -> list[SiteOutput]:
        """Take a survey of the local table; return the deltas to publish, if this node is a gateway."""
        return []

    def receive(self, subject: str, payload: bytes, now: float) -> list[SiteOutput]:
        """Take a message, whatever it is."""
        return []

    def poll(self, now: float) -> list[SiteOutput]:
        """Do what is due: beats, requests for snapshots, verdicts about sites that are silent."""
        return []

    def next_deadline(self, now: float) -> float:
        """Return when `poll` is to be called next."""
        return NEVER

    # --- questions to other sites ---------------------------------------------------------------

    def ask(self, site: str, body: bytes, now: float) -> tuple[str, list[SiteOutput]]:
        """Put a question to a gateway of another site; its number is that of the `SiteAnswer` that may come.

        Raises:
            QueryError: ``not_found``: no such site; ``unreachable``: none of its gateways is heard; ``too_long``.
        """
        return "", []

    def answer(self, number: str, body: bytes, now: float) -> list[SiteOutput]:
        """Answer a question; without effect where it came too long ago."""
        return []

    # --- what can be asked ----------------------------------------------------------------------

    def rows(self, site: str | None, now: float) -> list[dict[str, Any]]:
        """Return the peers of another site, None for all other sites.

        Each has the keys of a peer (schema 1) and besides ``site``, ``via`` (id of the gateway that vouches for it) and
        ``vouched_s`` (how old the proof of its word is, at most). The state is ``up``, ``down``, ``left`` or
        ``unknown``. Of all sites those are left out that this node hears itself.
        """
        return []

    def status(self, now: float) -> dict[str, Any]:
        """Return the section ``sites`` of the status.

        Keys: ``site``, ``role`` (``gateway``, ``standby``, ``isolated``, ``settling``, ``disconnected``), ``gateways``
        (ids of those of this site that are heard), ``rows``, ``limit``, ``interval_s``, ``sites`` (of each: ``name``,
        ``state`` that is ``reachable``, ``unreachable`` or ``pending``, ``gateways``, ``peers``, ``unknown``,
        ``omitted``, ``vouched_s``), ``dropped`` (of each reason: ``reason``, ``count``, ``detail``, ``last_s``),
        ``sent`` and ``received`` (messages by kind), ``snapshots``.
        """
        return {
            "site": self.settings.site, "role": "standby" if self._is_connected else "disconnected", "gateways": [],
            "rows": 0, "limit": self.settings.rows, "interval_s": self.settings.interval, "sites": [], "dropped": [],
            "sent": {}, "received": {}, "snapshots": 0,
        }  # fmt: skip
