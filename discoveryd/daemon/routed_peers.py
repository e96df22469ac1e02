"""The routed peers that outlive a restart: kept in the state directory, so that a node finds them without a seed."""

from collections.abc import Callable, Iterable
from time import monotonic

from discoveryd.daemon.parts import Part
from discoveryd.daemon.state_file import StateFile
from discoveryd.protocol.addresses import canonical
from discoveryd.protocol.candidates import is_global
from discoveryd.protocol.routed import MAX_FORMER
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.notices import Notice

NAME = "routed-peers"
PAUSE = 10.0
"""Seconds between two writings at least; the last comes with the end of the daemon."""
MAX_SIZE = 64 * 1024
"""Bytes of the file: four times what `MAX_FORMER` addresses take."""
HEAD = "# Peers beyond the links of this node, which it greets when it starts again. discoveryd writes this file.\n"


class RoutedPeersPart(Part):
    """Keeps the addresses of routed peers, and has them greeted after a restart.

    Args:
        directory: the state directory.
        loopback: ``hello.loopback``: there all nodes are on this machine, and nothing is kept.
        discovery: knows the peers.
        notify: told, once for each reason, where the file cannot be read or written.
    """

    name = NAME

    def __init__(
        self, directory: str, loopback: str, discovery: Discovery, notify: Callable[[Notice], None]
    ) -> None:
        holds = "the routed peers cannot be {fault}: after a restart only seeds lead to them"
        self._file = StateFile(directory, NAME, limit=MAX_SIZE, holds=holds, notify=notify)
        self._is_used = not loopback
        self._discovery = discovery
        self._kept: frozenset[str] = frozenset()
        self._due = 0.0
        self._is_started = False

    def start(self) -> None:
        """Have the peers greeted that are in the file."""
        if not self._is_used:
            return
        found = addresses(self._file.read().decode("ascii", "replace").splitlines())
        self._kept = frozenset(found)
        self._is_started, self._due = True, monotonic() + PAUSE
        if found:
            self._discovery.look(lambda node, now: node.remember(found, now))

    def look(self) -> None:
        """Write the file, if it is time to and other peers are known."""
        if self._is_started and monotonic() >= self._due:
            self._due = monotonic() + PAUSE
            self._write()

    def stop(self) -> None:
        """Write the file."""
        if self._is_started:
            self._is_started = False
            self._write()

    def _write(self) -> None:
        try:
            known = self._discovery.look(lambda node, now: node.beyond.known(now))
        except RuntimeError:  # a thread has died, or this is another process
            return
        if frozenset(known) == self._kept:
            return
        text = "".join(f"{address}\n" for address in known)
        if self._file.write((HEAD + text).encode("ascii")):
            self._kept = frozenset(known)


def addresses(lines: Iterable[str]) -> list[str]:
    """Return the addresses that lines consist of, without what is none that another node can have; `MAX_FORMER`."""
    found = []
    for line in lines:
        try:
            address = canonical(line.strip())
        except ValueError:
            continue
        if is_global(address):
            found.append(address)
    return found[:MAX_FORMER]
