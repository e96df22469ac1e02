"""What the section ``export`` says: which files of peers the daemon keeps up to date, for which other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen

if TYPE_CHECKING:
    from discoveryd.config.export_rule import ExportRule  # most daemons have none, and start without it

MAX_EXPORTS = 32
"""Files that are kept: each costs a look at the whole table after a change."""


@frozen
class ExportSection:
    """The files of peers that the daemon keeps."""

    files: tuple[ExportRule, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if len(self.files) > MAX_EXPORTS:
            problems.append(f"export: {len(self.files)} files, at most {MAX_EXPORTS}")
        places = [rule.place("") for rule in self.files]
        twice = sorted({place for place in places if places.count(place) > 1})
        problems += [f"export: two entries write {place!r:.200}: give each a path of its own" for place in twice]
        if problems:
            raise ConfigError(*problems)
