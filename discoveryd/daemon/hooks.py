"""Hooks as the daemon has them: none of their modules is loaded where there is no directory of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from discoveryd.protocol.parameters import Limits
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.notices import CONNECTED, ISOLATED, Notice

if TYPE_CHECKING:
    from discoveryd.runtime.hooks import Hooks


class HookKeeper:
    """Runs hooks from the moment that there is a directory of them. For the main thread.

    Args:
        directory: of the hooks.
        discovery: whose events they hear; not started yet, so that they hear of the first one too.
        notify: told what hooks say and do; from any thread.
    """

    def __init__(self, directory: str, discovery: Discovery, notify: Callable[[Notice], None]) -> None:
        self._directory = directory
        self._discovery = discovery
        self._notify = notify
        self._hooks: Hooks | None = None
        self._begin()

    def look(self) -> None:
        """See what has come, gone or changed in the directory; cheap where there is none."""
        if self._hooks is None:
            self._begin()
        else:
            self._hooks.reload()

    def reload(self, limits: Limits) -> None:
        """Take other limits, and look."""
        self.look()
        if self._hooks is not None:
            self._hooks.reload(limits)

    def hear(self, notice: Notice) -> None:
        """Let them know what the daemon thinks of itself."""
        if self._hooks is not None and notice.text in (ISOLATED, CONNECTED):
            reason = str(notice.fields.get("why", "peers are heard again"))
            self._hooks.doubt(is_isolated=notice.text == ISOLATED, reason=reason)

    def stop(self) -> None:
        """End what runs."""
        if self._hooks is not None:
            self._hooks.stop()

    def _begin(self) -> None:
        if not os.path.isdir(self._directory):
            return
        from discoveryd.runtime.hooks import Hooks  # noqa: PLC0415 - see above

        hooks = Hooks(
            self._directory,
            subscribe=self._discovery.subscribe,
            notify=self._notify,
            limits=self._discovery.parameters.limits,
        )
        with ExitStack() as stack:
            stack.callback(hooks.stop)
            hooks.open()
            hooks.start()
            stack.pop_all()
        self._hooks = hooks
        self._discovery.report("hooks", hooks.counts)
