"""Services that programs bring along: one YAML file each in ``services.d`` beside the configuration.

What is announced follows from what stands in that directory now, and from what the checks said last; nothing is
remembered of a file that was good before it was edited. All of it happens in the main thread: `Health` has a thread
of its own, but its verdicts are taken there too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from discoveryd.errors import PASSING, ConfigError, RecordTooLong
from discoveryd.protocol.wire.record import MAX_RECORD, Service, service_length

if TYPE_CHECKING:
    from discoveryd.config.dropin import DropIn
    from discoveryd.runtime.health import Check, Health, CheckResult

OWNER = "services.d"
"""Under which the services are offered, and what the directory is called."""
MAX_FILES = 64
"""Files that are read, the first by name: a record of 700 bytes has room for about 25 services."""
MAX_ENTRIES = 1024
"""Names of the directory that are looked at, every two seconds; 1 µs each."""
MAX_PROBLEMS = 5
"""Faults of one file that are told; who mends five sees the others then."""

_Stamp = tuple[int, ...]
"""Whatever changes when a file, or who may write it, does."""
_UNREAD: _Stamp = (-1,)
"""Of a file that could not be read for lack of something that there may be again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What has become of a file: what the log tells changes of."""

    word: Literal["announced", "checking", "failing", "refused"]
    service: Service | None = None
    problems: tuple[str, ...] = ()

    @property
    def why(self) -> str | None:
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return self.problems[0] + more if self.problems else None


class DropIns:
    """The services of a directory. For one thread, but for `status`.

    Args:
        directory: where the files are; it need not exist.
        offer: announces all of them, in place of those before; as `Discovery.offer`.
        tell: told level, text and fields of what is worth a log line. From any thread.
        later: has a function called in the thread that calls `look`. From any thread.
    """

    def __init__(
        self,
        directory: str,
        *,
        offer: Callable[[str, Iterable[Service]], None],
        tell: Callable[[str, str, Mapping[str, Any]], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self.directory = directory
        self._offer = offer
        self._tell = tell
        self._later = later
        self._stamps: dict[str, _Stamp] = {}
        self._found: dict[str, DropIn | tuple[str, ...]] = {}  # or what is wrong with it
        self._fault = ""  # of the directory
        self._verdicts: dict[str, CheckResult] = {}
        self._too_long: dict[str, str] = {}
        self._states: dict[str, _State] = {}
        self._health: Health | None = None
        self._is_started = self._is_checking = False
        self._lack = ""

    def start(self) -> None:
        """Begin to run the checks; `look` may have come before."""
        self._is_started = True
        if self._health is not None:
            self._begin_checks()

    def stop(self) -> None:
        """End the checks. Safe to call again, and before `start`.

        Raises:
            RuntimeError: their thread did not end.
        """
        if self._health is not None:
            self._health.stop()

    def look(self) -> None:
        """Read what has changed since the last look, and announce what follows. Cheap where nothing has."""
        stamps, fault = self._scan()
        has_changed = (stamps, fault) != (self._stamps, self._fault)
        if has_changed:
            unread = self._take_files(stamps)
            fault = fault or unread
            if fault and fault != self._fault:
                self._tell("warning", "service files ignored", {"directory": self.directory, "why": fault})
            self._fault = fault
        if has_changed or self._lack:
            self._check()
        if has_changed or self._too_long:  # somebody else may have made room
            self._announce()

    def reload(self) -> None:
        """Read all files again, and tell again what is wrong with them."""
        self._stamps, self._fault = dict.fromkeys(self._stamps, ()), ""  # none that a file could have
        self._states = {name: state for name, state in self._states.items() if state.word != "refused"}
        self.look()
        self._announce()

    def make_room(self) -> None:
        """Take all of them out of the record; the next `look` puts back what fits."""
        self._offer(OWNER, ())
        self._stamps = dict.fromkeys(self._stamps, ())

    def status(self) -> list[dict[str, Any]]:
        """Give each file with the name of its service, its state, and why that is so; from any thread."""
        files = [
            {
                "file": os.path.join(self.directory, name),
                "name": state.service.name if state.service else None,
                "state": state.word,
                "why": state.why,
            }
            for name, state in self._states.items()
        ]
        fault = {"file": self.directory, "name": None, "state": "refused", "why": self._fault}
        return [*([fault] if self._fault else []), *files]

    # --- files ----------------------------------------------------------------------------------

    def _scan(self) -> tuple[dict[str, _Stamp], str]:
        """Look at the directory without opening a file; give what there is, and what is wrong."""
        try:
            with os.scandir(self.directory) as entries:
                seen = list(islice(entries, MAX_ENTRIES + 1))
            of_all = os.stat(self.directory)
        except FileNotFoundError:
            return {}, ""
        except OSError as error:
            return self._stamps, f"cannot be read: {error.strerror}"  # what was announced stays
        files = sorted((one for one in seen if _is_meant(one.name)), key=lambda one: one.name)
        fault = ""
        if len(files) > MAX_FILES:
            fault = f"has {len(files)} files; only the first {MAX_FILES} by name are read"
        if len(seen) > MAX_ENTRIES:
            fault = f"has more than {MAX_ENTRIES} entries; remove what is no service"
        mode = of_all.st_mode, of_all.st_uid  # they decide whether a file may have a check
        stamps = {one.name: _stamp(one) for one in files[:MAX_FILES]}
        return {name: stamp + mode for name, stamp in stamps.items() if stamp is not None}, fault

    def _take_files(self, stamps: Mapping[str, _Stamp]) -> str:
        """Read what has changed; give what could not be read now, which stays as it was until it can."""
        found, unread = {}, {}
        for name, stamp in stamps.items():
            if name in self._found and self._stamps.get(name) == stamp:
                found[name] = self._found[name]
                continue
            try:
                found[name] = self._read(name)
            except OSError as error:
                unread[name] = f"{os.path.join(self.directory, name)} cannot be read now: {error.strerror}"
                if name in self._found:
                    found[name] = self._found[name]
        self._found, self._stamps = found, {**stamps, **dict.fromkeys(unread, _UNREAD)}
        return next(iter(unread.values()), "")

    def _read(self, name: str) -> DropIn | tuple[str, ...]:
        """Read a file; give its service, or what is wrong with it.

        Raises:
            OSError: of `PASSING`; that says nothing of the file.
        """
        path = os.path.join(self.directory, name)
        try:
            from discoveryd.config.dropin import read_file  # noqa: PLC0415 - YAML is not for those who have no file

            return read_file(path)
        except OSError as error:
            if error.errno in PASSING:
                raise
            problems: tuple[str, ...] = (f"{path}: cannot be read: {error.strerror}",)
        except ConfigError as error:
            problems = error.problems
        left = len(problems) - MAX_PROBLEMS
        return (*problems[:MAX_PROBLEMS], f"{path}: and {left} more") if left > 0 else problems

    # --- checks ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """Run the checks of the files there are, and forget the verdicts of others."""
        checks = {name: check for name, check in ((name, _check_of(one)) for name, one in self._found.items()) if check}
        self._verdicts = {name: one for name, one in self._verdicts.items() if checks.get(name) == one.check}
        if checks:
            self._begin_checks()
        if self._health is not None:
            self._health.replace(checks)

    def _begin_checks(self) -> None:
        """Have checks run from now on; where there is no thread or descriptor for that, the next `look` tries again."""
        former, self._lack = self._lack, ""
        try:
            if self._health is None:
                from discoveryd.runtime.health import Health  # noqa: PLC0415 - most directories have no checks

                self._health = Health(lambda verdict: self._later(lambda: self._take(verdict)), self._end_loudly)
            if self._is_started and not self._is_checking:
                self._health.start()
                self._is_checking = True
        except OSError as error:
            self._lack = error.strerror or str(error)
            if not former:
                self._tell("warning", "services are not checked now", {"why": self._lack})

    def _take(self, verdict: CheckResult) -> None:
        found = self._found.get(verdict.key, ())
        if _check_of(found) != verdict.check:
            return  # the file was changed meanwhile
        former = self._verdicts.get(verdict.key)
        self._verdicts[verdict.key] = verdict
        if former is None or (former.works, former.why) != (verdict.works, verdict.why):
            self._announce()

    def _end_loudly(self, name: str, error: BaseException) -> None:
        self._tell("critical", "thread died", {"thread": name, "error": repr(error)})

    # --- the record -----------------------------------------------------------------------------

    def _announce(self) -> None:
        """Offer what may be announced and fits, and tell what has changed."""
        chosen = {
            name: one.service
            for name, one in self._found.items()
            if not isinstance(one, tuple) and (one.check is None or self._works(name))
        }
        self._too_long = {}
        while True:
            try:
                self._offer(OWNER, tuple(chosen.values()))
                break
            except RecordTooLong as error:
                if not chosen:
                    raise
                room = sum(map(service_length, chosen.values())) - error.excess
                chosen = self._fitting(chosen, room)  # fewer at each turn, and none always fit
        former, self._states = self._states, {name: self._state(name) for name in self._found}
        for name in sorted({*former, *self._states}):
            self._tell_change(os.path.join(self.directory, name), former.get(name), self._states.get(name))

    def _fitting(self, services: Mapping[str, Service], room: int) -> dict[str, Service]:
        """Choose those that fit into so many bytes, first come first served by name; say of the others why not."""
        chosen = {}
        for name, service in services.items():
            length = service_length(service)
            if length <= room:
                room -= length
                chosen[name] = service
            else:
                self._too_long[name] = (
                    f"{length - max(room, 0)} bytes too much: it takes {length}, and of the {MAX_RECORD} that fit into "
                    f"a HELLO {max(room, 0)} are left; shorten it, or remove another"
                )
        return chosen

    def _works(self, name: str) -> bool:
        verdict = self._verdicts.get(name)
        return verdict is not None and verdict.works

    def _state(self, name: str) -> _State:
        found = self._found[name]
        if isinstance(found, tuple):
            return _State(word="refused", problems=found)
        if name in self._too_long:
            return _State(word="refused", service=found.service, problems=(self._too_long[name],))
        if found.check is None or self._works(name):
            return _State(word="announced", service=found.service)
        verdict = self._verdicts.get(name)
        if verdict is None:
            return _State(word="checking", service=found.service)
        return _State(word="failing", service=found.service, problems=(verdict.why,))

    def _tell_change(self, path: str, former: _State | None, state: _State | None) -> None:
        """Log what has become of a file, where that is news."""
        was_announced = former is not None and former.word == "announced"
        if state is None:
            if former is not None and was_announced:
                self._tell("info", "service withdrawn", {**_fields(former), "file": path, "why": "its file is gone"})
            return
        is_other = former is None or (former.word, former.service) != (state.word, state.service)
        if state.word == "refused" and state.service is None:
            for problem in state.problems if former != state else ():
                self._tell("warning", "service file refused", {"problem": problem})
        elif state.word == "announced" and is_other:
            self._tell("info", "service announced", {**_fields(state), "file": path})
        elif state.word in ("failing", "refused") and is_other:
            text = "service withdrawn" if was_announced else "service not announced"
            self._tell("warning", text, {**_fields(state), "file": path, "why": state.why})
        elif state.word == "checking" and was_announced:
            self._tell("info", "service withdrawn", {**_fields(state), "file": path, "why": "its check is a new one"})


def _fields(state: _State) -> dict[str, Any]:
    if state.service is None:
        return {}
    return {"service": state.service.name, "port": f"{state.service.port}/{state.service.proto}"}


def _check_of(found: DropIn | tuple[str, ...]) -> Check | None:
    return None if isinstance(found, tuple) else found.check


def _is_meant(name: str) -> bool:
    """Whether a file is for us. Not what is hidden, nor what editors and package managers leave behind."""
    return name.endswith((".yaml", ".yml")) and not name.startswith((".", "#"))


def _stamp(entry: os.DirEntry[str]) -> _Stamp | None:
    """Give a file's stamp; None where it has just gone, an empty one where it cannot be looked at."""
    try:
        found = entry.stat()
    except FileNotFoundError:
        return () if entry.is_symlink() else None
    except OSError:
        return ()
    # the time of the inode's change, too: who may write the file has no other
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
