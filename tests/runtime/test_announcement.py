"""The services that a node announces, of several owners."""

from itertools import permutations

from discoveryd.protocol.wire.record import Record, Service
from discoveryd.runtime.announcement import merged, replaced


def service(name, port=80, **more):
    return Service(name=name, port=port, **more)


def of(**services):
    """Let each owner announce its services."""
    announced = {}
    for owner, some in services.items():
        announced = replaced(announced, owner, some)
    return announced


def names(announced):
    return [one.name for one in merged(announced)]


def test_each_owner_has_its_own():
    announced = of(config=[service("a")], dropins=[service("b"), service("c")])
    assert (names(announced), list(announced)) == (["a", "b", "c"], ["config", "dropins"])
    assert names(replaced(announced, "dropins", [service("d")])) == ["a", "d"]
    assert names(replaced(announced, "config", [service("z")])) == ["z", "b", "c"]
    assert list(replaced(announced, "config", ())) == ["dropins"]
    assert names(announced) == ["a", "b", "c"]  # a value: nothing above changed it
    assert names(replaced({}, "nobody", ())) == []


def test_a_service_counts_once_until_its_last_owner_withdraws():
    announced = of(one=[service("a")], two=[service("a")])
    assert names(announced) == ["a"]
    assert names(replaced(announced, "one", ())) == ["a"]
    assert names(replaced(replaced(announced, "one", ()), "two", ())) == []


def test_another_port_or_transport_is_another_service():
    announced = of(one=[service("a"), service("a", 81), service("a", proto="udp")], two=[service("a")])
    assert len(merged(announced)) == 3


def test_of_the_same_the_one_that_says_more_is_told():
    short, long = service("a", tags={"x": "1"}), service("a", tags={"x": "1", "y": "22"})
    for first, second in ((short, long), (long, short)):
        assert merged(of(one=[first], two=[second])) == (long,)


def test_what_is_left_always_fits():
    """To take something back never makes the record longer, not by a tag that was hidden until then."""
    tags = ({}, {"a": "|" * 9}, {"a": "x" * 50}, {"b": "\u00e4" * 9, "c": ""}, {"a": "1", "b": "2", "c": "3"})
    for order in permutations(enumerate(tags), 4):
        announced = {}
        for owner, one in order:
            announced = replaced(announced, str(owner), [service("a", tags=one), service(f"only-{owner}")])
        while announced:
            before = len(Record(name="n", services=merged(announced)).encoded)
            announced = replaced(announced, next(iter(announced)), ())
            assert len(Record(name="n", services=merged(announced)).encoded) < before
