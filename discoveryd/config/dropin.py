"""From a file in ``services.d`` to the service it describes, and every fault with its place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from discoveryd.config.durations import shown
from discoveryd.config.reader import SERVICE, ConfigReader, lacking
from discoveryd.config.tree import YamlNode
from discoveryd.errors import ConfigError, UntrustedFile
from discoveryd.files import trusted
from discoveryd.protocol.wire.record import Service

if TYPE_CHECKING:
    from discoveryd.runtime.health import Check

MAX_BYTES = 16 * 1024
"""Of a file; the commented sample is a tenth of it."""

_KEYS = {**SERVICE, "health": "health"}
_HEALTH = {"command": "command", "interval": "float", "timeout": "float"}


class DropIn(NamedTuple):
    """The content of a file.

    Attributes:
        service: what to announce.
        check: when to announce it; None for always.
    """

    service: Service
    check: Check | None = None


def read_file(path: str) -> DropIn:
    """Read a file.

    Raises:
        OSError: the file cannot be read.
        ConfigError: something is wrong in the file, or with it.
    """
    label = shown(path)
    if not path.endswith(".yaml"):
        raise ConfigError(f"{label}: the name must end in .yaml; rename it")
    try:
        raw = trusted.read(path, MAX_BYTES + 1, owners=None, follows=True)
    except UntrustedFile as error:
        raise ConfigError(f"{label}: {error.strerror}; {error.remedy}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{label}: over {MAX_BYTES // 1024} KiB is no service; remove it")
    drop_in = read(path, raw)
    if drop_in.check is not None:  # a user that may write or replace the file has the rights of the daemon
        from discoveryd.runtime.hooks import foreign  # noqa: PLC0415 - most services have no command

        for place in (path, os.path.dirname(path), os.path.dirname(os.path.realpath(path))):
            if why := foreign(place):
                text = f"{path}: has a health command, which is run, but {why}"
                raise ConfigError(text if text.isprintable() else ascii(text)[1:-1])
    return drop_in


def read(path: str, raw: bytes) -> DropIn:
    """Read the text of a file.

    Raises:
        ConfigError: with every fault.
    """
    return _ServiceReader({"health": _HEALTH}, path).drop_in(path, raw)


class _ServiceReader(ConfigReader):
    """Reads a service, its keys at the top of the file."""

    def drop_in(self, path: str, raw: bytes) -> DropIn:
        """Return the content of the file.

        Raises:
            ConfigError: with every fault.
        """
        root = self._root(path, raw)
        entries = list(self._entries("", root, "keys such as `name: ssh`", _KEYS))
        found = self._values("", entries, _KEYS)
        check = found.pop("health", None)
        lack = lacking(found)
        if lack and (isinstance(root.value, tuple) or not self._faults):
            self._fault(root.place, lack)
        # a fault of a record names the service, which is clear in a file of its own
        of = f"services.{found.get('name') or '':.40}."
        service = (
            None if lack else self._build(Service, found, lambda text: text.removeprefix(of).removeprefix("services: "))
        )
        self.finish()
        assert service is not None, "what cannot be read is a fault"
        return DropIn(service, check)

    def _value(self, path: str, kind: str, node: YamlNode) -> Any:
        if kind == "health":
            return self._check(node)
        return self._command(path, node) if kind == "command" else super()._value(path, kind, node)

    def _check(self, node: YamlNode) -> Check | None:
        from discoveryd.runtime.health import Check  # noqa: PLC0415 - most services have none

        entries = self._entries("health", node, "keys such as `command:` below it", _HEALTH)
        found = self._values("health.", entries, _HEALTH)
        if "command" not in found:
            if isinstance(node.value, tuple):
                self._fault(node.place, "health: needs a command; exit code 0 means that the service works")
            return None
        return self._build(Check, found, lambda text: f"health.{text}")
