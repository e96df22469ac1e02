"""How a seed is written, and what is no seed."""

import pytest

from discoveryd.protocol.hosts import MAX_SEEDS, faulty_seeds, is_unicast, parse_seed


@pytest.mark.parametrize(
    ("text", "host", "port", "is_name"),
    [
        ("10.1.0.5", "10.1.0.5", 0, False),
        ("10.1.0.5:3401", "10.1.0.5", 3401, False),
        ("FD00::5", "fd00::5", 0, False),
        ("[fd00::5]", "fd00::5", 0, False),
        ("[fd00::5]:3401", "fd00::5", 3401, False),
        ("fe80::1%eth0", "fe80::1%eth0", 0, False),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1, False),
        ("hub", "hub", 0, True),
        ("Hub.Example.org.", "hub.example.org", 0, True),
        ("hub-1.example.org:65535", "hub-1.example.org", 65535, True),
        ("3com.example", "3com.example", 0, True),
        ("my_host", "my_host", 0, True),
    ],
)
def test_a_seed_is_an_address_or_a_name_with_a_port(text, host, port, is_name):
    assert parse_seed(text) == (text, host, port, is_name)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.1.0.256", "is neither an address nor the name"),
        ("10.1.0", "is neither an address nor the name"),
        ("", "is neither an address nor the name"),
        ("a b", "is neither an address nor the name"),
        ("-hub", "is neither an address nor the name"),
        ("hub..org", "is neither an address nor the name"),
        ("münchen.de", "is neither an address nor the name"),
        ("h" * 64, "is neither an address nor the name"),
        (".".join(["h" * 60] * 5), "is neither an address nor the name"),
        ("hub:", "after the colon must be a port"),
        ("hub:0", "after the colon must be a port"),
        ("hub:65536", "after the colon must be a port"),
        ("hub:ssh", "after the colon must be a port"),
        ("[fd00::5]:x", "after the colon must be a port"),
        ("fe80::1", "link-local, so name the interface too: fe80::1%eth0"),
        ("fd00::5:3400:x", "not an IPv4 or IPv6 address; with a port write [fd00::1]:3400"),
        ("hub%eth0", "not an IPv4 or IPv6 address"),
    ],
)
def test_what_is_no_seed_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=r"^'") as error:
        parse_seed(text)
    assert why in str(error.value)


def test_faults_of_seeds_are_told_together():
    assert faulty_seeds(("hub", "10.1.0.5", "hub:3400")) == [
        "hub with two ports: peers are told apart by their address, so name one"
    ]
    assert faulty_seeds(("a", "a", "b:1", "b:1")) == []
    problems = faulty_seeds(("?", *(f"h{number}" for number in range(MAX_SEEDS))))
    assert problems[0] == f"{MAX_SEEDS + 1} seeds, at most {MAX_SEEDS}: a few are enough"
    assert len(problems) == 2


def test_addresses_of_no_other_node_are_known():
    usable = ["10.0.0.1", "172.17.0.1", "fd00::1", "fe80::1%eth0"]
    assert [address for address in (*usable, "127.0.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "ff02::1")
            if is_unicast(address)] == usable  # fmt: skip
    assert is_unicast("127.0.0.2", is_local=True)
