"""The sites as a part of the daemon: nothing of it is imported where the configuration names no site."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from discoveryd.daemon.parts import Part
from discoveryd.errors import ConfigError
from discoveryd.protocol.table.peer import Event
from discoveryd.runtime.notices import CONNECTED, ISOLATED, Notice, warning

if TYPE_CHECKING:
    from discoveryd.config import Config
    from discoveryd.protocol.node import Node
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.loop import Loop
    from discoveryd.sites.access import Access
    from discoveryd.sites.desk import SiteDesk

SiteHook = Callable[[str, str, str], None]
"""Told kind, site and reason of an event of a site as a whole."""


class SitesPart(Part):
    """Tells other sites of this network, and this node of other sites, as long as the configuration names a site.

    Args:
        config: what to begin with.
        discovery: the node.
        loop: returns that of the asyncio parts, running.
        notify: told what goes wrong; in any thread.
        hook: told of each site that falls silent or is back; in the thread of the loop.
        changed: each is called where a peer of another site changed; the same.

    Raises:
        ConfigError: a file that the section names cannot be used, or nats-py is missing.
    """

    name = "sites"
    section = "sites"

    def __init__(
        self, config: Config, discovery: Discovery, loop: Callable[[], Loop], notify: Callable[[Notice], None],
        *, hook: SiteHook, changed: Sequence[Callable[[], None]] = (),
    ) -> None:  # fmt: skip
        self._config = config
        self._discovery = discovery
        self._loop = loop
        self._notify = notify
        self._hook = hook
        self._changed = changed
        self._access = access_of(config)
        self._desk: SiteDesk | None = None
        self._made_of: tuple[str, ...] = ()  # what a desk has for its lifetime
        self._is_started = False

    @property
    def desk(self) -> SiteDesk | None:
        """What knows the peers of other sites; None where there are none. Other parts on the loop may ask it."""
        return self._desk

    def start(self) -> None:
        """Begin, if there is a site."""
        self._is_started = True
        self._adopt()

    def look(self) -> None:
        """Begin anew where this node has another boot, or where the system lacked something."""
        if self._is_started and self._made_of != self._lasting():
            self._adopt()
            for changed in self._changed:
                changed()

    def reload(self, config: Config) -> None:
        """Take over servers, credentials, keys and what is followed; no row is lost, unless the site is another one."""
        try:
            self._access = access_of(config)
        except ConfigError as error:  # it was changed since it was checked
            self._notify(warning("sites stay as they were", why="; ".join(error.problems)))
            return
        self._config = config
        if self._is_started:
            self._adopt()
            for changed in self._changed:  # what is followed may be less
                changed()

    def hear(self, message: Event | Notice) -> None:
        """Tell other sites of what has changed here, and what watches more than this site."""
        if self._desk is None:
            return
        if isinstance(message, Event):
            self._desk.hear(message)
        elif message.text in (ISOLATED, CONNECTED):
            self._desk.wake()

    def status(self) -> dict[str, Any] | None:
        """Return the sites, and the connection to the servers."""
        return None if self._desk is None else self._desk.status()

    def stop(self) -> None:
        """End; other sites are told nothing, for the other gateways of this site go on."""
        desk, self._desk = self._desk, None
        self._discovery.handlers.sites = self._discovery.handlers.list_sites = None
        if desk is not None:
            desk.stop()

    def _lasting(self) -> tuple[str, ...]:
        """Return what a desk is made of: with other values there is another one."""
        if self._access is None:
            return ()
        realm, boot = self._discovery.look(_realm_and_boot)
        return self._config.sites.name, realm, boot

    def _adopt(self) -> None:
        wanted = self._lasting()
        if self._desk is not None and wanted != self._made_of:
            self.stop()
        self._made_of = wanted
        if self._access is None:
            return
        keyring = self._discovery.look(lambda node, _: node.keyring)
        if self._desk is not None:
            self._desk.renew(self._config.sites, self._access, keyring)
            return
        self._made_of = ()  # until it is there: the loop may lack a thread now
        loop = self._loop()
        from discoveryd.sites.desk import SiteDesk  # noqa: PLC0415 - only where there is a site

        desk = SiteDesk(
            self._config.sites, self._access, self._discovery, keyring, loop, notify=self._notify, hook=self._hook,
            changed=self._changed, process=os.getpid,
        )  # fmt: skip
        desk.start()
        self._discovery.handlers.sites, self._discovery.handlers.list_sites = desk.answer, desk.listing
        self._desk, self._made_of = desk, wanted


def access_of(config: Config) -> Access | None:
    """Return the servers, and the identity of this node there; None where there is no site.

    Raises:
        ConfigError: with every fault of the files that the section names.
    """
    if not config.sites.is_on:
        return None
    from discoveryd.sites.access import read_access  # noqa: PLC0415 - as above

    return read_access(config)


def _realm_and_boot(node: Node, _: float) -> tuple[str, str]:
    return node.parameters.realm, node.boot
