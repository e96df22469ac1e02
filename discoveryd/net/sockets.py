"""What servers and bound sockets share.

A bind that names the holder of a port, a listening socket that outlives a shortage of descriptors, and a wake-up for a
thread that waits.
"""

import errno
import os
import selectors
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from discoveryd.errors import PortTaken
from discoveryd.net.owner import holder

ACCEPT_PAUSE = 1.0
"""Seconds without accepting after it failed, mostly because the process ran out of descriptors."""
BACKLOG = 4096
"""Connections that may wait to be accepted, as many as Linux allows by default (net.core.somaxconn): where the queue is
full a client tries again after a second, and a program that opens connections without end must not fill it."""
IP_FREEBIND = 15
"""linux/in.h; `socket` has no name for it."""
FORBIDDEN = "a unit that runs it forbids that port (SocketBindDeny=)"
ANY_ERROR: Collection[int] = frozenset(errno.errorcode)
NOT_YET: Collection[int] = frozenset((errno.EADDRINUSE, errno.EADDRNOTAVAIL))
"""Errors after which listening is tried again: the port is taken, or the address is not there yet."""

_AT_ONCE = -1.0
_OF_ALL = {"0.0.0.0": "", "::": " of IPv6"}
_OURS = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
"""Errors of `accept` that no connection and no shortage brings about, but a mistake here."""


class WakeUp:
    """Ends the wait of a thread in a selector. Nothing is opened by the constructor."""

    def __init__(self) -> None:
        self._read: socket.socket  # once open
        self._write: socket.socket | None = None

    def open(self, stack: ExitStack, selector: selectors.BaseSelector) -> None:
        """Let `wake` end the waits of a selector, until the stack closes; the key has this object as its data."""
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            stack.enter_context(end)
            end.setblocking(False)
        selector.register(self._read, selectors.EVENT_READ, self)

    def wake(self) -> None:
        """End the present wait, or the next; from any thread, and legal while nothing is open."""
        if (end := self._write) is not None:
            with suppress(OSError):  # it is full of wakes already, or closed
                end.send(b"w")

    def drain(self) -> None:
        """Take the wakes that have come; call it when the selector returns the key."""
        self._read.recv(4096)


@dataclass(eq=False, repr=False)
class TcpServer(ABC):
    """A server's listening socket, and the selector by which it waits for that and for its connections.

    While the process can have no more descriptors, it pauses. Nothing is opened by the constructor. One thread
    uses it; `wake` and `stop` are for any.

    Args:
        address: where to listen.
        inherited: a TCP socket that listens already, instead; `close` closes it.
        retry: seconds between two attempts to listen after an error that is forgiven.
        forgives: numbers of errors that `open` does not raise; `resume` tries again.
        told: called by `resume` with what is wrong when that changes, with an empty text once it listens.
        backlog: connections that may wait to be accepted.

    Attributes:
        address: once open, the real address.
        clients: the connections, by socket.
        error: why it does not listen, with the holder of the port where that can be found; empty while it does.
        resumes_at: the end of the pause, or when to try again; 0 while it listens.
        is_stopping: whether `stop` was called.
    """

    address: tuple[str, int]
    inherited: socket.socket | None = None
    _: KW_ONLY
    retry: float
    forgives: Collection[int] = ()
    told: Callable[[str], None] | None = None
    backlog: int = BACKLOG

    clients: dict[socket.socket, Any] = field(default_factory=dict, init=False)
    error: str = field(default="", init=False)
    resumes_at: float = field(default=0.0, init=False)
    is_stopping: bool = field(default=False, init=False)
    _wake_up: WakeUp = field(default_factory=WakeUp, init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _sock: socket.socket | None = field(default=None, init=False)
    _selector: selectors.BaseSelector = field(init=False)

    def open(self) -> None:
        """Listen.

        Raises:
            OSError: with the port, and its holder where that can be found; or no descriptor is left.
        """
        with ExitStack() as stack:
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._wake_up.open(stack, self._selector)
            try:
                self._listen(stack)
            except OSError as error:
                if error.errno not in self.forgives:
                    raise
                self.error, self.resumes_at = str(error.strerror), _AT_ONCE
            self._stack = stack.pop_all()

    def _listen(self, until: ExitStack) -> None:
        with ExitStack() as stack:
            sock = self.inherited or listening_socket(self.address, backlog=self.backlog)
            stack.enter_context(sock)
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, self)
            until.enter_context(stack.pop_all())
            self.address, self._sock, self.error = sock.getsockname()[:2], sock, ""

    def close(self) -> None:
        """Close everything; legal before `open` and more than once, not while a thread serves."""
        for sock in self.clients:
            sock.close()
        self.clients.clear()
        self._sock = None
        self._stack.close()

    def stop(self) -> None:
        """Ask the thread that serves to return."""
        self.is_stopping = True
        self.wake()

    def wake(self) -> None:
        """Make `wait` return."""
        self._wake_up.wake()

    @abstractmethod
    def due(self, client: Any) -> float | None:
        """Return when the time of a client is over; None for a client that may be silent."""

    def patience(self, now: float) -> float | None:
        """Return the seconds until a client is due, or a pause ends; None if there is neither."""
        moments = [due for client in self.clients.values() if (due := self.due(client)) is not None]
        if self.resumes_at:
            moments.append(self.resumes_at)
        return max(0.0, min(moments) - now) if moments else None

    def wait(self, seconds: float | None) -> tuple[list[tuple[Any, int]], bool]:
        """Wait for connections, for what they wait for, or for `wake`.

        Returns:
            the connections that are ready (as given to `expect`) with their events; whether `accept` has something.
        """
        found = {key.data: events for key, events in self._selector.select(seconds)}
        if found.pop(self._wake_up, 0):
            self._wake_up.drain()
        is_called = bool(found.pop(self, 0))
        return list(found.items()), is_called

    def expect(self, sock: socket.socket, events: int, data: object) -> None:
        """Let `wait` return these events of a connection from now on; 0 for none."""
        is_watched = sock in self._selector.get_map()
        if events and is_watched:
            self._selector.modify(sock, events, data)
        elif events:
            self._selector.register(sock, events, data)
        elif is_watched:
            self._selector.unregister(sock)

    def accept(self, now: float) -> socket.socket | None:
        """Return the next connection, not blocking; None if it has gone again, or a pause begins."""
        assert self._sock is not None
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno in _OURS:
                raise
            # the connection may stay in the queue (no descriptor, no memory): without a pause the loop would spin
            self.expect(self._sock, 0, self)
            self.resumes_at = now + ACCEPT_PAUSE
            return None
        sock.setblocking(False)
        with suppress(OSError):  # it has gone again: reading says so
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def resume(self, now: float) -> None:
        """End the pause if it is over, or try again to listen."""
        if not self.resumes_at or now < self.resumes_at:
            return
        before = self.error
        try:
            if self._sock is None:
                self._listen(self._stack)
            else:
                self.expect(self._sock, selectors.EVENT_READ, self)
        except OSError as error:  # no memory for it, or the port is still another's
            self.resumes_at = now + (ACCEPT_PAUSE if self._sock else self.retry)
            self.error = "" if self._sock else str(error.strerror)
        else:
            self.resumes_at = 0.0
        if self.told is not None and self.error != before:
            self.told(self.error)

    def trouble(self, now: float) -> dict[str, str | float | None]:
        """Return why it does not listen, and the seconds to the next attempt; None while it does."""
        error = self.error or None
        return {"error": error, "next_try_s": round(max(self.resumes_at - now, 0.0), 3) if error else None}


def listening_socket(address: tuple[str, int], *, backlog: int = BACKLOG, is_early: bool = False) -> socket.socket:
    """Return a TCP socket that listens.

    Args:
        address: where; ``::`` is every address, those of IPv4 too.
        backlog: connections that may wait to be accepted.
        is_early: whether to listen at an address that the machine does not have yet.

    Raises:
        OSError: with the port, and its holder where that can be found; or no descriptor is left.
    """
    is_ipv6 = ":" in address[0]
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    with ExitStack() as stack:
        try:
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, is_early)
            if is_ipv6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
            sock.bind(address)
            sock.listen(backlog)
        except OSError as error:
            raise explain_bind(error, "TCP", *address) from None
        stack.pop_all()
        return sock


def explain_bind(error: OSError, kind: str, address: str, port: int) -> OSError:
    """Return the error with the port in its text, and the holder of the port if it is taken."""
    where = f"{kind} port {port}{_OF_ALL.get(address, f' on {address}')}"
    if error.errno != errno.EADDRINUSE:
        forbids = f": {FORBIDDEN}" if error.errno == errno.EPERM else ""  # a port below 1024 is EACCES
        return OSError(error.errno, f"cannot listen on {where}: {os.strerror(error.errno or 0)}{forbids}")
    program = holder(port, "udp" if kind == "UDP" else "tcp", address) or "another process"
    return PortTaken(error.errno, f"{where} is taken by {program}")


def free_port(address: str, kind: str) -> int:
    """Return a port that is free at this moment (``udp`` or ``tcp``)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def forget_at_close(connection: socket.socket) -> None:
    """Let the end of a TCP connection be a reset: what the kernel still holds for the other end is forgotten."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", True, 0))
