"""``discoveryctl register``: a service is announced as long as this runs, or as long as a command does."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from select import select

from discoveryd.ctl.follow import note
from discoveryd.errors import DaemonUnreachable, QueryError
from discoveryd.net.reconnect import Retry
from discoveryd.query.formats import printable
from discoveryd.query.formats.json_text import printable_json
from discoveryd.query.formats.table import service_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subprocess import Popen
    from typing import Any, Self

    from discoveryd.ctl.options import Options
    from discoveryd.net.query_client import QueryClient

FINE = 0
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit codes for a command that cannot be run, as shells have them."""
FINAL = frozenset(("denied", "refused", "bad_argument"))
"""Codes of a daemon that is there and will not register this: to try again does not help."""
KILLED = 128
"""Plus the number of the signal: the exit code of a command that one killed."""


def register(options: Options) -> int:
    """Announce a service until a signal, or until the command ends, whose exit code is given then.

    Raises:
        QueryError: it could not be registered; when the daemon is lost later, it is tried again for ever. So it is
            from the beginning with a command, which must not wait for a daemon.
    """
    as_user = _identity(options.user) if options.user else {}
    with _Signals() as signals, _Registration(options) as registration:
        registration.begin()
        if not options.rest:
            return _attend(signals, registration, None)
        import subprocess  # noqa: PLC0415 - with a command only

        try:
            child = subprocess.Popen(options.rest, **as_user)  # noqa: S603 - what the user asked for
        except OSError as error:
            print(f"discoveryctl: cannot run {printable(options.rest[0])}: {error.strerror}", file=sys.stderr)
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        return _attend(signals, registration, child)


def _identity(name: str) -> dict[str, Any]:
    """Give what lets a process run as a user: its id, group and groups, and an environment that names it.

    Raises:
        QueryError: ``bad_argument``; there is no such user, or we may not become it.
    """
    import pwd  # noqa: PLC0415 - with a user only

    try:
        user = pwd.getpwnam(name)
    except KeyError:
        why = f"--user: there is no user {name!r} on this machine (see: getent passwd)"
        raise QueryError("bad_argument", why) from None
    environment = {**os.environ, "HOME": user.pw_dir, "USER": name, "LOGNAME": name}
    if user.pw_uid == os.geteuid():
        return {"env": environment}
    if os.geteuid():
        raise QueryError("bad_argument", f"--user: only root may run a command as {name}: put sudo before discoveryctl")
    groups = os.getgrouplist(name, user.pw_gid)
    return {"env": environment, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def _attend(signals: _Signals, registration: _Registration, child: Popen[bytes] | None) -> int:
    """Wait for signals, the end of the child, and the end of the connection."""
    ending = -1 if child is None else os.pidfd_open(child.pid)
    try:
        while True:
            wanted = [one for one in (signals.fileno(), registration.fileno(), ending) if one >= 0]
            ready, _, _ = select(wanted, (), (), registration.patience())
            if child is not None and ending in ready:
                code = child.wait()
                return code if code >= 0 else KILLED - code
            for number in signals.take():
                if child is None:
                    return FINE
                if number != signal.SIGINT or not _is_in_the_foreground():
                    child.send_signal(number)
            registration.look(is_readable=registration.fileno() in ready)
    finally:
        if ending >= 0:
            os.close(ending)


def _is_in_the_foreground() -> bool:
    """Whether Ctrl-C comes to us from the terminal, which sends it to the child as well."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


class _Registration:
    """One service, registered over whatever connection to the daemon there is at the moment."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: QueryClient | None = None
        self._retry = Retry()
        self._again_at = 0.0
        self._was_registered = False
        self._patient_until = math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def begin(self) -> None:
        """Register for the first time; with a command or within ``--timeout`` a daemon may come later.

        Raises:
            QueryError: refused, or no daemon.
        """
        self._patient_until = time.monotonic() + (self._options.timeout or 0.0)
        try:
            service = self._register()["service"]
        except DaemonUnreachable as error:
            if not (self._options.rest or self._options.timeout):
                raise
            self._lose(error)
            return
        self._was_registered, self._patient_until = True, math.inf
        if not (self._options.rest or self._options.json):
            print(f"{printable(service_of(service))} is registered as long as this runs", flush=True)

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when the connection ends, -1 while there is none."""
        return -1 if self._client is None else self._client.fileno()

    def patience(self) -> float | None:
        """Say for how many seconds there is nothing to do, None for as long as the connection lives."""
        return None if self._client is not None else max(self._again_at - time.monotonic(), 0.0)

    def look(self, *, is_readable: bool) -> None:
        """Notice that the connection has ended; try again when it is time to."""
        try:
            if self._client is not None:
                if is_readable:
                    self._client.hear()
                return
            if time.monotonic() < self._again_at:
                return
            self._register()
        except QueryError as error:
            is_final = error.code in FINAL or time.monotonic() >= self._patient_until
            if not (self._options.rest or self._was_registered) and is_final:
                raise
            self._lose(error)
        else:
            self._retry.succeeded()
            note("registered again" if self._was_registered else "registered")
            self._was_registered, self._patient_until = True, math.inf

    def _register(self) -> dict[str, Any]:
        wanted = self._options
        client = wanted.client()
        try:
            client.connect()
            # read now: a daemon that was restarted may have made a new token
            service = {"name": wanted.name, "port": wanted.port, "proto": wanted.proto, "tags": wanted.tags}
            reply = client.request("register", token=wanted.token(), service=service)
        except BaseException:
            client.close()
            raise
        self._client = client
        if wanted.json:
            print(printable_json(client.line), flush=True)
        return reply

    def _lose(self, error: QueryError) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._retry.failed(error):
            note(f"{error.message}; trying again")
        self._again_at = time.monotonic() + self._retry.pause


class _Signals:
    """SIGTERM and SIGINT as something that `select` can wait for."""

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._former = {
            number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when one comes."""
        return self._read

    def take(self) -> bytes:
        """Give the numbers of those that came."""
        try:
            return os.read(self._read, 64)
        except BlockingIOError:
            return b""
