"""The exports as a part of the daemon: there only where the configuration names a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from errno import EAGAIN
from typing import TYPE_CHECKING, Any

from discoveryd.config import Config
from discoveryd.daemon.parts import Part
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.peer import Event
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.notices import CONNECTED, ISOLATED, Notice, of_death, warning
from discoveryd.runtime.query_handlers import list_line

if TYPE_CHECKING:
    from discoveryd.config.export_rule import ExportRule
    from discoveryd.exports.exporter import Exporter
    from discoveryd.query.request import Filter

DIRECTORY = "export"
"""Below the runtime directory."""


class ExportsPart(Part):
    """Keeps files of peers for other programs.

    Args:
        config: what to begin with.
        discovery: with the peers.
        notify: told what goes wrong; in any thread.
    """

    name = "exports"
    section = "exports"

    def __init__(self, config: Config, discovery: Discovery, notify: Callable[[Notice], None]) -> None:
        self._config = config
        self._discovery = discovery
        self._notify = notify
        self._own: Any = None  # what is told of this node
        self._exporter: Exporter | None = None
        self._is_started = False

    def start(self) -> None:
        """Begin to write, if there is a file to be written."""
        self._is_started = True
        self._adopt()

    def look(self) -> None:
        """See whether this node, of which no event tells, has changed."""
        if self._exporter is None:
            if self._config.export.files and self._is_started:  # the system lacked something
                self._adopt()
            return
        own = self._discovery.look(_own)
        if own != self._own:
            self._own = own
            self._exporter.wake()

    def reload(self, config: Config) -> None:
        """Take over the files of a configuration."""
        self._config = config
        if self._is_started:
            self._adopt()

    def hear(self, message: Event | Notice) -> None:
        """Write what an event changed, and when this node is no longer cut off."""
        if self._exporter is not None and (isinstance(message, Event) or message.text in (ISOLATED, CONNECTED)):
            self._exporter.wake()

    def status(self) -> list[dict[str, Any]] | None:
        """Return the state of each file."""
        return None if self._exporter is None else self._exporter.status()

    def stop(self) -> None:
        """End; the files stay, for the readers of a daemon that is restarted."""
        if self._exporter is not None:
            self._exporter.stop()

    def _adopt(self) -> None:
        rules = self._config.export.files
        directory = os.path.join(self._config.paths.runtime_directory, DIRECTORY)
        if self._exporter is None and (rules or _has_files(directory)):
            from discoveryd.exports.exporter import Exporter  # noqa: PLC0415 - only where there is a file

            exporter = Exporter(
                directory,
                listing=self._list,
                look=self._discovery.look,
                notify=self._notify,
                failed=lambda name, error: self._notify(of_death(name, error)),
            )
            exporter.start()
            self._exporter = exporter
        if self._exporter is not None:
            self._exporter.replace(self._trusted(rules), self._config.parameters.limits.hook_timeout)

    def _list(self, chosen: Filter, site: str = "") -> bytes:
        """Return the peers of a file; called in the thread of the exports.

        Raises:
            OSError: the site was not heard yet, or there is none: what the file says stays.
        """
        if not site:
            return list_line(self._discovery, chosen, with_self=True)
        listing = self._discovery.handlers.list_sites
        if listing is None:
            raise OSError(EAGAIN, "this node belongs to no site: set sites.name and sites.servers")
        return listing(chosen, site)

    def wake(self) -> None:
        """Write what has changed in other sites. For any thread."""
        if self._exporter is not None:
            self._exporter.wake()

    def _trusted(self, rules: tuple[ExportRule, ...]) -> tuple[ExportRule, ...]:
        """Return the rules, without their commands where another user could have written them."""
        if not any(rule.command for rule in rules) or not os.path.isfile(self._config.source):
            return rules
        from discoveryd.runtime.hooks import foreign  # noqa: PLC0415 - only where there is a command

        source = os.path.abspath(self._config.source)
        if why := foreign(source) or foreign(os.path.dirname(source)):
            self._notify(warning("export commands are not run", why=why))
            return tuple(replace(rule, command=()) for rule in rules)
        return rules


def _has_files(directory: str) -> bool:
    """Return whether a daemon before this one left something, which is to be removed."""
    try:
        return bool(os.listdir(directory))
    except OSError:
        return False


def _own(node: Node, _: float) -> tuple[object, ...]:
    return node.record.digest, node.links, node.boot, node.keyring.send_with, node.keyring.mode
