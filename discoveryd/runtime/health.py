"""Health: commands that are run again and again, to know whether a service works.

Each check has its own pace; its first run comes at once, and a run is gone before the next one begins. One thread
follows all runs.
"""

from collections.abc import Callable, Mapping
from math import inf
from time import monotonic

from discoveryd.errors import PASSING, ConfigError
from discoveryd.frozen import frozen
from discoveryd.query.formats import printable
from discoveryd.runtime.process import Process, Processes
from discoveryd.runtime.worker import Failed

CONCURRENT = 8
"""Commands that run at the same time; a check that is due meanwhile waits, the longest due first."""
LONGEST_LINE = 200
"""Characters that are told of the last line of a command's output."""
SHORTEST, LONGEST_INTERVAL, LONGEST_TIMEOUT = 0.1, 3600.0, 60.0
"""Seconds. A process costs about 1 ms: ten a second are nothing yet."""
RETRY = 1.0
"""Seconds until a command is started again for which there was no descriptor, process or memory."""


@frozen
class Check:
    """How to find out whether a service works. Times are in seconds.

    Attributes:
        command: program and arguments; exit code 0 means that it works.
        interval: from the start of a run to that of the next, unless the run takes longer.
        timeout: after it the command is killed, and the service does not work.
    """

    command: tuple[str, ...]
    interval: float = 10.0
    timeout: float = 3.0

    def __post_init__(self) -> None:
        problems = [] if self.command and self.command[0] else ["command: must name a program"]
        if not SHORTEST <= self.interval <= LONGEST_INTERVAL:
            problems.append(f"interval: must be 100ms to 1h, not {self.interval:g}s")
        if not SHORTEST <= self.timeout <= LONGEST_TIMEOUT:
            problems.append(f"timeout: must be 100ms to 1m, not {self.timeout:g}s")
        if problems:
            raise ConfigError(*problems)


@frozen
class CheckResult:
    """The result of a run.

    Attributes:
        key: the name of the check.
        check: what was run.
        works: whether the service does.
        why: in a line what is wrong, empty if nothing is.
    """

    key: str
    check: Check
    works: bool
    why: str = ""


class Health:
    """Runs checks in a thread of its own, and tells the result of each run.

    Args:
        told: called with each result, in that thread.
        failed: called with the exception that ended the thread.
    """

    def __init__(self, told: Callable[[CheckResult], None], failed: Failed) -> None:
        self._told = told
        self._wanted: Mapping[str, Check] = {}  # replaced as a whole, never changed: no lock is needed
        self._due: dict[str, tuple[float, Check]] = {}
        self._processes = Processes[tuple[str, Check]]("health-checks", self._turn, failed)

    def replace(self, checks: Mapping[str, Check]) -> None:
        """Run these checks from now on. A new or changed check is run at once; others keep their pace."""
        self._wanted = dict(checks)
        self._processes.wake()

    def start(self) -> None:
        """Start the thread, as `Processes.start`."""
        self._processes.start()

    def stop(self) -> None:
        """Kill what runs and end the thread, as `Processes.stop`."""
        self._processes.stop()

    # --- in the thread --------------------------------------------------------------------------

    def _turn(self) -> None:
        self._adopt()
        for process, (key, check) in self._processes.wait(self._start_due()):
            self._settle(process, key, check)

    def _adopt(self) -> None:
        """Take over what `replace` was given."""
        wanted, now = self._wanted, monotonic()
        former, self._due = self._due, {}
        for key, check in wanted.items():
            due, known = former.get(key, (now, check))
            self._due[key] = (due if known == check else now), check
        for process, (key, check) in self._processes.running.items():
            if wanted.get(key) != check:
                process.end("stopped", now)

    def _start_due(self) -> float:
        """Start what is due, as far as there is room, the longest due first.

        Returns:
            when the next check is due; infinity where the end of a run, or `replace`, comes first.
        """
        now, running = monotonic(), self._processes.running
        busy = {key for key, _ in running.values()}
        idle = [(due, key, check) for key, (due, check) in self._due.items() if key not in busy]
        for due, key, check in sorted(idle, key=lambda item: item[0]):
            if due > now or len(running) >= CONCURRENT:
                break
            self._due[key] = now + check.interval, check
            try:
                process = Process([word.encode() for word in check.command], timeout=check.timeout)
            except OSError as error:
                if error.errno in PASSING:  # that says nothing of the service
                    self._due[key] = now + min(check.interval, RETRY), check
                else:
                    self._tell(key, check, f"cannot run {check.command[0]}: {error.strerror or error}")
                continue
            running[process] = key, check
            busy.add(key)
        if len(running) >= CONCURRENT:
            return inf
        return min((due for key, (due, _) in self._due.items() if key not in busy), default=inf)

    def _settle(self, process: Process, key: str, check: Check) -> None:
        """Tell the result of a run: when it has ended by itself, or at its deadline, however long it takes to die."""
        if process.ended == "timeout" and not process.is_gone:
            fault = f"no answer within {check.timeout:g} s, killed"
        elif process.ended == "exit":
            fault = f"{'exit' if process.code > 0 else 'ended by'} {process.exit}" if process.code else ""
        else:
            return
        if self._wanted.get(key) == check:
            self._tell(key, check, fault, _last_line(process.tail))

    def _tell(self, key: str, check: Check, fault: str, line: str = "") -> None:
        why = ": ".join(printable(text[:LONGEST_LINE]) for text in (fault, line) if fault and text)
        self._told(CheckResult(key=key, check=check, works=not fault, why=why))


def _last_line(output: bytes) -> str:
    """Return the last line that is not blank."""
    lines = output.decode("utf-8", "backslashreplace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
