"""Health: commands that are run again and again, to know whether a service works.

Each has its own pace; the first run comes at once. A command is one process group, gone by the time its next run
begins. One thread looks after all of them, and of their output keeps only the end.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from discoveryd.errors import PASSING, ConfigError
from discoveryd.runtime.worker import Worker

CONCURRENT = 8
"""Commands that run at the same time; who is due meanwhile waits, the longest due first."""
KEPT = 4096
"""Bytes of the end of a command's output that are kept; its last line says what is wrong."""
LONGEST_LINE = 200
"""Characters of that line that are told."""
SHORTEST, LONGEST_INTERVAL, LONGEST_TIMEOUT = 0.1, 3600.0, 60.0
"""Seconds. A process costs about 1 ms: ten a second are nothing yet."""
AGAIN = 1.0
"""Seconds until a command is begun again for which there was no descriptor, process or memory."""
GRACE = 1.0
"""Seconds that killed commands get to be gone at our own stop; only one that hangs in the kernel needs them."""
JOIN_TIMEOUT = 5.0

_CHUNK = 65536
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How to find out whether a service works. Times are in seconds.

    Attributes:
        command: program and arguments; exit code 0 means that it works.
        interval: from one run's beginning to the next one's, unless it takes longer.
        timeout: after it the command is killed, and the service does not work.
    """

    command: tuple[str, ...]
    interval: float = 10.0
    timeout: float = 3.0

    def __post_init__(self) -> None:
        problems = [
            f"{key}: must be {allowed}, not {value:g}s"
            for key, value, longest, allowed in (
                ("interval", self.interval, LONGEST_INTERVAL, "100ms to 1h"),
                ("timeout", self.timeout, LONGEST_TIMEOUT, "100ms to 1m"),
            )
            if not SHORTEST <= value <= longest
        ]
        if not self.command or not self.command[0]:
            problems.insert(0, "command: must name a program")
        if problems:
            raise ConfigError(*problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a run.

    Attributes:
        key: whose check it is.
        check: that was run.
        works: whether the service does.
        why: in one line what is wrong, empty if nothing is.
    """

    key: str
    check: Check
    works: bool
    why: str = ""


class Health:
    """Runs checks in a thread of its own, and tells what came of each run.

    Args:
        told: called with each verdict, in that thread.
        failed: told what killed the thread, if anything does.
    """

    def __init__(self, told: Callable[[Verdict], None], failed: Callable[[str, BaseException], None]) -> None:
        self._told = told
        self._worker = Worker("health-checks", self._run, failed)
        self._wanted: Mapping[str, Check] = {}  # replaced as a whole, never changed: no lock is needed
        self._due: dict[str, tuple[float, Check]] = {}
        self._runs: list[_Run] = []
        self._bell = -1
        self._is_stopping = False

    def replace(self, checks: Mapping[str, Check]) -> None:
        """Run these from now on. One that is new or changed is run at once; others keep their pace."""
        self._wanted = dict(checks)
        self._ring()

    def start(self) -> None:
        """Start the thread.

        Raises:
            OSError: no descriptor or thread is left; it may be called again.
        """
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._worker.start()
        except OSError:
            os.close(self._bell)
            self._bell = -1
            raise

    def stop(self) -> None:
        """Kill what runs, and end the thread. Safe to call again, and before `start`.

        Raises:
            RuntimeError: the thread did not end.
        """
        self._is_stopping = True
        self._ring()
        if not self._worker.join(JOIN_TIMEOUT):
            raise RuntimeError(f"did not end within {JOIN_TIMEOUT:g} s: {self._worker.name}")
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1

    def _ring(self) -> None:
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._worker.turn()
                self._adopt()
                self._begin_due()
                ready = self._wait(self._patience(monotonic()))
                for run in list(self._runs):
                    self._follow(run, ready)
        finally:
            self._end_all()

    def _adopt(self) -> None:
        """Make what is wanted what is done."""
        wanted, now = self._wanted, monotonic()
        former, self._due = self._due, {}
        for key, check in wanted.items():
            due, known = former.get(key, (now, check))
            self._due[key] = (due if known == check else now), check
        for run in self._runs:
            if wanted.get(run.key) != run.check:
                run.kill()  # nobody waits for its verdict any more

    def _begin_due(self) -> None:
        """Begin what is due, as far as there is room, the longest due first."""
        now = monotonic()
        busy = {run.key for run in self._runs}
        for key, (due, check) in sorted(self._due.items(), key=lambda item: item[1][0]):
            if due > now or len(self._runs) >= CONCURRENT:
                return
            if key in busy:
                continue
            self._due[key] = now + check.interval, check
            try:
                self._runs.append(_Run(key, check))
            except OSError as error:
                if error.errno in PASSING:  # that says nothing of the service
                    self._due[key] = now + min(check.interval, AGAIN), check
                    continue
                why = f"cannot run {check.command[0]}: {error.strerror or error}"
                self._told(Verdict(key=key, check=check, works=False, why=_printable(why)))

    def _patience(self, now: float) -> float | None:
        """Give the seconds until something is to be done; None where only the bell can bring it."""
        times = [run.deadline for run in self._runs if not run.is_killed]
        if len(self._runs) < CONCURRENT:
            busy = {run.key for run in self._runs}
            times += [due for key, (due, _) in self._due.items() if key not in busy]
        return max(0.0, min(times) - now) if times else None

    def _wait(self, seconds: float | None) -> set[int]:
        """Wait until something happens; give the descriptors it happened at."""
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        for run in self._runs:
            for descriptor in run.descriptors:
                poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}
        if self._bell in ready:
            os.eventfd_read(self._bell)
        return ready

    def _follow(self, run: _Run, ready: set[int]) -> None:
        """Look after one run: take its output, its end, or its life."""
        if run.output in ready:
            run.hear()
        if run.handle in ready:
            self._runs.remove(run)
            was_killed = run.is_killed
            code = run.close()
            if not was_killed:
                self._tell(run, "" if code == 0 else f"exit {code}" if code > 0 else _signal(-code))
        elif not run.is_killed and monotonic() >= run.deadline:
            run.kill()
            self._tell(run, f"no answer within {run.check.timeout:g} s, killed")

    def _tell(self, run: _Run, fault: str) -> None:
        if self._wanted.get(run.key) != run.check:
            return
        why = f"{fault}: {run.last_line()}" if fault and run.last_line() else fault
        self._told(Verdict(key=run.key, check=run.check, works=not fault, why=why))

    def _end_all(self) -> None:
        for run in self._runs:
            run.kill()
        until = monotonic() + GRACE
        while self._runs and (left := until - monotonic()) > 0:
            ready = self._wait(left)
            for run in [one for one in self._runs if one.handle in ready]:
                self._runs.remove(run)
                run.close()


class _Run:
    """A command under way.

    Raises:
        OSError: it cannot be run.
    """

    def __init__(self, key: str, check: Check) -> None:
        self.key = key
        self.check = check
        self.is_killed = False
        self._tail = b""
        # the notify socket, and what else is in our environment, is none of its business
        own = {name: os.environ.get(name, default) for name, default in (("LANG", "C.UTF-8"), ("HOME", "/"))}
        self._process = subprocess.Popen(  # noqa: S603 - whose file it comes from has been checked
            [one.encode() for one in check.command],  # the locale may not be able to
            env={"PATH": _PATH, **own}, cwd="/", bufsize=0, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        try:
            self.handle = os.pidfd_open(self._process.pid)
        except OSError:
            self.kill()
            self._process.communicate()
            raise
        self.output = self._stdout.fileno()
        os.set_blocking(self.output, False)
        self._is_at_end = False
        self.deadline = monotonic() + check.timeout

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait for."""
        return (self.handle,) if self._is_at_end else (self.handle, self.output)

    def hear(self) -> bool:
        """Take some of its output; whether there may be more."""
        try:
            chunk = os.read(self.output, _CHUNK)
        except BlockingIOError:
            return False
        self._is_at_end = not chunk
        self._tail = (self._tail + chunk)[-KEPT:]
        return bool(chunk)

    def last_line(self) -> str:
        """Give the last line of its output that says anything, fit for a log and a terminal."""
        lines = self._tail.decode("utf-8", "backslashreplace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return _printable(said[-1]) if said else ""

    def kill(self) -> None:
        """End it and all it started, at once."""
        self.is_killed = True
        with suppress(ProcessLookupError, PermissionError):  # it became another user's
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> int:
        """Let go of it, once it has ended; give its exit code, or the number of its signal, negative."""
        # what it left running goes with it. Nobody has waited for it yet: the number is still its own
        self.kill()
        if self.hear():
            self.hear()  # what can still be in the pipe, which holds no more
        os.close(self.handle)
        self._stdout.close()
        return self._process.wait()


def _signal(number: int) -> str:
    return f"ended by {signal.Signals(number).name if number in set(signal.Signals) else f'signal {number}'}"


def _printable(text: str) -> str:
    """Escape what could end a line or command a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:LONGEST_LINE])
