"""The findings as a part of the daemon: a fault is logged when it appears and when it is over, asked for or not."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from discoveryd.daemon.parts import Part
from discoveryd.runtime.notices import Notice, info, warning

PERIOD = 10.0
"""Seconds between two looks; a fault is told once two of them have seen it, and over once two have not."""
SHARE = 1000
"""Times as long as a look took until the next: at most a thousandth of a core, however many peers there are."""
QUIET = 3600.0
"""Seconds for which the same fault is told once."""
TOLD_OTHERWISE = frozenset((
    "interfaces-unreadable", "no-link", "sending-failed", "isolated", "clone", "cloned-memory", "shared-address",
    "flood", "metrics-not-served", "service-not-announced", "hook-not-run",
))  # fmt: skip
"""Codes of faults that have log lines of their own."""

Key = tuple[str, str]


class FindingsPart(Part):
    """Looks for faults now and then.

    Args:
        status: returns the status with the findings.
        notify: told of each fault.
        clock: seconds.
    """

    name = "findings"

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        notify: Callable[[Notice], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._status = status
        self._notify = notify
        self._clock = clock
        self._due = clock() + PERIOD
        self._before: set[Key] = set()
        self._told: dict[Key, float] = {}  # until when it is not told again
        self._lasting: set[Key] = set()

    def look(self) -> None:
        """Look for faults if it is time to."""
        began = self._clock()
        if began < self._due:
            return
        try:
            found = {(one["code"], one["subject"]): one for one in self._status()["findings"] if _is_news(one)}
        except RuntimeError:  # a thread has died, which ends the daemon
            return
        self._due = began + max(PERIOD, SHARE * (self._clock() - began))
        self._told = {key: until for key, until in self._told.items() if began < until or key in self._lasting}
        for key in sorted((self._before & found.keys()) - self._lasting):
            self._lasting.add(key)
            if key not in self._told:
                self._told[key] = began + QUIET
                code, subject = key
                about = {"subject": subject} if subject else {}
                remedy = {"remedy": "; ".join(found[key]["remedy"])} if found[key]["remedy"] else {}
                text = f"fault: {found[key]['title']}"
                self._notify(warning(text, code=code, **about, why=found[key]["text"], **remedy))
        for code, subject in sorted(self._lasting - self._before - found.keys()):
            self._lasting.discard((code, subject))
            self._notify(info("fault is over", code=code, **({"subject": subject} if subject else {})))
        self._before = set(found)


def _is_news(finding: Mapping[str, Any]) -> bool:
    return finding["severity"] != "low" and finding["code"] not in TOLD_OTHERWISE
