"""The quiet socket: quiet HELLOs wait in it, and wake nobody.

To be woken by a datagram costs twenty times what it costs to read one of many. Quiet HELLOs, nearly all there is, say
only that all is as it was. So they have a socket of their own on the port, beside the *prompt* one, which gets all
else: a broadcast reaches both, and the filter of each keeps its portion; unicast is steered to the prompt one. The
quiet one is read whenever the transport is: with each beat of ours, before a peer is judged by its silence, and at
least each `QUIET_PAUSE`. The kernel stamps each datagram as it arrives: what is read late counts by then. For a while
after an event it wakes as the prompt one does: then that all is as it was may be news.

The first of the two is bound exclusively, so that a taken port is noticed; only then both let others share it, which
the kernel allows the same user alone. Where one of the means is missing, one socket gets everything.
"""

import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from discoveryd.net import udp_socket
from discoveryd.net.batch import BATCH
from discoveryd.net.families import IPV4, SocketFamily
from discoveryd.net.packet_filter import Portion, set_filter, steer
from discoveryd.net.stamps import SO_TIMESTAMPNS
from discoveryd.net.transport import QUIET_PAUSE

COUNT_EVERY = 1.0
"""Seconds between two countings of what was lost, unless much comes."""
CROWD = 2 * BATCH
"""HELLOs within `QUIET_PAUSE`, past which they wake as others do: so many are worth it."""
ROOM = 1280
"""Bytes of a receive buffer that a HELLO takes, as the kernel counts them."""
LEAST_ROOM = 512
"""Bytes that it takes at least."""


def bind_both(
    stack: ExitStack, port: int, *, patience: float, family: SocketFamily = IPV4
) -> list[socket.socket]:
    """Return the quiet and the prompt socket, open until `stack` closes; the prompt one alone where it gets everything.

    Raises:
        OSError: with the port, and the process that holds it where that can be found.
    """
    first = udp_socket.bind(stack, family.anywhere, port, patience=patience, family=family)
    try:
        with ExitStack() as attempt:
            second = udp_socket.make(attempt, family)
            portions: dict[socket.socket, Portion] = {first: "quiet", second: "prompt"}
            for one, portion in portions.items():
                if not one.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    raise OSError("without stamps what is read late would count as late")  # noqa: TRY301
                set_filter(one, portion=portion)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            second.bind((family.anywhere, port))
            steer(second, 1)
            stack.push(attempt.pop_all())
            return [first, second]
    except OSError:
        set_filter(first)
        with suppress(OSError):
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
        return [first]


class Quiet:
    """When the quiet socket is read, and what both lost. For one thread at a time; `lost` for any.

    Args:
        quiet: the quiet socket.
        prompt: the other.
        now: seconds.

    Attributes:
        socket: the quiet one.
        count: datagrams that were read of it.
        wakes: whether it is to be waited for like the prompt one, because so many HELLOs come, or so few find room.
        is_flooded: whether the filters are those of a flood: then losses are counted at each reading.
        lost: datagrams of both that found no room, or that a flood's filter refused.
    """

    def __init__(self, quiet: socket.socket, prompt: socket.socket, now: float) -> None:
        self.socket = quiet
        self.wakes = self.is_flooded = False
        self.lost = 0
        self.count = 0
        self._refused = udp_socket.DropCounter(prompt)
        self._is_watched = False
        # no more than a quarter of those that find room wait unread
        self._crowd = min(CROWD, quiet.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // ROOM // 4)
        self._candidate = 0
        self._counted = now
        self._before, self._since = 0, now

    @contextmanager
    def reading(self, clock: Callable[[], float]) -> Iterator[None]:
        """Count around a block in which it is read what comes, and what was lost."""
        begun, now, did_wake = self.count, clock(), self.wakes
        if is_due := did_wake or self.is_flooded or now >= self._counted + COUNT_EVERY:
            self._counted = now
            refused = self._refused.read()
        yield
        if is_due:
            self._count_losses(refused)
        # a full batch is perhaps not all there was: then the count goes on
        came, is_empty = self.count - self._before, self.count < begun + BATCH
        if now >= self._since + QUIET_PAUSE and is_empty:
            self.wakes = came > self._crowd * (now - self._since) / QUIET_PAUSE
            self._before, self._since = self.count, now
        elif came > self._crowd:
            self.wakes = True

    def watch(self, selector: selectors.BaseSelector, *, is_calm: bool) -> None:
        """Have the selector wait for it too while much comes, or something has happened."""
        is_wanted = self.wakes or not is_calm
        if is_wanted and not self._is_watched:
            selector.register(self.socket, selectors.EVENT_READ)
        elif self._is_watched and not is_wanted:
            selector.unregister(self.socket)
        self._is_watched = is_wanted

    def _count_losses(self, refused: int) -> None:
        """Tell losses from what the filters parted.

        The prompt socket counts as dropped what it lost, and each quiet HELLO: the quiet one has read it, holds or
        lost it.

        Args:
            refused: what the prompt socket had not taken before the quiet one was read.
        """
        [held] = udp_socket.memory(self.socket, udp_socket.HELD)
        candidate = refused - self.count - held // LEAST_ROOM
        # of a datagram that just comes in only one of both may know: what holds twice is true
        self.lost = max(self.lost, min(candidate, self._candidate))
        self._candidate = candidate
