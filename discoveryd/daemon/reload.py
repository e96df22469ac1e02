"""A reload: what of a new configuration a running daemon takes over, and what waits for a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from discoveryd.config import Config, load
from discoveryd.daemon.ports import is_service, refuse_forbidden
from discoveryd.daemon.services_d import OWNER
from discoveryd.errors import ConfigError, RecordTooLong
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.runtime.discovery import Discovery

FIXED = (
    "node.id", "hello.port", "hello.realm", "hello.loopback", "query.listen", "metrics.listen", "paths.state",
    "paths.runtime",
)  # fmt: skip
"""Keys that hold for the life of a process: it is known by them, or has a socket open for them."""


def read_again(begun_with: Config, path: str | None) -> Config:
    """Read the configuration again.

    Raises:
        ConfigError: it is wrong, or came through a pipe, and the name of that means something else by now.
    """
    if begun_with.is_stream:
        why = f"the configuration came through a pipe ({begun_with.source}), which is read once"
        raise ConfigError(f"{why}: to change it restart, or begin with a file")
    return load(path)


def take_over(discovery: Discovery, config: Config, begun_with: Config) -> list[dict[str, Any]]:
    """Put another configuration in force, as far as a running daemon can.

    Returns:
        what waits for a restart, each as ``{"key", "now", "wanted"}``.

    Raises:
        ConfigError: a key cannot be read, or the record is too long together with what is registered; nothing has
            changed then, but that `OWNER` may offer no services any more.
    """
    if is_service():
        refuse_forbidden(config)
    node, keyring = config.node, keyring_of(config)
    try:
        discovery.set_record(name=node.name or None, tags=node.tags, services=node.services)
    except RecordTooLong:  # what the configuration says comes before what files add to it
        discovery.offer(OWNER, ())
        discovery.set_record(name=node.name or None, tags=node.tags, services=node.services)
    discovery.set_keyring(keyring)
    fixed = {key.removeprefix("hello."): begun_with.value(key) for key in FIXED if key.startswith("hello.")}
    discovery.set_parameters(replace(config.parameters, **fixed))
    return needs_restart(begun_with, config)


def needs_restart(begun_with: Config, config: Config) -> list[dict[str, Any]]:
    """Return the changes that wait for a restart, each as ``{"key", "now", "wanted"}``."""
    values = ((key, begun_with.value(key), config.value(key)) for key in FIXED)
    return [{"key": key, "now": now, "wanted": wanted} for key, now, wanted in values if now != wanted]


def keyring_of(config: Config) -> Keyring:
    """Read the keys that a configuration names.

    Raises:
        ConfigError: with every fault of their files.
    """
    if not config.security.keys:
        return NO_KEYS
    from discoveryd.daemon.keys import read_keyring  # noqa: PLC0415 - most daemons have none

    return read_keyring(config.security, config.source, directory=config.directory)
