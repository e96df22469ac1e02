"""This node in the shape of a peer."""

import json

import pytest

from discoveryd.protocol.link import GROUP, Link
from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.protocol.table.peer import peer_from_json, peer_json
from discoveryd.query.own_node import chosen_own, own_peer
from discoveryd.query.reply import Listing
from discoveryd.query.request import Filter
from tests.protocol.samples import ETH0, ETH1, hello, make_node, source


def test_this_node_is_a_peer_as_any_other():
    node = make_node("me", ETH0, ETH1)
    own = own_peer(node, 5.0, uptime=3.0)
    assert (own.id, own.name, own.state, own.address, own.link) == ("me", "me", "up", "10.0.0.1", "eth0")
    assert (own.addresses, own.boot, own.first_seen_s, own.last_heard_s) == (("10.0.0.1", "10.1.0.1"), node.boot, 3.0, 0.0)
    assert (own.interval_s, own.ttl_s, own.clone, own.key) == (0.8, 4.0, False, None)
    assert peer_from_json(peer_json(own)) == own


def test_an_address_that_all_can_use_comes_first():
    node = make_node("me", Link("eth0", 2, "fe80::1%eth0", 64, GROUP), ETH0)
    assert own_peer(node, 1.0, uptime=1.0).addresses == ("10.0.0.1", "fe80::1%eth0")


def test_a_clone_a_key_and_no_link_show():
    node = make_node()
    node.receive(hello(7, "me").encode(), source(), 1.0)
    assert own_peer(node, 1.0, uptime=1.0).clone
    key = Key(b"k" * 32)
    for mode, shown in (("accept", key.id), ("off", None)):
        node.set_keyring(Keyring(keys=(key,), send_with=key.id, mode=mode))
        assert own_peer(node, 1.0, uptime=1.0).key == shown
    node.set_links((), 1.0)
    own = own_peer(node, 1.0, uptime=1.0)
    assert (own.address, own.addresses, own.link) == ("", (), "")


@pytest.mark.parametrize(
    ("chosen", "address"),
    [
        (Filter(), "10.0.0.1"), (Filter(link="eth1"), "10.1.0.1"), (Filter(link="eth2"), None), (Filter(name="m*"), "10.0.0.1"),
        (Filter(name="x"), None), (Filter(tags={"a": "b"}), None), (Filter(states=frozenset(["down"])), None),
    ],
)  # fmt: skip
def test_this_node_is_listed_where_the_filters_accept_it(chosen, address):
    node = make_node("me", ETH0, ETH1)
    own = chosen_own(node, chosen, 1.0, uptime=1.0)
    assert address == (own and own.address)
    listing = Listing(chosen, uptime=1.0)
    assert listing.turn(node, 1.0)
    assert json.loads(listing.line()).get("self", {}).get("address") == address
