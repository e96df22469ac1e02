"""What a node offers, by who offers it."""

from itertools import permutations

from discoveryd.protocol.wire.record import Record, Service
from discoveryd.runtime.announcement import AnnouncedServices


def service(name, port=80, **more):
    return Service(name=name, port=port, **more)


def names(offers):
    return [one.name for one in offers.services()]


def test_each_owner_has_its_own():
    offers = AnnouncedServices().replaced("config", [service("a")]).replaced("services.d", [service("b"), service("c")])
    assert (names(offers), offers.owners) == (["a", "b", "c"], ("config", "services.d"))
    assert names(offers.replaced("services.d", [service("d")])) == ["a", "d"]
    assert names(offers.replaced("config", [service("z")])) == ["z", "b", "c"]
    assert offers.replaced("config", ()).owners == ("services.d",)
    assert names(offers) == ["a", "b", "c"]  # a value: nothing above changed it
    assert names(AnnouncedServices().replaced("nobody", ())) == []


def test_a_service_counts_once_until_its_last_owner_withdraws():
    offers = AnnouncedServices().replaced("one", [service("a")]).replaced("two", [service("a")])
    assert names(offers) == ["a"]
    assert names(offers.replaced("one", ())) == ["a"]
    assert names(offers.replaced("one", ()).replaced("two", ())) == []


def test_another_port_or_transport_is_another_service():
    offers = AnnouncedServices().replaced("one", [service("a"), service("a", 81), service("a", proto="udp")])
    assert len(offers.replaced("two", [service("a")]).services()) == 3


def test_of_the_same_the_one_that_says_more_is_told():
    short, long = service("a", tags={"x": "1"}), service("a", tags={"x": "1", "y": "22"})
    for first, second in ((short, long), (long, short)):
        assert AnnouncedServices().replaced("one", [first]).replaced("two", [second]).services() == (long,)


def test_what_is_left_always_fits():
    """To take something back never makes the record longer, not by a tag that was hidden until then."""
    tags = ({}, {"a": "|" * 9}, {"a": "x" * 50}, {"b": "\u00e4" * 9, "c": ""}, {"a": "1", "b": "2", "c": "3"})
    for order in permutations(enumerate(tags), 4):
        offers = AnnouncedServices()
        for owner, one in order:
            offers = offers.replaced(str(owner), [service("a", tags=one), service(f"only-{owner}")])
        while offers.owners:
            before = len(Record(name="n", services=offers.services()).encoded)
            offers = offers.replaced(offers.owners[0], ())
            assert len(Record(name="n", services=offers.services()).encoded) < before
