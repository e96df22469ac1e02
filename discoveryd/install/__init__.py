"""``discoveryd install`` and ``uninstall``: this environment's daemon as a service of the machine, and back.

::

    places        what is installed, and where; installs and removes it, and keeps the manifest
    names         the file that lets the resolver of the machine ask the daemon
    machine       whether a service could be started from here, requests to systemd, and limits of the kernel
"""

import os
import shutil
from collections.abc import Callable

from discoveryd import __version__
from discoveryd.cli.parse import Arguments
from discoveryd.config import Config, load
from discoveryd.config.dns import DnsSection
from discoveryd.daemon import FAILED, OK, USAGE, say
from discoveryd.daemon.commands import client_of, sight
from discoveryd.daemon.identity import kept
from discoveryd.daemon.ports import DROP_IN, drop_in
from discoveryd.dns.delegation import Delegation
from discoveryd.errors import ConfigError, QueryError, UntrustedFile
from discoveryd.files import trusted
from discoveryd.install import machine, names, places
from discoveryd.install.places import (
    CONFIG_DIRECTORY,
    PATH,
    UNIT_DIRECTORY,
    Entry,
    Places,
    load_manifest,
    save_manifest,
    tell,
)

CONFIG = f"{CONFIG_DIRECTORY}/discoveryd.yaml"
STATE = "/var/lib/discoveryd"
RUNTIME = "/run/discoveryd"
"""StateDirectory= of the unit."""


def install(arguments: Arguments) -> int:
    """Install everything; with --now start the service, with --socket let systemd hold its query port too."""
    if arguments.now and arguments.prefix:
        say("--now starts the service of this machine, --prefix leaves it alone: choose one")
        return USAGE
    return _run(Installation(arguments).install, arguments)


def uninstall(arguments: Arguments) -> int:
    """Stop the service, and remove what `install` installed."""
    return _run(Installation(arguments).uninstall, arguments)


def _run(act: Callable[[], int], arguments: Arguments) -> int:
    if not arguments.dry_run and not arguments.prefix and os.geteuid() != 0:
        say(
            f"{arguments.command} needs root: it writes to /usr/local and /etc. See what it would do with --dry-run, "
            "or have it all put below a directory of yours with --prefix DIR"
        )
        return FAILED
    try:
        return act()
    except UntrustedFile as error:
        say(f"{error.filename}: {error.strerror}; {error.remedy}")
    except OSError as error:
        say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        say(str(error))
    return FAILED


class Installation:
    """What is installed on a machine, or for an image.

    Args:
        arguments: of the command.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._is_dry = arguments.dry_run
        self._root = root_of(arguments)

    def install(self) -> int:
        """Install everything, and start what is to be started.

        Raises:
            OSError: there cannot be a service here; a file cannot be written; systemd refused.
        """
        if not self._arguments.prefix:
            _need_service()
        wanted = self._plan_names()
        changed = self._put()
        if self._arguments.prefix:
            for text in machine.obstacles():
                tell("note", text)
            if wanted is not None:
                names.put(wanted, self._root, is_dry=self._is_dry)
            return self._done()
        if any(path.startswith(UNIT_DIRECTORY) for path in changed):
            self._ask("daemon-reload")
        self._raise_limits()
        for name, _, _, command in places.firewalls(self._root):
            tell("note", f"{name} is here; to let the HELLOs through: {command}")
        if self._arguments.now:
            return self._start(changed) or self._put_names(wanted) or self._done()
        self._put_names(wanted)
        units = f"{machine.SOCKET} discoveryd" if self._arguments.socket else "discoveryd"
        tell("note", f"to start it: systemctl enable --now {units}")
        return self._done()

    def uninstall(self) -> int:
        """Stop everything, and remove it; with --dns the resolver asks the daemon no more, and the rest stays."""
        names.remove(self._root, is_dry=self._is_dry)
        if self._arguments.dns:
            return self._done()
        former = load_manifest(self._root)
        if not former:
            tell("note", f"nothing is installed here: there is no {self._root}{PATH}")
            return OK
        is_live = not self._arguments.prefix and machine.is_booted()
        if is_live:
            self._stop()
        Places(self._root, former, is_dry=self._is_dry).remove_all()
        if is_live:
            self._ask("daemon-reload")
        return self._done()

    def _done(self) -> int:
        if self._is_dry:
            tell("note", "this was a dry run: nothing has been changed")
        return OK

    def _plan_names(self) -> Delegation | None:
        """Return the file for the resolver if it is wanted, and have names served; None if it is not.

        Raises:
            OSError, ValueError, ConfigError: no resolver could ask; the configuration cannot be changed.
        """
        if not self._arguments.dns:
            return None
        wanted = names.plan(self._config().dns, self._root)
        if os.path.exists(self._root + CONFIG):
            names.enable(self._root + CONFIG, is_dry=self._is_dry)
        return wanted

    def _put_names(self, wanted: Delegation | None) -> int:
        """Put the file for the resolver in place, if it is wanted; where the service runs see whether a name is found.

        Raises:
            OSError: it cannot be written; the resolver cannot be restarted.
        """
        if wanted is None:
            return OK
        names.put(wanted, self._root, is_dry=self._is_dry)
        if self._is_dry or not machine.has("active"):
            return OK
        if why := names.find(self._config().dns.zone):
            say(why if self._arguments.now else f"{why}; if it ran before: systemctl restart discoveryd")
            return FAILED
        tell("found", f"discoveryd.{self._config().dns.zone}", f"through {wanted.resolver}")
        return OK

    def _put(self) -> set[str]:
        """Install the files, and return the paths that are not as they were."""
        former = load_manifest(self._root)
        put = Places(self._root, former, is_dry=self._is_dry)
        try:
            put.put_all(places.items(machine.commands(), self._root, ports=self._ports(), config=self._content(former)))
        except OSError:
            if not self._is_dry and PATH in put.entries:  # what was made up to here is to be removable too
                save_manifest(self._root, {**former, **put.entries}.values())
            raise
        if put.entries != former and not self._is_dry:
            save_manifest(self._root, put.entries.values())
        return put.changed

    def _config(self) -> Config:
        """Return the configuration that is there, or that will be."""
        if os.path.exists(self._root + CONFIG):
            return load(self._root + CONFIG, {})
        return Config(dns=DnsSection(listen=names.LISTEN)) if self._arguments.dns else Config()

    def _content(self, former: dict[str, Entry]) -> bytes:
        """Return the configuration to install: the shipped one, with names if they are wanted or served by it."""
        content, path = places.content_of("config/discoveryd.yaml"), self._root + CONFIG
        found = trusted.read(path, owners=None) if os.path.exists(path) else None
        if not (self._arguments.dns if found is None else names.is_on(found)):
            return content
        with_names = names.enabled(content)
        is_ours = found is not None and CONFIG in former and former[CONFIG].mark == places.mark_of(found)
        return with_names if found in (None, with_names) or is_ours else content

    def _ports(self) -> bytes | None:
        """Return the drop-in with the ports of the configuration; where that is wrong, the present one."""
        try:
            return drop_in(self._config())
        except ConfigError:
            fault = f"discoveryd check says what is wrong with {self._root}{CONFIG}"
            tell("note", f"the ports of the service stay: {fault}")
        try:
            return trusted.read(f"{self._root}{UNIT_DIRECTORY}/{DROP_IN}", owners=None)
        except FileNotFoundError:
            return None

    def _raise_limits(self) -> None:
        """Let the service have its receive buffer from now on, not from the next boot on."""
        try:
            for name, before, now in machine.raised(places.content_of(f"config/{places.SYSCTL}"), is_dry=self._is_dry):
                tell("raised", name, f"from {before} to {now}")
        except OSError as error:  # in a container the machine below it decides
            path, why = error.filename or machine.PROC, error.strerror or error
            tell("note", f"{path} cannot be set ({why}): HELLOs are lost where hundreds of nodes speak at once")

    def _start(self, changed: set[str]) -> int:
        """Start the service and print what it sees; restart a service of another version or unit.

        Raises:
            ConfigError: it would not start; told here better than by the journal.
        """
        config = self._config()
        is_changed = any(path.endswith((machine.SERVICE, DROP_IN)) for path in changed)
        try:
            if self._arguments.socket:
                self._start_socket(config)
            if not machine.has("enabled"):
                self._ask("enable", machine.SERVICE)
            if not machine.has("active"):
                self._ask("start", machine.SERVICE)
            elif is_changed or _is_other_version(config):
                self._ask("restart", machine.SERVICE)
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
            self._ask("stop", machine.SERVICE)
        self._ask("enable", "--now", machine.SOCKET)

    def _stop(self) -> None:
        """Stop and disable what is there, the socket first: it would start the service again. State goes with it."""
        units = [machine.SOCKET, machine.SERVICE]
        there = [unit for unit in units if os.path.exists(f"{self._root}{UNIT_DIRECTORY}/{unit}")]
        for unit in there:
            self._ask("disable", "--now", unit)
        if machine.SERVICE in there:
            chosen, _ = kept(self._root + STATE)
            self._ask("clean", "--what=state", machine.SERVICE)
            remark = f"its node id {chosen} was chosen by reset-id: set node.id to keep it" if chosen else ""
            tell("removed", STATE, remark)
            self._remove_runtime()

    def _remove_runtime(self) -> None:
        """Remove the runtime directory, which outlives the service for the readers of exports."""
        path = self._root + RUNTIME
        if os.path.isdir(path):
            if not self._is_dry:
                shutil.rmtree(path, ignore_errors=True)
            tell("removed", RUNTIME)

    def _ask(self, *request: str) -> None:
        """Have systemd do something, and print what.

        Raises:
            OSError: systemd refused.
        """
        if not self._is_dry:
            machine.systemctl(*request)
        tell("ran", f"systemctl {' '.join(request)}")


def _is_other_version(config: Config) -> bool:
    """Return whether the daemon that runs is of another version; also if it does not answer."""
    if config.query.address is None:
        return False
    try:
        with client_of(config) as client:
            return bool(client.greeting["discoveryd"] != __version__)
    except QueryError:
        return True


def _need_service() -> None:
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
        venv = "An environment that a service can use: python3 -m venv /opt/discoveryd, then install the package there"
        raise OSError(f"{'; '.join(obstacles)}. {venv}")


def root_of(arguments: Arguments) -> str:
    """Return the directory to install below, empty for this machine."""
    return os.path.abspath(arguments.prefix).rstrip("/") if arguments.prefix else ""
