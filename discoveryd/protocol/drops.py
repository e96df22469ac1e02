"""Counts by reason and interface, bounded: containers bring new interfaces without end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

MAX_NAMES = 64
"""Interfaces that are counted one by one; what is one too many is counted as `OTHERS`."""
OTHERS = "others"


class Drops(Counter[tuple[str, str]]):
    """Counts datagrams by reason and interface.

    When there are too many interfaces, those that are gone by then become `OTHERS`; what they counted is kept there.

    Args:
        counted: what to begin with.
    """

    def __init__(self, counted: Mapping[tuple[str, str], int] = MappingProxyType({})) -> None:
        super().__init__(counted)
        self._names = {name for _, name in counted}
        self._present: Callable[[], Iterable[str]] | None = None

    def count(self, reason: str, name: str) -> None:
        """Count one more."""
        if name not in self._names:
            if len(self._names) >= MAX_NAMES:
                self._fold()
            if len(self._names) >= MAX_NAMES:
                name = OTHERS
            else:
                self._names.add(name)
        self[reason, name] += 1

    def changed(self, present: Callable[[], Iterable[str]]) -> None:
        """Take it that interfaces may have gone since; `present` gives those there are, and is asked at most once."""
        self._present = present

    def _fold(self) -> None:
        if self._present is None:
            return
        gone = self._names.difference(self._present())
        self._present = None
        self._names -= gone
        for key in [key for key in self if key[1] in gone]:
            self[key[0], OTHERS] += self.pop(key)
