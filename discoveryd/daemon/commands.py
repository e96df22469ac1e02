"""Commands that end: ``discoveryd start``, ``stop``, ``status``, ``check`` and ``reset-id``.

The first two are for machines without a service manager. The pid file of a daemon that was started so is locked while
it lives, so that a stale file means nothing.
"""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from discoveryd.cli.parse import Arguments
from discoveryd.config import PATH_VARIABLE, Config, load
from discoveryd.daemon import FAILED, NOT_RUNNING, OK, say
from discoveryd.daemon.dns import need_library
from discoveryd.daemon.identity import node_id, reset
from discoveryd.daemon.keys import are_hidden, read_keyring
from discoveryd.daemon.ports import is_service, refuse_forbidden
from discoveryd.daemon.web import check_web
from discoveryd.errors import DaemonUnreachable, QueryError, UntrustedFile
from discoveryd.files import token, trusted
from discoveryd.files.trusted import remedy
from discoveryd.net.query_client import QueryClient
from discoveryd.protocol.sealed.keyring import Keyring

PROGRAM = "discoveryd"
STOP_TIMEOUT = 5.0
"""Seconds that `stop` gives a daemon to say goodbye; it needs a tenth."""
PID_DIGITS = 10
"""A number with as many digits is more than the kernel surely takes."""


def start(arguments: Arguments) -> int:
    """Start a daemon in the background, and wait until it is ready or has printed why not."""
    config = load(arguments.config)
    keyring = read_keyring(config)
    named = arguments.config or os.environ.get(PATH_VARIABLE)
    path = os.path.abspath(named) if named and not config.is_stream else None
    pid_file = config.paths.pid_file
    try:
        pid = holder(pid_file)
    except OSError as error:
        say(f"cannot read {pid_file}: {error.strerror}; {remedy(error, _permission(config))}")
        return FAILED
    if pid is not None:
        say(f"already running (pid {pid}, {pid_file})")
        return FAILED
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _detached(config, keyring, path, write_end)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        verdict = pipe.read().strip()
    if verdict.startswith("ready "):
        print(f"discoveryd started (pid {verdict.removeprefix('ready ')})")  # noqa: T201
        return OK
    say(verdict.removeprefix("discoveryd: ") or "the daemon ended before it was ready; try: discoveryd run")
    return FAILED


def _detached(config: Config, keyring: Keyring, path: str | None, write_end: int) -> NoReturn:
    """Run the daemon: what it prints before it is ready goes through the pipe to the command that started it."""
    import daemon  # noqa: PLC0415 - 20 ms that only the child needs

    from discoveryd.daemon.run import serve  # noqa: PLC0415 - nor do stop and status

    def ready() -> None:
        os.write(write_end, f"ready {os.getpid()}\n".encode())
        os.close(write_end)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    code, pid_file = FAILED, config.paths.pid_file
    words = os.fdopen(os.dup(write_end), "w")
    # python-daemon would close the pipe and point stderr at nothing; what is printed is for the pipe
    with daemon.DaemonContext(
        files_preserve=[write_end, words], stderr=words, umask=0o022, prevent_core=True, signal_map={}
    ):
        words.close()
        try:
            with hold(pid_file):
                code = serve(config, keyring, path, ready=ready)
        except BlockingIOError:
            say(f"already running (pid {holder(pid_file)}, {pid_file})")
        except OSError as error:
            say(f"cannot write {pid_file}: {error.strerror}; {remedy(error, _permission(config))}")
        sys.stderr.flush()
        os._exit(code)


def _permission(config: Config) -> str:
    """Return what helps against a missing permission."""
    if os.geteuid() and not config.paths.runtime and not os.environ.get("XDG_RUNTIME_DIR"):
        return "XDG_RUNTIME_DIR is not set, so this user has no directory for it: set paths.runtime, or run as root"
    return "run as root, or set paths.runtime"


def stop(arguments: Arguments) -> int:
    """End the daemon that `start` began; it is checked, so that root does not end any process a file names."""
    pid_file = load(arguments.config).paths.pid_file
    try:
        pid, owner = _read(pid_file)
        if not pid:
            say(f"no daemon runs that start began ({pid_file})")
            return NOT_RUNNING
        handle = os.pidfd_open(pid)  # first: the pid may belong to another process by the time it has been checked
        with open(handle, "rb", buffering=0):  # closes it
            if why := _foreign(pid, owner):
                raise UntrustedFile(pid_file, f"it names pid {pid}, {why}", f"nothing was ended; remove {pid_file}")
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            is_over = select.select([handle], [], [], STOP_TIMEOUT)[0]
    except ProcessLookupError:
        return OK
    except OSError as error:
        helps = remedy(error, "run as root, or as the user that started it")
        say(f"cannot stop the daemon: {error.strerror} ({pid_file}); {helps}")
        return FAILED
    if not is_over:
        say(f"pid {pid} still runs after {STOP_TIMEOUT:g} s; look at its log, or kill it with: kill -9 {pid}")
        return FAILED
    print(f"discoveryd stopped (pid {pid})")  # noqa: T201
    return OK


def status(arguments: Arguments) -> int:
    """Print whether a daemon runs, and what it sees."""
    config = load(arguments.config)
    try:
        pid = holder(config.paths.pid_file)
    except OSError as error:
        say(f"cannot read {config.paths.pid_file}: {error.strerror}")
        return FAILED
    process = f"pid {pid}" if pid else "not begun by start"
    if config.query.address is None:
        print(f"discoveryd {'runs' if pid else 'does not run'} ({process}; no query socket to ask)")  # noqa: T201
        return OK if pid else NOT_RUNNING
    try:
        with client_of(config) as client:
            seen = client.request("status")
    except QueryError as error:
        if not pid and isinstance(error, DaemonUnreachable):
            print("discoveryd does not run")  # noqa: T201
            return NOT_RUNNING
        print(f"discoveryd {f'runs ({process}) but' if pid else 'may run, but'} does not answer: {error}")  # noqa: T201
        return FAILED
    print(f"discoveryd {seen['version']} runs ({process}) as {sight(seen)}")  # noqa: T201
    return OK


def client_of(config: Config) -> QueryClient:
    """Return a client of the daemon of a configuration, with the token that is needed beyond loopback."""
    file, address = config.paths.token_file, config.query.address
    assert address is not None
    return QueryClient(address, token=lambda: token.read(file), vet=lambda owner: token.vet(file, address, owner))


def sight(seen: dict[str, Any]) -> str:
    """Return a status in a few words: the node, its peers by state, its links."""
    states = ", ".join(f"{count} {state}" for state, count in seen["peers"].items() if count) or "no peers yet"
    links = ", ".join(f"{link['name']} {link['address']}" for link in seen["links"]) or "no link"
    return f"{seen['node']['name']}: {states}; {links}"


def reset_id(arguments: Arguments) -> int:
    """Choose a new node id."""
    config = load(arguments.config)
    if config.node.id:
        say(f"the configuration sets node.id to {config.node.id}: change it there ({config.source})")
        return FAILED
    loopback = config.parameters.loopback
    former, _ = node_id(config.paths.state_directory, loopback)
    try:
        reset(config.paths.state_directory)
    except OSError as error:
        helps = remedy(error, "run as root, or set paths.state")
        say(f"cannot write to {config.paths.state_directory}: {error.strerror}; {helps}")
        return FAILED
    fresh, _ = node_id(config.paths.state_directory, loopback)
    print(f"node id {fresh} from the next start on (was {former}); now restart discoveryd")  # noqa: T201
    return OK


def check(arguments: Arguments) -> int:
    """Check the configuration and print what is in force."""
    config = load(arguments.config)
    config.record()
    if config.security.keys and not are_hidden(in_service=is_service()):
        read_keyring(config)  # else the daemon reads them, before it takes anything over
    if not (config.sites.credentials and are_hidden(in_service=is_service())):
        from discoveryd.daemon.sites import access_of  # noqa: PLC0415 - for this command alone

        access_of(config)
    refuse_forbidden(config)
    need_library(config)
    if not are_hidden(in_service=is_service()):
        check_web(config)
    if not arguments.quiet:
        sys.stdout.write(config.to_yaml())
    return OK


# --- the pid file -----------------------------------------------------------------------------------


@contextmanager
def hold(path: str) -> Iterator[None]:
    """Hold the lock of a pid file, with the pid of this process in it; leave no file behind.

    Raises:
        BlockingIOError: another process holds it.
        UntrustedFile: the file is not ours.
        OSError: the file may not be written.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    is_ours = False
    while not is_ours:
        with open(trusted.open_in_place(path), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # its last holder may have removed it meanwhile
                is_ours = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
            if is_ours:
                file.truncate()
                file.write(f"{os.getpid()}\n".encode())
                try:
                    yield
                finally:
                    os.unlink(path)


def holder(path: str) -> int | None:
    """Return the pid of the daemon that runs, 0 if the file does not say, None if none runs.

    Raises:
        UntrustedFile: the file is not ours.
        OSError: the file is there but may not be read.
    """
    return _read(path)[0]


def _read(path: str) -> tuple[int | None, int]:
    """Return `holder`, and the owner of the file."""
    with suppress(FileNotFoundError), open(trusted.open_file(path, owners=trusted.beside(path)), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read(32).strip()
            is_pid = text.isdigit() and len(text) < PID_DIGITS
            return (int(text) if is_pid else 0), os.fstat(file.fileno()).st_uid
    return None, 0


def _foreign(pid: int, owner: int) -> str:
    """Return why a process is not a daemon that the owner of the file started; empty if it is."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended, as the signal will show
        lines = trusted.read_text(f"/proc/{pid}/status", 4096).splitlines()
        uids = next((line.split()[1:] for line in lines if line.startswith("Uid:")), [])
        if set(uids) != {str(owner)}:  # real, effective, saved and file system
            return f"which belongs to uid {'/'.join(dict.fromkeys(uids))}, not to uid {owner} as the file"
        words = trusted.read_text(f"/proc/{pid}/cmdline", 4096).split("\0")
        if "start" not in words or not any(PROGRAM in word for word in words):
            return f"which is no daemon that `{PROGRAM} start` began"
    return ""
