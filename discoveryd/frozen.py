"""Frozen dataclasses that are made in a third of the time, and their instances in two thirds.

A start makes some eighty of them before its first HELLO, and `dataclasses` compiles six methods for each. Here only
``__init__`` is compiled; the other methods are the same functions for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")
OURSELF = "_self_"
"""The first parameter of a constructor: a field may be called ``self``."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = True, eq: bool = True) -> Any:
    """Make a class what ``@dataclass(frozen=True, slots=True, kw_only=True)`` makes of it.

    `dataclasses.field`, `fields` and `replace`, ``__post_init__``, inheritance, `copy` and `pickle` work as with that;
    ``InitVar`` does not.

    Args:
        cls: the class, where the decorator has no arguments.
        kw_only: whether the constructor takes the fields by name only.
        eq: whether instances with the same fields are equal; else each is equal to itself alone.
    """
    if cls is None:
        return lambda cls: frozen(cls, kw_only=kw_only, eq=eq)
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    found = fields(made)
    made.__init__ = _init(made, found)
    made.__repr__ = _repr([one.name for one in found if one.repr])
    made.__setattr__ = made.__delattr__ = _refuse
    made.__reduce__ = _reduce
    if eq:
        made.__eq__ = _eq(_contents([one.name for one in found if one.compare]))
        hashed = [one.name for one in found if (one.compare if one.hash is None else one.hash)]
        made.__hash__ = _hash(_contents(hashed))
    return made


def _init(cls: type, found: tuple[Field[Any], ...]) -> Callable[..., None]:
    """Return the constructor: it sets each slot by the slot's own descriptor, past `_refuse`."""
    scope: dict[str, Any] = {"MISSING": MISSING}
    by_place: list[str] = []
    by_name: list[str] = []
    lines: list[str] = []
    for one in found:
        name = one.name
        scope[f"set_{name}"] = getattr(cls, name).__set__
        text = given = name
        if one.default is not MISSING:
            scope[f"default_{name}"] = one.default
            text = f"{name}=default_{name}"
        elif one.default_factory is not MISSING:
            scope[f"make_{name}"] = one.default_factory
            text, given = f"{name}=MISSING", f"make_{name}() if {name} is MISSING else {name}"
        elif not one.init:  # ``__post_init__`` sets it
            continue
        if one.init:
            (by_name if one.kw_only else by_place).append(text)
        else:
            given = f"default_{name}" if one.default is not MISSING else f"make_{name}()"
        lines.append(f"set_{name}({OURSELF}, {given})")
    if hasattr(cls, "__post_init__"):
        lines.append(f"{OURSELF}.__post_init__()")
    head = ", ".join([OURSELF, *by_place, *(["*", *by_name] if by_name else [])])
    exec(f"def __init__({head}):\n " + "\n ".join(lines or ["pass"]), scope)  # noqa: S102 - of the class's own words
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _contents(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _eq(contents: Callable[[Any], Any]) -> Callable[[object, object], bool]:
    def eq(self: object, other: object) -> bool:
        return contents(self) == contents(other) if other.__class__ is self.__class__ else NotImplemented

    return eq


def _hash(contents: Callable[[Any], Any]) -> Callable[[object], int]:
    return lambda self: hash(contents(self))


def _repr(names: list[str]) -> Callable[[object], str]:
    def text(self: object) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return text


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"{name!r} of a {type(self).__name__} cannot be changed: use dataclasses.replace")


def _reduce(self: Any) -> tuple[Any, ...]:
    return _restore, (type(self), [getattr(self, one.name) for one in fields(self)])


def _restore(cls: type[T], contents: list[Any]) -> T:
    """Make an instance of its contents, as `pickle` and `copy` do: past the constructor."""
    made = object.__new__(cls)
    for one, content in zip(fields(cls), contents, strict=True):  # type: ignore[arg-type]
        getattr(cls, one.name).__set__(made, content)
    return made
