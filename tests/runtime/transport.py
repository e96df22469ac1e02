"""A transport without a socket: the test is the network."""

import threading

from discoveryd.net.stamps import boottime
from discoveryd.net.transport import NOT_WOKEN, Arrivals, SendChange, Woken
from discoveryd.protocol.link import Link, Source

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")


class FakeTransport:
    """Carries what the test puts in, and keeps what is sent.

    It obeys the contract of `discoveryd.net.transport`: `wait` waits for arrivals, a wake or the timeout; `heard_until`
    is the time of the last reading that found nothing more; what is for a link of another transport is left alone.
    """

    def __init__(self, *links, clock=boottime, failure=None):
        self.there = dict.fromkeys(links or (ETH0,), ())  # what a scan finds; an error is raised by it
        self.others = {}
        self.unlinked = ()
        self.heard_until = clock()
        self.scan_error = None
        self.has_doorbell = True
        self.drops = {}
        self.send_errors = {}
        self.outside = {}
        self.family_errors = {}
        self.witness = "off"
        self.has_quiet_socket = False
        self.will = []  # the rounds of the last one
        self.sent = []
        self.broken = {}  # target -> error
        self.samples = []
        self.lost = 0
        self.scans = self.waits = 0
        self.was_calm = None  # what `read` was told last
        self.is_open = False
        self._failure = failure
        self._clock = clock
        self._changed = threading.Condition()
        self._arrivals = []
        self._is_woken = self._has_rung = False

    def open(self):
        if self._failure:
            raise self._failure
        self.is_open = True

    def close(self):
        self.is_open = False

    def rescan(self, patterns, families=()):
        with self._changed:
            self.scans += 1
            self._changed.notify_all()
        self.scan_error = self.there if isinstance(self.there, str) else None
        if self.scan_error is None:
            self.others = {link: others for link, others in self.there.items() if patterns}
        return tuple(self.others)

    def leave_will(self, rounds):
        self.will = [list(sends) for sends in rounds]
        return sum(map(len, self.will))

    def put(self, datagram, address="10.0.0.9", *, at=None, link=ETH0):
        """Let a datagram arrive."""
        self.arrive(Arrivals([(datagram, Source(address, link), self._clock() if at is None else at)]))

    def put_quietly(self, datagram, address="10.0.0.9", *, at):
        """Let a datagram arrive that wakes nobody."""
        with self._changed:
            self._arrivals.append(Arrivals([(datagram, Source(address, ETH0), at)]))

    def arrive(self, arrivals):
        with self._changed:
            self._arrivals.append(arrivals)
            self._changed.notify_all()

    def ring(self):
        """Tell that the interfaces have changed."""
        with self._changed:
            self._has_rung = True
            self._changed.notify_all()

    def wait(self, timeout):
        with self._changed:
            self.waits += 1
            self._changed.wait_for(lambda: self._arrivals or self._is_woken or self._has_rung, timeout)
            woken, self._is_woken, self._has_rung = Woken(has_rung=self._has_rung), False, False
            return woken

    def read(self, woken=NOT_WOKEN, *, is_calm=False):
        self.was_calm = is_calm
        with self._changed:
            arrivals = self._arrivals.pop(0) if self._arrivals else Arrivals()
            if not self._arrivals:
                self.heard_until = self._clock()
            self._changed.notify_all()
            return arrivals

    def wake(self):
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def send(self, sends):
        changes = []
        with self._changed:
            for send in sends:
                if send.link is not None and send.link not in self.others:
                    continue
                self.sent.append(send)
                key, error = (send.link.name if send.link else "-", send.to), self.broken.get(send.to)
                if error != self.send_errors.get(key):
                    changes.append(SendChange(*key, error))
                    self.send_errors = {**self.send_errors, key: error} if error else {}
            self._changed.notify_all()
        return changes

    def until(self, holds, timeout=5.0):
        """Wait until something holds for what was sent."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.sent), timeout), self.sent

    def sample(self, known, share):
        self.samples.append((tuple(known), share))

    def kernel_drops(self):
        return self.lost

    def icmp_errors(self):
        return []

    def receive_buffer(self):
        return 1000, 2000
