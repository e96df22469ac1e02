"""The service manager: readiness, status, watchdog, and sockets that it opened for us.

The protocol is a datagram of ``KEY=value`` lines to the socket that ``NOTIFY_SOCKET`` names, see sd_notify(3)
and sd_listen_fds(3). Without a service manager nothing happens.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress

Listener = socket.socket
"""A TCP socket that listens."""

FIRST_FD = 3
"""SD_LISTEN_FDS_START: standard input, output and error come before it."""


class ServiceManager:
    """The service manager that started us, if it wants to be notified.

    Args:
        environ: the environment that it made: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.

    Attributes:
        is_there: whether there is a service manager.
        watchdog: seconds within which it wants each ``WATCHDOG=1``; None without a watchdog.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # an abstract name begins with NUL; other address families are for virtual machines
        self._address = f"\0{path[1:]}" if path.startswith("@") else path if path.startswith("/") else ""
        self._socket: socket.socket | None = None  # kept: a process without a free descriptor must feed the watchdog
        self.is_there = bool(self._address)
        pid, microseconds = str(os.getpid()), environ.get("WATCHDOG_USEC", "")
        is_meant = self.is_there and environ.get("WATCHDOG_PID", pid) == pid
        seconds = int(microseconds) / 1e6 if is_meant and microseconds.isdigit() else 0.0
        self.watchdog = seconds or None

    def ready(self, status: str) -> None:
        """Report that the sockets are open, or that a reload is over."""
        self._notify("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Report that a reload begins; `ready` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000  # asked for by Type=notify-reload
        self._notify("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Report that the stop has begun."""
        self._notify("STOPPING=1")

    def status(self, text: str) -> None:
        """Report a line for ``systemctl status``."""
        self._notify(f"STATUS={text}")

    def feed(self) -> None:
        """Report to the watchdog that all is well."""
        self._notify("WATCHDOG=1")

    def _notify(self, *lines: str) -> None:
        if not self._address:
            return
        # the service manager is gone, or does not keep up: no reason to fail
        with suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Close the socket. Safe to call again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def inherited(environ: Mapping[str, str] = os.environ) -> Listener | None:
    """Return the listening TCP socket that a socket unit opened for us; None without such a unit.

    Raises:
        OSError: the unit handed over something else.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()) or not environ.get("LISTEN_FDS", "").isdigit():
        return None
    count = int(environ["LISTEN_FDS"])
    if count == 0:
        return None
    if count > 1:
        raise OSError(f"the socket unit hands over {count} sockets, one is wanted: the query socket (ListenStream=)")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(fileno=FIRST_FD))
        if listener.family != socket.AF_INET or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("the socket unit's ListenStream= must be an IPv4 address and port, such as 127.0.0.1:3400")
        listener.set_inheritable(False)
        listener.setblocking(False)
        stack.pop_all()
    return listener
