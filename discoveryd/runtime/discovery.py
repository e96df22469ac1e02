"""Discovery: the engine with threads, a clock and sockets around it.

One lock (`Discovery._lock`) guards the node with its table, the subscriptions and the pings under way.
It is never held across a system call or foreign code: what is to be sent, and who is to be told, is
collected under it and done after it. Events are queued under it, so their order is the table's order.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from discoveryd import __version__
from discoveryd.errors import ConfigError, QueryError
from discoveryd.net.batch import BATCH
from discoveryd.net.query_client import check_address
from discoveryd.net.query_server import QueryServer
from discoveryd.net.rp_filter import dropped
from discoveryd.net.stamps import boottime
from discoveryd.net.systemd import Listener
from discoveryd.net.udp import RECEIVE_BUFFER, Datagram, Links
from discoveryd.protocol.link import Link
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import NOTHING, Outcome
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS, Keyring
from discoveryd.protocol.table.events import Event
from discoveryd.protocol.table.peer import Peer
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.query import reply as query
from discoveryd.runtime import notices
from discoveryd.runtime.announced_services import AnnouncedServices
from discoveryd.runtime.calm import Calm
from discoveryd.runtime.entropy import BufferedRandom
from discoveryd.runtime.flood_detection import FloodDetector
from discoveryd.runtime.heartbeat import Pulse
from discoveryd.runtime.machine import machine_name
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.other_prefixes import filtered, outsiders
from discoveryd.runtime.pings import Pinging, PingResult, Pings
from discoveryd.runtime.query_handlers import Backend, Control
from discoveryd.runtime.rescan import PERIOD, PERIOD_UNTOLD, Rescan
from discoveryd.runtime.subscription import Subscription
from discoveryd.runtime.worker import Birthplace, Worker

if TYPE_CHECKING:
    from discoveryd.net.metrics_server import MetricsServer

GOODBYES = 3
GOODBYE_GAP = 0.03
"""The goodbye is sent three times within 60 ms, for those who lose one."""
DRAIN_TIMEOUT = 0.1
"""Seconds that HELLOs may wait while the receiver reads what there is, before somebody is judged by silence."""
LAG = 1.0
"""Seconds that datagrams may wait to be read; past it others may be lost, and readers of the table wait too."""
JOIN_TIMEOUT = 5.0
RENAME = 1.0
LONGEST_RENAME = 2.5
"""Seconds between two looks at the machine's name, where that is announced: the least, and the most without a beat."""
LONGEST_WAIT = 3600.0
CONFIG = "config"
"""Who offers the services of the configuration."""

_Seen = TypeVar("_Seen")


class Discovery:
    """A node of the network, alive between `start` and `stop`.

    Nothing is opened and no thread started before `start`; it opens everything first, in the caller's
    thread, and starts the threads only when all of it could be had.

        >>> from discoveryd import Discovery, Parameters
        >>> quiet = Parameters(loopback="127.1.2.3", port=34001)  # stays on this machine
        >>> with Discovery(quiet, name="renderer", tags={"role": "gpu"}) as discovery:
        ...     discovery.peers()
        ()

    Leaving the ``with`` block, or the end of the interpreter, says goodbye. SIGTERM ends Python without either, and a
    library must not take signals: a program that is to be ended by it calls
    ``signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))`` in its main thread.

    A process that is forked off (gunicorn with --preload, multiprocessing) has none of the threads: there everything
    but `stop` raises RuntimeError. Make a Discovery in the child, after the fork, such as in gunicorn's post_fork.

    Args:
        parameters: how to speak; defaults if None.
        name: what to call this node; if None the machine's name, also when that changes.
        tags: what to say of it.
        services: what it offers.
        node_id: stable id; a new random one for each run if empty.
        query: where to open the query socket, None for none.
        listener: a socket that listens there already, opened by a service manager.
        is_patient: where the query port is taken, or the address not there yet, that is no error of `start`: it is
            told, and tried again each 5 s.
        metrics: where to serve the metrics over HTTP, None for not at all.
        control: what those who ask there with its token may change, None for nothing.
        keyring: keys that it shares with other nodes, and whether it insists on them.
        notify: told a `Notice` now and then, in one of the threads, without the lock.
        clock: seconds; CLOCK_BOOTTIME unless a test says otherwise.

    Raises:
        ConfigError: something is not what it must be, or name, tags and services are too long together.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        services: Iterable[Service] = (),
        node_id: str = "",
        query: tuple[str, int] | None = None,
        listener: Listener | None = None,
        is_patient: bool = False,
        metrics: tuple[str, int] | None = None,
        control: Control | None = None,
        keyring: Keyring = NO_KEYS,
        notify: Callable[[Notice], None] | None = None,
        clock: Callable[[], float] = boottime,
    ) -> None:
        services = _checked(services, parameters=parameters, name=name, tags=tags, node_id=node_id, keyring=keyring)
        for key, address in (("query", query), ("metrics", metrics)):
            if address is not None:
                check_address(key, address, least=0)
        self._birthplace = Birthplace("Discovery")
        self.parameters = parameters or Parameters()
        self._offers = AnnouncedServices().replaced(CONFIG, services)
        called, self._name_fault = (name, "") if name else machine_name()
        self._follows_machine = not name
        self._refused_name = ""
        self._name_due = 0.0
        record = Record(name=called, tags=tags or {}, services=self._offers.services())
        self._node = Node(
            self.parameters, record, node_id=node_id, random=BufferedRandom(), keyring=keyring, process=os.getpid,
            clock=clock,
        )  # fmt: skip
        self._links = Links(self.parameters, clock)
        self._clock = clock
        self._notify = notify or (lambda _: None)
        # guards _node, _offers, _subscriptions, _pings, _calm, _is_stopping, _engine_s, _heard_until, _awaits_drain;
        # waited for by the sender, and by all who want what there is to be read first
        self._lock = threading.Condition(threading.Lock())
        self._heard_until = 0.0  # all that arrived before was given to the node
        self._awaits_drain = 0  # how many wait for that to go on
        self._subscriptions: list[Subscription] = []
        self._pings = Pings()
        self._calm = Calm()
        self._is_stopping = False
        self._is_isolated = False
        self._stack = ExitStack()
        self._is_running = False
        self._kernel_drops = 0
        self._filtered_before = 0
        self._wants_rescan = False
        self._rescans = Rescan()
        self._scan_error: str | None = None
        self._started_at = 0.0
        self._failure: BaseException | None = None
        self._reports: dict[str, Callable[[], Any]] = {}
        self._floodgate = FloodDetector(self._links, self.parameters.limits.datagrams, self._flood, self._known)
        self._engine_s = 0.0
        self._backend = Backend(self, control)
        self._server = self._query_server(query, listener, is_patient=is_patient) if query else None
        self._metrics = self._metrics_server(metrics) if metrics else None
        self._sender = Worker("hello-sender", self._send, self._fail)
        self._receiver = Worker("hello-receiver", self._receive, self._fail)
        self._answerer = Worker("query-server", self._serve, self._fail)
        self._scraped = Worker("metrics-server", self._serve_metrics, self._fail)
        workers = (self._sender, self._receiver, *((self._answerer,) if self._server else ()))
        self.pulse = Pulse(workers, self._nudge)

    # --- life -----------------------------------------------------------------------------------

    def start(self, opened: Callable[[], None] | None = None) -> None:
        """Open the sockets, then start the threads.

        Args:
            opened: called in between, when nobody has been answered yet.

        Raises:
            OSError: a port is taken (the message says by whom; see `is_patient`) or may not be opened. Nothing
                stays open.
            RuntimeError: it was started before, or made in another process, whose boot and keys' counters it has.
        """
        self._birthplace.check()
        if self._is_running or self._is_stopping:
            raise RuntimeError("a Discovery starts once")
        with ExitStack() as stack:
            stack.callback(self._links.close)
            self._links.open()
            if self._server is not None:
                stack.callback(self._server.close)
                self._server.open()
                self._backend.subscribe()
            if self._metrics is not None:
                stack.callback(self._metrics.close)
                self._metrics.open()
            links = self._scan()
            if opened is not None:
                opened()
            self._stack = stack.pop_all()
        self._filtered_before = dropped()
        self._started_at = self._heard_until = self._clock()
        self._node.drained(self._heard_until)
        self._node.set_links(links, self._started_at, self._links.others)
        self._is_running = True
        atexit.register(self.stop)  # a program that just ends has left, too
        try:
            self._start_threads()
        except OSError:
            self.stop()
            raise
        if self._server is not None and self._server.error:
            self._notify(notices.of_query(self._server.error, self._server.address))
        if self._metrics is not None and self._metrics.error:
            self._notify(notices.of_metrics(self._metrics.error, self._metrics.address))
        self._report_links((), links, is_start=True)
        if self._name_fault:
            self._notify(notices.of_name("", self._node.record.name, self._name_fault))
        if not self._links.has_doorbell:
            self._notify(notices.of_no_doorbell(PERIOD_UNTOLD))

    def _start_threads(self) -> None:
        self._sender.start()
        self._receiver.start()
        if self._server is not None:
            self._answerer.start()
        if self._metrics is not None:
            self._scraped.start()

    def stop(self) -> None:
        """Say goodbye, end the threads, close the sockets. Safe to call again, and before `start`.

        The end of the interpreter does it too, but no signal does: see `Discovery`. In a forked child nothing is
        said, since the node lives on in the parent; only what was inherited is closed.

        Raises:
            RuntimeError: a thread did not end; names it.
        """
        atexit.unregister(self.stop)
        if self._birthplace.is_elsewhere:
            self._stack.close()
            return
        with self._lock:
            if self._is_stopping:
                return
            self._is_stopping = True
            self._lock.notify_all()
            subscriptions = list(self._subscriptions)
        stuck = self._end() if self._is_running else []
        for subscription in subscriptions:
            subscription.put(None)
        if stuck:
            raise RuntimeError(f"did not end within {JOIN_TIMEOUT:g} s: {', '.join(stuck)}")
        self._stack.close()

    def _say_goodbye(self) -> None:
        if self._lock.acquire(True, GOODBYE_GAP):  # a thread that hangs may hold it, and be sealing
            try:
                sends = self._node.goodbye().sends
            finally:
                self._lock.release()
            self._links.send(sends)

    def _end(self) -> list[str]:
        """Say goodbye; give the threads that would not end."""
        self._links.wake()
        stuck = [worker.name for worker in (self._sender, self._receiver) if not worker.join(JOIN_TIMEOUT)]
        pause = threading.Event()
        self._say_goodbye()  # no HELLO of ours can follow: the sender has ended
        for _ in range(GOODBYES - 1):
            pause.wait(GOODBYE_GAP)
            self._say_goodbye()
        if self._server is not None:
            self._server.stop()
            stuck += [] if self._answerer.join(JOIN_TIMEOUT) else [self._answerer.name]
        if self._metrics is not None:
            self._metrics.stop()
            stuck += [] if self._scraped.join(JOIN_TIMEOUT) else [self._scraped.name]
        self._is_running = False
        return stuck

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what a program asks --------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Our node id."""
        return self._node.id

    @property
    def query_address(self) -> tuple[str, int] | None:
        """Where the query socket listens."""
        return self._server.address if self._server else None

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where the metrics are served over HTTP."""
        return self._metrics.address if self._metrics else None

    def peers(self, *, gone: bool = False) -> tuple[Peer, ...]:
        """Give the peers that are up; with `gone` also those that went down or left."""
        return self.look(lambda node, now: node.peers(now, gone=gone))

    def look(self, at: Callable[[Node, float], _Seen]) -> _Seen:
        """Give what a function makes of the engine and the time, called with the lock held: it must be quick."""
        self._birthplace.check()
        now = self._clock()
        # we may have slept, with much to read; in a flood there is always much to read, and nobody waits for it
        if self._is_running and now > self._heard_until + LAG and self._floodgate.patience(now) is None:
            self._drain(now, LAG)
        with self._lock:
            self._check()
            return at(self._node, self._judged_at())

    def _judged_at(self) -> float:
        """Return the time for which peers are judged: in a flood that of what was read, which may be seconds ago."""
        now = self._clock()
        return now if self._floodgate.patience(now) is None else min(now, self._heard_until + LAG)

    def subscribe(self, queue: SimpleQueue[Any] | None = None) -> Subscription:
        """Begin a stream of events, with the peers there are at this moment.

        Args:
            queue: where to put the events (None at the end, or when it lagged) for a thread that also
                waits for other things; without one, read the subscription itself.
        """
        self._birthplace.check()
        with self._lock:
            self._check()
            subscription = Subscription(
                self._node.peers(self._judged_at()),
                self._node.table.seq,
                self.parameters.limits.subscriber_events,
                self._unsubscribe,
                queue,
            )
            if self._is_stopping:
                subscription.put(None)
            else:
                self._subscriptions.append(subscription)
            return subscription

    def status(self) -> dict[str, Any]:
        """Give what ``discoveryctl status --json`` shows."""
        status = self.look(query.status_answer)
        status["version"] = __version__
        status["uptime_s"] = round(self._clock() - self._started_at, 3)
        status["engine_s"] = round(self._engine_s, 6)
        heard_outside = self._links.senders.outside.copy()
        status["outside"] = self.look(lambda node, now: outsiders(node, now, heard_outside))
        status["rp_filter"] = filtered((link["name"] for link in status["links"]), self._filtered_before)
        status["send_errors"] = self._send_errors()
        errors = {one["link"]: one["error"] for one in status["send_errors"]}
        for link in status["links"]:
            link["last_error"] = errors.get(link["name"])
        status["receive_buffer"] = self.receive_buffer()
        status["scan_error"] = self._links.scan_error
        status["drops"] += self._links_drops()
        asked: dict[str, Any] = {"connections": 0, "limit": 0, "watchers": 0, "refused": 0, "denied": 0}
        asked |= {"error": None, "next_try_s": None}
        if self._server:
            asked = {**self._server.counts(), **self._server.trouble(self._clock())}
        status["query"] = {**asked, "registrations": self._backend.registrations}
        served: dict[str, Any] = {"requests": 0, "refused": 0, "error": None, "next_try_s": None}
        if self._metrics:
            served = {**self._metrics.counts(), **self._metrics.trouble(self._clock())}
        status["metrics"] = served
        status.update({name: give() for name, give in list(self._reports.items())})
        return status

    def receive_buffer(self) -> dict[str, int]:
        """Tell how many bytes each receive buffer has, and how many were wanted."""
        return {"bytes": self._links.receive_buffer(), "wanted": RECEIVE_BUFFER}

    def _send_errors(self) -> list[dict[str, str]]:
        """Tell to which broadcast addresses and seeds nothing can be sent now, and why."""
        return [
            {"link": link, "target": target, "error": error}
            for (link, target), error in sorted(self._links.last_errors.copy().items())
            if link != "-" or target in self.parameters.seeds  # no longer a seed: nothing is sent there
        ]

    def _links_drops(self) -> list[dict[str, Any]]:
        """Count what never came to the engine, or never left."""
        # copied first: other threads go on counting
        drops = [(reason, link, count) for (reason, link), count in list(self._links.drops.items())]
        flooded = self._floodgate.dropped
        lost = self._links.kernel_drops() - flooded
        drops += [(reason, "-", count) for reason, count in (("kernel", lost), ("flood", flooded)) if count]
        return [{"reason": reason, "link": link, "count": count} for reason, link, count in drops]

    def report(self, name: str, give: Callable[[], Any]) -> None:
        """Let `status` show something else under this name; `give` is called in any thread, without the lock."""
        self._reports[name] = give

    def summary(self) -> str:
        """Give one line such as ``12 up, 1 suspect, 2 links``."""
        counts, links, is_isolated = self.look(
            lambda node, now: (node.table.counts(now), len(node.links), node.is_isolated(now))
        )
        parts = [f"{counts['up']} up", *([f"{counts['suspect']} suspect"] if counts["suspect"] else [])]
        parts.append(f"{links} link{'' if links == 1 else 's'}")
        parts += ["isolated"] if is_isolated and links else []
        parts += ["query socket does not listen"] if self._server is not None and self._server.error else []
        return ", ".join(parts)

    def ping(self, peer: str, *, count: int = 1, timeout: float = 1.0) -> PingResult:
        """Ping a peer and wait for the answers.

        Args:
            peer: its name, id (or the first digits) or address.
            count: of PINGs, 0.2 s apart.
            timeout: seconds to wait for the last answer.

        Raises:
            QueryError: ``not_found``; ``ambiguous`` where several are meant; ``bad_request`` for a bare peer, which
                cannot answer; ``busy`` with 16 such requests under way.
        """
        results: SimpleQueue[PingResult] = SimpleQueue()
        self.begin_ping(peer, count=count, timeout=timeout, done=results.put)
        try:
            return results.get(timeout=Pings.duration(count, timeout) + JOIN_TIMEOUT)
        except Empty:
            raise QueryError("stopping", "discovery stopped before the answer") from None

    def begin_ping(
        self, peer: str, *, count: int, timeout: float, done: Callable[[PingResult], None]
    ) -> Callable[[], None]:
        """Ping a peer; `done` is called once with the result, in one of the threads, without the lock.

        Returns:
            what ends the request early, without a result; it may be called at any time, in any thread.

        Raises:
            QueryError: as `ping`.
        """
        self._birthplace.check()
        with self._lock:
            self._check()
            if self._is_stopping:
                raise QueryError("stopping", "this node has said goodbye")
            now = self._clock()
            row = query.find_one(self._node, peer, now)
            if row.kind == "bare":
                raise QueryError("bad_request", f"{peer} is a bare peer: it sends HELLO| and answers nothing")
            pinging = Pinging(row, count=count, timeout=timeout, done=done, now=now)
            self._pings.begin(pinging)
            self._lock.notify_all()
        return partial(self._cancel_ping, pinging)

    def _cancel_ping(self, pinging: Pinging) -> None:
        with self._lock:
            self._pings.cancel(pinging)

    def set_record(self, *, name: str | None, tags: Mapping[str, str], services: Iterable[Service]) -> None:
        """Say something else of this node from now on; the services are those of its configuration.

        Args:
            name: what to call this node; if None the machine's name, also when that changes.
            tags: what to say of it.
            services: what it offers.

        Raises:
            ConfigError: not allowed, or too long together with what else is offered; nothing has changed then.
        """
        self._birthplace.check()
        with self._lock:
            self._announce_locked(name or machine_name()[0], tags, self._offers.replaced(CONFIG, services))
            self._follows_machine = not name

    def offer(self, owner: str, services: Iterable[Service]) -> None:
        """Offer these services in place of those this owner offered before; nothing to end them.

        Args:
            owner: who offers them, such as ``services.d``. What several offer is announced once.
            services: all that this owner offers from now on.

        Raises:
            ConfigError: too long together with the rest of the record; nothing has changed then.
        """
        self._birthplace.check()
        with self._lock:
            record = self._node.record
            self._announce_locked(record.name, record.tags, self._offers.replaced(owner, services))

    def set_parameters(self, parameters: Parameters) -> None:
        """Change how to speak. Port, realm and loopback stay as they are until a new start."""
        self._birthplace.check()
        with self._lock:
            self._node.set_parameters(parameters, self._clock())
            self._lock.notify_all()
        self.parameters = parameters
        if self._server is not None:
            self._server.limits = parameters.limits
        self._floodgate.limit = parameters.limits.datagrams
        self._links.set_patterns(parameters.interfaces)
        self._wants_rescan = True
        self._links.wake()

    def set_keyring(self, keyring: Keyring) -> None:
        """Take other keys, another one to send with, or another mode, without losing a peer."""
        self._birthplace.check()
        with self._lock:
            self._node.set_keyring(keyring)

    # --- threads --------------------------------------------------------------------------------

    def _send(self) -> None:
        """Be the timer: HELLOs, answers that wait, pings, expiry."""
        while True:
            self._sender.turn()
            if self._follows_machine:
                self._follow_machine()
            with self._lock:
                if self._is_stopping:
                    return
                now, began = self._clock(), perf_counter()
                outcome = self._node.poll(now)
                self._publish_locked(outcome.events)
                # what ends a doubt is to hear somebody, and that is no event
                doubt = self._doubt_locked(now) if outcome.events or self._is_isolated else None
                pings, done = self._pings.poll(self._node, now)
                held = self._calm.due(now)
                is_idle = outcome is NOTHING and doubt is None and not pings and not done and not held
                deadlines = (self._node.next_deadline(), self._pings.next_deadline(), self._calm.next_due())
                deadline = min(deadlines) if is_idle else now
                self._engine_s += perf_counter() - began
                if is_idle and deadline > now:
                    self._lock.wait(min(deadline - now, LONGEST_RENAME if self._follows_machine else LONGEST_WAIT))
                    continue
            if is_idle:  # what is due is to judge by silence
                self._drain(now, DRAIN_TIMEOUT)
                continue
            self._carry_out(outcome)
            if doubt is not None:
                self._notify(doubt)
            for ping in pings:
                self._carry_out(ping)
            for report in done:
                report()
            for notice in held:
                self._notify(notice)

    def _follow_machine(self) -> None:
        """Look now and then what the machine is called, and announce that."""
        now = self._clock()
        if now < self._name_due:
            return
        self._name_due = now + RENAME
        name, fault = machine_name()
        former = self._node.record.name  # what else changes the record does not change this
        if name in (former, self._refused_name):
            return
        try:
            with self._lock:
                if self._follows_machine:
                    self._announce_locked(name, self._node.record.tags, self._offers)
            self._refused_name = ""
        except ConfigError as error:
            self._refused_name, fault = name, str(error)
        self._notify(notices.of_name(former, name, fault))

    def _receive(self) -> None:
        """Hear what comes in, and look after the links."""
        now = self._clock()
        while not self._is_stopping:
            self._receiver.turn()
            read_at, before = now, self._clock()
            patience = self._floodgate.patience(before)
            left = max(0.0, self._rescans.at - before)
            batch, rang = self._links.listen(left if patience is None else min(left, patience))
            now = self._clock()
            is_late = bool(batch) and now > batch[0][2] + LAG
            self._floodgate.took(len(batch), now, is_late=is_late, has_paused=is_late and now > read_at + LAG)
            # the buffer was full only if there is a batch and more to read
            if len(batch) >= BATCH and patience is None and self._has_lost():
                is_late = True
            self._hear(batch, self._links.refused(), now, is_late=is_late)
            if rang:
                self._rescans.ring(now)
            if now >= self._rescans.at or self._wants_rescan:
                self._wants_rescan = False
                self._rescan()

    def _serve(self) -> None:
        assert self._server is not None
        self._server.run(self._clock, self._answerer.turn)

    def _serve_metrics(self) -> None:
        assert self._metrics is not None
        self._metrics.run(self._clock)

    def _has_lost(self) -> bool:
        """Whether the kernel has thrown something away since this was asked last."""
        before, self._kernel_drops = self._kernel_drops, self._links.kernel_drops()
        return self._kernel_drops > before

    def _drain(self, until: float, timeout: float) -> None:
        """Wait until all that arrived before a moment was given to the node."""
        self._links.wake()
        with self._lock:
            self._awaits_drain += 1
            self._lock.wait_for(lambda: self._heard_until >= until or self._is_stopping or self._failure, timeout)
            self._awaits_drain -= 1

    def _hear(self, batch: list[Datagram], refused: list[bytes], now: float, *, is_late: bool = False) -> None:
        outcomes: list[Outcome] = []
        with self._lock:
            began = perf_counter()
            if is_late:
                self._node.mistrust(now)
            receive = self._node.receive
            for datagram, source, arrived in batch:
                outcome = receive(datagram, source, arrived)
                if outcome is not NOTHING:
                    outcomes.append(outcome)
                    self._publish_locked(outcome.events)
                    self._pings.collect(outcome.answers)
            for datagram in refused:
                outcome = self._node.refused(datagram, now)
                outcomes.append(outcome)
                self._publish_locked(outcome.events)
            for source, limited in self._links.senders.broadcasts():
                self._node.heard_broadcast(source, now, limited=limited)
            self._heard_until = self._links.heard_until
            self._node.drained(self._heard_until)
            if outcomes or is_late or self._awaits_drain:
                self._lock.notify_all()  # something may be due earlier than the sender thinks
            doubt = self._doubt_locked(now) if any(outcome.events for outcome in outcomes) else None
            self._engine_s += perf_counter() - began  # once a batch, so that no datagram pays for it
        for outcome in outcomes:
            self._carry_out(outcome)
        if doubt is not None:
            self._notify(doubt)

    def _scan(self) -> tuple[Link, ...]:
        """Read the interfaces, and plan when to do so again."""
        began = perf_counter()
        links = self._links.rescan()
        period = PERIOD if self._links.has_doorbell else PERIOD_UNTOLD
        has_failed = self._links.scan_error is not None
        self._rescans.done(self._clock(), took=perf_counter() - began, period=period, has_failed=has_failed)
        return links

    def _rescan(self) -> None:
        links = self._scan()
        with self._lock:
            before = self._node.links
            now = self._clock()
            self._node.set_links(links, now, self._links.others)
            doubt = self._doubt_locked(now)
            self._lock.notify_all()
        self._report_links(before, links)
        if doubt is not None:
            self._notify(doubt)

    def _nudge(self) -> None:
        """Make every thread come round."""
        with self._lock:
            self._lock.notify_all()
        self._links.wake()
        if self._server is not None:
            self._server.wake()

    def _query_server(self, address: tuple[str, int], listener: Listener | None, *, is_patient: bool) -> QueryServer:
        def told(error: str) -> None:
            self._notify(notices.of_query(error, address))

        return QueryServer(address, self._backend, self.parameters.limits, listener, told if is_patient else None)

    def _metrics_server(self, address: tuple[str, int]) -> MetricsServer:
        from discoveryd.net.metrics_server import MetricsServer  # noqa: PLC0415 - most daemons have none

        return MetricsServer(
            address, self._backend.page, lambda error: self._notify(notices.of_metrics(error, address))
        )

    # --- inside ---------------------------------------------------------------------------------

    def _announce_locked(self, name: str, tags: Mapping[str, str], offers: AnnouncedServices) -> None:
        record = Record(name=name, tags=tags, services=offers.services())
        self._offers = offers
        self._node.set_record(record, self._clock())
        self._lock.notify_all()

    def _check(self) -> None:
        """Refuse to answer from a table that no thread keeps true any more."""
        if self._failure is not None:
            raise RuntimeError("a thread of this Discovery has died") from self._failure

    def _publish_locked(self, events: tuple[Event, ...]) -> None:
        for event in events:
            self._subscriptions = [one for one in self._subscriptions if one.put(event)]

    def _doubt_locked(self, now: float) -> Notice | None:
        """See whether it is rather we who are cut off; what to say if that has changed."""
        # that there is no link is told anyway
        is_isolated = bool(self._node.links) and self._node.is_isolated(now)
        if is_isolated == self._is_isolated:
            return None
        self._is_isolated = is_isolated
        return notices.of_doubt(is_isolated=is_isolated)

    def _carry_out(self, outcome: Outcome) -> None:
        """Send, tell, wake: everything that must not be done under the lock."""
        for link, target, error in self._links.send(outcome.sends):
            self._tell_calmly((link, target), error or "", notices.of_sending(link, target, error))
        for drop in outcome.drops:
            self._notify(notices.of_drop(drop))
        if outcome.double:
            self._notify(notices.of_double(outcome.double))
        if outcome.events and self._server is not None:
            self._server.wake()

    def _report_links(self, before: tuple[Link, ...], now: tuple[Link, ...], *, is_start: bool = False) -> None:
        for notice in notices.of_links(before, now):
            if is_start:
                self._notify(notice)  # is no change: one soon after is told as promptly as any
            else:
                self._tell_calmly((notice.fields["link"], notice.fields["address"]), notice.text, notice)
        former, self._scan_error = self._scan_error, self._links.scan_error
        if (former is None) != (self._scan_error is None):  # once, whatever it fails of
            self._notify(notices.of_scan(self._scan_error))
        if self._scan_error is None and not now and (before or self._node.seq == 0):
            self._notify(notices.of_no_link(self.parameters.interfaces))

    def _tell_calmly(self, thing: tuple[str, str], state: str, notice: Notice) -> None:
        """Tell a change of something that may change all the time."""
        with self._lock:
            told = self._calm.take(thing, state, notice, self._clock())
            self._lock.notify_all()  # a line may be due now that was not; others may wait for a drain
        for one in told:
            self._notify(one)

    def _known(self, since: float) -> tuple[str, ...]:
        """Give the addresses that are heard also in a flood."""
        with self._lock:  # for the receiver, which `look` might wait for
            return self._node.known_addresses(since, self._clock())

    def _flood(self, since: float | None, failure: str | None) -> None:
        """Let nobody new in while there is a flood."""
        with self._lock:
            if since is None:
                self._node.end_flood()
                outcome = NOTHING
            else:
                outcome = self._node.begin_flood(since, self._clock())
            self._publish_locked(outcome.events)
            self._lock.notify_all()
        self._carry_out(outcome)
        if since is None:
            self._notify(notices.of_flood_end(self._floodgate.dropped))
        else:
            self._notify(notices.of_flood(self.parameters.limits.datagrams, len(outcome.events), failure))

    def _unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def _fail(self, name: str, error: BaseException) -> None:
        """End loudly: whoever asks from now on gets the error."""
        with self._lock:
            self._failure = self._failure or error
            subscriptions = list(self._subscriptions)
        try:
            self._notify(notices.of_death(name, error))
        finally:
            for subscription in subscriptions:
                subscription.put(None)
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))


def _checked(
    services: object, *, parameters: object, name: object, tags: object, node_id: object, keyring: object
) -> list[Service]:
    """Refuse arguments of another type, which would fail later and elsewhere; give the services.

    Raises:
        ConfigError: with every one of them.
    """
    listed = list(services) if isinstance(services, Iterable) and not isinstance(services, (str, bytes)) else [None]
    offered = [one for one in listed if isinstance(one, Service)]
    checks = (
        ("parameters", isinstance(parameters, Parameters | None), "a Parameters or None", parameters),
        ("name", isinstance(name, str | None), "a text or None", name),
        ("tags", isinstance(tags, Mapping | None), "a mapping of text to text", tags),
        ("services", len(offered) == len(listed), 'several Service, such as [Service("http", 80)]', services),
        ("node_id", isinstance(node_id, str), "a text", node_id),
        ("keyring", isinstance(keyring, Keyring), "a Keyring", keyring),
    )
    problems = [f"{key}: must be {wanted}, not {given!r:.80}" for key, holds, wanted, given in checks if not holds]
    if problems:
        raise ConfigError(*problems)
    return offered
