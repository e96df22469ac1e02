"""A plain socket that hears what daemons say on loopback: the clock of tests that must not sleep."""

import socket
from time import monotonic

EVERYBODY = "127.255.255.255"


class Ear:
    """Hears every broadcast on a UDP port of this machine."""

    def __init__(self, port):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((EVERYBODY, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def hear(self, timeout=5.0):
        """Give the next datagram and its source; None after `timeout` seconds."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recvfrom(2048)
        except (TimeoutError, BlockingIOError):
            return None

    def rest(self):
        """Give what has come in, without waiting."""
        found = []
        while (heard := self.hear(timeout=0)) is not None:
            found.append(heard)
        return found

    def until(self, condition, timeout=5.0):
        """Wait until a condition holds, looking whenever somebody says something."""
        deadline = monotonic() + timeout
        while not (found := condition()):
            left = deadline - monotonic()
            assert left > 0, f"not within {timeout:g} s"
            assert self.hear(left), "nobody says anything"
        return found


def fields(datagram):
    """Split a HELLO into its fields."""
    return datagram.decode("ascii").split("|", 11)


def is_goodbye(datagram):
    return "g" in "".join(fields(datagram)[10:11])
