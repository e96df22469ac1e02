"""Hooks as a part of the daemon: none of their modules is loaded where there is no directory of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from discoveryd.config import Config
from discoveryd.daemon.parts import Part
from discoveryd.protocol.parameters import Limits
from discoveryd.protocol.table.events import Event
from discoveryd.runtime.notices import CONNECTED, ISOLATED, Notice

if TYPE_CHECKING:
    from discoveryd.runtime.hooks import Hooks


class HooksPart(Part):
    """Runs hooks from the moment that there is a directory of them.

    Args:
        directory: of the hooks.
        limits: of `Config.parameters`, until `reload`.
        notify: called with what the hooks say and do; in any thread.
    """

    name = "hooks.d"
    section = "hooks"

    def __init__(self, directory: str, limits: Limits, notify: Callable[[Notice], None]) -> None:
        self._directory = directory
        self._limits = limits
        self._notify = notify
        self._hooks: Hooks | None = None

    def open(self) -> None:
        """Begin to run hooks, if there is a directory of them."""
        if self._hooks is None and os.path.isdir(self._directory):
            from discoveryd.runtime.hooks import Hooks  # noqa: PLC0415 - see above

            hooks = Hooks(self._directory, self._notify, self._limits)
            hooks.start()
            self._hooks = hooks

    def look(self) -> None:
        """See what has come, gone or changed in the directory; cheap where there is none."""
        self.open()
        if self._hooks is not None:
            self._hooks.reload(self._limits)

    def reload(self, config: Config) -> None:
        """Take over the limits, and look."""
        self._limits = config.parameters.limits
        self.look()

    def hear(self, message: Event | Notice) -> None:
        """Run the hooks for an event, and when this node is cut off, or no longer."""
        if self._hooks is None:
            return
        if isinstance(message, Event):
            self._hooks.hear(message)
        elif message.text in (ISOLATED, CONNECTED):
            reason = str(message.fields.get("why", "peers are heard again"))
            self._hooks.doubt(is_isolated=message.text == ISOLATED, reason=reason)

    def status(self) -> dict[str, int] | None:
        """Return the counts of the hooks."""
        return None if self._hooks is None else self._hooks.counts()

    def stop(self) -> None:
        """End what runs."""
        if self._hooks is not None:
            self._hooks.stop()
