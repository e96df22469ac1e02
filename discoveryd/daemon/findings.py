"""The findings as a part of the daemon: a fault is logged and told to hooks when it appears and when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from discoveryd.daemon.parts import Part
from discoveryd.runtime.notices import Notice, info, warning

if TYPE_CHECKING:
    from discoveryd.runtime.hook_queue import FindingEvent

PERIOD = 10.0
"""Seconds between two looks; a fault is told once two of them have seen it, and over once two have not."""
SHARE = 1000
"""Times as long as a look took until the next: at most a thousandth of a core, however many peers there are."""
QUIET = 3600.0
"""Seconds for which the same fault is told once."""
TOLD_OTHERWISE = frozenset((
    "interfaces-unreadable", "no-link", "sending-failed", "isolated", "clone", "cloned-memory", "shared-address",
    "flood", "dns-not-served", "metrics-not-served", "service-not-announced", "hook-not-run", "export-not-written",
    "export-command-failed",
))  # fmt: skip
"""Codes of faults that have log lines of their own."""

Key = tuple[str, str]
"""Code and subject."""


class FindingsPart(Part):
    """Looks for faults now and then.

    Args:
        status: returns the status with the findings.
        notify: told of each fault that has no log line otherwise, of one that comes and goes once an hour.
        find: told of each fault when it appears and when it is gone.
        clock: seconds.
    """

    name = "findings"

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        notify: Callable[[Notice], None],
        find: Callable[[FindingEvent, Mapping[str, Any]], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._status = status
        self._notify = notify
        self._find = find
        self._clock = clock
        self._due = clock() + PERIOD
        self._before: set[Key] = set()
        self._told: dict[Key, float] = {}  # until when it is not told again
        self._lasting: dict[Key, Mapping[str, Any]] = {}  # as they were when they were told

    def look(self) -> None:
        """Look for faults if it is time to."""
        began = self._clock()
        if began < self._due:
            return
        try:
            faults = [one for one in self._status()["findings"] if one["severity"] != "low"]
        except RuntimeError:  # a thread has died, which ends the daemon
            return
        found = {(one["code"], one["subject"]): one for one in faults}
        self._due = began + max(PERIOD, SHARE * (self._clock() - began))
        self._told = {key: until for key, until in self._told.items() if began < until or key in self._lasting}
        for key in sorted((self._before & found.keys()) - self._lasting.keys()):
            self._lasting[key] = found[key]
            self._find("finding", found[key])
            if key not in self._told and key[0] not in TOLD_OTHERWISE:
                self._told[key] = began + QUIET
                self._notify(_line(found[key]))
        for key in sorted(self._lasting.keys() - self._before - found.keys()):
            self._find("finding-gone", self._lasting.pop(key))
            if key[0] not in TOLD_OTHERWISE:
                self._notify(info("fault is over", **_about(*key)))
        self._before = set(found)


def _line(fault: Mapping[str, Any]) -> Notice:
    remedy = {"remedy": "; ".join(fault["remedy"])} if fault["remedy"] else {}
    return warning(f"fault: {fault['title']}", **_about(fault["code"], fault["subject"]), why=fault["text"], **remedy)


def _about(code: str, subject: str) -> dict[str, str]:
    return {"code": code, **({"subject": subject} if subject else {})}
