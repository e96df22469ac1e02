"""nats-py without the parts that sites do not use: 3 MB of JetStream, mail headers and the metadata of packages.

nats-py imports all of it at once. Here a module that stands for ``nats.js`` loads the real one as soon as something of
it is used (a message with headers does that), and the version that nats-py would look up for the server stays unknown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

JETSTREAM, METADATA = "nats.js", "importlib.metadata"


class _StandIn(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__" and self.__name__ == METADATA:  # the import statement itself asks for it
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def lean() -> Iterator[None]:
    """Let nats-py be imported in the block without what is not needed; nothing changes where that is there already."""
    made = {name: _StandIn(name) for name in (JETSTREAM, METADATA) if name not in sys.modules}
    if METADATA in made:
        made[METADATA].version = _unknown  # type: ignore[attr-defined]
    sys.modules.update(made)
    try:
        yield
    finally:
        if METADATA in made and sys.modules.get(METADATA) is made[METADATA]:
            del sys.modules[METADATA]
    library = sys.modules.get("nats")
    if JETSTREAM in made and library is not None and sys.modules.get(JETSTREAM) is made[JETSTREAM]:
        library.js = made[JETSTREAM]  # type: ignore[attr-defined]


def _unknown(name: str) -> NoReturn:
    raise ModuleNotFoundError(f"the version of {name} is not looked up")
