"""What of a new configuration a running daemon can take over, and what it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from discoveryd.config import Config
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring


def needs_restart(begun_with: Config, config: Config) -> list[dict[str, Any]]:
    """Give what is wanted and cannot be had from this process, each as ``{"key", "now", "wanted"}``."""
    now, wanted = _fixed(begun_with), _fixed(config)
    return [{"key": key, "now": now[key], "wanted": wanted[key]} for key in now if now[key] != wanted[key]]


def keyring_of(config: Config) -> Keyring:
    """Read the keys that a configuration names.

    Raises:
        ConfigError: with every fault of their files.
    """
    if not config.security.keys:
        return NO_KEYS
    from discoveryd.daemon.keys import read_keyring  # noqa: PLC0415 - most daemons have none

    return read_keyring(config.security, config.source, directory=config.directory)


def with_fixed(parameters: Parameters, begun_with: Parameters) -> Parameters:
    """Give new parameters that keep what is for the life of a process."""
    fixed = {key: getattr(begun_with, key) for key in ("port", "realm", "loopback")}
    return replace(parameters, **fixed)


def _fixed(config: Config) -> dict[str, Any]:
    """Give the keys that hold for the life of a process: it is known by them, or has a socket open for them."""
    return {
        "node.id": config.node.id,
        "hello.port": config.parameters.port,
        "hello.realm": config.parameters.realm,
        "hello.loopback": config.parameters.loopback,
        "query.listen": config.query.listen,
        "metrics.listen": config.metrics.listen,
        "paths.state": config.paths.state,
        "paths.runtime": config.paths.runtime,
    }
