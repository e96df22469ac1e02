import re
from math import inf, nan

import pytest

from discoveryd.errors import ConfigError
from discoveryd.protocol.parameters import Limits, Parameters, is_word


def problems(make):
    with pytest.raises(ConfigError) as caught:
        make()
    return caught.value.problems


def test_defaults():
    parameters = Parameters()
    assert (parameters.port, parameters.interval, parameters.ttl, parameters.bare_ttl) == (3400, 0.8, 4.0, 4.0)
    assert (parameters.budget, parameters.realm, parameters.interfaces, parameters.seeds) == (200, "default", ("*",), ())
    assert parameters.limits == Limits()


@pytest.mark.parametrize(
    "changed",
    [
        {"port": 1}, {"port": 65535}, {"interval": 0.05, "ttl": 0.1}, {"interval": 600, "ttl": 1200}, {"ttl": 1.6},
        {"ttl": 3600}, {"bare_ttl": 0.1}, {"bare_ttl": 3600}, {"budget": 1}, {"budget": 100_000}, {"realm": "r" * 16},
        {"seeds": ("10.0.0.1", "192.168.255.254")}, {"loopback": "127.0.0.2"}, {"loopback": ""},
    ],
)  # fmt: skip
def test_what_is_allowed(changed):
    Parameters(**changed)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"port": 0}, "hello.port: must be 1 to 65535, not 0"),
        ({"interval": "800ms"}, "hello.interval: must be a number (of seconds) such as 0.8, not '800ms'"),
        ({"port": "3400"}, "hello.port: must be a whole number, not '3400'"),
        ({"port": True}, "hello.port: must be a whole number, not True"),
        ({"interfaces": "eth0"}, "hello.interfaces: must be a tuple of texts, not 'eth0'"),
        ({"seeds": (7,)}, "hello.seeds: must be a tuple of texts, not (7,)"),
        ({"realm": None}, "hello.realm: must be a text, not None"),
        ({"limits": {}}, "hello.limits: must be a Limits, not {}"),
        ({"port": 65536}, "hello.port: must be 1 to 65535, not 65536"),
        ({"interval": 0.01}, "hello.interval: must be 50ms to 10m, not 0.01s"),
        ({"interval": nan, "ttl": 4.0}, "hello.interval: must be 50ms to 10m, not nans"),
        ({"ttl": 1.0}, "hello.ttl: must be at least twice the interval (1.6s) and at most 1h, not 1s"),
        ({"ttl": inf}, "hello.ttl: must be at least twice the interval (1.6s) and at most 1h, not infs"),
        ({"bare_ttl": 0.0}, "hello.bare_ttl: must be 100ms to 1h, not 0s"),
        ({"budget": 0}, "hello.budget: must be 1 to 100000 HELLOs a second, not 0"),
        ({"realm": "a b"}, "hello.realm: must be 1 to 16 of A-Z a-z 0-9 . _ -, not 'a b'"),
        ({"seeds": ("10.0.0.1", "web 1")}, "hello.seeds: 'web 1' is neither an address nor the name of a host, with or without :port"),
        ({"loopback": "10.0.0.1"}, "hello.loopback: must be an address of 127.0.0.0/8 such as 127.0.0.2, or empty, not '10.0.0.1'"),
        ({"loopback": "127.255.255.255"}, "hello.loopback: must be an address of 127.0.0.0/8 such as 127.0.0.2, or empty, not '127.255.255.255'"),
        ({"loopback": "127.1"}, "hello.loopback: must be an address of 127.0.0.0/8 such as 127.0.0.2, or empty, not '127.1'"),
    ],
)
def test_what_is_not(changed, problem):
    assert problem in problems(lambda: Parameters(**changed))


def test_every_fault_is_named_at_once():
    assert len(problems(lambda: Parameters(port=0, budget=0, realm="", seeds=("a b", "10.0.0")))) == 5


@pytest.mark.parametrize("key", Limits.__slots__)
def test_limits_have_a_floor(key):
    for value in (-1, nan):
        [problem] = problems(lambda value=value: Limits(**{key: value}))
        assert re.match(rf"limits\.{key}: must be (at least |a whole number, )", problem)
        assert problem.endswith(f"not {value}")


@pytest.mark.parametrize(
    ("text", "good"), [("a", True), ("A.b_c-9", True), ("a" * 7, True), ("a" * 8, False), ("", False), ("ä", False), ("a|", False)]
)
def test_is_word(text, good):
    assert is_word(text, 7) is good
