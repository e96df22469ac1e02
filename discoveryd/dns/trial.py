"""The trial: whether the resolver of this machine finds the name of the server, which is there as long as it serves."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from discoveryd.net.resolve import failure, resolve
from discoveryd.runtime.worker import Failed, Worker

PERIOD, AGAIN = 60.0, 5.0
"""Seconds between two trials, and from one that failed to the next."""
PATIENCE = 10.0
"""Seconds after which a resolver that does not answer counts as failing."""
SERVER = "discoveryd"
"""The name of the server below the zone: no peer can have it."""


class Trial:
    """Asks for the name now and then, where a file lets the resolver ask here.

    `look` is for one thread; `status` for any.

    The resolver waits as long as it likes, so each trial is a thread of its own, and there is one at a time.

    Args:
        zone: the domain.
        find_delegation: returns the file that lets the resolver ask here, empty without any.
        failed: told the exception that ended a trial, and was not expected.
        find: returns the addresses of a name, or raises OSError.
    """

    def __init__(
        self, zone: str, *, find_delegation: Callable[[], str], failed: Failed,
        find: Callable[[str], tuple[str, ...]] = lambda name: resolve(name, ("ipv4", "ipv6")),
    ) -> None:  # fmt: skip
        self._name = f"{SERVER}.{zone}"
        self._find_delegation = find_delegation
        self._failed = failed
        self._find = find
        self._due = 0.0
        self._begun: float | None = None
        self._delegation = ""
        self._works: bool | None = None
        self._error = ""

    def look(self) -> None:
        """Begin a trial if it is time to."""
        now = monotonic()
        if self._begun is not None:
            if now >= self._begun + PATIENCE:
                self._works, self._error = False, f"no answer of the resolver in {PATIENCE:g} s"
        elif now >= self._due:
            self._delegation, self._due = self._find_delegation(), now + AGAIN
            if not self._delegation:  # another server need not know of that name
                self._works, self._error = None, ""
                return
            self._begun = now
            try:
                Worker("dns-trial", self._run, self._failed).start()
            except OSError:
                self._begun = None

    def status(self) -> dict[str, Any]:
        """Return the file that lets the resolver ask here, whether names are found, and why not; None for not yet."""
        return {"delegation": self._delegation or None, "works": self._works, "error": self._error or None}

    def _run(self) -> None:
        try:
            self._find(self._name)
        except OSError as error:
            self._works, self._error = False, failure(error)
        else:
            self._works, self._error = True, ""
        self._due = monotonic() + (PERIOD if self._works else AGAIN)
        self._begun = None
