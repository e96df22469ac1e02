"""The sections of the configuration: each key with its default and its check.

The sections ``hello`` and ``limits`` are those of the engine, `Parameters` and `Limits`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields
from typing import Any

from discoveryd.config.dns import DnsSection
from discoveryd.config.exports import ExportSection
from discoveryd.config.listen import ListenSection
from discoveryd.config.sites import SitesSection
from discoveryd.config.web import WebSection
from discoveryd.errors import ConfigError
from discoveryd.files import directories
from discoveryd.frozen import frozen
from discoveryd.protocol.messages.values import AllowRule
from discoveryd.protocol.parameters import MAX_ID, Limits, MessageLimits, Parameters, is_word
from discoveryd.protocol.sealed.keyring import MAX_KEYS, MODES
from discoveryd.protocol.table.grace import MOST_RULES, GraceRule
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.query.fields import MAX_GLOB
from discoveryd.runtime.machine import machine_name

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("auto", "console", "logfmt", "json")
_ENGINE = MessageLimits()
_KEPT = {
    "events": (100, 10_000_000), "stays": (100, 10_000_000), "stay_days": (1, 3650), "days": (1, 3650),
    "nodes": (1, 100_000),
}  # fmt: skip
"""Least and most of what the history keeps."""
MAX_RULES = 64
"""Rules of ``messages.allow``; they are gone through for each message."""


@frozen
class NodeSection:
    """What this node announces."""

    name: str = ""
    """Empty: the name of this machine."""
    id: str = ""
    """Empty: derived, and the same after a restart."""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    services: tuple[Service, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.id and not is_word(self.id, MAX_ID):
            allowed = f"1 to {MAX_ID} of A-Z a-z 0-9 . _ -, or empty to derive it"
            problems.append(f"node.id: must be {allowed}, not {self.id!r:.80}")
        try:
            self.record()
        except ConfigError as error:
            # a fault of a record names its keys only (``name: ...``, ``tags.a: ...``)
            problems += [f"node{'.' if text.startswith(('name:', 'tags')) else ': '}{text}" for text in error.problems]
        _refuse(problems)

    def record(self) -> Record:
        """Return what this node announces, under the name of the machine if none is set."""
        return Record(name=self.name or machine_name()[0], tags=self.tags, services=self.services)


@frozen
class QuerySection(ListenSection):
    """Where the query socket listens, for local programs."""

    KEY, EXAMPLE = "query.listen", "127.0.0.1:3400"
    listen: str = EXAMPLE


@frozen
class MetricsSection(ListenSection):
    """Where the metrics are served over HTTP, for Prometheus."""

    KEY, EXAMPLE = "metrics.listen", "127.0.0.1:9341"


@frozen
class SecuritySection:
    """The keys of a group of nodes. `discoveryd.daemon.keys` reads their files, when there are any."""

    mode: str = "off"
    keys: tuple[str, ...] = ()
    send_with: str = ""

    def __post_init__(self) -> None:
        problems = _other("security.mode", MODES, self.mode)
        if not problems and self.mode != "off" and not self.keys:
            problems.append(f"security.mode: {self.mode} needs a key: make one with discoveryd keygen, list it in keys")
        if len(self.keys) > MAX_KEYS:
            problems.append(f"security.keys: {len(self.keys)} files, at most {MAX_KEYS}: remove those no longer in use")
        problems += [f"security.keys: {key!r:.200} is no file name" for key in self.keys if not key or "\0" in key]
        _refuse(problems)


@frozen
class MessagesSection:
    """Messages of this node and of others, and which of those may reach a program of ``messages.d``."""

    builtins: bool = True
    budget: int = _ENGINE.budget
    rate: int = _ENGINE.rate
    allow: tuple[AllowRule, ...] = ()

    def __post_init__(self) -> None:
        problems: list[str] = []
        try:
            self.limits()
        except ConfigError as error:
            problems += error.problems
        if len(self.allow) > MAX_RULES:
            problems.append(f"messages.allow: {len(self.allow)} rules, at most {MAX_RULES}: use patterns such as web-*")
        globs = [glob for rule in self.allow for glob in (rule.name, rule.sender)]
        problems += [
            f"messages.allow: a pattern must have 1 to {MAX_GLOB} characters, not {len(glob)}"
            for glob in globs
            if not 1 <= len(glob) <= MAX_GLOB
        ]
        _refuse(problems)

    def limits(self) -> MessageLimits:
        """Return what bounds the messages of the engine.

        Raises:
            ConfigError: with every value that is too low.
        """
        return MessageLimits(budget=self.budget, rate=self.rate)


@frozen
class HistorySection:
    """How much of the past is kept."""

    keep: bool = True
    events: int = 100_000
    stays: int = 100_000
    stay_days: int = 90
    days: int = 400
    nodes: int = 4096

    def __post_init__(self) -> None:
        _refuse(
            f"history.{key}: must be {least} to {most}, not {getattr(self, key)}"
            for key, (least, most) in _KEPT.items()
            if not least <= getattr(self, key) <= most
        )


@frozen
class GraceSection:
    """Peers with an absence that is told later."""

    rules: tuple[GraceRule, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if len(self.rules) > MOST_RULES:
            problems.append(f"grace: {len(self.rules)} rules, at most {MOST_RULES}: use patterns such as phone-*")
        globs = [rule.name for rule in self.rules if rule.name is not None]
        problems += [
            f"grace.name: a pattern must have 1 to {MAX_GLOB} characters, not {len(glob)}"
            for glob in globs
            if not 1 <= len(glob) <= MAX_GLOB
        ]
        _refuse(problems)


@frozen
class LogSection:
    """What is logged, and in which form."""

    level: str = "info"
    format: str = "auto"

    def __post_init__(self) -> None:
        _refuse(_other("log.level", LEVELS, self.level) + _other("log.format", FORMATS, self.format))


@frozen
class PathsSection:
    """Directories of the daemon."""

    state: str = ""
    """Empty: that of the machine, or of the user who runs the daemon without root (`discoveryd.files.directories`)."""
    runtime: str = ""
    """Empty: the same."""

    def __post_init__(self) -> None:
        examples = (("state", "/var/lib/discoveryd", self.state), ("runtime", "/run/discoveryd", self.runtime))
        _refuse(
            f"paths.{key}: must be an absolute path such as {example}, not {found!r:.200}"
            for key, example, found in examples
            if found and not found.startswith("/")
        )

    @property
    def state_directory(self) -> str:
        """Where what outlives a restart is kept."""
        return self.state or directories.state()

    @property
    def runtime_directory(self) -> str:
        """Where what is gone with the machine's next start is kept."""
        return self.runtime or directories.runtime()

    @property
    def pid_file(self) -> str:
        """Where ``discoveryd start`` leaves the pid."""
        return os.path.join(self.runtime_directory, "discoveryd.pid")

    @property
    def token_file(self) -> str:
        """Where the daemon keeps the control token."""
        return os.path.join(self.runtime_directory, "control.token")


SECTIONS: Mapping[str, Any] = {
    "node": NodeSection,
    "hello": Parameters,
    "limits": Limits,
    "query": QuerySection,
    "security": SecuritySection,
    "messages": MessagesSection,
    "metrics": MetricsSection,
    "web": WebSection,
    "dns": DnsSection,
    "history": HistorySection,
    "grace": GraceSection,
    "export": ExportSection,
    "sites": SitesSection,
    "log": LogSection,
    "paths": PathsSection,
}
"""The class of each section, in the order in which they are written."""

LISTS = {"grace": "rules", "export": "files"}
"""Sections that are a list in place of keys, and the key that the list is known by within the program."""

SCHEMA: Mapping[str, Mapping[str, str]] = {
    section: {key.name: str(key.type) for key in fields(kind) if key.name not in ("limits", "messages")}
    for section, kind in SECTIONS.items()
}
"""Section to key to the type as annotated: a new field is a new key."""


def _refuse(problems: Iterable[str]) -> None:
    """Refuse a section that has any problems.

    Raises:
        ConfigError: with all of them.
    """
    if found := tuple(problems):
        raise ConfigError(*found)


def _other(key: str, allowed: Sequence[str], found: str) -> list[str]:
    """Return a fault unless one of the allowed words was found."""
    return [] if found in allowed else [f"{key}: must be one of {', '.join(allowed)}, not {found!r:.80}"]
