"""Hooks: executables that are run when something happens to a peer, or looks wrong. They never delay the daemon.

Events wait in a queue until a thread (``hook-runner``) runs the hooks for them, as many processes at a time as
`Limits.hooks` allows; one that hangs is ended after `Limits.hook_timeout`. `Hooks._lock` guards the queue and the
counters; it is never held across a system call, nor while a notice is sent.
"""

import errno
import os
import stat
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import inf
from time import monotonic
from typing import Any

from discoveryd.errors import PASSING
from discoveryd.protocol.bounded import TokenBuckets
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.peer import Event
from discoveryd.query.formats import printable
from discoveryd.runtime.hook_queue import FindingEvent, HookQueue, Job, Occasion, SiteHookEvent
from discoveryd.runtime.notices import Notice, Notify, of_death, warning
from discoveryd.runtime.process import GRACE, KEPT, Process, Processes

LOOK_AGAIN = 1.0
"""Seconds after which an event has the directory read again. Not at each event: a system call lets other
threads go first, and the events of a busy node would come in faster than they are taken."""
NOTICES = 50
ALL_NOTICES = 200
"""Notices a second of one hook, and of all together: what a hook prints must drown neither the log nor
the notices of another hook."""
LINES = 20
"""Lines of the output of a run that are logged."""
MOST_OUTPUT = 1024 * 1024
"""Bytes of output that are read of a run: a hook that writes without end would cost us as much processor time as
itself."""
RETRY = 1.0
"""Seconds until a hook is started again for which there was no descriptor, process or memory."""

MAX_HOOKS = 64
"""Hooks of one directory; a directory with more was not meant to hold hooks."""

_PASSED_OVER = (
    ".*", "*~", "#*#", "*.bak", "*.old", "*.orig", "*.rej", "*.swp", "*.tmp",
    "*.dpkg-*", "*.ucf-*", "*.rpmsave", "*.rpmnew", "*.rpmorig",
)  # fmt: skip
"""What editors and package managers leave behind."""
_FOREIGN_WRITERS = stat.S_IWGRP | stat.S_IWOTH

TROUBLES = {
    "coalescing": "of each peer only the newest event waits; make it quicker, or raise limits.hooks",
    "full": "events are dropped; make it quicker, or raise limits.hook_queue",
}


Refusal = tuple[str, str]
"""A file or directory that is not run; why, and what to do about it."""


class Hooks:
    """Runs the executables of a directory at each event.

    Args:
        directory: of the hooks; it may be absent, and appear later.
        notify: called with a `Notice` now and then, in any thread, without a lock.
        limits: `Limits.hooks`, `Limits.hook_timeout` and `Limits.hook_queue` hold here.
    """

    def __init__(self, directory: str, notify: Notify, limits: Limits | None = None) -> None:
        self.directory = directory
        self._notify = notify
        self._limits = limits or Limits()
        self._lock = threading.Lock()  # see above
        self._queue = HookQueue(slots=self._limits.hooks, limit=self._limits.hook_queue)
        self._counts: Counter[str] = Counter()
        self._refused: tuple[Refusal, ...] = ()
        self._seq: int | None = None
        self._is_stopping = False
        self._looked_at = 0.0
        self._buckets = TokenBuckets(NOTICES, ALL_NOTICES, MAX_HOOKS)
        # of the runner alone, but for `wake`
        self._processes = Processes[Job]("hook-runner", self._turn, self._fail)
        self._delayed: list[tuple[Job, float]] = []  # jobs to start again, each with the end of its time
        self._retry_at = inf
        self._is_awake = False  # since it last took jobs; guarded by the lock

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Read the directory, and start the thread.

        Raises:
            OSError: no descriptor or thread is left.
        """
        self._look()
        self._processes.start()

    def stop(self) -> None:
        """End: what waits is not run, what runs gets SIGTERM and a second later SIGKILL.

        Safe to call again, and before `start`.

        Raises:
            RuntimeError: the thread did not end.
        """
        with self._lock:
            self._is_stopping = True
            self._queue.clear()
        self._processes.stop()

    # --- for the daemon -------------------------------------------------------------------------

    def reload(self, limits: Limits | None = None) -> None:
        """Read the directory again, and take other limits. What runs keeps the timeout it began with."""
        if limits is not None:
            with self._lock:
                self._limits = limits
                self._queue.slots, self._queue.limit = limits.hooks, limits.hook_queue
        self._look()
        self._wake_runner()

    def hear(self, event: Event) -> None:
        """Run the hooks for an event; quick, and events that were missed since the last one are counted."""
        lost, self._seq = event.seq - (self._seq or event.seq - 1) - 1, event.seq
        if lost:
            with self._lock:
                self._counts["lost"] += lost
            self._notify(warning("hooks missed events", lost=lost))
        self._offer(Occasion.of(event))

    def doubt(self, *, is_isolated: bool, reason: str) -> None:
        """Tell the hooks that this node is rather cut off itself (``isolated``), or no longer (``connected``)."""
        self._offer(Occasion(kind="isolated" if is_isolated else "connected", reason=reason))

    def find(self, kind: FindingEvent, finding: Mapping[str, Any]) -> None:
        """Tell the hooks for findings of one that appeared, or that is gone."""
        self._offer(Occasion(kind=kind, reason=finding["text"], finding=finding))

    def tell_site(self, kind: SiteHookEvent, site: str, reason: str) -> None:
        """Tell the hooks for sites of one that fell silent, or is back."""
        self._offer(Occasion(kind=kind, reason=reason, site=site))

    def counts(self) -> dict[str, int]:
        """Return what ``status`` shows.

        ``hooks`` and ``refused``: files that are run, and that are not. ``run``: runs that ended, of them ``failed``
        (exit code not 0, or not startable) and ``timeout``. Events that were ``coalesced`` into a newer one of the
        same peer, ``dropped`` because a queue was full, ``lost`` before they came here. ``unlogged``: notices that
        were too many. ``running`` and ``waiting``: at this moment.
        """
        with self._lock:
            files = {"hooks": len(self._queue.hooks), "refused": len(self._refused)}
            counts = {name: self._counts[name] for name in ("run", "failed", "timeout", "lost", "unlogged")}
            return {**files, **counts, **self._queue.counts()}

    # --- events and files -----------------------------------------------------------------------

    def _offer(self, occasion: Occasion) -> None:
        if monotonic() - self._looked_at >= LOOK_AGAIN:
            self._look()
        with self._lock:
            if self._is_stopping:
                return
            begun = self._queue.put(occasion)
        self._wake_runner()
        for hook, trouble in begun:
            self._tell("warning", "hook falls behind", hook, what=TROUBLES[trouble])

    def _wake_runner(self) -> None:
        """Wake the runner if it may have something to start: a system call at each event would be too many."""
        with self._lock:
            if self._is_awake or not self._queue.waiting or self._queue.running >= self._queue.slots:
                return
            self._is_awake = True
        self._processes.wake()

    def _look(self) -> None:
        """Read which hooks there are; tell of each refused file once."""
        self._looked_at = monotonic()
        hooks = None
        try:
            hooks, refused = find_hooks(self.directory)
        except OSError as error:  # the hooks stay as they are
            refused = ((self.directory, f"cannot be read now: {error.strerror}"),)
        with self._lock:
            if self._is_stopping:
                return
            fresh = [refusal for refusal in refused if refusal not in self._refused]
            self._refused = refused
            if hooks is not None:
                self._queue.set_hooks(hooks)
        for path, why in fresh:
            self._notify(warning("hook not run", path=path, why=why))

    # --- the runner -----------------------------------------------------------------------------

    def _turn(self) -> None:
        if monotonic() >= self._retry_at:
            delayed, self._delayed, self._retry_at = self._delayed, [], inf
            for job, until in delayed:
                self._start_job(job, until)
        while (taken := self._take()) is not None:
            self._start_job(taken, monotonic() + self._limits.hook_timeout)
        for process, job in self._processes.wait(self._retry_at):
            if process.is_gone:
                self._settle(process, job)

    def _take(self) -> Job | None:
        with self._lock:
            self._is_awake = False
            return None if self._is_stopping else self._queue.take()

    def _start_job(self, job: Job, until: float) -> None:
        """Start a hook; where the system lacks what a process needs, try again for as long as it might have run."""
        if why_not(job.hook):  # it was changed since
            self._look()
            with self._lock:
                self._queue.done(job)
            return
        occasion, now = job.occasion, monotonic()
        try:
            process = Process(
                [os.fsencode(job.hook)], timeout=self._limits.hook_timeout, grace=GRACE, stdin=occasion.line(),
                environment=occasion.environment(), most_output=MOST_OUTPUT,
            )  # fmt: skip
        except OSError as error:
            if error.errno in PASSING and now < until:
                self._delayed.append((job, until))
                self._retry_at = min(self._retry_at, now + RETRY)
            else:
                self._report(job, "warning", "hook cannot be run", "failed", error=in_words(error))
            return
        self._processes.running[process] = job

    def _settle(self, process: Process, job: Job) -> None:
        """Report a run that has ended."""
        lines = shown_lines(process.head, is_cut=process.size > KEPT)
        if process.ended == "timeout":
            self._report(job, "warning", "hook was ended", "timeout", lines, why="limits.hook_timeout is over")
        else:
            level, fault = ("warning", "failed") if process.code else ("debug", "")
            self._report(job, level, "hook ended", fault, lines, exit=process.exit)

    def _report(self, job: Job, level: str, text: str, fault: str, lines: Sequence[str] = (), **fields: Any) -> None:
        """Count a run, and tell what came of it."""
        occasion = job.occasion
        with self._lock:
            self._queue.done(job)
            self._counts.update(["run", *([fault] if fault else [])])
        about: dict[str, Any] = {"on": occasion.kind, "peer": occasion.peer.label if occasion.peer else "-"}
        about |= {"code": occasion.finding["code"]} if occasion.finding else {}
        about |= {"coalesced": occasion.coalesced} if occasion.coalesced else {}
        for line in lines:
            self._tell("info", "hook says", job.hook, **about, line=line)
        self._tell(level, text, job.hook, **about, **fields)

    def _tell(self, level: str, text: str, hook: str, **fields: Any) -> None:
        """Notify, unless it is too much."""
        with self._lock:
            if not self._buckets.allows(hook, monotonic()):
                self._counts["unlogged"] += 1
                return
        self._notify(Notice(level=level, text=text, fields={"hook": os.path.basename(hook), **fields}))

    def _fail(self, name: str, error: BaseException) -> None:
        """End loudly: the daemon ends at a critical notice."""
        with self._lock:
            self._queue.clear()
        self._notify(of_death(name, error))


def shown_lines(output: bytes, *, is_cut: bool) -> list[str]:
    """Return the output of a program as lines for the log; `is_cut` tells whether it wrote more."""
    text = output.decode("utf-8", "backslashreplace")
    lines = [printable(line) for line in text.split("\n") if line.strip()]
    return [*lines[:LINES], "... and more"] if is_cut or len(lines) > LINES else lines


def in_words(error: OSError) -> str:
    """Return why a program could not be started, and what may help."""
    text = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return f"{text}: is the interpreter in its first line there?"
    return f"{text}: does it begin with a line such as #!/bin/sh ?" if error.errno == errno.ENOEXEC else text


def find_hooks(directory: str) -> tuple[tuple[str, ...], tuple[Refusal, ...]]:
    """Return the paths of the hooks, in the order of their names, and what is refused.

    No directory, no hooks: that is no fault. Files named as backups are, and directories, are passed over.

    Raises:
        OSError: of `PASSING`; the directory cannot be read now.
    """
    try:
        names, fault = sorted(os.listdir(directory)), foreign(directory)
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        if error.errno in PASSING:
            raise
        names, fault = [], f"cannot be read: {error.strerror}"
    if fault:
        return (), ((directory, fault),)
    meant = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in _PASSED_OVER)]
    paths = [os.path.join(directory, name) for name in meant]
    checked = [(path, why_not(path)) for path in paths if not os.path.isdir(path)]
    hooks = [path for path, why in checked if not why]
    faults = [(path, why) for path, why in checked if why]
    if len(hooks) > MAX_HOOKS:
        faults.append((directory, f"has {len(hooks)} programs; only the first {MAX_HOOKS} by name are run"))
    return tuple(hooks[:MAX_HOOKS]), tuple(faults[:MAX_HOOKS])


def why_not(path: str) -> str:
    """Return why a file must not be run, empty if it may be.

    A user that can write the file, or replace it, has the rights of the daemon if it is run.
    """
    try:
        found = os.stat(path)
        real = os.path.realpath(path)
        fault = foreign(path) or foreign(os.path.dirname(real))
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file: remove it"
    if fault:
        return fault
    return "" if os.access(path, os.X_OK) else f"is not executable: chmod +x {path}"


def foreign(path: str) -> str:
    """Return which other users may write a file or directory, and the remedy; empty if none may.

    Raises:
        OSError: its owner and mode cannot be read.
    """
    found = os.stat(path)
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to uid {found.st_uid}, neither root nor the daemon's: chown root {path}"
    if found.st_mode & _FOREIGN_WRITERS:
        return f"{path} is writable by group or others: chmod go-w {path}"
    return ""
