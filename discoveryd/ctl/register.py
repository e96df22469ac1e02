"""``discoveryctl register``: announce a service as long as this runs, or as long as a command does."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from select import select

from discoveryd.ctl import FINE
from discoveryd.ctl.output import note
from discoveryd.errors import DaemonUnreachable, QueryError
from discoveryd.net.reconnect import Retry
from discoveryd.query.formats import printable, printable_json
from discoveryd.query.formats.table import service_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from subprocess import Popen
    from typing import Any

    from discoveryd.cli.ctl_commands import Options
    from discoveryd.net.query_client import QueryClient

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit codes for a command that cannot be run, as in shells."""
FINAL = frozenset(("denied", "refused", "bad_argument"))
"""Codes of a daemon that will not register this service: to try again does not help."""
KILLED = 128
"""Plus the number of the signal: the exit code of a command that one killed."""


def register(options: Options) -> int:
    """Announce a service until a signal comes, or until the command ends; return the exit code.

    Raises:
        QueryError: the service could not be registered. A daemon that is lost later is tried again for ever; with a
            command, which must not wait for a daemon, one that is not there yet as well.
    """
    as_user = _identity(options.user) if options.user else {}
    numbers = (signal.SIGTERM, signal.SIGINT, *([signal.SIGCHLD] if options.rest else []))
    with _signals(numbers) as signals, closing(_Registration(options)) as registration:
        registration.begin()
        if not options.rest:
            return _attend(signals, registration, None)
        import subprocess  # noqa: PLC0415 - with a command only

        try:
            child = subprocess.Popen(options.rest, **as_user)  # noqa: S603 - what the user asked for
        except OSError as error:
            note(f"cannot run {options.rest[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        return _attend(signals, registration, child)


def _identity(name: str) -> dict[str, Any]:
    """Return the arguments of Popen that run a process as a user: its id, groups and environment.

    Raises:
        QueryError: ``bad_argument``; there is no such user, or this process may not become that user.
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


def _attend(signals: int, registration: _Registration, child: Popen[bytes] | None) -> int:
    """Wait for signals, also of the child's end, and for the end of the connection; return the exit code."""
    while True:
        connection, patience = registration.awaits()
        ready, _, _ = select([signals, *connection], (), (), patience)
        for number in os.read(signals, 64) if signals in ready else b"":
            if child is None:
                return FINE
            if number == signal.SIGCHLD:
                if (code := child.poll()) is not None:
                    return code if code >= 0 else KILLED - code
            elif number != signal.SIGINT or not _is_in_the_foreground():
                child.send_signal(number)
        registration.attend(is_readable=any(one in ready for one in connection))


def _is_in_the_foreground() -> bool:
    """Return whether Ctrl-C comes from the terminal, which sends it to the child as well."""
    with suppress(OSError), open("/dev/tty", "rb", buffering=0) as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False


class _Registration:
    """One service, registered over whatever connection to the daemon there is at the moment."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: QueryClient | None = None
        self._retry = Retry()
        self._again_at = 0.0
        self._was_registered = False
        self._patient_until = time.monotonic() + (options.timeout or 0.0)

    def close(self) -> None:
        """Close the connection, which ends the registration."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def begin(self) -> None:
        """Register for the first time; with a command or within ``--timeout`` a daemon may come later.

        Raises:
            QueryError: refused, or no daemon.
        """
        try:
            reply = self._register()
        except DaemonUnreachable as error:
            if not (self._options.rest or self._options.timeout):
                raise
            self._lost(error)
        else:
            if not (self._options.rest or self._options.json):
                print(f"{printable(service_of(reply['service']))} is registered as long as this runs", flush=True)

    def awaits(self) -> tuple[list[int], float | None]:
        """Return the descriptor that becomes readable when the connection ends; else the seconds until another try."""
        if self._client is not None:
            return [self._client.fileno()], None
        return [], max(self._again_at - time.monotonic(), 0.0)

    def attend(self, *, is_readable: bool) -> None:
        """Notice the end of the connection; register again when it is time to.

        Raises:
            QueryError: it makes no sense to try again.
        """
        try:
            if self._client is not None:
                if is_readable:
                    self._client.hear()
            elif time.monotonic() >= self._again_at:
                text = "registered again" if self._was_registered else "registered"
                self._register()
                note(text)
        except QueryError as error:
            is_final = error.code in FINAL or time.monotonic() >= self._patient_until
            if is_final and not (self._options.rest or self._was_registered):
                raise
            self._lost(error)

    def _register(self) -> dict[str, Any]:
        """Connect and register; return the reply."""
        wanted = self._options
        client = wanted.client()
        with ExitStack() as undo:
            undo.callback(client.close)
            client.connect()
            # the token is read now: a daemon that was restarted may have made a new one
            service = {"name": wanted.name, "port": wanted.port, "proto": wanted.proto, "tags": wanted.tags}
            reply = client.request("register", token=wanted.token(), service=service)
            undo.pop_all()
        self._client = client
        self._retry.succeeded()
        self._was_registered = True
        if wanted.json:
            print(printable_json(client.line), flush=True)
        return reply

    def _lost(self, error: QueryError) -> None:
        self.close()
        if self._retry.failed(error):
            note(f"{error.message}; trying again")
        self._again_at = time.monotonic() + self._retry.pause


@contextmanager
def _signals(numbers: Sequence[int]) -> Iterator[int]:
    """Yield a descriptor from which the numbers of these signals are read as they come."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    former = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield read
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(read)
        os.close(write)
