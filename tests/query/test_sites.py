"""Replies about more than one site, and what a client makes of them."""

import json

import pytest

from discoveryd.ctl.describe import peer_text
from discoveryd.protocol.table.peer import Event, peer_from_json
from discoveryd.query.formats.table import Screen
from discoveryd.query.reply import Listing
from discoveryd.query.request import Filter
from discoveryd.query.sites import SiteStates, SiteWatch, chosen_rows, found_rows, opening
from discoveryd.query.watch import Watch
from discoveryd.sites.listing import Voucher, render
from discoveryd.sites.row import encode_row


def row(name, state="up", site="paris", boot="b1", **tags):
    text = encode_row(name, ["10.0.0.1"], tags, (), "", clone=False)
    return render(f"{name}id {boot}", text, state, Voucher(site, "g1", 1.0, 10.0), 5.0)


ROWS = [row("bert", role="gpu"), row("carl", "unknown"), row("dora", "down"), row("emil", "left", "tokyo")]


def names(rows):
    return [one["name"] for one in rows]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Filter(), ["bert", "carl"]),
        (Filter(all=True), ["bert", "carl", "dora", "emil"]),
        (Filter(states=frozenset(("unknown",))), ["carl"]),
        (Filter(states=frozenset(("down", "left"))), ["dora", "emil"]),
        (Filter(tags={"role": "gpu"}), ["bert"]),
        (Filter(name="*"), ["bert", "carl"]),
        (Filter(link="eth0", all=True), []),
    ],
)
def test_a_filter_chooses_peers_of_other_sites(chosen, expected):
    assert names(chosen_rows(ROWS, chosen)) == expected


def test_a_peer_of_another_site_is_meant_by_the_same_words():
    assert names(found_rows(ROWS, "bert", 4)) == ["bert"]
    assert names(found_rows(ROWS, "carl", 4)) == ["carl"]
    assert names(found_rows(ROWS, "dorai", 4)) == ["dora"]
    assert names(found_rows(ROWS, "10.0.0.1", 4)) == names(ROWS)
    assert found_rows(ROWS, "xyz", 4) == []


def test_a_list_of_this_site_says_so_and_takes_others_in():
    class Table:
        by_key = {}

    class Node:
        table = Table()
        keyring = type("Ring", (), {"keys": ()})()

    listing = Listing(Filter(), site="berlin")
    listing.turn(Node(), 0.0)
    reply = json.loads(listing.line([json.dumps(ROWS[0])]))
    assert names(reply["peers"]) == ["bert"]


def watch(site="all", chosen=None, local=()):
    chosen = chosen or Filter()
    rows = chosen_rows(ROWS, chosen)
    ours = Watch(chosen, 7, set(local)) if site in ("all", "berlin") else None
    return SiteWatch(chosen, 3, rows if site != "berlin" else [], site=site, here="berlin", local=ours)


def event(kind, found, seq):
    return Event(kind=kind, seq=seq, peer=peer_from_json(found), reason="because")


def line(found):
    return found and {key: value for key, value in json.loads(found).items() if key in ("event", "seq", "site", "former")} | (
        {"name": json.loads(found)["peer"]["name"], "of": json.loads(found)["peer"]["site"]} if "peer" in json.loads(found) else {}
    )


def test_a_watch_of_all_sites_has_one_numbering():
    one = watch()
    anna = {**row("anna"), "site": None}
    assert line(one.of_peer(event("joined", anna, 8), None, 4)) == {"event": "joined", "seq": 4, "name": "anna", "of": "berlin"}
    assert one.of_peer(event("joined", anna, 7), None, 5) is None  # the snapshot had it
    fritz = row("fritz")
    assert line(one.of_peer(event("joined", fritz, 5), fritz, 5)) == {"event": "joined", "seq": 5, "name": "fritz", "of": "paris"}
    assert line(one.of_site("site-unreachable", "paris", "silent", 6)) == {"event": "site-unreachable", "seq": 6, "site": "paris"}


def test_a_watch_of_one_site_hears_of_no_other():
    one = watch("paris")
    tokyo = row("emil", site="tokyo")
    assert one.of_peer(event("joined", tokyo, 4), tokyo, 4) is None
    assert one.of_peer(event("joined", row("anna"), 8), None, 5) is None
    assert one.of_site("site-back", "tokyo", "", 6) is None
    here = watch("berlin")
    assert here.of_peer(event("joined", row("anna"), 8), None, 4) is not None
    assert here.of_peer(event("joined", tokyo, 5), tokyo, 5) is None


def test_a_watch_with_a_filter_tells_what_begins_to_match():
    one = watch("paris", Filter(tags={"role": "gpu"}))
    changed = row("bert", role="cpu")
    assert line(one.of_peer(event("updated", changed, 4), changed, 4))["event"] == "departed"
    assert one.shown == 0
    back = row("bert", role="gpu")
    assert line(one.of_peer(event("updated", back, 5), back, 5))["event"] == "entered"


def test_the_first_lines_of_a_watch():
    snapshot, sync = opening([{"name": "anna"}], ROWS[:1], "berlin", 3).splitlines()
    assert json.loads(snapshot)["peers"] == [{"name": "anna", "site": "berlin", "via": None, "vouched_s": None}, ROWS[0]]
    assert json.loads(sync) == {"event": "sync", "seq": 3}


def test_a_client_knows_which_sites_are_silent():
    states = SiteStates()
    up, unknown, tokyo = row("bert"), row("carl", "unknown"), row("emil", "unknown", "tokyo")
    states.take({"event": "snapshot", "peers": [up, unknown, tokyo]})
    assert [states.of(one)["state"] for one in (up, unknown, tokyo)] == ["up", "unknown", "unknown"]
    states.take({"event": "site-unreachable", "site": "paris"})
    assert [states.of(one)["state"] for one in (up, unknown, tokyo)] == ["unknown", "unknown", "unknown"]
    states.take({"event": "site-back", "site": "paris"})
    states.take({"event": "site-back", "site": "tokyo"})
    assert [states.of(one)["state"] for one in (up, unknown, tokyo)] == ["up", "unknown", "up"]
    assert states.of(row("dora", "down"))["state"] == "down"


def test_peers_of_this_network_alone_have_no_site():
    states = SiteStates()
    states.take({"event": "snapshot", "peers": [{"state": "up"}]})
    assert states.of({"state": "up"}) == {"state": "up"}


def test_show_tells_whose_word_a_peer_of_another_site_is():
    assert peer_text(row("bert", role="gpu"), Screen()).splitlines() == [
        "bert is up: a gateway of site paris says so, whose word is proved as of 1.0s ago",
        "  id          bertid",
        "  boot        b1, no restart since first seen",
        "  site        paris, by gateway g1",
        "  address     10.0.0.1",
        "  services    none",
        "  tags        role=gpu",
        "  key         none, its HELLOs are not sealed",
    ]
    text = peer_text({**row("emil", "left"), "goodbye_reason": "restart"}, Screen())
    assert text.startswith("emil is left: said goodbye (restart); a gateway of site paris says so, whose word is proved as of")
    text = peer_text(row("carl", "unknown"), Screen())
    assert text.startswith("carl is unknown: no gateway of site paris has vouched for it since 1.0s ago: it may well be up")
