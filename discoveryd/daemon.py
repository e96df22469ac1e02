"""``discoveryd``: the command that runs, starts, stops and checks the daemon."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from discoveryd import __version__
from discoveryd.config import PATH_VARIABLE, Config, load
from discoveryd.errors import ConfigError
from discoveryd.identity import node_id, reset
from discoveryd.protocol.events import Event
from discoveryd.runtime.discovery import Discovery, Notice

if TYPE_CHECKING:
    from discoveryd.logs import Log

OK, FAILED, USAGE, NOT_RUNNING = 0, 1, 2, 3
STOP_TIMEOUT = 5.0
"""Seconds that `stop` gives a daemon to say goodbye; it needs a tenth."""
START_TIMEOUT = 10.0

_EPILOG = """\
exit codes:
  0  fine
  1  failed: a port is taken, a permission is missing, a thread died
  2  usage, or the configuration is wrong
  3  status, stop: no daemon runs

The configuration is read from --config, else $DISCOVERYD_CONFIG, else /etc/discoveryd/discoveryd.yaml,
else the defaults hold; DISCOVERYD_SECTION__KEY in the environment overrides a key of it.
Ask the daemon with discoveryctl.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except ConfigError as error:
        for problem in error.problems:
            _say(problem)
        return USAGE
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="discoveryd",
        description="Know which other machines of this network are up right now, at which address, offering what.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"discoveryd {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run, text in (
        ("run", _run, "run in the foreground until SIGTERM or Ctrl-C"),
        ("start", _start, "run in the background, with a pid file"),
        ("stop", _stop, "stop the daemon that start began"),
        ("status", _status, "say whether a daemon runs here, and what it sees"),
        ("reset-id", _reset_id, "choose a new node id for this machine: one of two that were cloned needs it"),
        ("check", _check, "check the configuration and print what is in force"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument("--config", metavar="FILE", help="configuration file")
        command.set_defaults(run=run)
    demo = commands.add_parser(
        "demo",
        help="four daemons on this machine alone: watch peers come and go for 12 seconds",
        description="Start four daemons on loopback, let one leave, kill one, bring one back, and check that all "
        "of it is seen. Nothing leaves this machine.",
    )
    demo.set_defaults(run=_demo)
    simulate = commands.add_parser(
        "simulate",
        help="what a network of so many nodes would do: traffic, delays, false alarms",
        description="Let the engine run many nodes in virtual time, and print what it would be like: traffic on the "
        "segment, time to full tables after all start at once, how soon a crash is seen, false alarms. Nothing is "
        "sent. The same seed gives the same figures, but for the processor time.",
    )
    simulate.add_argument("--nodes", metavar="N", default="20", help="nodes on one segment (20)")
    simulate.add_argument("--loss", metavar="P", default="0", help="share of datagrams lost, such as 0.2 or 20%% (0)")
    simulate.add_argument("--minutes", metavar="M", default="5", help="virtual minutes to play (5)")
    simulate.add_argument("--seed", metavar="S", default="1", help="another seed, another course of chance (1)")
    simulate.add_argument("--config", metavar="FILE", help="take interval, ttl, budget and limits from here")
    simulate.add_argument("--json", action="store_true", help="print the figures as one line of JSON")
    simulate.set_defaults(run=_simulate)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _say(text: str) -> None:
    print(f"discoveryd: {text}", file=sys.stderr)  # noqa: T201 - this is what a person reads


# --- run ------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    return serve(load(arguments.config), arguments.config)


def serve(config: Config, path: str | None, *, ready: Any = None) -> int:
    """Run a daemon in this process until it is told to end.

    Args:
        config: what to begin with.
        path: where SIGHUP reads it again, None for the usual places.
        ready: called once the sockets are open; then the process is detached, and logs go to syslog.
    """
    inbox: SimpleQueue[Any] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: inbox.put(signal.Signals(number)))
    found, doubt = (config.node.id, "") if config.node.id else node_id(config.paths.state)
    record = config.record()
    discovery = Discovery(
        config.parameters,
        name=record.name,
        tags=record.tags,
        services=record.services,
        node_id=found,
        query=config.query.address,
        notify=inbox.put,
    )
    discovery.subscribe(inbox)
    try:
        discovery.start()
    except OSError as error:
        _say(f"{error.strerror}; {_remedy(error, config)}")
        return FAILED
    try:
        if ready is not None:
            ready()
        return _Daemon(discovery, config, path, inbox, is_detached=ready is not None).main(doubt)
    finally:
        discovery.stop()


def _remedy(error: OSError, config: Config) -> str:
    text = error.strerror or ""
    if isinstance(error, PermissionError):
        return "run it as a user who may, or choose a port above 1023"
    if text.startswith("TCP"):
        return f"stop that, or set query.listen (now {config.query.listen})"
    if config.parameters.loopback:
        return "stop that, or set another hello.loopback or hello.port"
    return "stop that, or set hello.port, on every node alike; to try several daemons here set hello.loopback"


class _Daemon:
    """The main thread: signals, notices and events come in one inbox and go to the log."""

    def __init__(
        self, discovery: Discovery, config: Config, path: str | None, inbox: SimpleQueue[Any], *, is_detached: bool
    ) -> None:
        self._discovery = discovery
        self._config = self._begun_with = config
        self._path = path
        self._inbox = inbox
        self._is_detached = is_detached
        self._log = self._open_log()

    def main(self, doubt: str) -> int:
        config = self._config
        self._log.write(
            "info", "discoveryd started", version=__version__, node=config.record().name, id=self._discovery.id,
            config=config.source, query=config.query.listen, pid=os.getpid(),
        )  # fmt: skip
        if doubt:
            self._log.write("warning", "the node id lasts for this run only", why=doubt)
        while True:
            message = self._inbox.get()
            if isinstance(message, Event):
                self._log_event(message)
            elif isinstance(message, Notice):
                self._log.write(message.level, message.text, **message.fields)
                if message.level == "critical":
                    return FAILED
            elif message == signal.SIGHUP:
                self._reload()
            elif isinstance(message, signal.Signals):
                self._log.write("info", "discoveryd stops", signal=message.name)
                return OK
            else:  # None: the log could not be written as fast as things happened
                self._log.write("warning", "events went unlogged")
                self._discovery.subscribe(self._inbox)

    def _open_log(self) -> Log:
        from discoveryd.logs import Log  # noqa: PLC0415 - after the first HELLO

        return Log(self._config.log.level, self._config.log.format, syslog=self._is_detached)

    def _log_event(self, event: Event) -> None:
        from discoveryd.logs import event_line  # noqa: PLC0415 - after the first HELLO

        level, text, fields = event_line(event)
        self._log.write(level, text, **fields)

    def _reload(self) -> None:
        """Take over what can be changed in a running daemon; a wrong configuration changes nothing."""
        try:
            config = load(self._path)
            record = config.record()
        except ConfigError as error:
            for problem in error.problems:
                self._log.write("error", "configuration refused", problem=problem)
            self._log.write("warning", "the former configuration stays in force")
            return
        former, self._config = self._config, config
        fixed = _fixed(self._begun_with)
        for key, value in _fixed(config).items():
            if value != fixed[key]:
                self._log.write("warning", "needs a restart", key=key, now=fixed[key], wanted=value)
        if config.log != former.log:
            self._log = self._open_log()
        self._discovery.set_record(name=record.name, tags=record.tags, services=record.services)
        self._discovery.set_parameters(_with_fixed(config, self._begun_with))
        self._log.write("info", "configuration reloaded", config=config.source)


def _fixed(config: Config) -> dict[str, Any]:
    """Give the keys that hold for the life of a process."""
    return {
        "hello.port": config.parameters.port,
        "hello.realm": config.parameters.realm,
        "hello.loopback": config.parameters.loopback,
        "node.id": config.node.id,
        "query.listen": config.query.listen,
        "paths.state": config.paths.state,
        "paths.runtime": config.paths.runtime,
    }


def _with_fixed(config: Config, begun_with: Config) -> Any:
    from dataclasses import replace  # noqa: PLC0415 - reload only

    old = begun_with.parameters
    return replace(config.parameters, port=old.port, realm=old.realm, loopback=old.loopback)


# --- start, stop, status --------------------------------------------------------------------------


def _pid_path(config: Config) -> str:
    return os.path.join(config.paths.runtime, "discoveryd.pid")


def _start(arguments: argparse.Namespace) -> int:
    """Detach, and wait until the daemon is ready or has said why not."""
    from discoveryd.pidfile import PidFile  # noqa: PLC0415 - detached mode only

    config = load(arguments.config)
    named = arguments.config or os.environ.get(PATH_VARIABLE)
    path = os.path.abspath(named) if named else None
    pidfile = PidFile(_pid_path(config))
    try:
        holder = pidfile.holder()
        if holder is not None:
            _say(f"already running (pid {holder}, {pidfile.path})")
            return FAILED
    except OSError as error:
        _say(f"cannot read {pidfile.path}: {error.strerror}; run as root, or set paths.runtime")
        return FAILED
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _detached(config, path, pidfile, write_end)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        verdict = pipe.read().strip()
    if verdict.startswith("ready "):
        print(f"discoveryd started (pid {verdict.removeprefix('ready ')})")  # noqa: T201
        return OK
    _say(verdict.removeprefix("discoveryd: ") or "the daemon ended before it was ready; try: discoveryd run")
    return FAILED


def _detached(config: Config, path: str | None, pidfile: Any, write_end: int) -> NoReturn:
    """Be the daemon: its last words before it is ready go through the pipe to who started it."""
    import daemon  # noqa: PLC0415 - detached mode only

    def ready() -> None:
        os.write(write_end, f"ready {os.getpid()}\n".encode())
        os.close(write_end)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    code = FAILED
    words = os.fdopen(os.dup(write_end), "w")
    # python-daemon would close the pipe and point stderr at nothing; what is said is for the pipe
    with daemon.DaemonContext(
        files_preserve=[write_end, words], stderr=words, umask=0o022, prevent_core=False, signal_map={}
    ):
        words.close()
        try:
            with pidfile:
                code = serve(config, path, ready=ready)
        except BlockingIOError:
            _say(f"already running (pid {pidfile.holder()}, {pidfile.path})")
        except OSError as error:
            _say(f"cannot write {pidfile.path}: {error.strerror}; run as root, or set paths.runtime")
        sys.stderr.flush()
        os._exit(code)


def _stop(arguments: argparse.Namespace) -> int:
    from discoveryd.pidfile import PidFile  # noqa: PLC0415 - detached mode only

    pidfile = PidFile(_pid_path(load(arguments.config)))
    try:
        pid = pidfile.holder()
        if not pid:
            _say(f"no daemon runs that start began ({pidfile.path})")
            return NOT_RUNNING
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return OK
    except OSError as error:
        _say(f"cannot stop the daemon: {error.strerror} ({pidfile.path})")
        return FAILED
    if not _ends(handle):
        _say(f"pid {pid} still runs after {STOP_TIMEOUT:g} s; look at its log, or kill it with: kill -9 {pid}")
        return FAILED
    print(f"discoveryd stopped (pid {pid})")  # noqa: T201
    return OK


def _ends(handle: int) -> bool:
    """Wait for the end of a process."""
    import select  # noqa: PLC0415 - a pid descriptor is no socket

    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(STOP_TIMEOUT * 1000))


def _status(arguments: argparse.Namespace) -> int:
    from discoveryd.errors import QueryError  # noqa: PLC0415
    from discoveryd.net.query_client import QueryClient  # noqa: PLC0415 - asks as discoveryctl does
    from discoveryd.pidfile import PidFile  # noqa: PLC0415

    config = load(arguments.config)
    pidfile = PidFile(_pid_path(config))
    try:
        pid = pidfile.holder()
    except OSError as error:
        _say(f"cannot read {pidfile.path}: {error.strerror}")
        return FAILED
    who = f"pid {pid}" if pid else "not begun by start"
    if config.query.address is None:
        print(f"discoveryd {'runs' if pid else 'does not run'} ({who}; no query socket to ask)")  # noqa: T201
        return OK if pid else NOT_RUNNING
    try:
        with QueryClient(config.query.address) as client:
            status = client.request("status")
    except QueryError as error:
        print(f"discoveryd runs ({who}) but does not answer: {error}" if pid else "discoveryd does not run")  # noqa: T201
        return FAILED if pid else NOT_RUNNING
    states = ", ".join(f"{count} {state}" for state, count in status["peers"].items() if count) or "no peers yet"
    links = ", ".join(f"{link['name']} {link['address']}" for link in status["links"]) or "no link"
    print(f"discoveryd {status['version']} runs ({who}) as {status['node']['name']}: {states}; {links}")  # noqa: T201
    return OK


def _reset_id(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    if config.node.id:
        _say(f"the configuration sets node.id to {config.node.id}: change it there ({config.source})")
        return FAILED
    former, _ = node_id(config.paths.state)
    try:
        fresh = reset(config.paths.state)
    except OSError as error:
        _say(f"cannot write to {config.paths.state}: {error.strerror}; run as root, or set paths.state")
        return FAILED
    print(f"node id {fresh} from the next start on (was {former}); now restart discoveryd")  # noqa: T201
    return OK


def _check(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    config.record()
    sys.stdout.write(config.to_yaml())
    return OK


def _version(_: argparse.Namespace) -> int:
    print(f"discoveryd {__version__}")  # noqa: T201
    return OK


def _demo(_: argparse.Namespace) -> int:
    from discoveryd.demo import main as demo  # noqa: PLC0415 - nothing a daemon needs

    return demo()


def _simulate(arguments: argparse.Namespace) -> int:
    from discoveryd.simulate import main as simulate  # noqa: PLC0415 - nothing a daemon needs

    return simulate(arguments)
