"""The service of this machine: whether there can be one, and its start, restart and stop; printed as it is done."""

import os
import shutil
from contextlib import suppress

from discoveryd import __version__
from discoveryd.config import Config
from discoveryd.daemon import FAILED, OK, say
from discoveryd.daemon.commands import client_of, sight
from discoveryd.daemon.goodbye import JOBS, UPGRADE
from discoveryd.daemon.identity import kept
from discoveryd.daemon.ports import DROP_IN
from discoveryd.errors import QueryError
from discoveryd.files import trusted
from discoveryd.install import environment, machine, places
from discoveryd.install.places import tell

STATE = "/var/lib/discoveryd"
"""StateDirectory= of the unit."""
RUNTIME = "/run/discoveryd"


def need() -> None:
    """Refuse a machine or an environment from which systemd cannot start a service.

    Raises:
        OSError: with the reason, and what to do.
    """
    if not machine.is_booted():
        raise OSError(
            f"systemd does not run this machine (no {machine.BOOTED}). For the image of another one: install --prefix "
            "DIR. Without a service manager: discoveryd start"
        )
    if obstacles := machine.obstacles():
        copied = f"discoveryd install --copy copies this environment to {environment.PLACE}"
        venv = "An environment that a service can use: python3 -m venv /opt/discoveryd, then install the package there"
        raise OSError(f"{'; '.join(obstacles)}. {venv}; or {copied}, and installs that")


class SystemdService:
    """The service of a machine.

    Args:
        root: directory under which the files of the machine are; empty for this machine.
        is_dry: whether nothing is done but printing.
    """

    def __init__(self, root: str, *, is_dry: bool) -> None:
        self._root = root
        self._is_dry = is_dry

    def raise_limits(self) -> None:
        """Let the service have its receive buffer from now on, not from the next boot on."""
        try:
            for name, before, now in machine.raised(places.content_of(f"config/{places.SYSCTL}"), is_dry=self._is_dry):
                tell("raised", name, f"from {before} to {now}")
        except OSError as error:  # in a container the machine below it decides
            path, why = error.filename or machine.PROC, error.strerror or error
            tell("note", f"{path} cannot be set ({why}): HELLOs are lost where hundreds of nodes speak at once")

    def start(self, config: Config, changed: set[str], *, with_socket: bool) -> int:
        """Start the service and print what it sees; restart a service of another version or unit.

        Args:
            config: with which it starts.
            changed: paths that are not as they were.
            with_socket: whether systemd is to hold its query port.
        """
        is_changed = any(path.endswith((machine.SERVICE, DROP_IN)) for path in changed)
        try:
            if with_socket:
                self._start_socket(config)
            if not machine.has("enabled"):
                self.ask("enable", machine.SERVICE)
            if not machine.has("active"):
                self.ask("start", machine.SERVICE)
            elif is_changed or _is_other_version(config):
                self.ask("restart", machine.SERVICE)
            else:
                tell("unchanged", machine.SERVICE, "enabled and active")
        except OSError as error:
            say(f"{error}; the journal says:")
            print(machine.journal(), end="")  # noqa: T201
            say("if systemd goes on trying, this ends it: systemctl disable --now discoveryd")
            return FAILED
        if self._is_dry or config.query.address is None:
            return OK
        try:
            with client_of(config) as client:
                print(f"discoveryd {__version__} is active as {sight(client.request('status'))}")  # noqa: T201
        except QueryError as error:
            say(f"it is active, but does not answer: {error}")
            return FAILED
        return OK

    def _start_socket(self, config: Config) -> None:
        """Let systemd hold the query port.

        Raises:
            OSError: systemd refused.
        """
        lines = places.content_of("systemd/discoveryd.socket").decode().splitlines()
        listens = next(line.partition("=")[2] for line in lines if line.startswith("ListenStream="))
        if config.query.listen != listens:
            place = f"which takes the place of query.listen ({config.query.listen})"
            helps = f"for another address systemctl edit {machine.SOCKET}"
            tell("note", f"{machine.SOCKET} listens at {listens}, {place}: {helps}")
        if machine.has("active", machine.SOCKET):
            tell("unchanged", machine.SOCKET, "active")
            return
        if machine.has("active"):  # systemd opens no socket whose service runs already
            self.ask("stop", machine.SERVICE)
        self.ask("enable", "--now", machine.SOCKET)

    def stop(self) -> None:
        """Stop and disable what is there, the socket first: it would start the service again. State goes with it."""
        units = [machine.SOCKET, machine.SERVICE]
        there = [unit for unit in units if os.path.exists(f"{self._root}{places.UNIT_DIRECTORY}/{unit}")]
        for unit in there:
            self.ask("disable", "--now", unit)
        if machine.SERVICE in there:
            chosen, _ = kept(self._root + STATE)
            self.ask("clean", "--what=state", machine.SERVICE)
            remark = f"its node id {chosen} was chosen by reset-id: set node.id to keep it" if chosen else ""
            tell("removed", STATE, remark)
            self._remove_runtime()

    def _remove_runtime(self) -> None:
        """Remove the runtime directory, which outlives the service for the readers of exports, and what is beside."""
        for path in (JOBS, UPGRADE):
            with suppress(FileNotFoundError):
                if not self._is_dry:
                    os.unlink(self._root + path)
        path = self._root + RUNTIME
        if os.path.isdir(path):
            if not self._is_dry:
                shutil.rmtree(path, ignore_errors=True)
            tell("removed", RUNTIME)

    def take_over(self, enabled: list[str]) -> None:
        """Let units of a package take the place of those of an environment, which are gone.

        Args:
            enabled: units whose links in /etc lead nowhere now.

        Raises:
            OSError: systemd refused.
        """
        if enabled:
            self.ask("reenable", *enabled)
        if machine.has("active"):
            self.ask("restart", machine.SERVICE)

    def note_upgrade(self, config: Config) -> None:
        """Let a daemon of another version say, when it is restarted, that this is an upgrade.

        Raises:
            OSError: the note cannot be written.
        """
        if not self._is_dry and machine.has("active") and _running_version(config) not in (None, __version__):
            invocation = machine.said("systemctl", "show", "--property=InvocationID", "--value", machine.SERVICE)
            trusted.write(self._root + UPGRADE, invocation.encode("ascii", "replace"))

    def ask(self, *request: str) -> None:
        """Have systemd do something, and print what.

        Raises:
            OSError: systemd refused.
        """
        if not self._is_dry:
            machine.systemctl(*request)
        tell("ran", f"systemctl {' '.join(request)}")


def _is_other_version(config: Config) -> bool:
    """Return whether the daemon that runs is of another version; also if it does not answer."""
    return config.query.address is not None and _running_version(config) != __version__


def _running_version(config: Config) -> str | None:
    """Return the version of the daemon that runs, None where it does not say."""
    if config.query.address is None:
        return None
    with suppress(QueryError), client_of(config) as client:
        return str(client.greeting["discoveryd"])
    return None
