"""What drives the engine of the sites: its clock, its survey of this network, and the connection to NATS.

All of it is for the thread of the event loop, but for `SiteDriver.wake` and `SiteDriver.status`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from discoveryd.errors import QueryError
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.runtime.notices import Notify, warning
from discoveryd.sites.access import Access
from discoveryd.sites.engine import SiteEngine
from discoveryd.sites.link import NatsLink
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.survey import SURVEY_GAP
from discoveryd.sites.values import (
    Publish,
    SiteAnswer,
    SiteEvent,
    SiteOutput,
    SiteQuestion,
    Subscribe,
    Survey,
    Unsubscribe,
)

RETRY = 1.0
"""Seconds after an unexpected fault of the engine: the rest of the daemon goes on, and so does this."""
GATHER = 0.02
"""Seconds between two surveys at least: what changes together is told together."""
EARLY, LATE = 0.001, 1.0
"""Seconds by which a turn may come later, or sooner, than it has to: a turn too much costs less than other timers."""


class SiteDriver:
    """Lets the engine of this node take part.

    Args:
        engine: of this node.
        link: to the servers, made by a function that is given `hear` and `changed`.
        survey: returns what this node knows first-hand.
        clock: seconds, those of the node.
        told: called with each event of another site.
        talk: called with each question of another site, and each answer.
        notify: told of faults.
    """

    def __init__(
        self, engine: SiteEngine, link: Callable[[Callable[[str, bytes], None], Callable[[bool], None]], NatsLink], *,
        survey: Callable[[], Survey], clock: Callable[[], float], told: Callable[[SiteEvent], None],
        talk: Callable[[SiteQuestion | SiteAnswer], None], notify: Notify,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.link = link(self._hear, self._changed)
        self._survey = survey
        self._clock = clock
        self._told = told
        self._talk = talk
        self._notify = notify
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_stale = True  # this network has changed since the survey
        self._surveyed_at = 0.0
        self._status: dict[str, Any] = engine.status(clock())
        self._fault = ""
        self.faults = 0

    async def run(self) -> None:
        """Take part until this is cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            self._turn()
            await self.link.run()
        finally:
            self._loop = None
            if self._timer is not None:
                self._timer.cancel()

    def wake(self) -> None:
        """Look at this network soon: it has changed."""
        self._is_stale = True
        self._schedule()

    def renew(self, settings: SiteSettings, access: Access, keyring: Keyring) -> None:
        """Go on with another configuration."""
        self.link.renew(access)
        self.engine.set_keyring(keyring)
        self.carry_out(self.engine.set_settings(settings, self._clock()))
        self.wake()

    def rows(self, site: str | None) -> list[dict[str, Any]]:
        """Return the peers of another site, None for all others."""
        return self.engine.rows(site, self._clock())

    def texts(self, site: str | None) -> Iterator[tuple[str, str]]:
        """Return the same peers as texts, each with its state; any thread may go through them."""
        return self.engine.texts(site, self._clock())

    def status(self) -> dict[str, Any]:
        """Return the section ``sites`` of the status. For any thread: it is read without a lock, and only read."""
        with suppress(RuntimeError):  # a set changed meanwhile: the last one will do
            self._status = self.engine.status(self._clock())
        return {**self._status, "faults": self.faults, "connection": self.link.status()}

    def ask(self, site: str, body: bytes) -> str:
        """Put a question to a gateway of another site; return its number, as `SiteEngine.ask`.

        Raises:
            QueryError: as there, and ``site_unreachable`` where no server is connected.
        """
        if not self.link.status()["connected"]:
            raise QueryError("site_unreachable", "no NATS server is connected: discoveryctl sites says why")
        number, outputs = self.engine.ask(site, body, self._clock())
        self.carry_out(outputs)
        return number

    def answer(self, number: str, body: bytes) -> None:
        """Answer a question; without effect where it came too long ago."""
        self.carry_out(self.engine.answer(number, body, self._clock()))

    def carry_out(self, outputs: Sequence[SiteOutput]) -> None:
        """Do what the engine says."""
        for output in outputs:
            match output:
                case Publish():
                    self.link.publish(output.subject, output.payload)
                case Subscribe():
                    self.link.subscribe(output.subject)
                case Unsubscribe():
                    self.link.unsubscribe(output.subject)
                case SiteEvent():
                    self._told(output)
                case SiteQuestion() | SiteAnswer():
                    self._talk(output)

    def _turn(self) -> None:
        """Do what is due."""
        self._timer = None
        try:
            now = self._clock()
            self._learn(now)
            if self.engine.next_deadline(now) <= now:
                self.carry_out(self.engine.poll(now))
            self._schedule()
        except Exception as error:  # noqa: BLE001 - it is told, and the other parts on this loop go on
            self._fail(error)
            if self._loop is not None:
                self._timer = self._loop.call_later(RETRY, self._turn)

    def _learn(self, now: float) -> None:
        """Look at this network, unless that was just done."""
        if now >= self._surveyed_at + GATHER:
            self._is_stale, self._surveyed_at = False, now
            self.carry_out(self.engine.learn(self._survey(), now))

    def _survey_due(self) -> float:
        return self._surveyed_at + (GATHER if self._is_stale else SURVEY_GAP)

    def _schedule(self) -> None:
        """Have the next turn when something is due; the timer is set anew only where that is sooner or much later."""
        if self._loop is None:
            return
        now = self._clock()
        pause = max(0.0, min(self.engine.next_deadline(now), self._survey_due()) - now)
        at = self._loop.time() + pause
        if self._timer is not None:
            if -EARLY <= at - self._timer.when() <= LATE:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._turn)

    def _hear(self, subject: str, payload: bytes) -> None:
        """Take a message; an exception of the engine is counted by the link."""
        now = self._clock()
        if subject == self.engine.own_beats:
            self._learn(now)
        self.carry_out(self.engine.receive(subject, payload, now))
        self._schedule()

    def _changed(self, is_connected: bool) -> None:
        self.carry_out(self.engine.connected(is_connected, self._clock()))
        self._schedule()

    def _fail(self, error: Exception) -> None:
        self.faults += 1
        text = f"{type(error).__name__}: {error}"
        if text != self._fault:
            self._fault = text
            self._notify(warning("the exchange between sites failed", error=text))
