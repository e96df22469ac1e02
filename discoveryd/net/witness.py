"""The witness: a process forked from the daemon, which sends its last will when the daemon has died.

The kernel closes the pipe from the daemon (a pair of sockets) the moment its process is gone, whatever ended it, and
the witness reads the end of file. It holds the sockets of the port too, for all nodes send from one port; those that
are opened later go through the pipe, with the next will. So that PINGs to the port are refused from the first will on,
and do not wait in a socket unread, each of them is connected to an address that sends nothing: also one by which
nothing is sent, for the kernel may close the daemon's own some milliseconds after its pipe, and as long as one takes
datagrams of any sender it passes them on to the other.

A witness that is killed with the daemon (the whole control group, or the machine, or a container by its PID 1) says
nothing. Then silence tells, as without a witness.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from discoveryd.net.families import SOCKET_FAMILIES
from discoveryd.protocol.addresses import family_of, pack_address

ROUNDS = 3
ROUND_GAP = 0.03
"""The will is sent three times within 60 ms, as a goodbye is, in case one is lost."""
END = 0.1
"""Seconds in which a witness ends that was told so."""
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGABRT, signal.SIGHUP, signal.SIGQUIT)
"""What a terminal, a service manager or a watchdog sends to the daemon and all its processes."""
PIECE = 65536
"""Bytes of a will that the witness reads at once."""
MOST_HANDED = 16
"""Sockets that may come with one piece of a will: there are two of each family."""
MOST_FILES = 65536
"""Descriptors that are closed in the witness, whatever more may be allowed."""

_LENGTH = struct.Struct("!I")
_PARCEL = struct.Struct("!B16s16sHBBH")


class Parcel(NamedTuple):
    """A datagram with all that the kernel needs to send it.

    Attributes:
        datagram: to send.
        to: where to.
        otherwise: where to if that fails.
        port: of both.
        flags: of the call.
        info: the control message (PKTINFO) of the link by which it goes, empty for any.
    """

    datagram: bytes
    to: str
    otherwise: str
    port: int
    flags: int
    info: bytes

    def pack(self) -> bytes:
        """Return it as bytes."""
        to, otherwise = pack_address(self.to), pack_address(self.otherwise)
        sizes = len(self.info), len(self.datagram)
        head = _PARCEL.pack(len(to), to, otherwise, self.port, self.flags, *sizes)
        return head + self.info + self.datagram


class Witness:
    """The end of the pipe in the daemon. Not thread-safe, but for `hand`."""

    def __init__(self) -> None:
        self._pid = 0
        self._owner = 0
        self._pipe: socket.socket | None = None
        self._further: list[int] = []  # descriptors that go with the next will
        self._next = b""  # the newest will, until the pipe takes it
        self._unsent = b""  # the rest of a will of which the pipe took a part

    def fork(self, bound: Sequence[socket.socket]) -> None:
        """Start the witness, before there are threads.

        Args:
            bound: all sockets of the port; by the last one of each family its wills go out.

        Raises:
            OSError: no process, or no descriptor, is left.
        """
        read, write = socket.socketpair()
        write.setblocking(False)
        former = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)  # until the witness ignores them
        try:
            self._pid = os.fork()
            if not self._pid:
                _watch(read, bound)
        except OSError:
            write.close()
            raise
        finally:
            read.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
        self._owner, self._pipe = os.getpid(), write

    def hand(self, bound: Iterable[socket.socket]) -> None:
        """Have the witness hold sockets that were opened after its start, from the next will on.

        Args:
            bound: of the port, and for the life of the daemon.
        """
        if self._pipe is not None:
            self._further += [one.fileno() for one in bound]

    @property
    def state(self) -> str:
        """``off``, ``watching``, or ``dead`` if it ended before the daemon; it is not forked again."""
        number = -1 if (pipe := self._pipe) is None else pipe.fileno()
        if number < 0:
            return "off"
        ready = select.poll()
        ready.register(number, 0)  # no event but that no process reads it any more
        return "dead" if ready.poll(0) else "watching"

    def leave(self, parcels: Iterable[Parcel]) -> None:
        """Replace the will by another; without parcels there is none, as after a goodbye."""
        if (pipe := self._pipe) is None:
            return
        packed = b"".join(parcel.pack() for parcel in parcels)
        self._next = _LENGTH.pack(len(packed)) + packed
        with suppress(BrokenPipeError):  # it is dead: `state` says so
            while self._unsent or self._next:
                if not self._unsent:
                    self._unsent, self._next = self._next, b""
                if not select.select([], [pipe], [], END)[1]:
                    return  # a witness that was stopped reads no more; the next call tries again
                further = self._further[:MOST_HANDED]
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", further))] if further else []
                self._unsent = self._unsent[pipe.sendmsg([self._unsent], rights) :]
                del self._further[: len(further)]

    def close(self) -> None:
        """End the witness without a will, and wait for its end. Legal before `fork`, and more than once.

        In a forked child the witness remains the parent's.
        """
        if self._pipe is None:
            return
        is_ours = self._owner == os.getpid()
        if is_ours:
            self.leave(())
        self._pipe.close()
        self._pipe = None
        if is_ours:
            with suppress(OSError):  # it was waited for already
                _end(self._pid)


def _end(pid: int) -> None:
    """Wait for the end of a process; kill it if it does not come."""
    try:
        ended = os.pidfd_open(pid)
    except OSError:  # no process, or a sandbox without it
        os.kill(pid, signal.SIGKILL)
    else:
        try:
            if not select.select([ended], [], [], END)[0]:
                os.kill(pid, signal.SIGKILL)
        finally:
            os.close(ended)
    os.waitpid(pid, 0)


def _watch(pipe: socket.socket, bound: Sequence[socket.socket]) -> None:
    """Be the witness: keep the newest will, and send it at the end of file. Does not return."""
    held = list(bound)
    try:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        _close_all(pipe.fileno(), *(one.fileno() for one in bound))
        with suppress(OSError), open("/proc/self/comm", "w") as name:
            name.write("discoveryd-will")
        will = b""
        buffer = b""
        while True:
            piece, further, _, _ = socket.recv_fds(pipe, PIECE, MOST_HANDED)
            held += [socket.socket(fileno=number) for number in further]
            if not piece:
                break
            buffer += piece
            while len(buffer) >= _LENGTH.size:
                size = _LENGTH.size + int(_LENGTH.unpack_from(buffer)[0])
                if len(buffer) < size:
                    break
                will, buffer = buffer[_LENGTH.size : size], buffer[size:]
        if will:
            _send(held, list(_unpack(will)))
    finally:
        os._exit(0)


def _close_all(*kept: int) -> None:
    """Close all descriptors but a few, so that a port, a file or a reader of our output waits for the daemon alone."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    first = 3
    for number in (*sorted(kept), MOST_FILES):
        os.closerange(first, number)
        first = number + 1


def _unpack(will: bytes) -> Iterable[Parcel]:
    offset = 0
    while offset < len(will):
        length, to, otherwise, port, flags, info, size = _PARCEL.unpack_from(will, offset)
        offset += _PARCEL.size
        start, offset = offset + info, offset + info + size
        number = socket.AF_INET6 if length == 16 else socket.AF_INET
        targets = socket.inet_ntop(number, to[:length]), socket.inet_ntop(number, otherwise[:length])
        yield Parcel(will[start:offset], *targets, port, flags, will[start - info : start])


def _send(bound: Sequence[socket.socket], parcels: Sequence[Parcel]) -> None:
    """Send all parcels, a round after the other."""
    by_family = {int(one.family): one for one in bound}  # the last of each
    for one in bound:
        with suppress(OSError):  # without loopback the PINGs wait unread, until the witness has ended
            one.connect(next(family.nowhere for family in SOCKET_FAMILIES.values() if family.number == one.family))
    each = -(-len(parcels) // ROUNDS)
    for number in range(ROUNDS):
        if number:
            select.select([], [], [], ROUND_GAP)
        for parcel in parcels[number * each : (number + 1) * each]:
            family = SOCKET_FAMILIES[family_of(parcel.to)]
            info = [(family.level, family.info, parcel.info)] if parcel.info else []
            for to in dict.fromkeys((parcel.to, parcel.otherwise)):
                try:
                    by_family[family.number].sendmsg(
                        [parcel.datagram], info, parcel.flags, family.target(to, parcel.port)
                    )
                except (OSError, KeyError):  # there is no socket of this family
                    continue
                break
