"""Names of peers in files of other programs: safe, each once, and the same ones again."""

import pytest

from discoveryd.query.formats.names import MAX_DOMAIN, alias, far_addresses, is_domain, listed
from tests.query.samples import BARE, peer


def names(*peers, own=None):
    return {one.peer["boot"]: one.name for one in listed(peers, own)}


def test_the_second_of_a_name_has_its_boot_behind_it():
    old, new = peer(id="b", boot="b1b1b1b1", first_seen_s=9), peer(id="a", boot="a1a1a1a1", first_seen_s=8)
    assert names(new, old) == names(old, new) == {"b1b1b1b1": "alpha", "a1a1a1a1": "alpha-a1a1"}


def test_this_node_and_peers_that_seal_have_their_name_first():
    own = peer(id="o", boot="o1", first_seen_s=0)
    plain, sealed = peer(boot="9999", first_seen_s=1e6), peer(boot="8888", name="ALPHA", key="3fa29c01")
    assert names(plain, sealed) == {"8888": "ALPHA", "9999": "alpha-9999"}
    assert names(plain, sealed, own=own) == {"o1": "alpha", "8888": "ALPHA-8888", "9999": "alpha-9999"}


def test_a_name_like_the_second_of_another_is_no_clash():
    first, second = peer(boot="11", first_seen_s=9), peer(id="s", boot="2222aaaa", first_seen_s=8)
    squatter = peer(id="q", name="alpha-2222", boot="33", first_seen_s=99)
    assert names(first, second, squatter) == {"11": "alpha", "2222aaaa": "alpha-2222aaaa", "33": "alpha-2222"}
    copies = [peer(id=str(number), boot="") for number in range(3)]
    assert sorted(one.name for one in listed(copies)) == ["alpha", "alpha-2", "alpha-3"]


@pytest.mark.parametrize(
    "name", ["localhost", "a.localhost", "LocalHost6", "all", "discoveryd_x", "10.0.0.1", "a.1", "0x7f", "-a", "é", "a b", None]
)
def test_a_name_that_means_something_else_gives_way_to_the_id(name):
    assert listed([peer(name=name)])[0].name == "9f3a"


@pytest.mark.parametrize(("id", "name"), [("10.0.0.1", "peer-10-0-0-1"), ("localhost", "peer-localhost"), ("-rf", "peer-rf"), ("7", "peer-7")])
def test_an_id_that_means_something_else_is_marked_as_one(id, name):
    assert listed([peer(name="all", id=id)])[0].name == name


def test_a_bare_peer_is_named_by_its_address():
    assert listed([BARE])[0].name == "bare-10-0-0-9"


def test_addresses_for_all_programs_and_those_with_a_zone():
    both = peer(address="fe80::1%eth0", addresses=["fe80::1%eth0", "10.0.0.2", "fd00::1"])
    assert far_addresses(both) == ["10.0.0.2", "fd00::1"]
    (found,) = listed([both])
    assert (found.address, found.nearby) == ("10.0.0.2", "10.0.0.2")
    (found,) = listed([peer(address="fe80::1%eth0", addresses=[])])
    assert (found.address, found.nearby) == ("", "fe80::1%eth0")


def test_an_alias_is_the_id():
    assert alias(peer()) == "discoveryd-9f3a"


@pytest.mark.parametrize("text", ["", ".", "-a", "a b", "a..b", "lan.", "10.0.0.1", "é", "a\nb", "x" * 64, "x" * 63 + ".a" * MAX_DOMAIN])
def test_what_is_no_domain(text):
    assert not is_domain(text)
    assert is_domain("lan")
    assert is_domain("peers.internal")
