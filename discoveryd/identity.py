"""Who this machine is: an id that stays the same from run to run."""

from __future__ import annotations

import os
from hashlib import blake2b

MACHINE_ID = "/etc/machine-id"
_HEX = frozenset("0123456789abcdef")
_KEY = b"discoveryd node id"
"""machine-id(5) asks not to show the id itself on the network, only a keyed hash of it."""


def node_id(state_directory: str) -> tuple[str, str]:
    """Give the node id: the one `reset` chose, else one derived from the machine id, else one made up and kept.

    Returns:
        16 hexadecimal digits, and a problem worth a log line (empty if there is none): where neither
        ``/etc/machine-id`` nor the state directory can be used the id lasts for this run only.
    """
    found = kept(state_directory)
    if found:
        return found, ""
    machine = _read(MACHINE_ID)
    if len(machine) == 32 and set(machine) <= _HEX:
        return blake2b(bytes.fromhex(machine), key=_KEY, digest_size=8).hexdigest(), ""
    fresh = os.urandom(8).hex()
    try:
        _keep(state_directory, fresh)
    except OSError as error:
        path = _path(state_directory)
        return fresh, f"no {MACHINE_ID}, and {path} cannot be written ({error.strerror}): set node.id or paths.state"
    return fresh, ""


def kept(state_directory: str) -> str:
    """Give the id that is kept in the state directory, empty if there is none."""
    found = _read(_path(state_directory))
    return found if len(found) == 16 and set(found) <= _HEX else ""


def reset(state_directory: str) -> str:
    """Choose a new id, for a machine that was cloned, and keep it.

    Raises:
        OSError: the state directory may not be written.
    """
    fresh = os.urandom(8).hex()
    _keep(state_directory, fresh)
    return fresh


def _path(state_directory: str) -> str:
    return os.path.join(state_directory, "node-id")


def _keep(state_directory: str, id: str) -> None:
    os.makedirs(state_directory, exist_ok=True)
    with open(_path(state_directory), "w", encoding="ascii") as file:
        file.write(id + "\n")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""
