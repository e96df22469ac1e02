"""The driver: the engine with a clock, a lock, a sender thread, and a receiver thread for each transport.

One lock (`Driver.lock`) guards the node with its table, the subscriptions and the requests under way. It is never held
across a system call or foreign code: what is to be sent or told is collected under it, and sent or told after it.
Events are queued under it, so their order is that of the table.

The sender is the timer: it calls `Node.poll` when `Node.next_deadline` has come. A receiver waits for what says
something new; where other datagrams wake nobody, the sender reads them with each beat. Any thread may read what has
arrived, one at a time for each transport (`Receiver.reading`): before anything is judged by silence, all that arrived
until then is given to the node.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from time import perf_counter
from typing import Any, TypeVar

from discoveryd.errors import QueryError
from discoveryd.net.transport import NOT_WOKEN, QUIET_PAUSE, Arrivals, Transport, Woken
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING, Outcome
from discoveryd.protocol.table.liveness import NEVER
from discoveryd.protocol.wire.messages import GoodbyeReason
from discoveryd.runtime.goodbyes import say_goodbyes
from discoveryd.runtime.links import LinkKeeper
from discoveryd.runtime.messages import Messages
from discoveryd.runtime.network import Network
from discoveryd.runtime.notices import Notify, Reporter, info, of_death, warning
from discoveryd.runtime.receiver import LAG, FloodTurn, Receiver
from discoveryd.runtime.subscription import Publisher, Subscription
from discoveryd.runtime.under_way import UnderWay
from discoveryd.runtime.worker import Birthplace, Worker

DRAIN_TIMEOUT = 0.1
"""Seconds that HELLOs may wait while the receivers read what there is, before a peer is judged by silence."""
READINGS = 4
"""Batches that a thread reads of a transport for itself."""
FRESH = 0.02
"""Seconds since a transport was read, within which the sender does not read it again."""
JOIN_TIMEOUT = 5.0
"""Seconds in which a thread that was told to end ends."""

_Result = TypeVar("_Result")


class Driver:
    """Runs a node over transports, which its owner opens (`network`) before `start`.

    Args:
        node: the engine.
        transports: what carries its datagrams. Each ignores what is for the links of another.
        clock: seconds.
        notify: told notices, in any thread, without the lock.
        wake_servers: called after events were published, and by `nudge`, in any thread, without the lock.
        errand: called by the sender each time round, without the lock; returns the seconds until it is to be called
            again at the latest.

    Attributes:
        birthplace: the process in which it was made.
        network: the transports.
        links: what of them is told to the node.
        workers: the threads.
        publisher: of events; `lock` guards it.
        under_way: what programs asked for; `lock` guards it.
        messages: those under way, and what takes those of others; the same.
        engine_s: seconds spent in the engine.
        wakes_at: when the sender comes round by itself, while it waits.
        is_stopping: whether `begin_stop` was called.
        is_running: whether `start` was called, and `stop` was not.
    """

    def __init__(
        self, node: Node, transports: Sequence[Transport], *, clock: Callable[[], float], notify: Notify,
        wake_servers: Callable[[], None], errand: Callable[[], float],
    ) -> None:  # fmt: skip
        self.birthplace = Birthplace("Discovery")
        self.lock = threading.Condition(threading.Lock())  # the sender waits for it, and a thread that needs a drain
        self.publisher = Publisher(self.lock)
        self.under_way = UnderWay()
        self.engine_s = 0.0
        self.is_stopping = False
        self._node = node
        self.network = Network(transports, self._known_addresses, clock)
        self._clock = clock
        self._wake_servers = wake_servers
        self._errand = errand
        self._reporter = Reporter(notify, clock, self.touch)
        self.links = LinkKeeper(node, self.network, self.lock, clock, self._reporter)
        self.messages = Messages(node, self, notify, self.fail)
        self._sender = Worker("hello-sender", self._send, self.fail)
        self.workers = (self._sender, *(self._receiving(*each) for each in enumerate(self.network.receivers)))
        self._heard_until = 0.0  # all that arrived before was given to the node
        self._awaits_drain = 0  # how many threads wait for that to go on
        self.wakes_at = -NEVER
        self.is_running = False
        self._failure: BaseException | None = None

    def _receiving(self, number: int, receiver: Receiver) -> Worker:
        name = f"hello-receiver-{number + 1}" if number else "hello-receiver"
        return (worker := Worker(name, lambda: self._receive(receiver, worker.beat), self.fail))

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Give the node its links and start the threads.

        Raises:
            OSError: a thread cannot be started; those that were go on until `stop`.
        """
        now = self._heard_until = self._clock()
        self._node.drained(now)
        for receiver in self.network.receivers:
            receiver.given_until = now
        self.links.take()
        self.is_running = True
        for worker in self.workers:
            worker.start()

    def begin_stop(self) -> bool:
        """Have the threads end; return False if that was said before."""
        with self.lock:
            former, self.is_stopping = self.is_stopping, True
            self.lock.notify_all()
        return not former

    def stop(self, reason: GoodbyeReason = "stop") -> list[str]:
        """Wait for the threads to end, and say goodbye; return the names of the threads that would not end."""
        if not self.is_running:
            return []
        self.network.wake()
        stuck = [worker.name for worker in self.workers if not worker.join(JOIN_TIMEOUT)]
        say_goodbyes(self._node, self.network, self.lock, reason)
        self.is_running = False
        return stuck

    def nudge(self) -> None:
        """Make every thread come round its loop."""
        self.touch()
        self.network.wake()
        self._wake_servers()

    def touch(self) -> None:
        """Have the sender look at its deadlines again."""
        with self.lock:
            self.lock.notify_all()

    def fail(self, name: str, error: BaseException) -> None:
        """End loudly: each call from now on gets the error of the thread that died."""
        self._failure = self._failure or error
        try:
            self._reporter.tell(of_death(name, error))
        finally:
            self.change(lambda *_: self.publisher.end())

    # --- what the face asks ---------------------------------------------------------------------

    def look(self, at: Callable[[Node, float], _Result]) -> _Result:
        """Return what a function makes of the node and the time, called with the lock held.

        Raises:
            RuntimeError: a thread has died, or is left in the parent: nothing keeps the table true any more.
        """
        self.birthplace.check()
        now = self._clock()
        with self.lock:  # we may have slept, with much to read; or a peer is due whose HELLO waits unread
            is_behind = now > self._heard_until + LAG or now >= self._node.table.next_expiry()
        if self.is_running and is_behind and not self.network.is_flooded:  # in a flood there is always much to read
            self._read_until(now, LAG)
        with self.lock:
            self.check()
            return at(self._node, self._judged_at())

    def change(self, act: Callable[[Node, float], _Result], *, goes_on: bool = False) -> _Result:
        """Return what a function that changes the node makes of it and the time, called with the lock held.

        Raises:
            RuntimeError: this is a forked child; with `goes_on` as `check`.
        """
        self.birthplace.check()
        with self.lock:
            if goes_on:
                self.check(goes_on=True)
            result = act(self._node, self._clock())
            self.lock.notify_all()  # something may be due earlier than the sender thinks
            return result

    def perform(self, act: Callable[[Node, float], Outcome], *, goes_on: bool = False) -> Outcome:
        """Carry out, and return, what a function makes of the node and the time, called as by `change`."""
        outcome = self.change(lambda node, now: self._take_in_locked(act(node, now)), goes_on=goes_on)
        self.carry_out(outcome)
        return outcome

    def _take_in_locked(self, outcome: Outcome) -> Outcome:
        self.publisher.publish(outcome.events)
        self.under_way.collect(outcome)
        self.messages.collect(outcome)
        return outcome

    def check(self, *, goes_on: bool = False) -> None:
        """Raise RuntimeError if a thread has died; with `goes_on` a QueryError if the node has stopped."""
        if self._failure is not None:
            raise RuntimeError("a thread of this Discovery has died") from self._failure
        if goes_on and self.is_stopping:
            raise QueryError("stopping", "this node has said goodbye")

    def subscribe(self, queue: SimpleQueue[Any] | None) -> Subscription:
        """Return a new subscription, with the peers there are now; `queue` as `Discovery.subscribe` has it."""
        self.birthplace.check()
        with self.lock:
            self.check()
            peers, limit = self._node.told_peers(self._judged_at()), self._node.parameters.limits.subscriber_events
            return self.publisher.subscribe(peers, self._node.table.seq, limit, queue)

    def _judged_at(self) -> float:
        """Return the time for which peers are judged: in a flood that of what was read, which may be seconds ago."""
        now = self._clock()
        return min(now, self._heard_until + LAG) if self.network.is_flooded else now

    # --- sending --------------------------------------------------------------------------------

    def _send(self) -> None:
        """Be the timer: HELLOs, answers that wait, pings, expiry."""
        node, damper = self._node, self._reporter.damper
        while True:
            self._sender.beat()
            longest = self._errand()
            if self.network.has_quiet_socket and not self.network.is_flooded:  # in a flood the receivers always read
                longest = min(longest, QUIET_PAUSE)
                self._read_until(self._clock() - FRESH, DRAIN_TIMEOUT, waits=False)
            with self.lock:
                if self.is_stopping:
                    return
                now, began = self._clock(), perf_counter()
                outcome = self._take_in_locked(node.poll(now))
                asked, done = self.under_way.poll(node, now)
                held = damper.due(now)
                is_idle = outcome is NOTHING and not (asked or done or held)
                deadline = min(node.next_deadline(), self.under_way.next_deadline(), damper.next_due())
                self.engine_s += perf_counter() - began
                if is_idle and deadline > now:
                    self.wakes_at = min(deadline, now + longest)
                    self.lock.wait(self.wakes_at - now)
                    self.wakes_at = -NEVER
                    continue
            if is_idle:  # what is due is to judge by silence
                self._read_until(now, DRAIN_TIMEOUT)
                continue
            for each in (outcome, *asked):
                self.carry_out(each)
            for report in done:
                report()
            for notice in held:
                self._reporter.tell(notice)

    def carry_out(self, outcome: Outcome) -> None:
        """Send, tell, wake: everything that must not be done under the lock."""
        self._reporter.outcome(outcome, self.network.send(outcome.sends))
        if outcome.events:
            self.network.stir()
            self._wake_servers()
        self.messages.dispatch()

    # --- receiving ------------------------------------------------------------------------------

    def _receive(self, receiver: Receiver, beat: Callable[[], None]) -> None:
        """Read a transport when it has something new, and its interfaces."""
        while not self.is_stopping:
            beat()
            self._read(receiver, receiver.wait())
            if receiver.is_scan_due(self._clock()):
                receiver.scan(self._node.parameters)  # others perhaps than before it waited
                self.links.report(self.links.take())

    def _read(self, receiver: Receiver, woken: Woken = NOT_WOKEN, timeout: float = -1) -> None:
        """Give the node what has arrived by now, and carry out what that leads to.

        Args:
            receiver: of the transport to read.
            woken: what its `wait` returned just before.
            timeout: seconds for which another thread may be reading; -1 for any.
        """
        if not receiver.reading.acquire(timeout=timeout):
            return
        try:
            limit = self._node.parameters.limits.datagrams
            arrivals, now, is_late, flood = receiver.read(limit, woken)
            if flood is not None:
                self._turn_flood(flood, limit)
            outcomes = self.take(receiver, arrivals, now, is_late=is_late)
        finally:
            receiver.reading.release()
        for outcome in outcomes:
            self.carry_out(outcome)

    def take(self, receiver: Receiver, arrivals: Arrivals, now: float, *, is_late: bool = False) -> list[Outcome]:
        """Give the node what was read now, and return what follows; with `is_late` others may have been lost."""
        outcomes: list[Outcome] = []
        with self.lock:
            began, receive = perf_counter(), self._node.receive
            if is_late:
                self._node.mistrust(now)
            for datagram, source, arrived in arrivals.datagrams:
                outcome = receive(datagram, source, arrived)
                if outcome is not NOTHING:
                    outcomes.append(self._take_in_locked(outcome))
            outcomes += [self._take_in_locked(self._node.refused(datagram, now)) for datagram in arrivals.refused]
            for source, limited in arrivals.broadcasts:
                self._node.heard_broadcast(source, now, limited=limited)
            receiver.given_until = receiver.transport.heard_until
            self._heard_until = self.network.given_until
            self._node.drained(self._heard_until)
            is_busy = self.under_way.next_deadline() < NEVER  # what programs asked for may be answered by now
            is_due = outcomes and (is_busy or self._node.next_deadline() < self.wakes_at)
            if is_due or is_late or self._awaits_drain:
                self.lock.notify_all()
            self.engine_s += perf_counter() - began  # once a batch, so that no datagram pays for it
        return outcomes

    def _read_until(self, until: float, timeout: float, *, waits: bool = True) -> None:
        """Give the node all that arrived before a moment; if that is too much, `waits` for the receivers to do so."""
        for receiver in self.network.receivers:
            for _ in range(READINGS):
                if receiver.given_until >= until or self.is_stopping:
                    break
                self._read(receiver, timeout=timeout)
        if self._heard_until >= until or not waits:
            return
        self.network.wake()
        with self.lock:
            self._awaits_drain += 1
            self.lock.wait_for(lambda: self._heard_until >= until or self.is_stopping or self._failure, timeout)
            self._awaits_drain -= 1

    # --- floods -------------------------------------------------------------------------------------

    def _turn_flood(self, turn: FloodTurn, limit: float) -> None:
        """Let no new peer in while there is a flood."""
        if (since := turn.since) is None:
            if not self.network.is_flooded:
                self.change(lambda node, _: node.end_flood())
                self._reporter.tell(info("flood is over", dropped=self.network.flood_drops))
            return
        outcome = self.perform(lambda node, now: node.begin_flood(since, now))
        dropped, more = len(outcome.events), {"unfiltered": turn.failure} if turn.failure else {}
        self._reporter.tell(warning("flood: only known peers are heard", limit_per_s=limit, dropped=dropped, **more))

    def _known_addresses(self, since: float) -> Iterable[str]:
        with self.lock:  # held by the receiver itself, for which `look` might wait
            return self._node.known_addresses(since, self._clock())
