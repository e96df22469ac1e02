"""``discoveryd run``: a daemon in this process, from its first socket to its goodbye."""

from __future__ import annotations

import errno
import os
import signal
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, suppress
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from discoveryd import __version__
from discoveryd.config import DEFAULT_PATH, PATH_VARIABLE, Config, load
from discoveryd.daemon import FAILED, OK, say
from discoveryd.daemon.budget import Budget
from discoveryd.daemon.control import Control, Reload
from discoveryd.daemon.hooks import HookKeeper
from discoveryd.daemon.identity import node_id, placeholder
from discoveryd.daemon.ports import HELPS, is_service, refuse_forbidden
from discoveryd.daemon.reload import keyring_of, needs_restart, with_fixed
from discoveryd.daemon.services_d import OWNER, DropIns
from discoveryd.errors import ConfigError, RecordTooLong
from discoveryd.files.remedies import remedy
from discoveryd.net.sockets import FORBIDDEN
from discoveryd.net.systemd import ServiceManager, inherited
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.table.events import Event
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.notices import Notice
from discoveryd.runtime.query_handlers import ReloadResult

if TYPE_CHECKING:
    from discoveryd.daemon.logs import Log

TICK = 2.0
"""Seconds between two looks at what no message tells of, and at most between two of the watchdog's feeds."""
FEEDS = 3
"""Per watchdog period: two may be late or lost."""


def run(arguments: Namespace) -> int:
    """Run in the foreground."""
    config = load(arguments.config)
    return serve(config, keyring_of(config), arguments.config)


def serve(config: Config, keyring: Keyring, path: str | None, *, ready: Callable[[], None] | None = None) -> int:
    """Run a daemon in this process until it is told to end.

    Args:
        config: what to begin with.
        keyring: the keys that it names.
        path: where a reload reads it again, None for the usual places.
        ready: called once the sockets are open; then the process is detached, and logs go to syslog.
    """
    inbox: SimpleQueue[Any] = SimpleQueue()
    asked: set[signal.Signals] = set()

    def heard(number: int, _: object) -> None:
        if (one := signal.Signals(number)) not in asked:  # a thousand SIGHUPs keep no SIGTERM waiting
            asked.add(one)
            inbox.put(one)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, heard)
    state, loopback = config.paths.state_directory, config.parameters.loopback
    found, doubt = (config.node.id, "") if config.node.id else node_id(state, loopback)
    record = config.record()
    control = Control(config.paths.runtime_directory, inbox.put)
    try:
        discovery = Discovery(
            config.parameters,
            name=config.node.name or None,  # else it follows the machine's
            tags=record.tags,
            services=record.services,
            node_id=found,
            query=config.query.address,
            listener=inherited() if config.query.address else None,
            is_patient=True,
            metrics=config.metrics.address,
            control=control if config.query.address else None,
            keyring=keyring,
            notify=inbox.put,
        )
        drop_ins = DropIns(
            _beside(config, path, OWNER),
            offer=discovery.offer,
            tell=lambda level, text, fields: inbox.put(Notice(level=level, text=text, fields=fields)),
            later=inbox.put,
        )
        drop_ins.look()
        discovery.subscribe(inbox)
        hooked = HookKeeper(_beside(config, path, "hooks.d"), discovery, inbox.put)
        discovery.start(control.open if config.query.address else None)
    except OSError as error:
        say(f"{error.strerror or error}; {_remedy(error, config)}")
        return FAILED
    manager = ServiceManager()
    manager.ready(discovery.summary())
    with ExitStack() as stack:
        stack.callback(control.close)
        stack.callback(hooked.stop)
        stack.callback(drop_ins.stop)
        stack.callback(discovery.stop)  # the goodbye comes first
        stack.callback(manager.close)
        stack.callback(manager.stopping)
        drop_ins.start()
        discovery.report("dropins", drop_ins.status)
        if ready is not None:
            ready()
        daemon = Daemon(
            discovery, config, path, inbox, manager, asked=asked, drop_ins=drop_ins, hooks=hooked,
            is_detached=ready is not None,
        )  # fmt: skip
        return daemon.main(doubt)


def _beside(config: Config, path: str | None, name: str) -> str:
    """Give the path of something in the directory of the configuration, also where that is not there."""
    named = DEFAULT_PATH if config.is_stream else path or os.environ.get(PATH_VARIABLE) or DEFAULT_PATH
    return os.path.join(os.path.dirname(os.path.abspath(named)), name)


def _remedy(error: OSError, config: Config) -> str:
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


class Daemon:
    """The main thread: signals, notices and events come in one inbox and go to the log.

    Args:
        discovery: what it looks after; already started.
        config: what that began with.
        path: where a reload reads it again, None for the usual places.
        inbox: where everything comes in.
        manager: who is told how things are.
        asked: signals that are in the inbox.
        drop_ins: services from files, looked at now and then.
        hooks: what is run at events.
        is_detached: whether there is no standard error to log to.
    """

    def __init__(
        self,
        discovery: Discovery,
        config: Config,
        path: str | None,
        inbox: SimpleQueue[Any],
        manager: ServiceManager,
        *,
        asked: set[signal.Signals],
        drop_ins: DropIns,
        hooks: HookKeeper,
        is_detached: bool,
    ) -> None:
        self._discovery = discovery
        self._drop_ins = drop_ins
        self._hooks = hooks
        self._config = self._begun_with = config
        self._path = path
        self._inbox = inbox
        self._manager = manager
        self._asked = asked
        self._is_detached = is_detached
        self._status = ""
        self._silent: list[str] = []
        self._faults: dict[str, str] = {}
        self._budget = Budget()
        discovery.report("peer_log", lambda: {"unlogged": self._budget.unlogged})
        self._log = self._open_log()

    def main(self, doubt: str) -> int:
        """Look after it until it is to end; give the exit code.

        Args:
            doubt: what is wrong with the node id, if anything.
        """
        config = self._config
        self._log.write(
            "info", "discoveryd started", version=__version__, node=config.record().name, id=self._discovery.id,
            config=config.source, query=config.query.listen, pid=os.getpid(),
        )  # fmt: skip
        buffer = self._discovery.receive_buffer()
        if buffer["bytes"] < buffer["wanted"]:
            helps = f"set net.core.rmem_max to {buffer['wanted']}, as `discoveryd install` does"
            self._log.write("warning", "the receive buffer is smaller than wanted", **buffer, remedy=helps)
        if doubt:
            self._log.write("warning", "the node id lasts for this run only", why=doubt)
        elif not config.node.id and (problem := placeholder(config.paths.state_directory)):
            self._log.write("warning", "the machine id is a placeholder", why=problem)
        tick = min(TICK, self._manager.watchdog / FEEDS) if self._manager.watchdog else TICK
        next_tick = monotonic()
        code = None
        while code is None:
            with suppress(Empty):
                code = self._take(self._inbox.get(timeout=max(0.0, next_tick - monotonic())))
            if monotonic() >= next_tick:
                next_tick = monotonic() + tick
                self._tick()
        return code

    def _take(self, message: Any) -> int | None:
        """Act on a message; give the exit code if it is the last one."""
        if isinstance(message, signal.Signals):
            self._asked.discard(message)  # before it is obeyed: another one that comes now counts
        if isinstance(message, Event):
            self._log_event(message)
        elif isinstance(message, Notice):
            self._log.write(message.level, message.text, **message.fields)
            self._hooks.hear(message)
            if message.level == "critical":
                return FAILED
        elif callable(message):  # something that is to be done in this thread
            message()
        elif message == signal.SIGHUP:
            self._reload()
        elif isinstance(message, Reload):
            message.done(self._reload())
        elif isinstance(message, signal.Signals):
            self._log_unlogged(self._budget.untold(inf))
            self._log.write("info", "discoveryd stops", signal=message.name)
            return OK
        else:  # None: the log could not be written as fast as things happened
            self._log.write("warning", "events went unlogged")
            self._discovery.subscribe(self._inbox)
        return None

    def _tick(self) -> None:
        self._log_unlogged(self._budget.untold(monotonic()))
        if self._manager.watchdog:
            self._feed()
        self._attempt("services.d", self._drop_ins.look)
        self._attempt("hooks.d", self._hooks.look)
        if self._manager.is_there:
            status = self._discovery.summary()
            if status != self._status:
                self._status = status
                self._manager.status(status)

    def _attempt(self, what: str, look: Callable[[], None]) -> None:
        """Look at something that another look may find readable again; say once that it was not."""
        try:
            look()
        except OSError as error:
            why = error.strerror or str(error)
            if self._faults.get(what) != why:
                self._faults[what] = why
                self._log.write("warning", "cannot be looked at now", what=what, why=why)
        else:
            self._faults.pop(what, None)

    def _feed(self) -> None:
        """Feed the watchdog, if every thread has come round; say it once if one has not."""
        silent = self._discovery.pulse.silent()
        if not silent:
            self._manager.feed()
        elif silent != self._silent:
            self._log.write("error", "the watchdog is not fed", silent=",".join(silent))
        self._silent = silent

    def _open_log(self) -> Log:
        from discoveryd.daemon.logs import Log  # noqa: PLC0415 - after the first HELLO

        return Log(self._config.log.level, self._config.log.format, syslog=self._is_detached)

    def _log_event(self, event: Event) -> None:
        from discoveryd.daemon.logs import event_line  # noqa: PLC0415 - after the first HELLO

        if self._budget.allows(event, monotonic()):
            level, text, fields = event_line(event)
            self._log.write(level, text, **fields)

    def _log_unlogged(self, count: int) -> None:
        if count:
            why = "too many of peers that answered no PING"
            self._log.write("warning", "peer events not logged", count=count, why=why)

    def _reload(self) -> ReloadResult:
        """Read the configuration and what stands beside it again; a wrong one changes nothing."""
        self._manager.reloading()
        try:
            config = self._read_again()
            changes = self._take_over(config)
        except ConfigError as error:
            for problem in error.problems:
                self._log.write("error", "configuration refused", problem=problem)
            result = ReloadResult(problems=error.problems)
        except OSError as error:  # no descriptor for a module that is loaded late
            result = ReloadResult(problems=(f"cannot be read now: {error.strerror or error}",))
            self._log.write("error", "configuration refused", problem=result.problems[0])
        else:
            result = ReloadResult(needs_restart=tuple(changes))
        self._attempt("services.d", self._drop_ins.reload)
        self._attempt("hooks.d", lambda: self._hooks.reload(self._config.parameters.limits))
        if result.problems:
            self._log.write("warning", "the former configuration stays in force")
        else:
            self._log.write("info", "configuration reloaded", config=self._config.source)
        self._manager.ready(self._discovery.summary())
        return result

    def _read_again(self) -> Config:
        """Read the configuration.

        Raises:
            ConfigError: it is wrong, or came through a pipe, whose name means something else by now.
        """
        if self._begun_with.is_stream:
            where = self._begun_with.source
            why = f"the configuration came through a pipe ({where}), which is read once"
            raise ConfigError(f"{why}: to change it restart, or begin with a file")
        return load(self._path)

    def _take_over(self, config: Config) -> list[dict[str, Any]]:
        """Let another configuration be in force; give what of it waits for a restart.

        Raises:
            ConfigError: a key cannot be read, or its record is too long together with what is registered; nothing
                has changed then.
        """
        if is_service():
            refuse_forbidden(config)
        node, keyring = config.node, keyring_of(config)
        try:
            self._discovery.set_record(name=node.name or None, tags=node.tags, services=node.services)
        except RecordTooLong:  # what the configuration says comes before what files add to it
            self._drop_ins.make_room()
            self._discovery.set_record(name=node.name or None, tags=node.tags, services=node.services)
        former, self._config = self._config, config
        changes = needs_restart(self._begun_with, config)
        for change in changes:
            self._log.write("warning", "needs a restart", **change)
        if config.log != former.log:
            self._log = self._open_log()
        self._discovery.set_keyring(keyring)
        self._discovery.set_parameters(with_fixed(config.parameters, self._begun_with.parameters))
        return changes
