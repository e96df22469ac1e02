"""The settings of this machine for a program that is a node itself, or asks the daemon for what few may."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

from discoveryd.config import load
from discoveryd.files import token
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import Keyring


class MachineSettings(TypedDict):
    """Arguments of a `Discovery`."""

    parameters: Parameters
    keyring: Keyring


def machine_settings(path: str | None = None, environ: Mapping[str, str] = os.environ) -> MachineSettings:
    """Return how the daemon of this machine speaks, and the keys of its group: ``Discovery(**machine_settings())``.

    Name, tags and services stay the program's own; the limits are those of the configuration too.

    Args:
        path: of the configuration; None for the one that the daemon would find.
        environ: with variables that override keys, and the directory of systemd's credentials.

    Raises:
        ConfigError: with every fault of the configuration, of a variable, or of a key: one that may not be read, too.
    """
    from discoveryd.daemon.keys import read_keyring  # noqa: PLC0415 - only where there is a configuration

    config = load(path, environ)
    # the witness is a process forked off: a program decides for itself
    parameters = replace(config.parameters, last_will=False)
    return {"parameters": parameters, "keyring": read_keyring(config, environ)}


def machine_token() -> str:
    """Return the control token of the daemon of this machine: ``Client(token=machine_token)``.

    Raises:
        QueryError: ``denied``; there is none, or it may not be read.
    """
    return token.read(token.default_path())
