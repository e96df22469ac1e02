"""What a daemon lists, followed over its query socket without ever waiting for it."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

ADDRESS = ("127.0.0.1", 3400)
PATIENCE = 15.0
"""Seconds after which what should have happened is taken to have failed."""


class Mirror:
    """The names of the peers that the daemon lists which runs where this connects."""

    def __init__(self, address: tuple[str, int] = ADDRESS) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._partial = b""
        self._names: dict[str, str | None] = {}  # by boot: a peer is listed before its record is here
        self.events = 0

    @property
    def names(self) -> set[str | None]:
        """Return what the peers are called; None stands for those whose record is not here."""
        return set(self._names.values())

    def connect(self) -> bool:
        """Try to connect; False while no daemon listens."""
        if self._socket is None:
            with suppress(ConnectionRefusedError):
                self._socket = socket.create_connection(self._address)
                self._socket.sendall(b"watch\n")
                self._socket.setblocking(False)
        return self._socket is not None

    def fileno(self) -> int:
        """Give the descriptor to wait for."""
        assert self._socket is not None
        return self._socket.fileno()

    def read(self) -> None:
        """Take in what the daemon has said."""
        assert self._socket is not None
        data = self._socket.recv(1 << 16)
        if not data:
            raise SystemExit("a daemon closed its query socket while it was being measured")
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        peers = told.get("peers") or ([told["peer"]] if "peer" in told else [])
        for peer in peers:
            if peer["state"] in ("up", "suspect"):
                self._names[peer["boot"]] = peer["name"]
            else:
                self._names.pop(peer["boot"], None)
        self._names.pop(told.get("former", ""), None)
        self.events += "peer" in told

    def close(self) -> None:
        """Close; safe to call again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def follow(mirrors: Sequence[Mirror], seconds: float) -> None:
    """Wait at most so many seconds for the first mirror that is told something, and take that in."""
    for mirror in select.select(mirrors, [], [], seconds)[0]:
        mirror.read()


def connect(mirror: Mirror) -> Mirror:
    """Connect as soon as the daemon listens."""
    deadline = monotonic() + PATIENCE
    while not mirror.connect():
        if monotonic() > deadline:
            raise SystemExit(f"no daemon listened within {PATIENCE:g} s")
        select.select([], [], [], 0.005)
    return mirror
