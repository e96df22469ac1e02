"""The sockets of one family on the port: the quiet one and the prompt one, where the kernel can tell them apart.

In loopback mode there are two others instead: one for the broadcasts that several daemons of this machine share, and
one for the own address.
"""

import selectors
import socket
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import ExitStack, nullcontext

from discoveryd.net import udp_socket
from discoveryd.net.batch import ALONE, BATCH, Many, open_many, read_one
from discoveryd.net.families import SocketFamily
from discoveryd.net.icmp import IcmpErrors
from discoveryd.net.packet_filter import Portion, set_filter
from discoveryd.net.quiet import Quiet, bind_both
from discoveryd.net.stamps import Sample, Stamps
from discoveryd.net.transport import Datagram
from discoveryd.protocol.link import Source
from discoveryd.protocol.parameters import Parameters

Places = Mapping[Hashable, Source]


class Pair:
    """The sockets of one family. For one thread at a time; `bound` and the counters for any.

    Args:
        family: of the sockets.
        clock: of the times of arrival, seconds.
        places: the source of each origin that is known; always the same mapping.
        find: returns that of another, None where it is not to be heard.

    Attributes:
        bound: the sockets; by the last one it is sent.
        quiet: what keeps the quiet one, None where one socket gets everything.
    """

    def __init__(
        self, family: SocketFamily, clock: Callable[[], float], places: Places, find: Callable[[bytes], Source | None]
    ) -> None:
        self.family = family
        self.bound: tuple[socket.socket, ...] = ()
        self.icmp = IcmpErrors()
        self.quiet: Quiet | None = None
        self._clock = clock
        self._places, self._find = places, find
        self._stamps: dict[socket.socket, Stamps] = {}
        self._many: Many | None = None
        self._counters: list[udp_socket.DropCounter] = []

    def open(
        self, stack: ExitStack, selector: selectors.BaseSelector, parameters: Parameters, patience: float
    ) -> None:
        """Bind the port, until `stack` closes; a port that is taken is tried again for so many seconds.

        Raises:
            OSError: with the port, and the process that holds it where that can be found; EAFNOSUPPORT: the kernel, or
                a sandbox, has no such family.
        """
        port, own = parameters.port, parameters.loopback
        stack.callback(self._forget)
        if own:
            bound = [udp_socket.bind(stack, "127.255.255.255", port, share=True)]
            bound.append(udp_socket.bind(stack, own, port, patience=patience))
        else:
            bound = bind_both(stack, port, patience=patience, family=self.family)
        self.quiet = Quiet(bound[0], bound[1], self._clock()) if len(bound) == 2 and not own else None
        for receiver in bound:
            if self.quiet is None or receiver is not self.quiet.socket:
                selector.register(receiver, selectors.EVENT_READ)
        self._many = open_many(bound, self.family)
        self._stamps = {receiver: Stamps(self._clock) for receiver in bound}
        self._counters = [udp_socket.DropCounter(receiver) for receiver in bound]
        self.bound = tuple(bound)

    def _forget(self) -> None:
        self.bound, self.quiet, self._stamps, self._counters = (), None, {}, []

    @property
    def emptied(self) -> float:
        """All that arrived before that moment was read."""
        return min(stamps.emptied for stamps in self._stamps.values())

    # --- receiving ------------------------------------------------------------------------------

    def watch(self, selector: selectors.BaseSelector, *, is_calm: bool) -> None:
        """Have the selector wait for the quiet socket too where that is due, also while a thread waits by it."""
        if self.quiet is not None:
            self.quiet.watch(selector, is_calm=is_calm)

    def read(self, ready: Collection[object], refused: list[bytes], later: float | None) -> list[list[Datagram]]:
        """Read a batch of each socket: that it was not ready before a pause of ours says nothing.

        Args:
            ready: the sockets for which the selector woke us.
            refused: what came back is appended there.
            later: until when all was read that is to be given before what is held back already, None for nothing.
        """
        batches = []
        with nullcontext() if self.quiet is None else self.quiet.reading(self._clock):
            sample: Sample | None = None
            for receiver, stamps in self._stamps.items():
                # what was held back waits for a socket that was not read to its end
                if later is None or stamps.emptied <= later:
                    sample = sample or stamps.sample()
                    batch = self._receive(receiver, stamps, sample, refused)
                    if batch:
                        batches.append(batch)
                    elif receiver in ready:  # what woke us was no datagram
                        refused += udp_socket.refused_datagrams(receiver, self.family, self.icmp)
        return batches

    def _receive(
        self, receiver: socket.socket, stamps: Stamps, sample: Sample, refused: list[bytes]
    ) -> list[Datagram]:
        """Read a batch, or all there is; append what came back to `refused`."""
        many, places, batch = self._many, self._places, list[Datagram]()
        offset, is_empty, left = stamps.begin(sample), False, BATCH
        is_quiet = self.quiet is not None and receiver is self.quiet.socket
        alone = 0 if is_quiet else ALONE
        while left > 0 and not is_empty:
            try:
                if many is None or left > BATCH - alone:
                    arrivals = [read_one(receiver, offset, self.family)]
                else:
                    arrivals = many.read(receiver, left, offset)
            except BlockingIOError:
                is_empty = True
                break
            except OSError:  # the error of something we sent; the next call goes on
                refused += udp_socket.refused_datagrams(receiver, self.family, self.icmp)
                left -= 1
                continue
            # nothing is sent by the quiet socket: only that it is empty makes a call end early
            is_empty = is_quiet and many is not None and len(arrivals) < left
            left -= len(arrivals)
            batch += [
                (datagram, source, moment)
                for datagram, origin, moment in arrivals
                if (source := places.get(origin) or self._find(origin))
            ]
        if batch and not stamps.is_sound(batch[0][2], batch[-1][2]):
            batch = [(datagram, source, stamps.corrected(moment)) for datagram, source, moment in batch]
        stamps.end(batch[-1][2] if batch else stamps.emptied, is_empty=is_empty)
        if self.quiet is not None and is_quiet:
            self.quiet.count += BATCH - left
        return batch

    def sample(self, known: Iterable[str], share: float) -> None:
        """Let the kernel pass only datagrams from these addresses and a share of all others; 1 passes all.

        Raises:
            OSError: the kernel cannot.
        """
        for receiver in self.bound:
            set_filter(receiver, known, share, self._portion(receiver))
        if self.quiet is not None:
            self.quiet.is_flooded = share < 1

    def _portion(self, receiver: socket.socket) -> Portion:
        if self.quiet is None:
            return "every"
        return "quiet" if receiver is self.quiet.socket else "prompt"

    # --- any thread -----------------------------------------------------------------------------

    def lost(self) -> int:
        """Count the datagrams that a full receive buffer lost, and those that `sample` refused."""
        if (quiet := self.quiet) is not None:
            return quiet.lost
        return sum(counter.read() for counter in self._counters)

    def buffers(self) -> list[int]:
        """Return the bytes of each receive buffer; the kernel doubles what it is asked for, and tells that."""
        return [one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2 for one in self.bound]
