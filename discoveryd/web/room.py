"""The web of a daemon: two doors, one for everything and one for the metrics alone, and what is behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from discoveryd.config.listen import is_loopback
from discoveryd.errors import ConfigError
from discoveryd.runtime.notices import Notice, info, warning
from discoveryd.web.answers import WebAnswers
from discoveryd.web.app import Site, make_metrics_site
from discoveryd.web.credentials import Credentials, read_credentials, stamp
from discoveryd.web.door import PATIENCE, RETRY, Door
from discoveryd.web.events import STREAMS, Hub
from discoveryd.web.gate import Rules

if TYPE_CHECKING:
    from concurrent.futures import Future

    from discoveryd.config import Config
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.loop import Loop

FREE = ("/",)
"""Paths that need no token: the page has no data in it."""
HOLD_EVERY = 2.0
"""Seconds between two looks at whether this node is cut off."""


class WebRoom:
    """Serves HTTP as configured. For the main thread, but `status` and `metrics_status`, which are for any.

    Args:
        discovery: the node.
        loop: runs.
        notify: told what cannot be served, and what fails; in any thread.
    """

    def __init__(self, discovery: Discovery, loop: Loop, notify: Callable[[Notice], None]) -> None:
        self._discovery = discovery
        self._loop = loop
        self._notify = notify
        self._config: Config | None = None
        self._site: Door | None = None
        self._metrics: Door | None = None
        self._hub: Hub | None = None
        self._credentials = Credentials()
        self._fault = ""  # of the files, told once
        self._answers = loop.run(self._begin())
        self._watching: Future[Any] = loop.spawn(self._watch, name="web")

    def adopt(self, config: Config) -> None:
        """Serve what a configuration says, and no longer what it does not say."""
        former, self._config = self._config, config
        if former is not None and former.web.listen != config.web.listen:
            self._close_site()
        if self._metrics is not None and (former is None or former.metrics.listen != config.metrics.listen):
            self._metrics.close()
            self._metrics = None
        if self._metrics is None and config.metrics.address is not None:
            self._metrics = Door(
                self._loop, config.metrics.address, make_metrics_site(self._answers.metrics), Rules(),
                told=partial(self._tell, "the metrics are", "metrics.listen", config.metrics.listen),
                failed=self._failed,
            )  # fmt: skip
        if self._site is None and config.web.address is not None:
            self._hub = self._loop.run(self._make_hub())
            self._site = Door(
                self._loop, config.web.address, Site(self._answers, self._hub).application(), Rules(),
                told=partial(self._tell, "the web is", "web.listen", config.web.listen), failed=self._failed,
            )  # fmt: skip
            self._credentials = Credentials(stamp=("none",))
        self.look()

    def look(self) -> None:
        """Read the files anew that have changed, and try again what could not be had."""
        if self._site is not None and self._admit():
            self._site.look()
        if self._metrics is not None:
            self._metrics.look()

    def status(self) -> dict[str, Any]:
        """Return the section ``web`` of ``status``."""
        site, config, hub = self._site, self._config, self._hub
        if site is None or config is None:
            return {"on": False}
        return {
            "on": True, "listen": config.web.listen, "token": bool(config.web.token_file),
            "tls": bool(config.web.tls_cert), **site.status(),
            "streams": len(hub.streams) if hub else 0, "streams_limit": STREAMS,
        }  # fmt: skip

    def metrics_status(self) -> dict[str, Any]:
        """Return the section ``metrics`` of ``status``."""
        found = self._metrics.status() if self._metrics is not None else {}
        nothing = {"requests": 0, "refused": 0, "error": None, "next_try_s": None}
        return {key: found.get(key, value) for key, value in nothing.items()}

    def stop(self) -> None:
        """End the streams, then the rest. Safe to call again."""
        self._watching.cancel()
        self._close_site()
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    def _admit(self) -> bool:
        """Put the files of the configuration in force; return whether the door may be open."""
        assert self._config is not None
        assert self._site is not None
        web = self._config.web
        if self._credentials.stamp != stamp(self._config) or self._fault:
            former = self._credentials.token
            try:
                self._credentials = read_credentials(self._config)
            except ConfigError as error:  # what was in force stays, if there was something
                why = "; ".join(error.problems)
                if why != self._fault:
                    self._fault = why
                    self._notify(warning("the web has no valid token or certificate", why=why))
                if self._credentials.stamp == ("none",):
                    self._site.close(why)
                    return False
            else:
                if self._hub is not None and self._credentials.token and self._credentials.token != former:
                    self._loop.call(self._hub.end, "denied", "the token has changed")  # it counts at the start alone
                if self._fault:
                    self._notify(info("the web has a valid token and certificate again"))
                self._fault = ""
                if web.address and not is_loopback(web.address[0]) and self._credentials.tls is None:
                    why = "token and data cross the network unencrypted: set web.tls_cert and web.tls_key"
                    self._notify(warning("the web is served without TLS", listen=web.listen, why=why))
        hosts = frozenset(name.lower() for name in web.hosts)
        self._site.admit(Rules(token=self._credentials.token, hosts=hosts, free=FREE), self._credentials.tls)
        return True

    def _close_site(self) -> None:
        hub, self._hub = self._hub, None
        if hub is not None:
            with suppress(TimeoutError, RuntimeError):  # as for a door
                self._loop.run(_close(hub), timeout=PATIENCE)
        if self._site is not None:
            self._site.close()
            self._site = None

    def _tell(self, what: str, key: str, listen: str, error: str) -> None:
        if error:
            why = f"{error}; stop that, or set {key}: it is tried again each {RETRY:g} s"
            self._notify(warning(f"{what} not served over HTTP", why=why))
        else:
            self._notify(info(f"{what} served over HTTP", listen=listen))

    def _failed(self, error: Exception) -> None:
        self._notify(warning("a request over HTTP failed", error=f"{type(error).__name__}: {error}"))

    # --- on the loop ----------------------------------------------------------------------------

    async def _begin(self) -> WebAnswers:
        return WebAnswers(self._discovery)

    async def _make_hub(self) -> Hub:
        return Hub(self._discovery, self._answers.look)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(HOLD_EVERY)
            await self._answers.watch_hold()


async def _close(hub: Hub) -> None:
    hub.close()
