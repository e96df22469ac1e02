import json
from dataclasses import replace

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.peer import Event, peer_json
from discoveryd.protocol.wire.messages import Pong
from discoveryd.protocol.wire.record import Record, Service
from discoveryd.query.engine_status import engine_status
from discoveryd.query.reply import (
    ANEW,
    TURN,
    Listing,
    encode,
    error_line,
    event_line,
    find_one,
    list_line,
    open_watch,
    show_answer,
)
from discoveryd.query.request import Filter
from tests.protocol.engine import crowd
from tests.protocol.samples import ETH1, boot, hello, make_node, row_of, source

# --- filters ---------------------------------------------------------------------------------------


def peers(node, now, **filters):
    answer = json.loads(list_line(node, Filter(**filters), now))
    assert (answer["ok"], answer["schema"]) == (True, 1)
    return [peer["id"] for peer in answer["peers"]]


@pytest.fixture
def node():
    """Two nodes on two links, a bare peer, one that left and one that is down (at 5.0)."""
    node = make_node(proved=True)
    web = Record(name="web1", tags={"rack": "b2"}, services=(Service(name="http", port=80),))
    dns = Record(name="dns1", tags={"rack": "b2", "zone": "x"}, services=(Service(name="dns", port=53, proto="udp"),))
    node.receive(hello(5, "old", record=Record(name="old")).encode(), source("10.0.0.5"), 0.0)
    node.poll(4.5)
    node.receive(hello(1, "w", record=web).encode(), source("10.0.0.7"), 4.6)
    node.receive(hello(2, "d", record=dns).encode(), source("10.1.0.8", ETH1), 4.7)
    node.receive(b"HELLO|", source("10.0.0.9"), 4.8)
    node.receive(hello(3, "l").encode(), source("10.0.0.3"), 4.8)
    node.receive(hello(3, "l", goodbye=True).encode(), source("10.0.0.3"), 4.9)
    return node


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["w", "d", "10.0.0.9"]),
        ({"all": True}, ["old", "w", "d", "10.0.0.9", "l"]),
        ({"states": frozenset({"up"})}, ["w", "d", "10.0.0.9"]),
        ({"states": frozenset({"down"})}, ["old"]),
        ({"states": frozenset({"left", "up"})}, ["w", "d", "10.0.0.9", "l"]),
        ({"states": frozenset({"left"}), "all": True}, ["l"]),
        ({"states": frozenset({"suspect"})}, []),
        ({"name": "web*"}, ["w"]),
        ({"name": "*1"}, ["w", "d"]),
        ({"name": "WEB1"}, []),
        ({"name": "*"}, ["w", "d", "10.0.0.9"]),
        ({"name": "[![a]eb1"}, ["w"]),
        ({"tags": {"rack": "b2"}}, ["w", "d"]),
        ({"tags": {"rack": "b2", "zone": "x"}}, ["d"]),
        ({"tags": {"rack": ""}}, []),
        ({"service": "http"}, ["w"]),
        ({"link": "eth1"}, ["d"]),
        ({"link": "eth0"}, ["w", "10.0.0.9"]),
        ({"link": "eth0", "all": True}, ["old", "w", "10.0.0.9", "l"]),
        ({"service": "http", "link": "eth1"}, []),
    ],
)
def test_filters(node, filters, found):
    assert peers(node, 5.0, **filters) == found


def test_the_list_is_that_of_the_library(node):
    node.receive(hello(1, "w", seq=2, full=False).encode(), source("10.2.0.7"), 4.95)
    node.receive(hello(4, 'q"\\'[0], record=Record(name='"\\é🚀')).encode(), source("10.0.0.4"), 4.99)
    for now in (5.0, 6.37, 8.5999, 8.6, 8.8, 30.0):
        for everything in (False, True):
            answer = json.loads(list_line(node, Filter(all=everything), now))
            expected = [peer_json(peer) for peer in node.peers(now, gone=everything)]
            assert answer["peers"] == expected
            assert list_line(node, Filter(all=everything), now).isascii()


def crowded(count):
    node = make_node(proved=True)
    crowd(node, count)
    return node


def told(listing):
    return [peer["id"] for peer in json.loads(listing.line())["peers"]]


def test_a_long_list_takes_turns_and_tells_each_peer_once():
    node, listing, turns = crowded(TURN // ANEW * 3), Listing(Filter()), 1
    while not listing.turn(node, 1.0):
        turns += 1
    assert turns == 3
    assert told(listing) == [peer.id for peer in node.peers(1.0)]


def test_a_list_whose_texts_are_kept_takes_one_turn():
    node = crowded(TURN // ANEW * 3)
    list_line(node, Filter(), 1.0)
    assert Listing(Filter()).turn(node, 1.1)


def test_a_peer_that_goes_between_two_turns_is_not_told():
    node, listing = crowded(TURN // ANEW * 2), Listing(Filter())
    last = node.peers(1.0)[-1]
    assert not listing.turn(node, 1.0)
    goodbye = hello(2 * TURN // ANEW, last.id, seq=2, goodbye=True, interval=10, ttl=100).encode()
    node.receive(goodbye, source(last.address), 1.1)
    while not listing.turn(node, 1.2):
        pass
    assert last.id in {peer.id for peer in node.peers(1.2, gone=True)}
    assert told(listing) == [peer.id for peer in node.peers(1.2)]


def test_a_peer_that_restarts_between_two_turns_is_told_once():
    node, listing = crowded(TURN // ANEW * 2), Listing(Filter())
    first, *_, last = node.peers(1.0)
    assert not listing.turn(node, 1.0)
    for peer in (first, last):  # one is told already, the other not yet
        said = hello(5000, peer.id, interval=10, ttl=100)
        node.table.heard(replace(said, boot=peer.boot[::-1]), source(peer.address), 1.1, proved=True)
    while not listing.turn(node, 1.2):
        pass
    assert sorted(told(listing)) == sorted(peer.id for peer in node.peers(1.2))


def test_a_list_without_peers_is_an_empty_list():
    assert list_line(make_node(proved=True), Filter(), 0.0) == b'{"ok":true,"schema":1,"peers":[]}\n'


# --- answers ---------------------------------------------------------------------------------------


def test_snapshot(node):
    opening, watch = open_watch(node, Filter(), 5.0)
    snapshot, sync = opening.splitlines()
    assert json.loads(snapshot) == {
        "event": "snapshot",
        "schema": 1,
        "peers": [peer_json(peer) for peer in node.peers(5.0)],
    }
    assert json.loads(sync) == {"event": "sync", "seq": node.table.seq}
    assert watch.shown == {(peer.id, peer.boot) for peer in node.peers(5.0)}


def test_event_line(node):
    [event] = node.receive(b"HELLO|", source("10.0.0.66"), 5.0).events
    assert isinstance(event, Event)
    assert event_line(event).endswith(b"}\n")
    assert json.loads(event_line(event)) == event.to_json()


def test_error_line():
    assert error_line("bad_request", "no") == b'{"ok":false,"error":{"code":"bad_request","message":"no"}}\n'
    assert encode({"a": "é\ud800"}) == b'{"a":"\\u00e9\\ud800"}\n'


def test_show(node):
    answer = show_answer(node, "web1", 5.0)
    assert answer == {"ok": True, "schema": 1, "peers": [peer_json(row_of(node.table, 1).peer(5.0), paths=True)]}
    with pytest.raises(QueryError, match="no peer has the name, id or address 'web9'") as caught:
        show_answer(node, "web9", 5.0)
    assert caught.value.code == "not_found"


def test_one_row_is_found_and_several_are_named(node):
    assert find_one(node, "dns1", 5.0).id == "d"
    node.receive(hello(4, "w2", record=Record(name="web1")).encode(), source("10.0.0.4"), 4.9)
    assert find_one(node, "w2", 5.0).id == "w2"
    with pytest.raises(QueryError) as raised:
        find_one(node, "web1", 5.0)
    each = (f"w (boot {boot(1)}) at 10.0.0.7", f"w2 (boot {boot(4)}) at 10.0.0.4")
    assert (raised.value.code, raised.value.problems) == ("ambiguous", each)
    assert raised.value.message == f"'web1' means 2 peers: {each[0]}, {each[1]}; name one by id, boot or address"
    assert len(show_answer(node, "web1", 5.0)["peers"]) == 2
    node.receive(hello(4, "w2", seq=2, goodbye=True).encode(), source("10.0.0.4"), 4.95)
    assert find_one(node, "web1", 5.0).id == "w"  # one that is gone is not meant


def test_status(node):
    node.poll(node.beacon.next_beat)
    node.receive(b"rubbish", source("10.0.0.9"), 5.0)
    status = engine_status(node, 6.0)
    assert status["node"] == {
        "id": "me", "name": "me", "boot": node.boot, "realm": "default", "tags": {}, "services": [],
    }  # fmt: skip
    assert status["hello"] == {"port": 3400, "interval_s": 0.8, "ttl_s": 4.0}
    assert status["links"] == [
        {
            "name": "eth0", "family": "ipv4", "address": "10.0.0.1", "prefix": 24, "broadcast": "10.0.0.255", "every": 1,
            "limited": False, "other_addresses": 0,
            "up_s": 6.0, "sent": 2, "received": 5, "last_heard_s": 1.1, "echoed": 0,
            "last_echo_s": None, "unechoed": 2, "misses_echo": False, "arp": None, "last_error": None,
        }
    ]  # fmt: skip
    assert status["peers"] == {"up": 3, "suspect": 0, "down": 1, "left": 1}
    assert status["table"] == {"rows": 5, "limit": 4096, "routed": 0, "routed_limit": 1024}
    assert status["sent"] == {"hello": 2, "ping": 3, "pong": 0, "msg": 0, "ack": 0, "why": 0, "say": 0, "meet": 0, "intro": 0}  # newcomers, one beyond our links, and whether one had left
    assert status["received"] == {"hello": 5, "bare": 1, "ping": 0, "pong": 0, "msg": 0, "ack": 0, "will": 0, "why": 0, "say": 0, "meet": 0, "intro": 0}
    assert status["drops"] == [{"reason": "malformed", "link": "eth0", "count": 1}]
    assert status["isolated"] is False
    assert sum(status["events"].values()) == node.table.seq
    assert (status["events"]["joined"], status["events"]["left"], status["events"]["clone"]) == (5, 1, 0)
    assert (status["rtt_s"]["count"], status["loss"]["count"]) == (0, 0)
    json.dumps(status)


def test_status_has_the_round_trips_and_the_losses():
    node = make_node(proved=True)
    peer = hello(1, "n1")
    for seq in range(1, 33):
        if seq % 4:  # a quarter of them lost
            node.receive(replace(peer, seq=seq).encode(), source("10.0.0.1"), seq * 0.8)
    row = row_of(node.table, 1)
    nonce, _ = node.ping(row, 30.0)
    node.receive(Pong(realm="default", boot=boot(1), nonce=nonce, heard_ms=None).encode(), source("10.0.0.1"), 30.002)
    status = engine_status(node, 30.1)
    assert (status["rtt_s"]["count"], status["rtt_s"]["sum"]) == (1, 0.002)
    assert [bucket["count"] for bucket in status["rtt_s"]["buckets"] if bucket["le"] in (0.001, 0.0025)] == [0, 1]
    assert (status["loss"]["count"], status["loss"]["sum"]) == (1, round(row.paths.best(30.1).loss, 6))
    assert [bucket["count"] for bucket in status["loss"]["buckets"] if bucket["le"] in (0.1, 0.3)] == [0, 1]
    assert engine_status(node, 60.0)["loss"]["count"] == 0  # it is down by then


def test_status_gives_the_stretched_interval():
    node = make_node(proved=True, parameters=Parameters(budget=1))
    for number in range(1, 4):
        node.receive(hello(number, f"n{number}").encode(), source(f"10.0.0.{number}"), 0.0)
    assert engine_status(node, 0.0)["hello"] == {"port": 3400, "interval_s": 4.0, "ttl_s": 20.0}


def test_status_before_anything_happened():
    status = engine_status(make_node(proved=True), 0.0)
    assert status["links"][0]["last_heard_s"] is None
    assert status["drops"] == []


def test_this_node_is_no_peer_of_itself(node):
    for text in (node.record.name, node.id, node.boot, node.links[0].address):
        with pytest.raises(QueryError, match=f"^{text} is this node, which is no peer of itself") as caught:
            show_answer(node, text, 5.0)
        assert caught.value.code == "not_found"


def talk(node, since, until, *who, link=None):
    """Let nodes with one address speak, each 0.8 s."""
    for beat in range(round((until - since) / 0.8)):
        now = since + beat * 0.8
        node.poll(now)
        for number in who:
            one = source("10.0.0.7", link) if link is not None else source("10.0.0.7")
            node.receive(hello(number, f"n{number}", seq=round(now * 10)).encode(), one, now + number / 1000)


def test_status_and_show_name_nodes_that_share_an_address():
    node = make_node(proved=True)
    talk(node, 0.0, 8.0, 1)
    talk(node, 8.0, 16.0, 1, 2)
    assert engine_status(node, 16.0)["shared_addresses"] == [
        {"address": "10.0.0.7", "link": "eth0", "ids": ["n1", "n2"]}
    ]
    assert [peer["shares_address_with"] for peer in show_answer(node, "10.0.0.7", 16.0)["peers"]] == [["n2"], ["n1"]]
    talk(node, 16.0, 24.0, 2)
    assert engine_status(node, 24.0)["shared_addresses"] == []


def test_an_address_that_a_dead_node_had_is_not_shared():
    node = make_node(proved=True)
    talk(node, 0.0, 8.0, 1)
    for until in (8.8, 9.6, 10.4, 11.2, 12.0, 12.8, 16.0):
        talk(node, until - 0.8, until, 2)
        assert engine_status(node, until)["shared_addresses"] == []
