"""The thread that keeps the files: soon after a change, not more often than is good, and their commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import Any

from discoveryd.config.export_rule import ExportRule
from discoveryd.exports.file import ExportFile, forget, in_words
from discoveryd.exports.hold import Hold
from discoveryd.protocol.node import Node
from discoveryd.query.formats import printable
from discoveryd.query.request import Filter
from discoveryd.runtime.notices import Notify, info, warning
from discoveryd.runtime.process import Process, Processes
from discoveryd.runtime.worker import Failed

GATHER = 0.2
"""Seconds from a change to the files: what changes together is written once."""
LONGEST = 0.7
SHARE = 10
"""Where changes go on, the pause between two turns of writing: as long as ten of them took, and so many seconds at
most."""
REFRESH = 60.0
"""Seconds to the next turn where nothing changes: a file that somebody removed is written again, and what is forgotten
leaves a file that lists what is gone."""
RETRY = 10.0
"""The same while a file cannot be written."""


class Exporter:
    """Keeps files of peers.

    Args:
        directory: of exports.
        listing: returns the reply to ``list`` with this node, given a filter, and a site where a file is about that.
        look: calls a function with the engine and the time.
        notify: told when a file cannot be written or a command fails, and when that is over.
        failed: called with name and exception, should an exception end the thread.
    """

    def __init__(
        self,
        directory: str,
        *,
        listing: Callable[..., bytes],
        look: Callable[[Callable[[Node, float], Any]], Any],
        notify: Notify,
        failed: Failed,
    ) -> None:
        self._directory = directory
        self._listing = listing
        self._look = look
        self._notify = notify
        self._hold = Hold(look(lambda _, now: now))
        self._wanted: tuple[tuple[ExportRule, ...], float] = ((), 0.0)  # replaced as a whole, never changed
        self._adopted: tuple[tuple[ExportRule, ...], float] = ((), 0.0)
        self._is_asked = False
        self._due = inf
        self._free_at = -inf  # when the next turn may be
        self._processes = Processes[ExportFile]("exports", self._turn, failed)
        self.files: tuple[ExportFile, ...] = ()

    def replace(self, rules: Sequence[ExportRule], timeout: float) -> None:
        """Keep these files from now on.

        Args:
            rules: one for each file.
            timeout: seconds that a command may take.
        """
        self._wanted = (tuple(rules), timeout)
        self.wake()

    def wake(self) -> None:
        """Look at the peers soon: something may have changed. For any thread."""
        if not self._is_asked:
            self._is_asked = True
            self._processes.wake()

    def start(self) -> None:
        """Start the thread, as `Processes.start`."""
        self._processes.start()

    def stop(self) -> None:
        """End what runs, and the thread, as `Processes.stop`; the files stay."""
        self._processes.stop()

    def status(self) -> list[dict[str, Any]]:
        """Return the state of each file."""
        return [file.status() for file in self.files]

    # --- in the thread --------------------------------------------------------------------------

    def _turn(self) -> None:
        now = monotonic()
        if self._wanted is not self._adopted:
            self._adopt()
            self._due = now + GATHER
        if self._is_asked:
            self._is_asked = False
            self._due = min(self._due, max(now + GATHER, self._free_at))
        if now >= self._due:
            self._due = self._write_all(now)
            took = monotonic() - now
            self._free_at = now + took + min(max(GATHER, SHARE * took), LONGEST)
        self._run_commands()
        for process, file in self._processes.wait(self._due):
            self._settle(process, file)

    def _adopt(self) -> None:
        """Take over the rules; a file of a rule that is gone goes too."""
        self._adopted = self._wanted
        rules, _ = self._adopted
        before, self.files = self.files, tuple(self._file(rule) for rule in rules)
        places = {file.path for file in self.files}
        for file in before:
            if file.path not in places:
                file.remove()
        forget(self._directory, places)

    def _file(self, rule: ExportRule) -> ExportFile:
        """Return the file of a rule: that which there is, unless the rule is another one now."""
        made = ExportFile(rule, self._directory)
        former = next((file for file in self.files if file.path == made.path), None)
        if former is not None and former.rule == rule:
            return former
        if former is not None:
            made.take_over(former)
        return made

    def _write_all(self, now: float) -> float:
        """Write the files that changed; return when the next turn is due, if nothing changes before."""
        interval, ttl, is_isolated, moment = self._look(
            lambda node, now: (node.interval(now), node.ttl(node.interval(now)), node.is_isolated(now), now)
        )
        ours, inherited = self._hold.until(moment, interval=interval, ttl=ttl, is_isolated=is_isolated)
        due, replies = now + REFRESH, _Replies(self._listing)
        for file in self.files:
            wait = (ours if file.is_ours else inherited) - moment
            file.is_held = wait > 0 and file.exists()
            if file.is_held:
                due = min(due, now + max(wait, GATHER))
                continue
            try:
                file.write(replies.of(file.rule))
            except OSError as error:
                due = now + RETRY
                self._tell(file, in_words(error, file.path))
            else:
                self._tell(file, "")
        return due

    def _tell(self, file: ExportFile, error: str) -> None:
        """Tell a change of whether a file can be written."""
        before, file.error = file.error, error
        if error and not before:
            self._notify(warning("export not written", path=file.path, why=error))
        elif before and not error:
            self._notify(info("export written again", path=file.path))

    def _run_commands(self) -> None:
        """Start the command of each file that changed, one run of each at a time."""
        busy = {id(file) for file in self._processes.running.values()}
        for file in self.files:
            if not file.is_due or id(file) in busy:
                continue
            file.is_due = False
            environment = {"DISCOVERYD_EXPORT": file.path, "DISCOVERYD_EXPORT_FORMAT": file.rule.format}
            command = [word.encode("utf-8", "surrogateescape") for word in file.rule.command]
            try:
                process = Process(command, timeout=self._adopted[1], grace=1.0, environment=environment)
            except OSError as error:
                self._ended(file, f"cannot be run: {error.strerror or error}")
            else:
                self._processes.running[process] = file

    def _settle(self, process: Process, file: ExportFile) -> None:
        if not process.is_gone or process.ended == "stopped":
            return
        if process.ended == "timeout":
            self._ended(file, f"took more than {self._adopted[1]:g} s, and was ended")
        else:
            last = printable(process.tail.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2][:200])
            self._ended(file, f"exit {process.exit}{f': {last}' if last else ''}" if process.code else "")

    def _ended(self, file: ExportFile, fault: str) -> None:
        """Count a run of a command, and tell a change of whether it works."""
        file.runs += 1
        file.failures += bool(fault)
        before, file.fault = file.fault, fault
        if fault and not before:
            self._notify(warning("export command failed", path=file.path, why=fault))
        elif before and not fault:
            self._notify(info("export command works again", path=file.path))


class _Replies:
    """The peers of each filter, asked for once in a turn."""

    def __init__(self, listing: Callable[..., bytes]) -> None:
        self._listing = listing
        self._found: list[tuple[Filter, str, dict[str, Any]]] = []

    def of(self, rule: ExportRule) -> dict[str, Any]:
        """Return the reply to ``list`` that a rule is about."""
        reply = next((one[2] for one in self._found if one[:2] == (rule.chosen, rule.site)), None)
        if reply is None:
            reply = json.loads(self._listing(rule.chosen, *([rule.site] if rule.site else [])))
            self._found.append((rule.chosen, rule.site, reply))
        return reply if rule.with_self else {**reply, "self": None}
