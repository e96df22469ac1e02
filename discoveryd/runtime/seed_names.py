"""The names of seeds, resolved again and again, each in a thread of its own, so that none delays a HELLO or another.

The resolver of the machine waits as long as it likes, and cannot be told to stop. A name without an answer after
`PATIENCE` counts as failed; its thread goes on, and an answer that comes later is taken all the same. What a name stood
for stays in use while it does not resolve.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from random import random
from typing import NamedTuple

from discoveryd.net.resolve import failure, resolve
from discoveryd.query.seed_status import SeedState
from discoveryd.runtime.notices import Notice, NoticeDamper, Notify, info, warning
from discoveryd.runtime.worker import Failed, Worker

AGAIN = 30.0
"""Seconds, ±10 %, from an answer until a name is asked for again: as soon is a new address known."""
SILENT = 5.0
"""The same where no node is heard at any of the addresses: the name may mean another machine by now."""
PER_SECOND = 5.0
"""Lookups a second of all names together: of more than 150 names each is asked for less often."""
RETRY = 1.0
"""Seconds from a failure to the next lookup; doubled by each further failure, up to `AGAIN`."""
PATIENCE = 5.0
"""Seconds without an answer after which a name counts as failed."""
CONCURRENT = 16
"""Lookups under way at most; a name that is due meanwhile waits, names never asked for first."""
AT_ONCE = 4
"""Threads started at a time: each takes about 0.1 ms from the sender of HELLOs."""
SOON = 0.05
"""Seconds until further threads are started."""
LATE = f"no answer of the resolver in {PATIENCE:g} s"
NEVER = float("inf")


class SeedAnswer(NamedTuple):
    """The end of a lookup: the addresses, or why there are none."""

    name: str
    addresses: tuple[str, ...]
    error: str


@dataclass(slots=True)
class _Name:
    due: float
    asked_at: float = -NEVER
    is_asked: bool = False
    is_late: bool = False
    failures: int = 0
    is_new: bool = True
    addresses: tuple[str, ...] = ()
    error: str = ""

    def state(self) -> SeedState:
        return SeedState(self.addresses, self.error, self.is_new, NEVER if self.is_asked else self.due)


@dataclass(slots=True)
class _Lookups:
    """The lookups under way, each a thread that ends with its answer."""

    find: Callable[[str], tuple[str, ...]]
    wake: Callable[[], None]
    failed: Failed
    running: set[str] = field(default_factory=set)
    answers: SimpleQueue[SeedAnswer] = field(default_factory=SimpleQueue)

    def start(self, name: str) -> None:
        """Start a lookup.

        Raises:
            OSError: the system allows no further thread.
        """
        self.running.add(name)
        try:
            Worker("seed-lookup", lambda: self._run(name), self.failed).start()
        except OSError:
            self.running.discard(name)
            raise

    def ended(self) -> Iterable[SeedAnswer]:
        """Yield the answers that came."""
        while True:
            try:
                answer = self.answers.get_nowait()
            except Empty:
                return
            self.running.discard(answer.name)
            yield answer

    def _run(self, name: str) -> None:
        try:
            answer = SeedAnswer(name, self.find(name), "")
        except OSError as error:
            answer = SeedAnswer(name, (), failure(error))
        self.answers.put(answer)
        self.wake()


class SeedNames:
    """Resolves the names of seeds. `poll` is for one thread, the sender; all else is for any.

    Args:
        take: called with a name and its addresses where they have changed.
        notify: told each change once, damped.
        wake: makes the thread that polls come round; called in another thread.
        failed: told the exception that ended a lookup, and was not expected.
        hears: returns whether a peer is heard at one of these addresses.
        links: returns a value that differs when the links of this machine have changed: all names are asked for then.
        is_usable: whether a node can have an address.
        find: returns the addresses of a name, or raises OSError.
    """

    def __init__(
        self, take: Callable[[str, tuple[str, ...]], None], notify: Notify, *,
        wake: Callable[[], None], failed: Failed, hears: Callable[[tuple[str, ...]], bool], links: Callable[[], object],
        is_usable: Callable[[str], bool] = lambda _: True, find: Callable[[str], tuple[str, ...]] = resolve,
    ) -> None:  # fmt: skip
        self._take = take
        self._notify = notify
        self._hears = hears
        self._links = links
        self._is_usable = is_usable
        self._lookups = _Lookups(find, wake, failed)
        self._damper = NoticeDamper()
        self._wanted: tuple[str, ...] = ()  # replaced as a whole, as are the states: no lock is needed
        self._names: dict[str, _Name] = {}
        self._linked: object = None
        self.states: dict[str, SeedState] = {}

    def set(self, names: Iterable[str]) -> None:
        """Resolve these names from the next `poll` on; what is known of those that stay is kept."""
        self._wanted = tuple(dict.fromkeys(names))

    def poll(self, now: float) -> float:
        """Take the answers that came, start the lookups that are due; return the seconds until the next call."""
        wanted = self._wanted
        if not wanted and not self._names:
            return NEVER
        self._names = {name: self._names.get(name) or _Name(now) for name in wanted}
        self._follow_links(now)
        for answer in self._lookups.ended():
            if (name := self._names.get(answer.name)) is not None:
                self._hear(answer, name, now)
        for host, name in self._names.items():
            if name.is_asked and not name.is_late and now >= name.asked_at + PATIENCE:
                name.is_late = True
                self._fail(host, name, LATE, now)
        is_more = self._start(now)
        for notice in self._damper.due(now):
            self._notify(notice)
        self.states = {host: name.state() for host, name in self._names.items()}
        return SOON if is_more else max(0.0, self._next_due() - now)

    def _follow_links(self, now: float) -> None:
        linked = self._links()
        if linked != self._linked:
            self._linked = linked
            for name in self._names.values():
                name.due, name.failures = now, min(name.failures, 1)

    def _start(self, now: float) -> bool:
        """Start the lookups that are due; return whether more are, and could be started soon."""
        running = self._lookups.running
        due = [host for host, name in self._names.items() if now >= name.due and host not in running]
        due.sort(key=lambda host: (not self._names[host].is_new, self._names[host].failures, self._names[host].due))
        room = max(0, CONCURRENT - len(running))
        for host in due[: min(room, AT_ONCE)]:
            name = self._names[host]
            name.asked_at, name.is_asked, name.is_late = now, True, False
            try:
                self._lookups.start(host)
            except OSError as error:
                self._fail(host, name, error.strerror or str(error), now)
        return len(due) > AT_ONCE and room > AT_ONCE

    def _hear(self, answer: SeedAnswer, name: _Name, now: float) -> None:
        name.is_asked = False
        usable = tuple(filter(self._is_usable, answer.addresses))
        if not usable:
            unusable = ", ".join(answer.addresses)
            why = answer.error or f"only {unusable}, which is no address of another node"
            if name.is_late and name.error == LATE:
                name.error = why  # the failure itself was told
            else:
                self._fail(answer.name, name, why, now)
            return
        former, failed = name.addresses, bool(name.error)
        name.addresses, name.error, name.failures, name.is_new = usable, "", 0, False
        again = AGAIN if self._hears(usable) else SILENT
        name.due = now + self._pause(again) * (0.9 + 0.2 * random())  # noqa: S311 - chance, not keys
        # a resolver gives several addresses in turns
        if set(former) != set(usable):
            self._take(answer.name, usable)
            more = {"former": ", ".join(former)} if former else {}
            self._tell(answer.name, info("seed resolved", seed=answer.name, addresses=", ".join(usable), **more), now)
        elif failed:
            self._tell(answer.name, info("seed resolves again", seed=answer.name, addresses=", ".join(usable)), now)

    def _fail(self, host: str, name: _Name, error: str, now: float) -> None:
        name.is_asked = name.is_asked and name.is_late
        is_change = not name.error
        name.error, name.is_new = error, False
        name.due = now + min(RETRY * 2.0 ** min(name.failures, 10), self._pause())
        name.failures += 1
        if is_change:
            kept = {"in_use": ", ".join(name.addresses)} if name.addresses else {}
            self._tell(host, warning("seed does not resolve", seed=host, error=error, **kept), now)

    def _pause(self, least: float = AGAIN) -> float:
        return max(least, len(self._names) / PER_SECOND)

    def _tell(self, host: str, notice: Notice, now: float) -> None:
        if self._damper.take(host, f"{notice.text} {notice.fields.get('addresses')}", notice, now):
            self._notify(notice)

    def _next_due(self) -> float:
        dues = [
            name.asked_at + PATIENCE if name.is_asked and not name.is_late else NEVER if name.is_asked else name.due
            for name in self._names.values()
        ]
        # while all places are taken an answer wakes us
        if len(self._lookups.running) >= CONCURRENT:
            dues = [name.asked_at + PATIENCE for name in self._names.values() if name.is_asked and not name.is_late]
        return min([*dues, self._damper.next_due()], default=NEVER)
