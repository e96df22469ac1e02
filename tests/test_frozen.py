"""`frozen` beside the standard library's own: whatever one of its classes does, a frozen dataclass does too."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from discoveryd.frozen import frozen


def both(**options):
    """Make the same classes by either decorator."""
    for decorate in (frozen(**options), dataclass(frozen=True, slots=True, **{"kw_only": True, **options})):

        @decorate
        class Base:
            name: str
            size: int = 1

        @decorate
        class Item(Base):
            tags: dict[str, str] = field(default_factory=dict, hash=False)
            secret: str = field(default="", repr=False, compare=False)
            label: str = field(init=False)
            places: list[int] = field(init=False, default_factory=list, compare=False)

            def __post_init__(self):
                object.__setattr__(self, "label", f"{self.name}/{self.size}")

        yield Item


@pytest.fixture(params=[{}, {"kw_only": False}, {"eq": False}], ids=["plain", "by place", "by identity"])
def pair(request):
    return list(both(**request.param))


def facts(kind):
    """Tell what a class does."""
    one, same = (kind(name="a", size=2, tags={"b": "c"}, secret="x") for _ in range(2))
    other, bare = replace(one, size=3), kind(name="a")
    return (
        repr(one), repr(bare), one == same, one == other, one == replace(one, secret="y"), one == ("a", 2), one != same,
        hash(one) == hash(same), hash(one) == hash(replace(one, tags={})), len({one, same, other}), other.label,
        bare.tags, bare.tags is kind(name="a").tags, bare.places, one.places is same.places,
        [(each.name, each.kw_only, each.default) for each in fields(kind)],
        [(each.name, each.kind) for each in inspect.signature(kind).parameters.values()],
        hasattr(one, "__dict__"), copy.copy(one).label, copy.deepcopy(one).tags, kind.__match_args__,
    )  # fmt: skip


def test_it_does_what_a_frozen_dataclass_does(pair):
    ours, theirs = map(facts, pair)
    assert ours == theirs


def test_neither_can_be_changed(pair):
    for kind in pair:
        one = kind(name="a")
        with pytest.raises(FrozenInstanceError):
            one.size = 4
        with pytest.raises(FrozenInstanceError):
            del one.name
        with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
            one.new = 4
        assert (one.name, one.size) == ("a", 1)


def test_a_wrong_call_is_a_type_error(pair):
    for kind in pair:
        for call in (lambda kind=kind: kind(), lambda kind=kind: kind(name="a", label="b"), lambda kind=kind: kind(name="a", wrong=1)):
            with pytest.raises(TypeError, match="__init__"):
                call()


@frozen
class Stored:
    """At the top of a module, where pickle finds it."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)


def test_it_can_be_pickled():
    one = Stored(name="a", tags={"b": "c"})
    assert pickle.loads(pickle.dumps(one)) == one


def test_only_the_constructor_is_compiled():
    """What the time at the start is for: the other methods are the functions of this module."""
    files = {name: getattr(Stored, name).__code__.co_filename for name in ("__init__", "__eq__", "__hash__", "__repr__", "__setattr__")}
    assert files.pop("__init__") == "<string>"
    assert all(file.endswith("frozen.py") for file in files.values())
