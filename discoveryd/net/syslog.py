"""Lines for the syslog daemon of this machine, over a socket that never blocks for long.

syslog(3) waits without end while no program reads ``/dev/log``: a daemon that logs so could neither reload nor stop.
"""

import errno
import os
import socket
from time import localtime

DEV_LOG = "/dev/log"
PATIENCE = 0.2
"""Seconds that a line may wait while the queue of the reader is full."""
LONGEST = 4000
"""Bytes of a line; receivers cut at 8 KiB or less (RFC 3164 asked for 1 KiB)."""
_DAEMON = 3 << 3
"""Facility LOG_DAEMON."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # whatever the locale


class Syslog:
    """A datagram socket to the syslog daemon, connected when a line is written and again when that fails.

    Nothing is opened by the constructor.

    Args:
        path: of the socket of the syslog daemon.
    """

    def __init__(self, path: str = DEV_LOG) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._lost = 0

    def write(self, severity: int, line: str) -> None:
        """Send a line, or count it as lost; the next line that is sent is preceded by the count.

        Args:
            severity: 0 (emergency) to 7 (debug), as syslog(3) numbers them.
            line: text without a line end.
        """
        if self._lost and self._send(4, f"{self._lost} lines of the log are lost: nobody read them", 0.0):
            self._lost = 0
        if self._lost or not self._send(severity, line, PATIENCE):
            self._lost += 1

    def close(self) -> None:
        """Close the socket; the next line opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, severity: int, line: str, patience: float) -> bool:
        now = localtime()
        stamp = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
        head = f"<{_DAEMON | severity}>{stamp} discoveryd[{os.getpid()}]: ".encode("ascii")
        datagram = head + line.encode("utf-8", "backslashreplace")[:LONGEST]
        for _ in range(2):  # the second time to a syslog daemon that has restarted
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                    self._socket.connect(self._path)
                self._socket.settimeout(patience)
                self._socket.send(datagram)
            except (BlockingIOError, TimeoutError):
                return False
            except OSError as error:
                self.close()
                if error.errno not in (errno.ECONNREFUSED, errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE):
                    return False
            else:
                return True
        return False
