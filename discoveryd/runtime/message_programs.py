"""Programs of ``messages.d``: executables that handle the messages of their name. Nothing they do holds anything up.

The engine asks with the lock of the driver held whether a program takes a message (`Programs.wants`), so that makes no
system call: it looks at what was read of the directory and of the configuration. A thread (``message-runner``) runs the
programs, of each name one at a time. `Programs._lock` guards what both use, and is never held across a system call.
"""

import os
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from queue import SimpleQueue
from time import monotonic

from discoveryd.protocol.bounded import TokenBuckets
from discoveryd.protocol.messages.values import MAX_PAYLOAD, NAME, AllowRule, IncomingMessage
from discoveryd.query.messages import BUILTIN, ProgramStatus
from discoveryd.runtime.hooks import ALL_NOTICES, MAX_HOOKS, NOTICES, find_hooks, in_words, shown_lines, why_not
from discoveryd.runtime.message_handlers import Done
from discoveryd.runtime.notices import Notice, Notify, of_death, warning
from discoveryd.runtime.process import GRACE, KEPT, Process, Processes

MOST_WAITING = 4
"""Messages of one name that wait for its program, with the one that it handles; one more is refused (``busy``)."""
MOST_OUTPUT = 1024 * 1024
"""Bytes that are read of what a program writes, to each of stdout and stderr; then it finds its pipe closed."""


@dataclass(slots=True)
class ProgramFile:
    """A file of the directory.

    Attributes:
        path: of it.
        fault: why it is not run, whatever the configuration says; empty if it may be.
        counts: runs that ended, of them failed ones and timeouts.
        taken: messages that it takes and that have not ended.
    """

    path: str
    fault: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    taken: int = 0


class Programs:
    """Runs the executables of a directory, each for the messages of its name.

    Args:
        directory: of the programs; it may be absent, and appear later.
        notify: called with a `Notice` now and then, in any thread, without a lock.
    """

    def __init__(self, directory: str, notify: Notify) -> None:
        self._directory = directory
        self._notify = notify
        self._lock = threading.Lock()
        self._programs: dict[str, ProgramFile] = {}
        self._rules: Sequence[AllowRule] = ()
        self._is_sealed = self._has_builtins = False
        self._timeout = inf
        self._told: dict[str, str] = {}  # why a path is not run, as it was told
        self._buckets = TokenBuckets(NOTICES, ALL_NOTICES, MAX_HOOKS)
        self._inbox: SimpleQueue[tuple[IncomingMessage, Done]] = SimpleQueue()
        # of the runner alone, but for `wake`
        self._processes = Processes[tuple[IncomingMessage, Done]]("message-runner", self._turn, self._fail)
        self._waiting: dict[str, deque[tuple[IncomingMessage, Done]]] = {}

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread.

        Raises:
            OSError: no descriptor or thread is left.
        """
        self._processes.start()

    def stop(self) -> None:
        """End: what waits is not run, what runs gets SIGTERM and a second later SIGKILL.

        Raises:
            RuntimeError: the thread did not end.
        """
        self._processes.stop()

    # --- for the daemon -------------------------------------------------------------------------

    def look(self, rules: Sequence[AllowRule], *, has_builtins: bool, is_sealed: bool, timeout: float) -> None:
        """Read which programs there are; tell once of each that is not run.

        Args:
            rules: which messages may start them.
            has_builtins: whether the daemon answers the built-in names.
            is_sealed: whether nothing plain is taken (``security.mode: require``).
            timeout: seconds that a run may take.
        """
        found, faults = None, {}
        try:
            found = self._read()
        except OSError as error:  # the programs stay as they are, but not what may start them
            faults[self._directory] = f"cannot be read now: {error.strerror}"
        with self._lock:
            self._rules, self._has_builtins, self._is_sealed, self._timeout = rules, has_builtins, is_sealed, timeout
            if found is not None:
                for name, program in found.items():
                    if name in self._programs:
                        program.counts, program.taken = self._programs[name].counts, self._programs[name].taken
                self._programs = found
            faults |= {program.path: self._why(name) for name, program in self._programs.items() if self._why(name)}
        fresh = {path: why for path, why in faults.items() if self._told.get(path) != why}
        self._told = faults
        for path, why in fresh.items():
            self._notify(warning("message program not run", path=path, why=why))

    def _read(self) -> dict[str, ProgramFile]:
        paths, refused = find_hooks(self._directory)
        found = {os.path.basename(path): ProgramFile(path) for path in paths}
        found |= {os.path.basename(path): ProgramFile(path, why) for path, why in refused}
        for name, program in found.items():
            if not program.fault and not NAME.fullmatch(name):
                program.fault = "no message can have this name: rename it, to 1 to 32 of a-z 0-9 -"
        return found

    def _why(self, name: str) -> str:
        """Return why a program is not run, empty if it is, with the lock held."""
        if fault := self._programs[name].fault:
            return fault
        if name in BUILTIN and self._has_builtins:
            return "the daemon itself answers this name: rename it, or set messages.builtins: off"
        if not self._is_sealed:
            return "anybody on the network could start it: it needs keys, and security.mode: require"
        if not any(rule.allows_name(name) for rule in self._rules):
            return f'nobody may: list {{name: {name}, from: "..."}} under messages.allow'
        return ""

    def status(self) -> list[ProgramStatus]:
        """Return what ``status`` shows of each program."""
        with self._lock:
            return [
                {
                    "name": name, "why": self._why(name) or None, "taken": program.taken,
                    "run": program.counts["run"], "failed": program.counts["failed"],
                    "timeout": program.counts["timeout"],
                }
                for name, program in self._programs.items()
            ]  # fmt: skip

    # --- messages -------------------------------------------------------------------------------

    def wants(self, message: IncomingMessage) -> str | None:
        """Take the messages of the programs, from nodes that may."""
        with self._lock:
            program = self._programs.get(message.name)
            if program is None:
                return None
            is_allowed = message.is_sealed and any(rule.allows(message) for rule in self._rules)
            if self._why(message.name) or not is_allowed:
                return "denied"
            if program.taken >= MOST_WAITING:
                return "busy"
            program.taken += 1
        return ""

    def handle(self, message: IncomingMessage, done: Done) -> None:
        """Let the thread run the program."""
        self._inbox.put((message, done))
        self._processes.wake()

    # --- the runner -----------------------------------------------------------------------------

    def _turn(self) -> None:
        while not self._inbox.empty():
            job = self._inbox.get()
            self._waiting.setdefault(job[0].name, deque()).append(job)
        busy = {message.name for message, _ in self._processes.running.values()}
        for name in [name for name in self._waiting if name not in busy]:
            message, done = self._waiting[name].popleft()
            if not self._waiting[name]:
                del self._waiting[name]
            self._begin(message, done)
        for process, job in self._processes.wait(inf):
            if process.is_gone:
                self._settle(process, *job)

    def _begin(self, message: IncomingMessage, done: Done) -> None:
        """Start a program; one that was changed since it was looked at is looked at again first."""
        with self._lock:
            program, timeout = self._programs.get(message.name), self._timeout
        why = why_not(program.path) if program else "it is gone"
        if program is None or why:
            self._end(message, done, "failed", "warning", "message program not run", why=why)
            return
        try:
            process = Process(
                [os.fsencode(program.path)], timeout=timeout, grace=GRACE, stdin=message.payload,
                environment=_environment(message), most_output=MOST_OUTPUT, kept=MAX_PAYLOAD + 1, is_split=True,
            )  # fmt: skip
        except OSError as error:
            self._end(message, done, "failed", "warning", "message program cannot be run", error=in_words(error))
        else:
            self._processes.running[process] = (message, done)

    def _settle(self, process: Process, message: IncomingMessage, done: Done) -> None:
        """Tell what came of a run."""
        said = process.errors if message.is_question else process.head[:KEPT] + process.errors
        for line in shown_lines(said, is_cut=len(said) >= KEPT):
            self._tell("info", "message program says", message, line=line)
        if process.ended == "timeout":
            why = "limits.hook_timeout is over"
            self._end(message, done, "failed", "warning", "message program was ended", fault="timeout", why=why)
        elif process.code:
            self._end(message, done, "failed", "warning", "message program ended", exit=process.exit)
        elif message.is_question and process.size > message.room:
            why = f"its answer has more than {message.room} bytes"
            self._end(message, done, "too-long", "warning", "message program ended", why=why)
        else:
            answer = process.head if message.is_question else None
            self._end(message, done, "handled", "debug", "message program ended", answer=answer, exit=process.exit)
        self._processes.wake()  # the next one of its name may begin

    def _end(
        self, message: IncomingMessage, done: Done, status: str, level: str, text: str, *, fault: str = "failed",
        answer: bytes | None = None, **fields: str,
    ) -> None:  # fmt: skip
        """Count a run, tell what came of it, and let its sender know."""
        with self._lock:
            program = self._programs.get(message.name)
            if program is not None:
                program.taken = max(program.taken - 1, 0)  # the file may have gone and come meanwhile
                program.counts.update(["run", *([fault] if status != "handled" else [])])
        self._tell(level, text, message, **fields)
        done(status, answer)

    def _tell(self, level: str, text: str, message: IncomingMessage, **fields: str) -> None:
        """Notify, unless it is too much."""
        if self._buckets.allows(message.name, monotonic()):
            about = {"message": message.name, "peer": message.sender.label}
            self._notify(Notice(level=level, text=text, fields={**about, **fields}))

    def _fail(self, name: str, error: BaseException) -> None:
        """End loudly: the daemon ends at a critical notice."""
        self._notify(of_death(name, error))


def _environment(message: IncomingMessage) -> dict[str, str]:
    sender = message.sender
    found = {
        "DISCOVERYD_MESSAGE": message.name,
        "DISCOVERYD_QUESTION": "1" if message.is_question else "",
        "DISCOVERYD_PEER": sender.name or sender.address,
        "DISCOVERYD_ADDRESS": sender.address,
        "DISCOVERYD_ID": sender.id,
    }
    # nothing that ends a line, commands a terminal or cannot be encoded
    return {name: "".join(char if char.isprintable() else "?" for char in text) for name, text in found.items()}
