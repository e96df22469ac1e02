"""Who this machine is: an id that stays the same from run to run."""

from __future__ import annotations

import os
from hashlib import blake2b

MACHINE_ID = "/etc/machine-id"
_KEY = b"discoveryd node id"
"""machine-id(5) asks not to show the id itself on the network, only a keyed hash of it."""


def node_id(state_directory: str) -> tuple[str, str]:
    """Derive the node id.

    Returns:
        16 hexadecimal digits, and a problem worth a log line (empty if there is none): where neither
        ``/etc/machine-id`` nor the state directory can be used the id lasts for this run only.
    """
    machine = _read(MACHINE_ID)
    if len(machine) == 32 and set(machine) <= set("0123456789abcdef"):
        return blake2b(bytes.fromhex(machine), key=_KEY, digest_size=8).hexdigest(), ""
    path = os.path.join(state_directory, "node-id")
    kept = _read(path)
    if len(kept) == 16 and set(kept) <= set("0123456789abcdef"):
        return kept, ""
    fresh = os.urandom(8).hex()
    try:
        os.makedirs(state_directory, exist_ok=True)
        with open(path, "x" if not kept else "w", encoding="ascii") as file:
            file.write(fresh + "\n")
    except OSError as error:
        return fresh, f"no {MACHINE_ID}, and {path} cannot be written ({error.strerror}): set node.id or paths.state"
    return fresh, ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""
