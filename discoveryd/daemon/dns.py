"""The names for resolvers as a part of the daemon: there only where ``dns.listen`` is set."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any

from discoveryd.daemon.parts import Part
from discoveryd.errors import ConfigError
from discoveryd.protocol.table.peer import Event
from discoveryd.runtime.notices import Notice, info, of_death, warning

if TYPE_CHECKING:
    from discoveryd.config import Config
    from discoveryd.dns.far import FarPeers
    from discoveryd.dns.service import NameServer
    from discoveryd.dns.trial import Trial
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.loop import Loop

RETRY = 10.0
"""Seconds between two attempts to listen where another program does."""
LIBRARY = "dnslib"
LACKS = "the library {name} is missing: apt install python3-dnslib, or pip install dnslib"
FAILS = "names are not served by DNS"


class DnsPart(Part):
    """Answers questions of DNS.

    Args:
        config: what to begin with.
        discovery: with the peers.
        loop: returns the event loop, which runs.
        notify: told what goes wrong; in any thread.
        sites: returns what knows the peers of other sites, None where there are none; asked on the loop.
    """

    name = "dns"
    section = "dns"

    def __init__(
        self, config: Config, discovery: Discovery, loop: Callable[[], Loop], notify: Callable[[Notice], None], *,
        sites: Callable[[], FarPeers | None] = lambda: None,
    ) -> None:  # fmt: skip
        self._config = config.dns
        self._discovery = discovery
        self._loop = loop
        self._notify = notify
        self._sites = sites
        self._server: NameServer | None = None
        self._trial: Trial | None = None
        self._error = ""
        self._due = 0.0
        self._has_looked = False

    def look(self) -> None:
        """Begin with the second look, two seconds after the start; then try again what could not be had.

        By then the peers that there are were heard, and their names are not denied; before that nothing answers.
        """
        if self._config.address is None or not self._has_looked:
            self._has_looked = True
            return
        if self._server is None and monotonic() >= self._due:
            self._open()
        if self._server is not None:
            self._server.wake()  # also what no event told: it may be held back
        if self._trial is not None and self._server is not None:
            self._trial.look()

    def reload(self, config: Config) -> None:
        """Take over where to listen and what to answer."""
        if config.dns != self._config:
            self.stop()
            self._config, self._due, self._error = config.dns, 0.0, ""
            self.look()
        self.wake()

    def hear(self, message: Event | Notice) -> None:
        """Take over what an event changed."""
        if isinstance(message, Event):
            self.wake()

    def wake(self) -> None:
        """Take over what changed, here or in another site; in any thread."""
        server = self._server
        if server is not None:
            server.wake()

    def status(self) -> dict[str, Any]:
        """Return where names are served, what was asked, and why not."""
        config, server, trial = self._config, self._server, self._trial
        if config.address is None:
            return {"on": False}
        wait = round(max(self._due - monotonic(), 0.0), 3) if self._error else None
        found = {"on": True, "listen": config.listen, "zone": config.zone, "ttl_s": config.ttl}
        found |= {"error": self._error or None, "next_try_s": wait}
        resolver = {"delegation": None, "works": None, "error": None} if trial is None else trial.status()
        return {**found, "resolver": resolver, **({} if server is None else server.status())}

    def stop(self) -> None:
        """End."""
        server, self._server = self._server, None
        self._trial = None
        if server is not None:
            server.stop()

    def _open(self) -> None:
        self._due = monotonic() + RETRY
        try:
            from discoveryd.dns.delegation import written  # noqa: PLC0415 - only where it is on
            from discoveryd.dns.service import NameServer  # noqa: PLC0415 - as well
            from discoveryd.dns.trial import Trial  # noqa: PLC0415 - as well
        except ModuleNotFoundError as error:
            self._fail(LACKS.format(name=error.name))
            return
        server = NameServer(self._config, self._discovery.look, self._sites)
        try:
            server.start(self._loop())
        except (OSError, TimeoutError) as error:
            self._fail(f"{getattr(error, 'strerror', None) or error}; stop that, or set dns.listen")
            return
        self._error, self._server = "", server
        self._trial = Trial(
            self._config.zone, find_delegation=written, failed=lambda name, error: self._notify(of_death(name, error))
        )
        self._notify(info("names are served by DNS", listen=self._config.listen, zone=self._config.zone))

    def _fail(self, error: str) -> None:
        if error != self._error:
            self._error = error
            self._notify(warning(FAILS, listen=self._config.listen, why=error, retry_s=int(RETRY)))


def need_library(config: Config) -> None:
    """Refuse a configuration that needs a library that is not here. The daemon goes on without, and says so.

    Raises:
        ConfigError: with what to install.
    """
    if config.dns.address is not None and find_spec(LIBRARY) is None:
        raise ConfigError(f"dns.listen: {LACKS.format(name=LIBRARY)}")
