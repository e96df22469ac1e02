"""The listening end of the query socket: bound here, or inherited from the service manager."""

from __future__ import annotations

import errno
import selectors
import socket
from contextlib import ExitStack, suppress

from discoveryd.net.udp import explain_bind

ACCEPT_PAUSE = 1.0
"""Seconds without accepting after it failed, mostly because the process ran out of descriptors."""
RETRY = 5.0
"""Seconds between two attempts to listen where somebody else does, or at an address that is not there yet."""
BACKLOG = 4096
"""Connections that may wait to be accepted, as many as Linux allows by default (net.core.somaxconn): where the queue is
full a client tries again after a second, and one that opens connections without end must not fill it."""

_PASSING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
_AT_ONCE = -1.0

_OURS = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
"""Errors that no connection and no shortage brings about, but a mistake here."""


class Acceptor:
    """Accepts connections, with a pause while the process can have no more descriptors.

    Nothing is opened by the constructor.

    Args:
        address: where to listen.
        inherited: a TCP socket that listens already, instead; from `open` on it is ours.
        is_patient: where the port is taken, or the address not there yet, `resume` tries again.

    Attributes:
        address: once open, the one it really has.
        error: why it does not listen, empty while it does.
        resumes_at: the end of the pause, or when to try again; 0 while it listens.
    """

    def __init__(
        self, address: tuple[str, int], inherited: socket.socket | None = None, *, is_patient: bool = False
    ) -> None:
        self.address = address
        self.error = ""
        self.resumes_at = 0.0
        self._inherited = inherited
        self._is_patient = is_patient
        self._sock: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None

    def open(self, stack: ExitStack, selector: selectors.BaseSelector) -> None:
        """Listen, until `stack` closes; the selector has this object as the data of its key.

        Raises:
            OSError: with the port, and who holds it where that can be found.
        """
        self._selector = selector
        stack.callback(self._close)
        try:
            self._listen()
        except OSError as error:
            if not self._is_patient or error.errno not in _PASSING:
                raise
            self.error, self.resumes_at = str(error.strerror), _AT_ONCE

    def _listen(self) -> None:
        assert self._selector is not None
        with ExitStack() as stack:
            sock = stack.enter_context(self._inherited or socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.setblocking(False)
            if self._inherited is None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind(self.address)
                    sock.listen(BACKLOG)
                except OSError as error:
                    raise explain_bind(error, "TCP", *self.address) from None
            self.address = sock.getsockname()[:2]
            self._selector.register(sock, selectors.EVENT_READ, self)
            self._sock, self.error = sock, ""
            stack.pop_all()

    def _close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def accept(self, now: float) -> socket.socket | None:
        """Give the next connection, not blocking; None if it has gone again, or a pause begins."""
        assert self._sock is not None
        assert self._selector is not None
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno in _OURS:
                raise
            # the connection may stay in the queue (no descriptor, no memory): without a pause the loop would spin
            self._selector.unregister(self._sock)
            self.resumes_at = now + ACCEPT_PAUSE
            return None
        sock.setblocking(False)
        with suppress(OSError):  # it has gone again: reading says so
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def resume(self, now: float) -> None:
        """End the pause, if it is over, or try again to listen."""
        if not self.resumes_at or now < self.resumes_at or self._selector is None:
            return
        try:
            if self._sock is None:
                self._listen()
            else:
                self._selector.register(self._sock, selectors.EVENT_READ, self)
        except OSError as error:  # no memory for it, or the port is still another's
            self.resumes_at = now + (ACCEPT_PAUSE if self._sock else RETRY)
            self.error = "" if self._sock else str(error.strerror)
        else:
            self.resumes_at = 0.0
