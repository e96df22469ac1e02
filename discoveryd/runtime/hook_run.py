"""One run of a hook: a process with an event on its stdin, a deadline, and output of which the first part is kept.

``communicate`` of subprocess would keep all the output, which is the hook's to choose: hence a poll of our own.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal

from discoveryd.errors import PASSING

KEPT = 4096
"""Bytes of output that are kept for the log."""
LINES = 20
"""Lines of it that are logged."""
TAKEN = 1024 * 1024
"""Bytes of output that are read at all. Past it the pipe is closed, and the next write ends the hook (SIGPIPE):
one that writes without end would cost us as much processor time as itself."""
GRACE = 1.0
"""Seconds from SIGTERM to SIGKILL."""
FOREVER = 1e6
"""Seconds; what does not even end by SIGKILL hangs in the kernel."""

_CHUNK = 65536
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Ending = Literal["exit", "timeout", "stopped", "unstartable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a run.

    Attributes:
        ended: by itself, by its deadline, by our own stop; or it did not even begin.
        code: exit code; negative the signal that ended it.
        output: stdout and stderr as they came, the first `KEPT` bytes.
        is_cut: whether there was more.
        error: why it did not begin.
        may_pass: whether that was for lack of something that there may be again.
    """

    ended: Ending
    code: int = 0
    output: bytes = b""
    is_cut: bool = False
    error: str = ""
    may_pass: bool = False

    @property
    def exit(self) -> str:
        """The exit code, or the name of the signal."""
        if self.code >= 0:
            return str(self.code)
        number = -self.code
        return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"

    def lines(self) -> list[str]:
        """Give the output as lines for a log: whatever could command a terminal is escaped."""
        lines = self.output.decode("utf-8", "backslashreplace").split("\n")
        lines = ["".join(map(_escaped, line)) for line in lines if line.strip()]
        if self.is_cut or len(lines) > LINES:
            return [*lines[:LINES], "... and more"]
        return lines


def _escaped(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]


def run(path: str, line: bytes, environment: dict[str, str], *, timeout: float, stop: int) -> Ran:
    """Run a hook to its end; it and all it started in its process group are gone after.

    Args:
        path: of the executable.
        line: for its stdin.
        environment: besides PATH, LANG and HOME.
        timeout: seconds it may take.
        stop: descriptor that becomes readable, or hangs up, when there is no more time.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - whose file it is has been checked
            [path], env=_surroundings(environment), cwd="/", bufsize=0, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        return _unstartable(error)
    try:
        handle = os.pidfd_open(process.pid)
    except OSError as error:
        with process:
            _kill(process, signal.SIGKILL)
        return _unstartable(error)
    talk = _Talk(process, handle, line)
    try:
        return _conduct(process, talk, timeout, stop)
    finally:
        talk.close()


def _conduct(process: subprocess.Popen[bytes], talk: _Talk, timeout: float, stop: int) -> Ran:
    ended = talk.follow(timeout, stop)
    if ended != "exit":
        _kill(process, signal.SIGTERM)
        talk.follow(GRACE)
    # also after a good end: what it left running in its group is bounded by this. Nobody has waited for the
    # process yet, so the number is still its own
    _kill(process, signal.SIGKILL)
    is_gone = talk.follow(*((GRACE,) if ended == "stopped" else (FOREVER, stop))) == "exit"
    code = process.wait() if is_gone else -signal.SIGKILL
    return Ran(ended=ended, code=code, output=bytes(talk.output), is_cut=talk.taken > KEPT)


def _kill(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it is another user's by now
        os.killpg(process.pid, number)


def _surroundings(environment: dict[str, str]) -> dict[bytes, bytes]:
    """Give the whole environment: nothing of ours is the hook's business.

    In bytes, because the locale, which decides how text is encoded there, may not know all characters.
    """
    own = {"PATH": _PATH, "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": os.environ.get("HOME", "/")}
    return {
        name.encode(): value.encode("utf-8", "surrogateescape") for name, value in {**own, **environment}.items()
    }


def _unstartable(error: OSError) -> Ran:
    return Ran(ended="unstartable", error=_in_words(error), may_pass=error.errno in PASSING)


def _in_words(error: OSError) -> str:
    text = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return f"{text}: is the interpreter in its first line there?"
    return f"{text}: does it begin with a line such as #!/bin/sh ?" if error.errno == errno.ENOEXEC else text


class _Talk:
    """The three descriptors of a process: its stdin, its output, and the one that tells of its end."""

    def __init__(self, process: subprocess.Popen[bytes], handle: int, line: bytes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.output = bytearray()
        self.taken = 0
        self._handle = handle
        self._unsaid = line
        self._streams: dict[int, IO[bytes]] = {}
        self._poll = select.poll()
        self._poll.register(handle, select.POLLIN)
        self._stdin = process.stdin.fileno()
        self._stdout = process.stdout.fileno()
        for stream, wanted in ((process.stdin, select.POLLOUT), (process.stdout, select.POLLIN)):
            os.set_blocking(stream.fileno(), False)
            self._streams[stream.fileno()] = stream
            self._poll.register(stream.fileno(), wanted)

    def follow(self, seconds: float, stop: int | None = None) -> Ending:
        """Feed it and read it until it ends, the time is over or `stop` rings; say which."""
        until = time.monotonic() + seconds
        if stop is not None:
            self._poll.register(stop, select.POLLIN)
        try:
            while (left := until - time.monotonic()) > 0:
                ready = {descriptor for descriptor, _ in self._poll.poll(left * 1000)}
                if self._stdin in ready:
                    self._say()
                if self._stdout in ready:
                    self._hear()
                if self._handle in ready:
                    self._hear()  # what it said in the meantime
                    return "exit"
                if stop in ready:
                    return "stopped"
            return "timeout"
        finally:
            if stop is not None:
                self._poll.unregister(stop)

    def close(self) -> None:
        """Close all of them."""
        for descriptor in list(self._streams):
            self._drop(descriptor)
        os.close(self._handle)

    def _say(self) -> None:
        if self._stdin not in self._streams:
            return
        try:
            self._unsaid = self._unsaid[os.write(self._stdin, self._unsaid) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not want to know: that is its right
            self._unsaid = b""
        if not self._unsaid:
            self._drop(self._stdin)

    def _hear(self) -> None:
        if self._stdout not in self._streams:
            return
        try:
            chunk = os.read(self._stdout, _CHUNK)
        except BlockingIOError:
            return
        self.taken += len(chunk)
        self.output += chunk[: KEPT - len(self.output)]
        if not chunk or self.taken > TAKEN:
            self._drop(self._stdout)

    def _drop(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._streams.pop(descriptor).close()
