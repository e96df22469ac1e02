"""``discoveryd start`` and ``stop``: the daemon in the background, for machines without a service manager."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from discoveryd.cli.parse import Arguments
from discoveryd.config import PATH_VARIABLE, Config, load
from discoveryd.daemon import FAILED, NOT_RUNNING, OK, say
from discoveryd.daemon.pid_file import PidFile
from discoveryd.daemon.reload import keyring_of
from discoveryd.daemon.run import serve
from discoveryd.files.remedies import remedy
from discoveryd.protocol.sealed.keyring import Keyring

STOP_TIMEOUT = 5.0
"""Seconds that `stop` gives a daemon to say goodbye; it needs a tenth."""


def start(arguments: Arguments) -> int:
    """Start a daemon in the background, and wait until it is ready or has printed why not."""
    config = load(arguments.config)
    keyring = keyring_of(config)
    named = arguments.config or os.environ.get(PATH_VARIABLE)
    path = os.path.abspath(named) if named and not config.is_stream else None
    pidfile = PidFile(config.paths.pid_file)
    try:
        holder = pidfile.holder()
        if holder is not None:
            say(f"already running (pid {holder}, {pidfile.path})")
            return FAILED
    except OSError as error:
        say(f"cannot read {pidfile.path}: {error.strerror}; {remedy(error, _permission(config))}")
        return FAILED
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _detached(config, keyring, path, pidfile, write_end)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        verdict = pipe.read().strip()
    if verdict.startswith("ready "):
        print(f"discoveryd started (pid {verdict.removeprefix('ready ')})")  # noqa: T201
        return OK
    say(verdict.removeprefix("discoveryd: ") or "the daemon ended before it was ready; try: discoveryd run")
    return FAILED


def _detached(config: Config, keyring: Keyring, path: str | None, pidfile: PidFile, write_end: int) -> NoReturn:
    """Run the daemon: what it prints before it is ready goes through the pipe to the command that started it."""
    import daemon  # noqa: PLC0415 - 20 ms that only the child needs

    def ready() -> None:
        os.write(write_end, f"ready {os.getpid()}\n".encode())
        os.close(write_end)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    code = FAILED
    words = os.fdopen(os.dup(write_end), "w")
    # python-daemon would close the pipe and point stderr at nothing; what is printed is for the pipe
    with daemon.DaemonContext(
        files_preserve=[write_end, words], stderr=words, umask=0o022, prevent_core=True, signal_map={}
    ):
        words.close()
        try:
            with pidfile:
                code = serve(config, keyring, path, ready=ready)
        except BlockingIOError:
            say(f"already running (pid {pidfile.holder()}, {pidfile.path})")
        except OSError as error:
            say(f"cannot write {pidfile.path}: {error.strerror}; {remedy(error, _permission(config))}")
        sys.stderr.flush()
        os._exit(code)


def _permission(config: Config) -> str:
    """Return what helps against a missing permission."""
    if os.geteuid() and not config.paths.runtime and not os.environ.get("XDG_RUNTIME_DIR"):
        return "XDG_RUNTIME_DIR is not set, so this user has no directory for it: set paths.runtime, or run as root"
    return "run as root, or set paths.runtime"


def stop(arguments: Arguments) -> int:
    """End the daemon that `start` began."""
    pidfile = PidFile(load(arguments.config).paths.pid_file)
    try:
        found = pidfile.open_daemon()
        if not found:
            say(f"no daemon runs that start began ({pidfile.path})")
            return NOT_RUNNING
        pid, handle = found
        with open(handle, "rb", buffering=0):  # closes it
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            is_over = _ends(handle)
    except ProcessLookupError:
        return OK
    except OSError as error:
        helps = remedy(error, "run as root, or as the user who started it")
        say(f"cannot stop the daemon: {error.strerror} ({pidfile.path}); {helps}")
        return FAILED
    if not is_over:
        say(f"pid {pid} still runs after {STOP_TIMEOUT:g} s; look at its log, or kill it with: kill -9 {pid}")
        return FAILED
    print(f"discoveryd stopped (pid {pid})")  # noqa: T201
    return OK


def _ends(handle: int) -> bool:
    """Wait for the end of a process; return whether it came."""
    import select  # noqa: PLC0415 - a pid descriptor is no socket

    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(STOP_TIMEOUT * 1000))


