"""Services that programs bring along: one YAML file each in ``services.d`` beside the configuration.

The announced services follow from the files that are there now, and from the last results of their checks; nothing is
remembered of a file that was good before it was edited. All of it happens in the main thread: `Health` has a thread
of its own, but its results are taken there too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from discoveryd.config import Config
from discoveryd.daemon.parts import Part
from discoveryd.errors import PASSING, ConfigError, RecordTooLong
from discoveryd.frozen import frozen
from discoveryd.protocol.wire.record import MAX_RECORD, Service, service_length
from discoveryd.runtime.notices import Notice, of_death

if TYPE_CHECKING:
    from discoveryd.runtime.health import Check, CheckResult, Health

OWNER = "services.d"
"""The owner under which the services are offered, and the name of the directory."""
MAX_FILES = 64
"""Files that are read, the first by name: a record of 700 bytes has room for about 25 services."""
MAX_ENTRIES = 1024
"""Names of the directory that are looked at, every two seconds; 1 µs each."""
MAX_PROBLEMS = 5
"""Faults of a file that are told; the others are told once these are mended."""

Stamp = tuple[int, ...]
"""Changes when a file changes, or the right to write it."""
UNREAD: Stamp = (-1,)
"""Of a file that could not be read for lack of something that there may be again."""


@frozen
class ServiceState:
    """The state of a file, whose changes are logged."""

    word: Literal["announced", "checking", "failing", "refused"]
    service: Service | None = None
    problems: tuple[str, ...] = ()

    @property
    def why(self) -> str | None:
        """The first problem, and the number of others."""
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return self.problems[0] + more if self.problems else None

    @property
    def fields(self) -> dict[str, Any]:
        """What the log says of the service."""
        if self.service is None:
            return {}
        return {"service": self.service.name, "port": f"{self.service.port}/{self.service.proto}"}


@dataclass(slots=True, kw_only=True)
class ServiceFile:
    """What is known of a file: its service, or why there is none."""

    stamp: Stamp
    service: Service | None = None
    check: Check | None = None
    problems: tuple[str, ...] = ()
    result: CheckResult | None = None

    def state(self) -> ServiceState:
        """Return the state that follows."""
        service = self.service
        if service is None:
            return ServiceState(word="refused", problems=self.problems)
        if self.check is None or (self.result is not None and self.result.works):
            return ServiceState(word="announced", service=service)
        if self.result is None:
            return ServiceState(word="checking", service=service)
        return ServiceState(word="failing", service=service, problems=(self.result.why,))


class ServicesPart(Part):
    """The services of a directory.

    Args:
        directory: where the files are; it need not exist.
        offer: announces all services, in place of those before; as `Discovery.offer`.
        put: takes a notice, or a function to be called in the main thread; in any thread.
    """

    name = "services.d"
    section = "dropins"

    def __init__(
        self,
        directory: str,
        *,
        offer: Callable[[str, Iterable[Service]], None],
        put: Callable[[Notice | Callable[[], None]], None],
    ) -> None:
        self.directory = directory
        self._offer = offer
        self._put = put
        self._files: dict[str, ServiceFile] = {}  # by name
        self._fault = ""  # of the directory
        self._states: dict[str, ServiceState] = {}
        self._health: Health | None = None
        self._is_started = False
        self._lack = ""

    def open(self) -> None:
        """Read the files, and announce their services; those with a check come later."""
        self.look()

    def start(self) -> None:
        """Begin to run the checks."""
        self._is_started = True
        self._check()

    def stop(self) -> None:
        """End the checks.

        Raises:
            RuntimeError: their thread did not end.
        """
        if self._health is not None:
            self._health.stop()

    def look(self) -> None:
        """Read what has changed since the last look, and announce what follows. Cheap where nothing has."""
        stamps, fault = self._scan()
        has_changed = (stamps, fault) != (self._stamps(), self._fault)
        if has_changed:
            unread = self._take_files(stamps)
            fault = fault or unread
            if fault and fault != self._fault:
                self._tell("warning", "service files ignored", directory=self.directory, why=fault)
            self._fault = fault
        if has_changed or self._lack:
            self._check()
        waits_for_room = any(state.word == "refused" and state.service for state in self._states.values())
        if has_changed or waits_for_room:
            self._announce()

    def reload(self, config: Config) -> None:  # noqa: ARG002 - only the directory counts
        """Read all files again, and tell again what is wrong with them."""
        for file in self._files.values():
            file.stamp = ()  # no file could have it
        self._fault = ""
        self._states = {name: state for name, state in self._states.items() if state.word != "refused"}
        self.look()
        self._announce()

    def status(self) -> list[dict[str, Any]]:
        """Return each file with the name of its service, its state, and why that is so."""
        states = {os.path.join(self.directory, name): state for name, state in self._states.items()}
        if self._fault:
            states = {self.directory: ServiceState(word="refused", problems=(self._fault,)), **states}
        return [
            {"file": path, "name": state.service and state.service.name, "state": state.word, "why": state.why}
            for path, state in states.items()
        ]

    def _tell(self, level: str, text: str, **fields: Any) -> None:
        self._put(Notice(level=level, text=text, fields=fields))

    # --- files ----------------------------------------------------------------------------------

    def _stamps(self) -> dict[str, Stamp]:
        return {name: file.stamp for name, file in self._files.items()}

    def _scan(self) -> tuple[dict[str, Stamp], str]:
        """Look at the directory without opening a file; return the stamps of its files, and what is wrong with it."""
        try:
            with os.scandir(self.directory) as entries:
                seen = list(islice(entries, MAX_ENTRIES + 1))
            directory = os.stat(self.directory)
        except FileNotFoundError:
            return {}, ""
        except OSError as error:
            return self._stamps(), f"cannot be read: {error.strerror}"  # what was announced stays
        # not what is hidden, nor left behind by an editor or a package manager
        meant = [entry for entry in seen if entry.name.endswith((".yaml", ".yml")) and entry.name[0] not in ".#"]
        files = sorted(meant, key=lambda entry: entry.name)
        fault = ""
        if len(files) > MAX_FILES:
            fault = f"has {len(files)} files; only the first {MAX_FILES} by name are read"
        if len(seen) > MAX_ENTRIES:
            fault = f"has more than {MAX_ENTRIES} entries; remove what is no service"
        mode = directory.st_mode, directory.st_uid  # they decide whether a file may have a check
        stamps = {entry.name: _stamp(entry) for entry in files[:MAX_FILES]}
        return {name: stamp + mode for name, stamp in stamps.items() if stamp is not None}, fault

    def _take_files(self, stamps: Mapping[str, Stamp]) -> str:
        """Read what has changed; return what could not be read now, which stays as it was until it can."""
        former, self._files, unread = self._files, {}, ""
        for name, stamp in stamps.items():
            file = former.get(name)
            if file is None or file.stamp != stamp:
                try:
                    file = _read(os.path.join(self.directory, name), stamp, file)
                except OSError as error:
                    unread = unread or f"{os.path.join(self.directory, name)} cannot be read now: {error.strerror}"
                    if file is None:
                        continue
                    file.stamp = UNREAD
            self._files[name] = file
        return unread

    # --- checks ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """Run the checks of the files; where no thread or descriptor is left for that, the next `look` tries again."""
        checks = {name: file.check for name, file in self._files.items() if file.check is not None}
        former, self._lack = self._lack, ""
        if checks and self._is_started and self._health is None:
            try:
                from discoveryd.runtime.health import Health  # noqa: PLC0415 - most directories have no checks

                health = Health(
                    told=lambda result: self._put(partial(self._take, result)),
                    failed=lambda thread, error: self._put(of_death(thread, error)),
                )
                health.start()
                self._health = health
            except OSError as error:
                self._lack = error.strerror or str(error)
                if not former:
                    self._tell("warning", "services are not checked now", why=self._lack)
        if self._health is not None:
            self._health.replace(checks)

    def _take(self, result: CheckResult) -> None:
        file = self._files.get(result.key)
        if file is None or file.check != result.check:
            return  # the file was changed meanwhile
        former, file.result = file.result, result
        if former is None or (former.works, former.why) != (result.works, result.why):
            self._announce()

    # --- the record -----------------------------------------------------------------------------

    def _announce(self) -> None:
        """Offer what may be announced and fits, and tell what has changed."""
        states = {name: file.state() for name, file in self._files.items()}
        chosen = {name: state.service for name, state in states.items() if state.service and state.word == "announced"}
        while True:
            try:
                self._offer(OWNER, tuple(chosen.values()))
                break
            except RecordTooLong as error:
                if not chosen:
                    raise
                for name, problem in _unfit(chosen, error.excess).items():  # fewer at each turn, and none always fit
                    states[name] = ServiceState(word="refused", service=chosen.pop(name), problems=(problem,))
        former, self._states = self._states, states
        for name in sorted({*former, *states}):
            self._tell_change(os.path.join(self.directory, name), former.get(name), states.get(name))

    def _tell_change(self, path: str, former: ServiceState | None, state: ServiceState | None) -> None:
        """Log the change of a file's state, if it is worth it."""
        was_announced = former is not None and former.word == "announced"
        if state is None:
            if former is not None and was_announced:
                self._tell("info", "service withdrawn", **former.fields, file=path, why="its file is gone")
            return
        is_other = former is None or (former.word, former.service) != (state.word, state.service)
        if state.word == "refused" and state.service is None:
            for problem in state.problems if former != state else ():
                self._tell("warning", "service file refused", problem=problem)
        elif state.word == "announced" and is_other:
            self._tell("info", "service announced", **state.fields, file=path)
        elif state.word in ("failing", "refused") and is_other:
            text = "service withdrawn" if was_announced else "service not announced"
            self._tell("warning", text, **state.fields, file=path, why=state.why)
        elif state.word == "checking" and was_announced:
            self._tell("info", "service withdrawn", **state.fields, file=path, why="its check is a new one")


def _unfit(services: Mapping[str, Service], excess: int) -> dict[str, str]:
    """Return why some services do not fit into the record, which is too long by so many bytes; the first by name do."""
    found, room = {}, sum(map(service_length, services.values())) - excess
    for name, service in services.items():
        length = service_length(service)
        if length <= room:
            room -= length
        else:
            found[name] = (
                f"{length - max(room, 0)} bytes too much: it takes {length}, and of the {MAX_RECORD} that fit into "
                f"a HELLO {max(room, 0)} are left; shorten it, or remove another"
            )
    return found


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    """Return the stamp of a file, None if it has just gone, an empty stamp if it cannot be looked at."""
    try:
        found = entry.stat()
    except FileNotFoundError:
        return () if entry.is_symlink() else None
    except OSError:
        return ()
    # the time of the inode's change, too: it changes with the owner and the mode
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: str, stamp: Stamp, former: ServiceFile | None) -> ServiceFile:
    """Read a file; the last result of a check holds on as long as the check is the same.

    Raises:
        OSError: of `PASSING`; that says nothing of the file.
    """
    from discoveryd.config.dropin import read_file  # noqa: PLC0415 - YAML is imported only where there is a file

    try:
        service, check = read_file(path)
    except OSError as error:
        if error.errno in PASSING:
            raise
        return ServiceFile(stamp=stamp, problems=(f"{path}: cannot be read: {error.strerror}",))
    except ConfigError as error:
        left = len(error.problems) - MAX_PROBLEMS
        more = [f"{path}: and {left} more"] if left > 0 else []
        return ServiceFile(stamp=stamp, problems=(*error.problems[:MAX_PROBLEMS], *more))
    result = former.result if former is not None and former.check == check else None
    return ServiceFile(stamp=stamp, service=service, check=check, result=result)
