"""``discoveryd install`` and ``uninstall``: this environment's daemon as a service of the machine, and back.

::

    places        what is installed, and where; installs and removes it, and keeps the manifest
    packaged      what is left to do where a package of the distribution installed the rest
    environment   a copy of this environment where the service can reach it
    names         the file that lets the resolver of the machine ask the daemon
    service       whether there can be a service; its start, restart and stop
    machine       whether a service could be started from here, requests to systemd, and limits of the kernel
"""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress

from discoveryd.cli.parse import Arguments
from discoveryd.config import Config, load
from discoveryd.config.dns import DnsSection
from discoveryd.daemon import FAILED, OK, USAGE, say
from discoveryd.daemon.ports import DROP_IN, drop_in
from discoveryd.dns.delegation import Delegation
from discoveryd.errors import ConfigError, UntrustedFile
from discoveryd.files import trusted
from discoveryd.install import environment, machine, names, packaged, places, service
from discoveryd.install.places import CONFIG_DIRECTORY, PATH, Entry, Places, load_manifest, save_manifest, tell
from discoveryd.install.service import SystemdService

CONFIG = f"{CONFIG_DIRECTORY}/discoveryd.yaml"


def install(arguments: Arguments) -> int:
    """Install everything; with --now start the service, with --socket let systemd hold its query port too."""
    if arguments.now and arguments.prefix:
        say("--now starts the service of this machine, --prefix leaves it alone: choose one")
        return USAGE
    if arguments.copy and arguments.prefix:
        say("--copy makes an environment for this machine, --prefix leaves it alone: choose one")
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
        self._service = SystemdService(self._root, is_dry=self._is_dry)
        self._is_packaged = packaged.is_packaged()
        self._manifest = packaged.MANIFEST if self._is_packaged else PATH

    def install(self) -> int:
        """Install everything, and start what is to be started.

        Raises:
            OSError: there cannot be a service here; a file cannot be written; systemd refused.
        """
        if self._arguments.copy:
            return self._install_copy()
        if not self._arguments.prefix:
            service.need()
        if not self._is_packaged:
            packaged.need_no_package(self._root)
        former = self._former()
        enabled = self._enabled(former)
        wanted = self._plan_names()
        changed = self._put(former)
        if self._arguments.prefix:
            for text in machine.obstacles():
                tell("note", text)
            if wanted is not None:
                names.put(wanted, self._root, is_dry=self._is_dry)
            return self._done()
        if any(path.endswith((machine.SERVICE, machine.SOCKET, DROP_IN)) for path in changed):
            self._service.ask("daemon-reload")
        with suppress(ConfigError, OSError):  # without that note the daemon calls it a restart
            self._service.note_upgrade(self._config())
        self._take_over(former, enabled)
        return self._begin(changed, wanted)

    def _begin(self, changed: set[str], wanted: Delegation | None) -> int:
        """Start what is to be started, and tell what a person has to do.

        Args:
            changed: paths that are not as they were.
            wanted: the file for the resolver.

        Raises:
            OSError: systemd refused; a file cannot be written.
        """
        self._service.raise_limits()
        for name, _, _, command in places.firewalls(self._root):
            tell("note", f"{name} is here; to let the HELLOs through: {command}")
        if self._arguments.now:
            return self._start(changed) or self._put_names(wanted) or self._done()
        if wanted is not None and machine.has("active") and any(path.endswith(DROP_IN) for path in changed):
            self._service.ask("restart", machine.SERVICE)  # it may bind the port from now on
        if self._put_names(wanted):
            return FAILED
        if not self._is_packaged:  # the package starts it
            units = f"{machine.SOCKET} discoveryd" if self._arguments.socket else "discoveryd"
            tell("note", f"to start it: systemctl enable --now {units}")
        return self._done()

    def uninstall(self) -> int:
        """Stop everything, and remove it; with --dns the resolver asks the daemon no more, and the rest stays.

        Raises:
            OSError: a package installed it.
        """
        if self._is_packaged and not self._arguments.dns:
            raise OSError(packaged.REMOVE)
        names.remove(self._root, is_dry=self._is_dry)
        if self._arguments.dns:
            return self._done()
        former = load_manifest(self._root)
        if not former:
            tell("note", f"nothing is installed here: there is no {self._root}{PATH}")
            return OK
        is_live = not self._arguments.prefix and machine.is_booted()
        if is_live:
            self._service.stop()
        Places(self._root, former, is_dry=self._is_dry).remove_all()
        if is_live:
            self._service.ask("daemon-reload")
        return self._done()

    def _done(self) -> int:
        if self._is_dry:
            tell("note", "this was a dry run: nothing has been changed")
        return OK

    def _install_copy(self) -> int:
        """Copy this environment, and have the copy install itself."""
        tell("copied", environment.PLACE, f"from {environment.origin()}")
        if self._is_dry:
            tell("note", f"then {environment.PLACE}/bin/discoveryd install puts itself in place")
            return self._done()
        environment.copy()
        own = [f"--{name}" for name in ("now", "socket", "dns") if getattr(self._arguments, name)]
        return subprocess.run([f"{environment.PLACE}/bin/discoveryd", "install", *own], check=False).returncode  # noqa: S603

    def _start(self, changed: set[str]) -> int:
        return self._service.start(self._config(), changed, with_socket=self._arguments.socket)

    def _enabled(self, former: dict[str, Entry]) -> list[str]:
        """Return the enabled units of an environment from which a package takes over."""
        is_live = self._is_packaged and PATH in former and not self._arguments.prefix
        return [unit for unit in (machine.SERVICE, machine.SOCKET) if is_live and machine.has("enabled", unit)]

    def _take_over(self, former: dict[str, Entry], enabled: list[str]) -> None:
        """Let units of a package take the place of those of an environment, if there was one.

        Raises:
            OSError: systemd refused.
        """
        if not self._is_packaged or PATH not in former:
            return
        self._service.take_over(enabled)
        if place := packaged.environment_of(former):
            tell("note", f"the environment in {place} is not used any more: rm -r {place}")

    def _former(self) -> dict[str, Entry]:
        """Return what is installed; with a package also what an environment's `install` has left."""
        former = load_manifest(self._root, self._manifest)
        return {**load_manifest(self._root), **former} if self._is_packaged else former

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
            say(why)
            return FAILED
        tell("found", f"discoveryd.{self._config().dns.zone}", f"through {wanted.resolver}")
        return OK

    def _put(self, former: dict[str, Entry]) -> set[str]:
        """Install the files, and return the paths that are not as they were."""
        put = Places(self._root, former, is_dry=self._is_dry, manifest=self._manifest)
        ports, config = self._ports(), self._content(former)
        try:
            if self._is_packaged:
                put.put_all(packaged.items(ports, config))
            else:
                put.put_all(places.items(machine.commands(), self._root, ports=ports, config=config))
        except OSError:
            if not self._is_dry and self._manifest in put.entries:  # what was made up to here is to be removable too
                save_manifest(self._root, {**former, **put.entries}.values(), self._manifest)
            raise
        if put.entries != former and not self._is_dry:
            save_manifest(self._root, put.entries.values(), self._manifest)
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
        directory = packaged.UNIT_DIRECTORY if self._is_packaged else places.UNIT_DIRECTORY
        try:
            return trusted.read(f"{self._root}{directory}/{DROP_IN}", owners=None)
        except FileNotFoundError:
            return None


def root_of(arguments: Arguments) -> str:
    """Return the directory to install below, empty for this machine."""
    return os.path.abspath(arguments.prefix).rstrip("/") if arguments.prefix else ""
