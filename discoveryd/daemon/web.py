"""The web as a part of the daemon: HTTP where ``web.listen`` or ``metrics.listen`` is set. Off, it costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from discoveryd.config.durations import shown
from discoveryd.daemon.parts import Part
from discoveryd.errors import ConfigError
from discoveryd.runtime.notices import warning

if TYPE_CHECKING:
    from discoveryd.config import Config
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.loop import Loop
    from discoveryd.runtime.notices import Notice
    from discoveryd.web.room import WebRoom

LIBRARIES = ("starlette", "uvicorn")
LACKS = "the library {name} is missing: apt install python3-starlette python3-uvicorn, or pip install starlette uvicorn"


def check_web(config: Config) -> None:
    """Refuse a configuration whose web could not be served, but for a port that is taken.

    Raises:
        ConfigError: a library is missing; the token or the certificate cannot be read, with every fault.
    """
    keys = [key for key in ("web", "metrics") if getattr(config, key).address is not None]
    if keys and (missing := [name for name in LIBRARIES if find_spec(name) is None]):
        raise ConfigError(f"{shown(config.source)}: {keys[0]}.listen: {LACKS.format(name=missing[0])}")
    if config.web.address is not None and (config.web.token_file or config.web.tls_cert):
        from discoveryd.web.credentials import read_credentials  # noqa: PLC0415 - only where there are files to be read

        read_credentials(config)


class WebPart(Part):
    """Serves HTTP.

    Args:
        config: what to begin with.
        discovery: the node.
        loop: returns the event loop, which runs.
        notify: told what cannot be served; in any thread.
    """

    name = "web"
    section = "web"

    def __init__(
        self, config: Config, discovery: Discovery, loop: Callable[[], Loop], notify: Callable[[Notice], None]
    ) -> None:
        self._config = config
        self._discovery = discovery
        self._loop = loop
        self._notify = notify
        self._room: WebRoom | None = None
        self._lack = ""
        discovery.report("metrics", self.metrics_status)

    def look(self) -> None:
        """Begin with the first look, after the first HELLO; then try again what could not be had."""
        if self._room is None:
            self._adopt()
        else:
            self._room.look()

    def reload(self, config: Config) -> None:
        """Take over the addresses to listen at, and the rules for what is answered."""
        self._config = config
        self._adopt()

    def status(self) -> dict[str, Any]:
        """Return where it is served, to how many clients, or why not."""
        if self._lack and self._config.web.address is not None:
            return {"on": True, "error": self._lack, "next_try_s": None}
        return {"on": False} if self._room is None else self._room.status()

    def metrics_status(self) -> dict[str, Any]:
        """Return the section ``metrics``, which is there without the web too."""
        if self._room is not None:
            return self._room.metrics_status()
        lack = self._lack if self._config.metrics.address is not None else ""
        return {"requests": 0, "refused": 0, "error": lack or None, "next_try_s": None}

    def stop(self) -> None:
        """End the streams, and the rest, within a second."""
        room, self._room = self._room, None
        if room is not None:
            room.stop()

    def _adopt(self) -> None:
        if self._config.web.address is None and self._config.metrics.address is None:
            self._lack = ""
            self.stop()
            return
        if self._room is None and not self._lack:
            try:
                from discoveryd.web.room import WebRoom  # noqa: PLC0415 - only where it is on
            except ModuleNotFoundError as error:
                self._lack = LACKS.format(name=error.name)
                self._notify(warning("the web is not served over HTTP", why=self._lack))
                return
            self._room = WebRoom(self._discovery, self._loop(), self._notify)
        if self._room is not None:
            self._room.adopt(self._config)
