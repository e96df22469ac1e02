"""The configuration: what can be set, with its default, and how it is found and written.

`discoveryd.config.reader` reads it. That module, and YAML with it, is imported only when there is
something to read: without a file or a variable the daemon starts from the defaults below.
"""

from __future__ import annotations

import json
import os
import select
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from time import monotonic
from typing import Any, TypeVar

from discoveryd.config.dns import DnsSection
from discoveryd.config.durations import VARIABLE_PREFIX, format_duration, shown
from discoveryd.config.exports import ExportSection
from discoveryd.config.listen import overlap
from discoveryd.config.sections import (
    LISTS,
    SCHEMA,
    SECTIONS,
    GraceSection,
    HistorySection,
    LogSection,
    MessagesSection,
    MetricsSection,
    NodeSection,
    PathsSection,
    QuerySection,
    SecuritySection,
)
from discoveryd.config.sites import SPEAKS_TAG, SitesSection
from discoveryd.config.web import WebSection
from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.table.grace import GraceRule
from discoveryd.protocol.wire.record import Record

DEFAULT_PATH = "/etc/discoveryd/discoveryd.yaml"
PATH_VARIABLE = "DISCOVERYD_CONFIG"
STDIN = "-"
"""Names standard input instead of a file."""
PATIENCE = 5.0
"""Seconds that a configuration may take to come through a pipe."""
MAX_FILE = 64 * 1024
"""Bytes of a configuration file: eight times the commented sample. More is some other file."""
NO_FILE = "defaults"
"""Source of a configuration that came from no file."""

TTL_INTERVALS = 5
"""A ttl that is not set is this many intervals (DESIGN, On the wire)."""

_Section = TypeVar("_Section")


@frozen
class Config:
    """Everything that can be set; what `load` returns has been checked as a whole.

    Attributes:
        parameters: the sections ``hello`` and, within it, ``limits`` and what ``messages`` has for the engine.
        source: the file it came from, or `NO_FILE`.
        is_stream: whether it came through a pipe, which can be read once only.
        directory: of keys, ``services.d``, ``hooks.d`` and ``messages.d``: that of the file, or where it would be.
    """

    node: NodeSection = field(default_factory=NodeSection)
    parameters: Parameters = field(default_factory=lambda: Parameters(last_will=True))
    query: QuerySection = field(default_factory=QuerySection)
    security: SecuritySection = field(default_factory=SecuritySection)
    messages: MessagesSection = field(default_factory=MessagesSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    web: WebSection = field(default_factory=WebSection)
    dns: DnsSection = field(default_factory=DnsSection)
    history: HistorySection = field(default_factory=HistorySection)
    export: ExportSection = field(default_factory=ExportSection)
    grace: GraceSection = field(default_factory=GraceSection)
    sites: SitesSection = field(default_factory=SitesSection)
    log: LogSection = field(default_factory=LogSection)
    paths: PathsSection = field(default_factory=PathsSection)
    source: str = field(default=NO_FILE, compare=False)
    is_stream: bool = field(default=False, compare=False)
    directory: str = field(default=os.path.dirname(DEFAULT_PATH), compare=False)

    def record(self) -> Record:
        """Return what this node announces besides services that are added later: a node of a site says so by a tag."""
        node, sites = self.node, self.sites
        if not (sites.is_on and sites.speaks):
            return node.record()
        return replace(node, tags={**node.tags, SPEAKS_TAG: sites.name}).record()

    def value(self, path: str) -> Any:
        """Return the value of a key such as ``hello.port``."""
        section, _, key = path.partition(".")
        engine = {"hello": self.parameters, "limits": self.parameters.limits}
        return getattr(engine.get(section) or getattr(self, section), key)

    def to_yaml(self) -> str:
        """Return every key with its effective value, as a file that loads to the same configuration."""
        lines = [f"# from {shown(self.source)}"]
        for section, keys in SCHEMA.items():
            if section in LISTS:
                kind, value = keys[LISTS[section]], self.value(f"{section}.{LISTS[section]}")
                lines.append(f"{section}: {_written(kind, value)}".replace(": \n", ":\n"))
                continue
            lines.append(f"{section}:")
            lines += [f"  {key}: {_written(kind, self.value(f'{section}.{key}'))}" for key, kind in keys.items()]
        for number, key in ((-2, "state"), (-1, "runtime")):
            if not getattr(self.paths, key):
                lines[number] += f"  # {shown(getattr(self.paths, f'{key}_directory'))}"
        if not self.node.name:
            lines[2] += f"  # {shown(self.node.record().name)}"
        return "\n".join(lines) + "\n"


def load(path: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Find and read the configuration.

    The file is `path`, else that of ``DISCOVERYD_CONFIG``, else ``/etc/discoveryd/discoveryd.yaml``
    if there is one; ``DISCOVERYD_SECTION__KEY`` overrides a key of it.

    Raises:
        ConfigError: with every fault of the file and of the variables.
    """
    variables = {
        name: value
        for name, value in environ.items()
        if name.startswith(VARIABLE_PREFIX) and "__" in name.removeprefix(VARIABLE_PREFIX)
    }
    named = path if path is not None else environ.get(PATH_VARIABLE) or None
    if path is not None:
        remedy = "name another file, or none for the defaults"
    elif named is not None:
        remedy = f"correct {PATH_VARIABLE}, or unset it for the defaults"
    else:
        remedy = "correct or remove it, or name another file"
    source = DEFAULT_PATH if named is None else named
    try:
        raw, is_stream = _content(source)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        if named is None and isinstance(error, FileNotFoundError):
            return parse(NO_FILE, None, variables) if variables else Config()
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ConfigError(f"{shown(source)}: {reason}; {remedy}") from None
    if len(raw) > MAX_FILE:
        raise ConfigError(f"{shown(source)}: over {MAX_FILE // 1024} KiB is no configuration; {remedy}")
    return parse("standard input" if source == STDIN else source, raw, variables, is_stream=is_stream)


def _content(path: str) -> tuple[bytes, bool]:
    """Read a file, or what comes through a pipe, as ``--config <(...)`` and ``--config -`` have it, until its end.

    More than `MAX_FILE` bytes are not read to the end.

    Returns:
        the bytes, and whether it was a pipe.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no file; the pipe stays idle; the path has a NUL in it.
    """
    descriptor = os.dup(0) if path == STDIN else os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        is_stream = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if not is_stream and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a directory reading it says so
            raise ValueError("Not a regular file")
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        deadline, raw = monotonic() + PATIENCE, b""
        while len(raw) <= MAX_FILE:
            if not poll.poll(max(deadline - monotonic(), 0.0) * 1000):  # a file never waits
                raise ValueError(f"Nothing more came in {PATIENCE:g} s")
            piece = os.read(descriptor, MAX_FILE + 1)
            if not piece:
                break
            raw += piece
        return raw, is_stream
    finally:
        os.close(descriptor)


def parse(source: str, raw: bytes | None, variables: Mapping[str, str], *, is_stream: bool = False) -> Config:
    """Return what the text of a file, if there is one, and the variables say.

    Args:
        source: names the file in faults.
        raw: the text; None without a file.
        variables: such as ``DISCOVERYD_HELLO__TTL``, and their values.
        is_stream: whether it came through a pipe.

    Raises:
        ConfigError: with every fault.
    """
    from discoveryd.config.file_reader import FileReader  # noqa: PLC0415 - YAML is imported only where there is a file

    reader = FileReader(SCHEMA, source)
    if raw is not None:
        reader.add_file(source, raw)
    for name, value in variables.items():
        reader.add_variable(name, value)
    values = reader.values()

    def made(section: Callable[..., _Section], **keys: Any) -> _Section:
        """Build a section, or note its faults and return its defaults, to find the faults of the other sections."""
        try:
            return section(**keys)
        except ConfigError as error:
            reader.refuse(error.problems)
            return section()

    hello, limits = values.pop("hello"), made(Limits, **values.pop("limits"))
    hello.setdefault("last_will", True)
    if "interval" in hello:
        hello.setdefault("ttl", round(hello["interval"] * TTL_INTERVALS, 6))
    sections: dict[str, Any] = {name: made(SECTIONS[name], **keys) for name, keys in values.items()}
    if raw is not None and not is_stream:
        sections["directory"] = os.path.dirname(os.path.abspath(source))
    parameters = made(Parameters, **hello, limits=limits, messages=sections["messages"].limits())
    config = Config(parameters=parameters, source=source, is_stream=is_stream, **sections)
    reader.refuse(_clashes(config))
    if not config.sites.is_on and any(rule.site for rule in config.export.files):
        reader.refuse(["export.site: is for a node that belongs to a site: set sites.name and sites.servers"])
    if config.sites.allow and config.security.mode == "off":
        reader.refuse(["sites.allow: messages of other sites are taken sealed alone: set security.keys, and the mode"])
    reader.finish()
    return config


def _clashes(config: Config) -> Iterator[str]:
    """Yield which sockets could not listen beside another."""
    query, metrics, web, dns = config.query, config.metrics, config.web, config.dns
    if overlap(metrics.address, query.address):
        yield f"metrics.listen: must be another port than query.listen ({query.listen})"
    if overlap(web.address, query.address):
        yield f"web.listen: must be another port than query.listen ({query.listen})"
    if overlap(web.address, metrics.address):
        helps = "web.listen serves the metrics too, so turn metrics.listen off"
        yield f"web.listen: must be another port than metrics.listen ({metrics.listen}); {helps}"
    for key, other in (("query", query), ("metrics", metrics), ("web", web)):
        if overlap(dns.address, other.address):
            yield f"dns.listen: must be another port than {key}.listen ({other.listen})"
    if dns.address and dns.address[1] == config.parameters.port:
        yield f"dns.listen: must be another port than hello.port ({config.parameters.port})"


def _grace(rule: GraceRule) -> str:
    given = {"tag": dict(rule.tags), "name": rule.name}
    pairs = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value]
    return f"{{{', '.join([*pairs, f'for: {format_duration(rule.seconds)}'])}}}"


def _written(kind: str, value: Any) -> str:
    """Return a value as YAML. It is JSON, whose quotes keep ``on`` or ``1.10`` a text."""
    if kind == "float":
        return format_duration(value)
    if kind == "bool":
        return "on" if value else "off"
    if kind == "tuple[Service, ...]" and value:
        return "".join(f"\n    - {json.dumps(service.to_json(), ensure_ascii=False)}" for service in value)
    if kind == "tuple[ExportRule, ...]" and value:
        return "".join(f"\n  - {json.dumps(rule.to_json(), ensure_ascii=False)}" for rule in value)
    if kind in ("tuple[FollowRule, ...]", "tuple[SiteAllowRule, ...]"):
        value = [rule.to_json() for rule in value]
    if kind == "tuple[GraceRule, ...]" and value:
        return "".join(f"\n  - {_grace(rule)}" for rule in value)
    if kind == "tuple[AllowRule, ...]":
        value = [{"name": rule.name, "from": rule.sender} for rule in value]
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)
