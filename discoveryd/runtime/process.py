"""Commands under way: the process group of each, its deadline, the part of its output that is kept, and its end.

A thread follows any number of commands with `Processes.wait`; nothing else here waits. ``communicate`` of subprocess
would keep all the output, which is the command's to choose.
"""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Generic, Literal, TypeVar

from discoveryd.runtime.worker import Failed, Worker

KEPT = 4096
"""Bytes that are kept of the beginning of the output, and of its end, unless more are wanted."""
GRACE = 1.0
"""Seconds from SIGTERM to SIGKILL, and from SIGKILL to the moment when a process counts as hanging in the kernel."""
JOIN_TIMEOUT = 5.0
"""Seconds for the thread to end; it needs `GRACE` twice at most."""

_CHUNK = 65536
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Ending = Literal["", "exit", "timeout", "stopped"]
Job = TypeVar("Job")


class Process:
    """A command under way, with all that it starts in its process group.

    Args:
        command: program and arguments.
        timeout: seconds until the command is ended.
        grace: seconds from SIGTERM to SIGKILL; 0 sends SIGKILL alone.
        stdin: bytes for its standard input.
        environment: variables besides PATH, LANG and HOME; nothing else of ours is passed on.
        most_output: bytes of output that are read. Then the pipe is closed, and the next write ends the command
            (SIGPIPE).
        kept: bytes that are kept of the beginning of the output, and of its end.
        is_split: whether what it writes to standard error is kept for itself.

    Attributes:
        ended: empty while the command runs; ``exit`` if it ended by itself, ``timeout`` after its deadline,
            ``stopped`` after `end`.
        code: exit code; negative the signal that ended the command. Valid once `is_gone`.
        head: the first bytes of stdout and stderr together; where they are split, of stdout.
        tail: the last bytes of them.
        size: bytes of output that were read.
        errors: the first `KEPT` bytes of stderr, where that is for itself.
        deadline: when `follow` has something to do, even if no descriptor is ready (monotonic seconds).

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[bytes],
        *,
        timeout: float,
        grace: float = 0.0,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        most_output: float = inf,
        kept: int = KEPT,
        is_split: bool = False,
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the owner of the file has been checked
            command, env=_environment(environment or {}), cwd="/", bufsize=0, start_new_session=True,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if is_split else subprocess.STDOUT,
        )  # fmt: skip
        try:
            self._handle = os.pidfd_open(self._process.pid)
        except OSError:
            with self._process:
                self._signal(signal.SIGKILL)
            raise
        self.deadline = monotonic() + timeout
        self.ended: Ending = ""
        self.code = 0
        self.head = self.tail = self.errors = b""
        self.size = 0
        self._kept = kept
        self._errors_left = most_output
        self._grace = grace
        self._most_output = most_output
        self._unwritten = stdin
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._streams = {pipe.fileno(): pipe for pipe in pipes if pipe}
        for descriptor in self._streams:
            os.set_blocking(descriptor, False)

    @property
    def is_gone(self) -> bool:
        """Whether the command has ended, and its process group with it."""
        return self._process.returncode is not None

    @property
    def exit(self) -> str:
        """The exit code, or the name of the signal."""
        if self.code >= 0:
            return str(self.code)
        number = -self.code
        return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"

    def descriptors(self) -> Iterator[tuple[int, int]]:
        """Yield what `follow` waits for: descriptors, each with the events of poll(2)."""
        yield self._handle, select.POLLIN
        for descriptor, pipe in self._streams.items():
            yield descriptor, select.POLLOUT if pipe is self._process.stdin else select.POLLIN

    def follow(self, ready: set[int], now: float) -> bool:
        """Write, read, and end the command after its deadline.

        Returns:
            whether `ended` or `is_gone` has changed.
        """
        for descriptor in self._streams.keys() & ready:
            self._exchange(descriptor)
        if self._handle in ready:
            self._reap()
            return True
        if now < self.deadline:
            return False
        is_first = not self.ended
        self.end("timeout", now)
        return is_first

    def end(self, why: Literal["timeout", "stopped"], now: float) -> None:
        """Send SIGTERM, and SIGKILL after the grace; SIGKILL alone where there is none, or the second time."""
        self.ended = self.ended or why
        self._signal(signal.SIGTERM if self._grace else signal.SIGKILL)
        self.deadline = now + self._grace if self._grace else inf
        self._grace = 0.0

    def close(self) -> None:
        """Close the descriptors; `follow` must not be called after it."""
        os.close(self._handle)
        for pipe in self._streams.values():
            pipe.close()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # it is another user's by now
            os.killpg(self._process.pid, number)

    def _exchange(self, descriptor: int) -> None:
        """Write input, or read output; close the pipe after the last of it."""
        pipe = self._streams[descriptor]
        try:
            if pipe is self._process.stdin:
                self._unwritten = self._unwritten[os.write(descriptor, self._unwritten) :]
                is_over = not self._unwritten
            elif pipe is self._process.stderr:
                chunk = os.read(descriptor, _CHUNK)
                self.errors += chunk[: KEPT - len(self.errors)]
                self._errors_left -= len(chunk)
                is_over = not chunk or self._errors_left < 0
            else:
                chunk = os.read(descriptor, _CHUNK)
                self.size += len(chunk)
                self.head += chunk[: self._kept - len(self.head)]
                self.tail = (self.tail + chunk)[-self._kept :]
                is_over = not chunk or self.size > self._most_output
        except BlockingIOError:
            return
        except BrokenPipeError:  # the command does not read its input
            is_over = True
        if is_over:
            self._streams.pop(descriptor).close()

    def _reap(self) -> None:
        # also after a good end: so the processes that are left in the group are bounded. Nobody has waited for the
        # command yet, so the number is still its own
        self._signal(signal.SIGKILL)
        for descriptor in (*self._streams, *self._streams):  # twice: a pipe holds no more
            if descriptor in self._streams:
                self._exchange(descriptor)
        self.close()
        self.code = self._process.wait()
        self.ended = self.ended or "exit"


class Processes(Generic[Job]):
    """The commands that a thread follows; any thread may call `wake`, all else is that thread's alone.

    Args:
        name: of the thread.
        turn: called in the thread again and again; each call waits once.
        failed: called with name and exception, should an exception end the thread.

    Attributes:
        running: commands under way, each with what it was started for.
    """

    def __init__(self, name: str, turn: Callable[[], None], failed: Failed) -> None:
        self._turn = turn
        self._worker = Worker(name, self._run, failed)
        self._bell = -1
        self.running: dict[Process, Job] = {}
        self._is_stopping = False

    def open(self) -> None:
        """Open what `wake` uses.

        Raises:
            OSError: no descriptor is left.
        """
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def start(self) -> None:
        """Start the thread.

        Raises:
            OSError: no descriptor or thread is left; `start` may be called again.
        """
        self.open()
        try:
            self._worker.start()
        except OSError:
            self.close()
            raise

    def stop(self) -> None:
        """End the thread and all commands. Safe to call again, and before `start`.

        Raises:
            RuntimeError: the thread did not end.
        """
        self._is_stopping = True
        self.wake()
        if not self._worker.join(JOIN_TIMEOUT):
            raise RuntimeError(f"did not end within {JOIN_TIMEOUT:g} s: {self._worker.name}")
        self.close()

    def close(self) -> None:
        """Close what `open` opened."""
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1

    def wake(self) -> None:
        """Let the thread return from `wait`, or not wait the next time."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def wait(self, until: float) -> list[tuple[Process, Job]]:
        """Wait for a change, for `wake`, or until a moment (monotonic seconds); it may return sooner.

        Returns:
            the commands that are gone, and those whose deadline has just passed.
        """
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        for process in self.running:
            for descriptor, events in process.descriptors():
                poll.register(descriptor, events)
            until = min(until, process.deadline)
        timeout = None if until == inf else max(0.0, until - monotonic()) * 1000
        ready = {descriptor for descriptor, _ in poll.poll(timeout)}
        if self._bell in ready:
            os.eventfd_read(self._bell)
        now = monotonic()
        changed = [(process, job) for process, job in self.running.items() if process.follow(ready, now)]
        self.running = {process: job for process, job in self.running.items() if not process.is_gone}
        return changed

    def end(self) -> None:
        """End all commands, and wait for that; a command that hangs in the kernel is left behind."""
        now = monotonic()
        for process in self.running:
            process.end("stopped", now)
        while self.running and monotonic() < now + 2 * GRACE:
            self.wait(now + 2 * GRACE)
        for process in self.running:
            process.close()
        self.running = {}

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._turn()
        finally:
            self.end()


def _environment(added: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return the whole environment of a command.

    In bytes, because the locale, which decides how text is encoded there, may not know all characters.
    """
    own = {"PATH": _PATH, "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": os.environ.get("HOME", "/")}
    return {name.encode(): value.encode("utf-8", "surrogateescape") for name, value in {**own, **added}.items()}
