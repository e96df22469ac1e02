"""A file of peers that the daemon keeps up to date for another program, as the configuration describes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from discoveryd.config.sites import is_site
from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.protocol.table.peer import STATES
from discoveryd.query.fields import EVERY_SITE, MAX_GLOB
from discoveryd.query.formats import EXPORT_FILES
from discoveryd.query.request import Filter

TEMPLATE = "template"


@frozen
class ExportRule:
    """A file of peers.

    Attributes:
        format: that it is written in.
        path: of the file; a relative one is in the directory of exports. Empty: a name that goes with the format.
        template: of the format ``template``.
        domain: below which names stand; empty for ``peers.internal``.
        port: of every target for Prometheus; 0 for those of services.
        chosen: the peers that are in it.
        site: the site of the peers in it, or `EVERY_SITE`; empty for this network.
        with_self: whether this node is, too.
        command: run after each change; empty for none.
    """

    format: str
    path: str = ""
    template: str = ""
    domain: str = ""
    port: int = 0
    chosen: Filter = field(default_factory=Filter)
    site: str = ""
    with_self: bool = True
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.format not in EXPORT_FILES:
            problems.append(f"format: must be one of {', '.join(EXPORT_FILES)}, not {self.format!r:.80}")
        if "\0" in self.path or self.path.endswith("/") or ".." in self.path.split("/"):
            problems.append(f"path: must be that of a file, without '..', not {self.path!r:.200}")
        if self.site and self.site != EVERY_SITE and not is_site(self.site):
            problems.append(f"site: must be the name of a site, or {EVERY_SITE}, not {self.site!r:.80}")
        if not 0 <= self.port <= 65535:
            problems.append(f"port: must be 0 to 65535, not {self.port}")
        problems += self._text_problems() + self._filter_problems()
        if problems:
            raise ConfigError(*problems)

    def _text_problems(self) -> list[str]:
        from discoveryd.query.formats.names import is_domain  # noqa: PLC0415 - only where there are exports
        from discoveryd.query.formats.template import Template  # noqa: PLC0415

        problems = []
        if self.domain and not is_domain(self.domain):
            problems.append(f"domain: must be a domain such as peers.internal, not {self.domain!r:.80}")
        if self.format == TEMPLATE:
            try:
                Template(self.template)
            except ValueError as error:
                problems.append(f"template: {error}")
        elif self.template:
            problems.append(f"template: is for the format {TEMPLATE}, not for {self.format!r:.80}")
        return problems

    def _filter_problems(self) -> list[str]:
        unknown = sorted(self.chosen.states - {*STATES})
        problems = [f"filter.state: must be of {', '.join(STATES)}, not {unknown[0]!r:.80}"] if unknown else []
        if self.chosen.name is not None and not 1 <= len(self.chosen.name) <= MAX_GLOB:
            problems.append(f"filter.name: is a glob of 1 to {MAX_GLOB} characters, not {len(self.chosen.name)}")
        return problems

    def place(self, directory: str) -> str:
        """Return the path of the file, given the directory of exports."""
        return os.path.join(directory, self.path or EXPORT_FILES[self.format])

    def to_json(self) -> dict[str, Any]:
        """Return the keys that are not at their default, as the configuration has them."""
        chosen = self.chosen
        kept = {
            "state": sorted(chosen.states), "name": chosen.name, "tags": dict(chosen.tags), "service": chosen.service,
            "link": chosen.link, "all": chosen.all,
        }  # fmt: skip
        keys: Mapping[str, Any] = {
            "format": self.format, "path": self.path, "template": self.template, "domain": self.domain,
            "port": self.port, "filter": {key: value for key, value in kept.items() if value},
            "site": self.site,
            "command": list(self.command),
        }  # fmt: skip
        return {key: value for key, value in keys.items() if value} | ({} if self.with_self else {"self": False})
