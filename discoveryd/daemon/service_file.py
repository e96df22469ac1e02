"""A file of ``services.d``: its service, or why there is none, and the state that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from discoveryd.errors import PASSING, ConfigError
from discoveryd.protocol.wire.record import Service

if TYPE_CHECKING:
    from discoveryd.config.dropin import DropIn
    from discoveryd.runtime.health import Check, CheckResult

MAX_PROBLEMS = 5
"""Faults of a file that are told; the others are told once these are mended."""

Stamp = tuple[int, ...]
"""Changes when a file changes, or the right to write it."""
UNREAD: Stamp = (-1,)
"""Of a file that could not be read for lack of something that there may be again."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
    drop_in: DropIn | None = None
    problems: tuple[str, ...] = ()
    result: CheckResult | None = None
    too_long: str = ""

    @property
    def check(self) -> Check | None:
        """The check of the service, None if it has none."""
        return self.drop_in.check if self.drop_in else None

    def state(self) -> ServiceState:
        """Return the state that follows."""
        service = self.drop_in.service if self.drop_in else None
        if service is None or self.too_long:
            return ServiceState(word="refused", service=service, problems=self.problems or (self.too_long,))
        if self.check is None or (self.result is not None and self.result.works):
            return ServiceState(word="announced", service=service)
        if self.result is None:
            return ServiceState(word="checking", service=service)
        return ServiceState(word="failing", service=service, problems=(self.result.why,))


def read(path: str, stamp: Stamp, former: ServiceFile | None) -> ServiceFile:
    """Read a file; the last result of a check holds on as long as the check is the same.

    Raises:
        OSError: of `PASSING`; that says nothing of the file.
    """
    from discoveryd.config.dropin import read_file  # noqa: PLC0415 - YAML is imported only where there is a file

    try:
        file = ServiceFile(stamp=stamp, drop_in=read_file(path))
    except OSError as error:
        if error.errno in PASSING:
            raise
        return ServiceFile(stamp=stamp, problems=(f"{path}: cannot be read: {error.strerror}",))
    except ConfigError as error:
        left = len(error.problems) - MAX_PROBLEMS
        more = [f"{path}: and {left} more"] if left > 0 else []
        return ServiceFile(stamp=stamp, problems=(*error.problems[:MAX_PROBLEMS], *more))
    if former is not None and former.check == file.check:
        file.result = former.result
    return file
