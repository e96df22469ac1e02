"""Hooks: executables that are run when something happens to a peer. Nothing they do holds anything else up.

One thread (``hooks``) takes events out of a subscription and lets them wait; as many as `Limits.hooks` others
(``hook-1`` ...), begun when first needed, each look after one process at a time. `Hooks._lock` guards the queue,
the counters, the list of slots and the subscription in use; it is never held while a process or a file is
looked at, nor while somebody is told.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from discoveryd.errors import SubscriptionLagged
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.token_buckets import TokenBuckets
from discoveryd.runtime import hook_files, hook_run
from discoveryd.runtime.hook_queue import HookQueue, Job, Occasion
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.subscription import Subscription
from discoveryd.runtime.worker import Worker

LOOK_AGAIN = 1.0
"""Seconds after which an event has the directory looked at again. Not at each event: a system call lets other
threads go first, and the events of a busy node would come in faster than they are taken."""
NOTICES = 50
ALL_NOTICES = 200
"""Notices a second of one hook, and of all together: what a hook prints must drown neither the log nor
what another one has to say."""
BEGIN_AGAIN = 1.0
"""Seconds until a hook is begun again for which there was no descriptor, process or memory."""
JOIN_TIMEOUT = 5.0
"""Seconds for the threads to end; they need `hook_run.GRACE` twice at most."""

_TROUBLES = {
    "coalescing": "of each peer only the newest event waits; make it quicker, or raise limits.hooks",
    "full": "events are dropped; make it quicker, or raise limits.hook_queue",
}


class Hooks:
    """Runs the executables of a directory at each event.

    Args:
        directory: of the hooks; it may be absent, and appear later.
        subscribe: gives a new stream of events, such as `Discovery.subscribe`.
        notify: told a `Notice` now and then, in one of the threads, without a lock.
        limits: `Limits.hooks`, `Limits.hook_timeout` and `Limits.hook_queue` hold here.
    """

    def __init__(
        self,
        directory: str,
        *,
        subscribe: Callable[[], Subscription],
        notify: Callable[[Notice], None],
        limits: Limits | None = None,
    ) -> None:
        self.directory = directory
        self._subscribe = subscribe
        self._notify = notify
        self._limits = limits or Limits()
        self._lock = threading.Condition(threading.Lock())  # see above; its waiters are the idle slots
        self._queue = HookQueue(slots=self._limits.hooks, limit=self._limits.hook_queue)
        self._counts: Counter[str] = Counter()
        self._faults: tuple[hook_files.Fault, ...] = ()
        self._slots: list[Worker] = []
        self._idle = 0
        self._subscription: Subscription | None = None
        self._seq = 0
        self._bell: tuple[int, int] | None = None  # its write end is closed to tell running hooks to end
        self._is_stopping = False
        self._lacks_threads = False
        self._looked_at = 0.0
        self._limiter = TokenBuckets(NOTICES, ALL_NOTICES, hook_files.MAX_HOOKS)
        self._reader = Worker("hooks", self._read, self._fail)

    # --- life -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to collect events, and look at the directory. What happens from here on is told to the hooks.

        Raises:
            OSError: no descriptor is left.
        """
        self._bell = os.pipe()
        self._resubscribe()
        self._look()

    def start(self) -> None:
        """Start the thread; `open` comes first."""
        self._reader.start()

    def stop(self) -> None:
        """End: what waits is not run, what runs is told to end and killed a second later.

        Safe to call again, and before `open` or `start`. Call it before the `Discovery` stops.

        Raises:
            RuntimeError: a thread did not end; names it.
        """
        with self._lock:
            if self._is_stopping:
                return
            self._is_stopping = True
            self._queue.clear()
            subscription, bell = self._subscription, self._bell
            self._lock.notify_all()
        if subscription is not None:
            subscription.close()
        if bell is not None:
            os.close(bell[1])
        stuck = [worker.name for worker in (self._reader, *self._slots) if not worker.join(JOIN_TIMEOUT)]
        if stuck:
            raise RuntimeError(f"did not end within {JOIN_TIMEOUT:g} s: {', '.join(stuck)}")
        if bell is not None:
            os.close(bell[0])

    # --- what the daemon says and asks ----------------------------------------------------------

    def reload(self, limits: Limits | None = None) -> None:
        """Look at the directory again, and take other limits. What runs keeps the timeout it began with."""
        if limits is not None:
            with self._lock:
                self._limits = limits
                self._queue.slots, self._queue.limit = limits.hooks, limits.hook_queue
                self._lock.notify_all()
        self._look()
        self._add_slots()

    def doubt(self, *, is_isolated: bool, reason: str) -> None:
        """Tell the hooks that it is rather we who are cut off (``isolated``), or no longer (``connected``)."""
        self._offer(Occasion(kind="isolated" if is_isolated else "connected", reason=reason))

    def counts(self) -> dict[str, int]:
        """Give what ``status`` shows.

        ``hooks`` and ``refused``: files that are run, and that are not. ``run``: runs that ended, of them ``failed``
        (exit code not 0, or not startable) and ``timeout``. Events that were ``coalesced`` into a newer one of the
        same peer, ``dropped`` because a queue was full, ``lost`` before they came here. ``unlogged``: notices that
        were too many. ``running`` and ``waiting``: at this moment.
        """
        with self._lock:
            return {
                "hooks": len(self._queue.hooks),
                "refused": len(self._faults),
                **{name: self._counts[name] for name in ("run", "failed", "timeout")},
                "coalesced": self._queue.coalesced,
                "dropped": self._queue.dropped,
                **{name: self._counts[name] for name in ("lost", "unlogged")},
                "running": self._queue.running,
                "waiting": self._queue.waiting,
            }

    # --- events come in -------------------------------------------------------------------------

    def _read(self) -> None:
        """Let events wait for the hooks; quick, so that the subscription does not lag."""
        while True:
            assert self._subscription is not None
            try:
                event = self._subscription.get()
            except SubscriptionLagged:
                self._resubscribe()
                continue
            if event is None:
                return
            lost, self._seq = event.seq - self._seq - 1, event.seq
            if lost:
                with self._lock:
                    self._counts["lost"] += lost
                self._notify(Notice(level="warning", text="hooks missed events", fields={"lost": lost}))
            self._offer(Occasion.of(event))

    def _resubscribe(self) -> None:
        fresh = self._subscribe()
        with self._lock:
            if self._subscription is None:
                self._seq = fresh.seq  # later ones begin where the first lagged: the gap is what was lost
            self._subscription = fresh
            is_stopping = self._is_stopping
        if is_stopping:
            fresh.close()

    def _offer(self, occasion: Occasion) -> None:
        if time.monotonic() - self._looked_at >= LOOK_AGAIN:
            self._look()
        with self._lock:
            if self._is_stopping:
                return
            begun = self._queue.put(occasion)
            self._lock.notify_all()
        self._add_slots()
        for hook, trouble in begun:
            self._tell("warning", "hook falls behind", hook, what=_TROUBLES[trouble])

    def _add_slots(self) -> None:
        """Begin as many slots as there is work for. What none can be had for waits for those there are."""
        with self._lock:
            if self._is_stopping:
                return
            there = len(self._slots)
            wanted = min(self._limits.hooks, there + self._queue.waiting - self._idle)
            slots = [Worker(f"hook-{number + 1}", self._work, self._fail) for number in range(there, wanted)]
            self._slots += slots
        try:
            while slots:
                slots[0].start()
                del slots[0]
        except OSError as error:
            with self._lock:
                for slot in slots:
                    self._slots.remove(slot)
                is_told, self._lacks_threads = self._lacks_threads, True
            if not is_told:
                self._notify(Notice(level="warning", text="hooks wait", fields={"why": error.strerror}))
        else:
            self._lacks_threads = False

    # --- the directory --------------------------------------------------------------------------

    def _look(self) -> None:
        """See which hooks there are; tell of each fault once."""
        self._looked_at = time.monotonic()
        hooks = None
        try:
            hooks, faults = hook_files.look(self.directory)
        except OSError as error:  # the hooks stay as they are
            faults = (hook_files.Fault(self.directory, f"cannot be read now: {error.strerror}"),)
        with self._lock:
            if self._is_stopping:
                return
            fresh = [fault for fault in faults if fault not in self._faults]
            self._faults = faults
            if hooks is not None:
                self._queue.set_hooks(hooks)
            self._lock.notify_all()  # their shares have changed
        for fault in fresh:
            self._notify(Notice(level="warning", text="hook not run", fields={"path": fault.path, "why": fault.why}))

    # --- slots ----------------------------------------------------------------------------------

    def _work(self) -> None:
        """Run one hook after the other."""
        while (job := self._take()) is not None:
            try:
                if hook_files.why_not(job.hook):  # it was changed since
                    self._look()
                else:
                    self._run(job)
            finally:
                with self._lock:
                    self._queue.done(job)  # at most one other may go now: the next of this slot

    def _take(self) -> Job | None:
        with self._lock:
            self._idle += 1
            try:
                while not self._is_stopping:
                    job = self._queue.take()
                    if job is not None:
                        return job
                    self._lock.wait()
                return None
            finally:
                self._idle -= 1

    def _run(self, job: Job) -> None:
        occasion = job.occasion
        ran = self._begin(job.hook, occasion)
        if ran.ended == "stopped":
            return
        has_failed = ran.ended == "unstartable" or (ran.ended == "exit" and ran.code != 0)
        with self._lock:
            self._counts["run"] += 1
            self._counts["failed"] += has_failed
            self._counts["timeout"] += ran.ended == "timeout"
        about: dict[str, Any] = {"on": occasion.kind, "peer": occasion.peer.label if occasion.peer else "-"}
        if occasion.coalesced:
            about["coalesced"] = occasion.coalesced
        for line in ran.lines():
            self._tell("info", "hook says", job.hook, **about, line=line)
        if ran.ended == "unstartable":
            self._tell("warning", "hook cannot be run", job.hook, **about, error=ran.error)
        elif ran.ended == "timeout":
            self._tell("warning", "hook was ended", job.hook, **about, why="limits.hook_timeout is over")
        else:
            self._tell("warning" if has_failed else "debug", "hook ended", job.hook, **about, exit=ran.exit)

    def _begin(self, hook: str, occasion: Occasion) -> hook_run.Ran:
        """Run a hook; where the system lacks what a process needs, try again for as long as it might have run."""
        assert self._bell is not None
        line, environment, timeout = occasion.line(), occasion.environment(), self._limits.hook_timeout
        until = time.monotonic() + timeout
        while True:
            ran = hook_run.run(hook, line, environment, timeout=timeout, stop=self._bell[0])
            if not ran.may_pass or time.monotonic() >= until:
                return ran
            with self._lock:
                if self._lock.wait_for(lambda: self._is_stopping, BEGIN_AGAIN):
                    return hook_run.Ran(ended="stopped")

    def _tell(self, level: str, text: str, hook: str, **fields: Any) -> None:
        """Notify, unless it is too much."""
        with self._lock:
            if not self._limiter.allows(hook, time.monotonic()):
                self._counts["unlogged"] += 1
                return
        self._notify(Notice(level=level, text=text, fields={"hook": os.path.basename(hook), **fields}))

    def _fail(self, name: str, error: BaseException) -> None:
        """End loudly: the daemon ends at a critical notice."""
        try:
            self._notify(Notice(level="critical", text="thread died", fields={"thread": name, "error": repr(error)}))
        finally:
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
