"""The configuration: what can be set, with its default, and how it is found and written.

`discoveryd.config.reader` reads it. That module, and YAML with it, is imported only when there is
something to read: without a file or a variable the daemon starts from the defaults below.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from discoveryd.config.durations import VARIABLE_PREFIX, format_duration, shown
from discoveryd.errors import ConfigError
from discoveryd.files import directories
from discoveryd.protocol.parameters import MAX_ID, Limits, Parameters, is_ipv4, is_word
from discoveryd.protocol.sealed.keyring import MAX_KEYS, MODES
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.runtime.machine import machine_name

DEFAULT_PATH = "/etc/discoveryd/discoveryd.yaml"
PATH_VARIABLE = "DISCOVERYD_CONFIG"
STDIN = "-"
"""Names standard input instead of a file."""
PATIENCE = 5.0
"""Seconds that a configuration may take to come through a pipe."""
NO_FILE = "defaults"
"""Source of a configuration that came from no file."""

MAX_FILE = 64 * 1024
"""Bytes of a configuration file: eight times the commented sample. More is some other file."""

TTL_INTERVALS = 5
"""A ttl that is not set is this many intervals (DESIGN, On the wire)."""

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("auto", "console", "logfmt", "json")

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    """What this node says of itself."""

    name: str = ""
    """Empty: the name of this machine."""
    id: str = ""
    """Empty: derived, and the same after a restart."""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    services: tuple[Service, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.id and not is_word(self.id, MAX_ID):
            problems.append(
                f"node.id: must be 1 to {MAX_ID} of A-Z a-z 0-9 . _ -, or empty to derive it, "
                f"not {self.id!r:.80}"
            )
        try:
            self.record()
        except ConfigError as error:
            problems += [_in_node(problem) for problem in error.problems]
        if problems:
            raise ConfigError(*problems)

    def record(self) -> Record:
        """Give what this node announces, under the name of the machine if none is set."""
        return Record(name=self.name or machine_name()[0], tags=self.tags, services=self.services)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySection:
    """Where local programs ask."""

    listen: str = "127.0.0.1:3400"

    def __post_init__(self) -> None:
        _address("query.listen", self.listen, "127.0.0.1:3400")

    @property
    def address(self) -> tuple[str, int] | None:
        """Where to listen, None for no query socket."""
        return _address("query.listen", self.listen, "127.0.0.1:3400")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """Where Prometheus asks."""

    listen: str = "off"

    def __post_init__(self) -> None:
        _address("metrics.listen", self.listen, "127.0.0.1:9341")

    @property
    def address(self) -> tuple[str, int] | None:
        """Where to listen, None for no HTTP."""
        return _address("metrics.listen", self.listen, "127.0.0.1:9341")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySection:
    """Who may speak. The files are read by `discoveryd.daemon.keys`, when there are any."""

    mode: str = "off"
    keys: tuple[str, ...] = ()
    send_with: str = ""

    def __post_init__(self) -> None:
        problems = []
        if self.mode not in MODES:
            problems.append(f"security.mode: must be one of {', '.join(MODES)}, not {self.mode!r:.80}")
        elif self.mode != "off" and not self.keys:
            problems.append(f"security.mode: {self.mode} needs a key: make one with discoveryd keygen, list it in keys")
        if len(self.keys) > MAX_KEYS:
            problems.append(f"security.keys: {len(self.keys)} files, at most {MAX_KEYS}: remove those no longer in use")
        problems += [f"security.keys: {key!r:.200} is no file name" for key in self.keys if not key or "\0" in key]
        if problems:
            raise ConfigError(*problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSection:
    """What is logged, and in which form."""

    level: str = "info"
    format: str = "auto"

    def __post_init__(self) -> None:
        problems = [
            f"log.{key}: must be one of {', '.join(allowed)}, not {found!r:.80}"
            for key, allowed, found in (("level", LEVELS, self.level), ("format", FORMATS, self.format))
            if found not in allowed
        ]
        if problems:
            raise ConfigError(*problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsSection:
    """Directories of the daemon."""

    state: str = ""
    """Empty: that of the machine, or of the user who runs the daemon without root (`discoveryd.files.directories`)."""
    runtime: str = ""
    """Empty: the same."""

    def __post_init__(self) -> None:
        problems = [
            f"paths.{key}: must be an absolute path such as {example}, not {found!r:.200}"
            for key, example, found in (
                ("state", "/var/lib/discoveryd", self.state),
                ("runtime", "/run/discoveryd", self.runtime),
            )
            if found and not found.startswith("/")
        ]
        if problems:
            raise ConfigError(*problems)

    @property
    def state_directory(self) -> str:
        """What is kept across restarts."""
        return self.state or directories.state()

    @property
    def runtime_directory(self) -> str:
        """What is gone with the machine's next start."""
        return self.runtime or directories.runtime()

    @property
    def pid_file(self) -> str:
        """Where ``discoveryd start`` leaves the pid."""
        return os.path.join(self.runtime_directory, "discoveryd.pid")

    @property
    def token_file(self) -> str:
        """Where the daemon keeps the control token."""
        return os.path.join(self.runtime_directory, "control.token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set; what `load` returns has been checked as a whole.

    Attributes:
        parameters: the sections ``hello`` and, within it, ``limits``.
        source: the file it came from, or `NO_FILE`.
        is_stream: whether it came through a pipe, which can be read once only.
    """

    node: NodeSection = field(default_factory=NodeSection)
    parameters: Parameters = field(default_factory=Parameters)
    query: QuerySection = field(default_factory=QuerySection)
    security: SecuritySection = field(default_factory=SecuritySection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    log: LogSection = field(default_factory=LogSection)
    paths: PathsSection = field(default_factory=PathsSection)
    source: str = field(default=NO_FILE, compare=False)
    is_stream: bool = field(default=False, compare=False)

    @property
    def directory(self) -> str:
        """Where keys, ``services.d`` and ``hooks.d`` are: beside the file, or where that would be by default."""
        path = DEFAULT_PATH if self.is_stream or self.source == NO_FILE else self.source
        return os.path.dirname(os.path.abspath(path))

    def record(self) -> Record:
        """Give what this node announces, under the name of the machine if none is set."""
        return self.node.record()

    def to_yaml(self) -> str:
        """Write every key with its effective value, as a file that loads to the same configuration."""
        lines = [f"# from {shown(self.source)}"]
        sections = {
            "node": self.node,
            "hello": self.parameters,
            "limits": self.parameters.limits,
            "query": self.query,
            "security": self.security,
            "metrics": self.metrics,
            "log": self.log,
            "paths": self.paths,
        }
        for section, keys in SCHEMA.items():
            lines.append(f"{section}:")
            for key, kind in keys.items():
                lines.append(f"  {key}: {_written(kind, getattr(sections[section], key))}")
        for number, key in ((-2, "state"), (-1, "runtime")):
            if not getattr(self.paths, key):
                lines[number] += f"  # {shown(getattr(self.paths, f'{key}_directory'))}"
        if not self.node.name:
            lines[2] += f"  # {shown(self.record().name)}"
        return "\n".join(lines) + "\n"


def _schema() -> Iterator[tuple[str, dict[str, str]]]:
    """Read sections, keys and their types off the dataclasses, so that a new field is a new key."""
    for section, values in (
        ("node", NodeSection),
        ("hello", Parameters),
        ("limits", Limits),
        ("query", QuerySection),
        ("security", SecuritySection),
        ("metrics", MetricsSection),
        ("log", LogSection),
        ("paths", PathsSection),
    ):
        yield section, {one.name: str(one.type) for one in fields(values) if one.name != "limits"}


SCHEMA: Mapping[str, Mapping[str, str]] = dict(_schema())
"""Section to key to the type as annotated, in the order in which they are written."""


def load(path: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Find and read the configuration.

    The file is `path`, else the one ``DISCOVERYD_CONFIG`` names, else ``/etc/discoveryd/discoveryd.yaml``
    if there is one; ``DISCOVERYD_SECTION__KEY`` overrides a key of it.

    Raises:
        ConfigError: with every fault of the file and of the variables.
    """
    variables = {
        name: value
        for name, value in environ.items()
        if name.startswith(VARIABLE_PREFIX) and "__" in name.removeprefix(VARIABLE_PREFIX)
    }
    file = _file(path, environ)
    if file is None and not variables:
        return Config()
    return _read(file, variables)


def _file(path: str | None, environ: Mapping[str, str]) -> tuple[str, bytes, bool] | None:
    """Read the file that applies; None where nobody asked for one and the default is not there."""
    named = path if path is not None else environ.get(PATH_VARIABLE) or None
    if path is not None:
        remedy = "name another file, or none for the defaults"
    elif named is not None:
        remedy = f"correct {PATH_VARIABLE}, or unset it for the defaults"
    else:
        remedy = "correct or remove it, or name another file"
    path = DEFAULT_PATH if named is None else named
    try:
        raw, is_stream = _content(path)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        if named is None and isinstance(error, FileNotFoundError):
            return None
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ConfigError(f"{shown(path)}: {reason}; {remedy}") from None
    if len(raw) > MAX_FILE:
        raise ConfigError(f"{shown(path)}: over {MAX_FILE // 1024} KiB is no configuration; {remedy}")
    return ("standard input" if path == STDIN else path), raw, is_stream


def _content(path: str) -> tuple[bytes, bool]:
    """Read a file, or a pipe until its end; whether it was a pipe.

    Never without a bound: one that nobody writes to would stop the daemon.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.dup(0) if path == STDIN else os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return _stream(descriptor), True
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a directory reading it says so
            raise ValueError("Not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE + 1), False
    finally:
        os.close(descriptor)


def _stream(descriptor: int) -> bytes:
    """Read what comes through a pipe, as ``--config <(...)`` and ``--config -`` have it."""
    import select  # noqa: PLC0415 - files are the rule
    from time import monotonic  # noqa: PLC0415

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline, raw = monotonic() + PATIENCE, b""
    while len(raw) <= MAX_FILE:
        if not poll.poll(max(deadline - monotonic(), 0.0) * 1000):
            raise ValueError(f"Nothing more came in {PATIENCE:g} s")
        piece = os.read(descriptor, MAX_FILE)
        if not piece:
            break
        raw += piece
    return raw


def _read(file: tuple[str, bytes, bool] | None, variables: Mapping[str, str]) -> Config:
    from discoveryd.config.reader import Reader  # noqa: PLC0415 - YAML is not for those who have no file

    source = file[0] if file else NO_FILE
    reader = Reader(SCHEMA, source)
    if file:
        reader.add_file(*file[:2])
    for name, value in variables.items():
        reader.add_variable(name, value)
    values = reader.values()

    def made(section: Callable[..., _Made], **keys: Any) -> _Made:
        """Build a section, or note its faults and go on with its defaults to find those of the others."""
        try:
            return section(**keys)
        except ConfigError as error:
            reader.refuse(error.problems)
            return section()

    hello = values["hello"]
    if "interval" in hello:
        hello.setdefault("ttl", round(hello["interval"] * TTL_INTERVALS, 6))
    config = Config(
        node=made(NodeSection, **values["node"]),
        parameters=made(Parameters, **hello, limits=made(Limits, **values["limits"])),
        query=made(QuerySection, **values["query"]),
        security=made(SecuritySection, **values["security"]),
        metrics=made(MetricsSection, **values["metrics"]),
        log=made(LogSection, **values["log"]),
        paths=made(PathsSection, **values["paths"]),
        source=source,
        is_stream=bool(file and file[2]),
    )
    if config.metrics.address and config.metrics.address == config.query.address:
        reader.refuse([f"metrics.listen: must be another port than query.listen ({config.query.listen})"])
    reader.finish()
    return config


def _address(key: str, listen: str, example: str) -> tuple[str, int] | None:
    """Read where to listen; None for ``off``."""
    if listen == "off":
        return None
    host, _, port = listen.rpartition(":")
    if not is_ipv4(host) or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ConfigError(f"{key}: must be an IPv4 address and a port such as {example}, or off, not {listen!r:.80}")
    return host, int(port)


def _in_node(problem: str) -> str:
    """Name the section in a fault of a record, which knows its keys only (``name: ...``, ``tags.a: ...``)."""
    return f"node.{problem}" if problem.startswith(("name:", "tags")) else f"node: {problem}"


def _written(kind: str, value: Any) -> str:
    """Write one value; JSON is YAML, and its quotes keep ``on`` or ``1.10`` the text it is."""
    if kind == "float":
        return format_duration(value)
    if kind == "tuple[Service, ...]" and value:
        return "".join(f"\n    - {json.dumps(one.to_json(), ensure_ascii=False)}" for one in value)
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)
