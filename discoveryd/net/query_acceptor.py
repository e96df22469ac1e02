"""The listening end of the query socket: bound here, or inherited from the service manager."""

from __future__ import annotations

import errno
import selectors
import socket
from contextlib import ExitStack, suppress

from discoveryd.net.links import explain_bind

ACCEPT_PAUSE = 1.0
"""Seconds without accepting after it failed, mostly because the process ran out of descriptors."""
BACKLOG = 4096
"""Connections that may wait to be accepted, as many as Linux allows by default (net.core.somaxconn): where the queue is
full a client tries again after a second, and one that opens connections without end must not fill it."""

_OURS = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
"""Errors that no connection and no shortage brings about, but a mistake here."""


class Acceptor:
    """Accepts connections, with a pause while the process can have no more descriptors.

    Nothing is opened by the constructor.

    Args:
        address: where to listen.
        inherited: a TCP socket that listens already, instead; from `open` on it is ours.

    Attributes:
        address: once open, the one it really has.
        resumes_at: the end of the pause; 0 while there is none.
    """

    def __init__(self, address: tuple[str, int], inherited: socket.socket | None = None) -> None:
        self.address = address
        self.resumes_at = 0.0
        self._inherited = inherited
        self._sock: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None

    def open(self, stack: ExitStack, selector: selectors.BaseSelector) -> None:
        """Listen, until `stack` closes; the selector has this object as the data of its key.

        Raises:
            OSError: with the port, and who holds it where that can be found.
        """
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
        self._sock, self._selector = sock, selector
        selector.register(sock, selectors.EVENT_READ, self)

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
        """End the pause, if it is over."""
        if self.resumes_at and now >= self.resumes_at and self._sock is not None and self._selector is not None:
            try:
                self._selector.register(self._sock, selectors.EVENT_READ, self)
            except OSError:  # no memory for it
                self.resumes_at = now + ACCEPT_PAUSE
            else:
                self.resumes_at = 0.0
