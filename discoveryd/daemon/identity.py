"""The node id of this machine, which stays the same from run to run."""

import os

from discoveryd.files import directories, trusted
from discoveryd.files.trusted import remedy
from discoveryd.protocol.blake import blake2b

MACHINE_ID = "/etc/machine-id"
FEW_DIGITS = 6
"""Most different digits of a machine id that was not drawn at random."""
SHIPPED = frozenset((
    "88544b92092430bc5d3fbbffc12a2f04", "85f94e57ab75f80918cab17d001eac85",  # Debian 11.2 and 11.1
    "3766705eb195582e8168a9a1b913c7c7",  # footloose/debian10
))  # fmt: skip
"""Machine ids that images were shipped with, as their users reported; an image should come without one."""
_HEX = frozenset("0123456789abcdef")
_KEY = b"discoveryd node id"
"""machine-id(5) asks not to show the id itself on the network, only a keyed hash of it."""


def node_id(state_directory: str, loopback: str = "") -> tuple[str, str]:
    """Return the node id: as `reset` chose it, else derived from the machine id, else made up and kept.

    A machine id that many machines have (a placeholder of an image) does not count.

    Args:
        state_directory: where an id that was chosen or made up is kept.
        loopback: ``hello.loopback``; each of several daemons of one machine then has an id of its own.

    Returns:
        16 hexadecimal digits, and a problem worth a log line (empty if there is none): where neither
        ``/etc/machine-id`` nor the state directory can be used the id lasts for this run only.
    """
    found, problem = kept(state_directory)
    if not found and state_directory == directories.state():
        # an id that root chose holds for each user of the machine
        found, other_problem = kept(directories.STATE)
        problem = problem or other_problem
    machine = _machine_id()
    if not found and machine and not _is_placeholder(machine):
        found = _digest(bytes.fromhex(machine))
    if not found:
        found = os.urandom(8).hex()
        try:
            _keep(state_directory, found)
        except OSError as error:
            lack = f"{MACHINE_ID} is a placeholder" if machine else f"no {MACHINE_ID}"
            helps = remedy(error, "set node.id or paths.state")
            problem = f"{lack}, and {_path(state_directory)} cannot be written ({error.strerror}): {helps}"
    return (_digest(f"{found} {loopback}".encode()) if loopback else found), problem


def _digest(secret: bytes) -> str:
    return blake2b(secret, key=_KEY, digest_size=8).hexdigest()


def placeholder(state_directory: str) -> str:
    """Return what is wrong with a machine id that images are made with; empty if nothing is, or if there is none."""
    machine = _machine_id()
    if not _is_placeholder(machine):
        return ""
    where = _path(state_directory)
    return f"{MACHINE_ID} is {machine}, as on many machines: an id made up is kept in {where} instead"


def kept(state_directory: str) -> tuple[str, str]:
    """Return the id kept in the state directory, empty if there is none, and why a file there is not used."""
    path = _path(state_directory)
    try:
        found = trusted.read(path, 64, owners=trusted.beside(path)).decode("ascii", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except OSError as error:
        helps = remedy(error, "let the user of discoveryd read it, or set node.id")
        return "", f"{path} is not used ({error.strerror}): {helps}"
    if len(found) == 16 and set(found) <= _HEX:
        return found, ""
    return "", f"{path} is not used (it is not 16 hexadecimal digits): discoveryd reset-id makes a new id"


def reset(state_directory: str) -> str:
    """Choose a new id, for a machine that was cloned; keep and return it.

    Raises:
        OSError: the state directory may not be written; the former id stays.
    """
    fresh = os.urandom(8).hex()
    _keep(state_directory, fresh)
    return fresh


def _machine_id() -> str:
    """Return the machine id, empty if there is none yet (``uninitialized``)."""
    try:  # of root, but a link on many a machine
        machine = trusted.read_text(MACHINE_ID, 64).strip().lower()
    except OSError:
        return ""
    return machine if len(machine) == 32 and set(machine) <= _HEX else ""


def _is_placeholder(machine: str) -> bool:
    """Return whether an id was shipped, or made by hand (zeros, ``deadbeef``; at random with a chance of 10^-10)."""
    return machine in SHIPPED or 0 < len(set(machine)) <= FEW_DIGITS


def _path(state_directory: str) -> str:
    return os.path.join(state_directory, "node-id")


def _keep(state_directory: str, id: str) -> None:
    os.makedirs(state_directory, exist_ok=True)
    path = _path(state_directory)
    trusted.check(path)  # root runs reset-id in a directory of the daemon's user
    trusted.write(path, f"{id}\n".encode("ascii"), to_owner=True)
