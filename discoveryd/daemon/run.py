"""``discoveryd run``: a daemon in this process, from its first socket to its goodbye."""

import errno
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeAlias

from discoveryd import __version__
from discoveryd.cli.parse import Arguments
from discoveryd.config import Config, load
from discoveryd.daemon import FAILED, OK, say
from discoveryd.daemon.dns import DnsPart
from discoveryd.daemon.exports import ExportsPart
from discoveryd.daemon.findings import FindingsPart
from discoveryd.daemon.goodbye import goodbye_reason
from discoveryd.daemon.grace import GracePart
from discoveryd.daemon.history import HistoryPart
from discoveryd.daemon.identity import node_id, placeholder
from discoveryd.daemon.keys import read_keyring
from discoveryd.daemon.logs import LogPart
from discoveryd.daemon.loop import LoopPart
from discoveryd.daemon.parts import HooksPart, MessagesPart, Part, Parts, TokenPart
from discoveryd.daemon.ports import HELPS, is_service, refuse_forbidden
from discoveryd.daemon.routed_peers import RoutedPeersPart
from discoveryd.daemon.services_d import OWNER, ServicesPart
from discoveryd.daemon.sites import SitesPart, access_of
from discoveryd.daemon.web import WebPart, check_web
from discoveryd.errors import ConfigError, RecordTooLong
from discoveryd.files.trusted import remedy
from discoveryd.net.sockets import FORBIDDEN
from discoveryd.net.systemd import ServiceManager, inherited
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.table.peer import Event
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.query_handlers import ReloadResult

Message: TypeAlias = Event | Notice | signal.Signals | Callable[[], None] | None
"""What the main thread waits for. A function is called there; None means that the subscription to events lagged."""

TICK = 2.0
"""Seconds between two looks at what no message tells of, and at most between two notifications of the watchdog."""
FEEDS = 3
"""Notifications in a period of the watchdog: two may be late or lost."""
FIXED = (
    "node.id", "hello.port", "hello.realm", "hello.loopback", "query.listen", "paths.state", "paths.runtime",
)  # fmt: skip
"""Keys that hold for the life of a process: it is known by them, or has a socket open for them."""


def run(arguments: Arguments) -> int:
    """Run in the foreground."""
    config = load(arguments.config)
    return serve(config, read_keyring(config), arguments.config)


def serve(config: Config, keyring: Keyring, path: str | None, *, ready: Callable[[], None] | None = None) -> int:
    """Run a daemon in this process until a signal ends it.

    Args:
        config: what to begin with.
        keyring: the keys that it names.
        path: where a reload reads the configuration again, None for the usual places.
        ready: called once the sockets are open; then the process is detached, and logs go to syslog.
    """
    with ExitStack() as stack:
        try:
            daemon = Daemon(config, keyring, path, is_detached=ready is not None)
            daemon.open(stack)
        except OSError as error:
            say(f"{error.strerror or error}; {remedy_at_start(error, config)}")
            return FAILED
        if ready is not None:
            ready()
        return daemon.main()


class Daemon:
    """The main thread: signals, notices, events and requests come in through one inbox.

    Args:
        config: what to begin with.
        keyring: the keys that it names.
        path: where a reload reads the configuration again, None for the usual places.
        is_detached: whether there is no standard error to log to.
    """

    def __init__(self, config: Config, keyring: Keyring, path: str | None, *, is_detached: bool) -> None:
        self._config = self._begun_with = config
        self._path = path
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._signals: set[signal.Signals] = set()  # those in the inbox
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._manager = ServiceManager()
        self.token = ""
        self._status = ""
        self._silent: list[str] = []
        address, put, record = config.query.address, self._inbox.put, config.record()
        node, self._id_fault = config.node.id, ""
        if not node:
            node, self._id_fault = node_id(config.paths.state_directory, config.parameters.loopback)
        self._discovery = Discovery(
            config.parameters,
            name=config.node.name or None,  # else it follows the machine's
            tags=record.tags,
            services=record.services,
            node_id=node,
            query=address,
            listener=inherited() if address else None,
            is_patient=True,
            control=self if address else None,
            keyring=keyring,
            notify=put,
        )
        self._log = LogPart(config.log, syslog=is_detached)
        hooks = HooksPart(os.path.join(config.directory, "hooks.d"), config.parameters.limits, put)
        loop, exports = LoopPart(put), ExportsPart(config, self._discovery, put)
        names = DnsPart(config, self._discovery, loop.loop, put, sites=lambda: sites.desk)
        sites = SitesPart(
            config, self._discovery, loop.loop, put, changed=(exports.wake, names.wake),
            hook=lambda *told: put(partial(hooks.tell_site, *told)),
        )  # fmt: skip
        parts: list[Part] = [
            self._log,
            *([TokenPart(config.paths.runtime_directory, self, put)] if address else []),
            hooks,
            MessagesPart(config, self._discovery.messages, put),
            exports,
            FindingsPart(self._discovery.status, put, hooks.find),
            GracePart(config, self._discovery, put),
            HistoryPart(config, self._discovery, put),
            RoutedPeersPart(config.paths.state_directory, config.parameters.loopback, self._discovery, put),
            loop,  # the parts that run on it stand below it
            WebPart(config, self._discovery, loop.loop, put),
            names,
            sites,
            ServicesPart(os.path.join(config.directory, "services.d"), offer=self._discovery.offer, put=put),
        ]
        self._parts = Parts(parts, notify=put, report=self._discovery.report)

    def open(self, stack: ExitStack) -> None:
        """Open everything and start it.

        Args:
            stack: ends all of it when it is closed.

        Raises:
            OSError: the node cannot speak here.
        """
        stack.callback(self._parts.stop)
        self._parts.open()
        self._discovery.subscribe(self._inbox)
        self._discovery.start(self._parts.start)
        stack.callback(lambda: self._discovery.stop(goodbye_reason()))  # the goodbye comes first
        stack.callback(self._manager.close)
        stack.callback(self._manager.stopping)
        self._manager.ready(self._discovery.summary())

    def main(self) -> int:
        """Obey the inbox until a signal, or the death of a thread, ends the daemon; return the exit code."""
        self._log_start()
        tick = min(TICK, self._manager.watchdog / FEEDS) if self._manager.watchdog else TICK
        next_tick, code = monotonic(), None
        while code is None:
            with suppress(Empty):
                code = self._obey(self._inbox.get(timeout=max(0.0, next_tick - monotonic())))
            if monotonic() >= next_tick:
                next_tick = monotonic() + tick
                self._tick()
        return code

    def reload(self, done: Callable[[ReloadResult], None]) -> None:
        """Have the main thread read the configuration again."""
        self._inbox.put(lambda: done(self._reload()))

    def _on_signal(self, number: int, _: object) -> None:
        signalled = signal.Signals(number)
        if signalled not in self._signals:  # a thousand SIGHUPs keep no SIGTERM waiting
            self._signals.add(signalled)
            self._inbox.put(signalled)

    def _log_start(self) -> None:
        config, write = self._config, self._log.write
        write(
            "info", "discoveryd started", version=__version__, node=config.node.record().name, id=self._discovery.id,
            config=config.source, query=config.query.listen, pid=os.getpid(),
        )  # fmt: skip
        buffer = self._discovery.receive_buffer()
        if buffer["bytes"] < buffer["wanted"]:
            helps = f"set net.core.rmem_max to {buffer['wanted']}, as `discoveryd install` does"
            write("warning", "the receive buffer is smaller than wanted", **buffer, remedy=helps)
        if self._id_fault:
            write("warning", "the node id lasts for this run only", why=self._id_fault)
        elif not config.node.id and (problem := placeholder(config.paths.state_directory)):
            write("warning", "the machine id is a placeholder", why=problem)

    def _obey(self, message: Message) -> int | None:
        """Act on a message; return the exit code if it is the last one."""
        match message:
            case Event():
                self._parts.hear(message)
            case Notice():
                self._parts.hear(message)
                return FAILED if message.level == "critical" else None
            case signal.Signals():
                self._signals.discard(message)  # before it is obeyed: another SIGHUP that comes now counts
                if message != signal.SIGHUP:
                    self._log.tell_unlogged()
                    self._log.write("info", "discoveryd stops", signal=message.name)
                    return OK
                self._reload()
            case None:
                self._log.write("warning", "events went unlogged")
                self._discovery.subscribe(self._inbox)
            case _:
                message()
        return None

    def _tick(self) -> None:
        """Let the parts look; notify the watchdog if every thread has come round, and log once if a thread has not."""
        self._parts.look()
        if self._manager.watchdog:
            silent = self._discovery.pulse.silent()
            if not silent:
                self._manager.feed()
            elif silent != self._silent:
                self._log.write("error", "the watchdog is not fed", silent=",".join(silent))
            self._silent = silent
        if self._manager.is_there and (status := self._discovery.summary()) != self._status:
            self._status = status
            self._manager.status(status)

    def _reload(self) -> ReloadResult:
        """Read the configuration and what stands beside it again; a wrong configuration changes nothing."""
        self._manager.reloading()
        log = self._log.write
        changes: list[Mapping[str, Any]] = []
        problems: tuple[str, ...] = ()
        try:
            self._config = self._take_over()
            values = ((key, self._begun_with.value(key), self._config.value(key)) for key in FIXED)
            changes += [{"key": key, "now": now, "wanted": wanted} for key, now, wanted in values if now != wanted]
            if self._config.parameters.last_will > self._begun_with.parameters.last_will:  # threads are there by now
                changes.append({"key": "hello.last_will", "now": "off", "wanted": "on"})
        except ConfigError as error:
            problems = error.problems
        except OSError as error:  # no descriptor for a module that is loaded late
            problems = (f"cannot be read now: {error.strerror or error}",)
        for change in changes:
            log("warning", "needs a restart", **change)
        for problem in problems:
            log("error", "configuration refused", problem=problem)
        self._parts.reload(self._config)
        if problems:
            log("warning", "the former configuration stays in force")
        else:
            log("info", "configuration reloaded", config=self._config.source)
        self._manager.ready(self._discovery.summary())
        return ReloadResult(problems=problems, needs_restart=tuple(changes))

    def _take_over(self) -> Config:
        """Read the configuration again, put it in force as far as a running daemon can, and return it.

        Raises:
            ConfigError: it or a key cannot be read, or the record is too long together with what is registered;
                nothing has changed then, but that `OWNER` may offer no services any more.
        """
        begun_with, discovery = self._begun_with, self._discovery
        if begun_with.is_stream:  # the name of the pipe means something else by now
            why = f"the configuration came through a pipe ({begun_with.source}), which is read once"
            raise ConfigError(f"{why}: to change it restart, or begin with a file")
        config = load(self._path)
        if is_service():
            refuse_forbidden(config)
        record, keyring = config.record(), read_keyring(config)
        access_of(config)
        check_web(config)
        name = config.node.name or None
        set_record = partial(discovery.set_record, name=name, tags=record.tags, services=record.services)
        try:
            set_record()
        except RecordTooLong:  # what the configuration says comes before what files add to it
            discovery.offer(OWNER, ())
            set_record()
        discovery.set_keyring(keyring)
        fixed = {key.removeprefix("hello."): begun_with.value(key) for key in FIXED if key.startswith("hello.")}
        discovery.set_parameters(replace(config.parameters, **fixed))
        return config


def remedy_at_start(error: OSError, config: Config) -> str:
    """Return what helps where a daemon cannot start."""
    text = error.strerror or str(error)
    if error.errno == errno.EPERM and FORBIDDEN in text:
        return f"as root {HELPS}"
    if isinstance(error, PermissionError):
        return "run it as a user who may, or choose a port above 1023"
    if error.errno not in (None, errno.EADDRINUSE):
        return remedy(error, "see journalctl -k, or dmesg")
    if "ListenStream=" in text:
        return "correct discoveryd.socket, or do without: systemctl disable --now discoveryd.socket"
    if " on 127.255.255.255 is" in text:  # by a daemon of the network, or another program, on all addresses
        return "stop that, or set another hello.port, the same for all daemons that you try here"
    if config.parameters.loopback:
        return "stop that, or set another hello.loopback (one for each daemon) or hello.port"
    return "stop that, or set hello.port, on every node alike; to try several daemons here set hello.loopback"
