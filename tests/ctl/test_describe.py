"""The texts of ``show`` and ``status``."""

import re

import pytest

from discoveryd.ctl import describe, follow
from discoveryd.protocol import DROP_REASONS
from discoveryd.query.formats.table import Screen, peers_table
from tests.ctl.played import PATHS, Daemon, ask, drop, event, peers_reply
from tests.query.samples import LINK, STATUS, peer


@pytest.mark.parametrize("width", [40, 60, 80])
def test_long_sentences_are_broken_and_not_cut(width):
    link = LINK | {"name": "enp0s31f6", "last_error": "Network is unreachable (ENETUNREACH)"}
    drops = [{"reason": reason, "link": "eth0", "count": 3} for reason in DROP_REASONS]
    status = STATUS | {"links": [LINK, link], "drops": drops, "isolated": True, "clones": ["n1"]}
    for narrow, wide in (
        (describe.status_text(status, Screen(width)), describe.status_text(status, Screen())),
        (describe.peer_text(peer(paths=PATHS, state="down"), Screen(width)), describe.peer_text(peer(paths=PATHS, state="down"), Screen())),
    ):
        assert max(map(len, narrow.splitlines())) <= width
        for sentence in re.findall(r"^! .*|^alpha is .*|Not a HELLO.*", wide, re.MULTILINE):
            assert " ".join(sentence.split()) in " ".join(narrow.split())
    assert re.search(r"^LINK +ADDRESS +.*HEARD", narrow := describe.status_text(status, Screen(width)), re.MULTILINE)
    assert "enp0s31f6  10.0.0.1/24" in narrow


@pytest.mark.parametrize("width", [1, 2, 5, 11, 20])
def test_a_screen_of_one_column_is_no_endless_loop(width):
    wide = "\u540d\u524d e\u0301" * 9
    status = STATUS | {"drops": [{"reason": "malformed", "link": "eth0", "count": 3}]}
    assert peers_table([peer(name=wide)], Screen(width))
    assert describe.peer_text(peer(name=wide, paths=PATHS), Screen(width))
    assert describe.status_text(status, Screen(width))
    assert follow.event_text(event("joined", name=wide), Screen(width))


def test_show_says_how_often_a_silent_peer_was_asked(capsys):
    with Daemon([[peers_reply(peer(paths=[PATHS[0] | {"unanswered": 6}]))]]) as daemon:
        out = ask(capsys, daemon, "show", "alpha")[1]
    assert "  two-way     not known yet: asked 6 times, no answer yet (discoveryctl ping alpha)" in out.splitlines()


def test_show_prints_each_fact(capsys):
    with Daemon([[peers_reply(peer(paths=PATHS, restarts=2, rtt_ms=0.41, loss=0.02))]]) as daemon:
        code, out, _ = ask(capsys, daemon, "show", "alpha")
    assert code == 0
    assert out.splitlines() == [
        "alpha is up: last heard 0.4s ago on eth0 from 10.0.0.2, valid 3.6s more",
        "  id          9f3a",
        "  boot        ab12cd34, 2 restarts since first seen",
        "  kind        node",
        "  first seen  12m ago",
        "  announces   a HELLO each 0.8s, valid 4s",
        "  paths       10.0.0.2 on eth0: heard 0.4s ago, valid 3.6s more",
        "              10.1.0.2 on wlan0: heard 1.2s ago, valid 2.8s more",
        "  two-way     not known yet (discoveryctl ping alpha)",
        "  round trip  0.41 ms",
        "  loss        2% of its HELLOs",
        "  services    http:80 (path=/)",
        "  tags        role=gpu",
        "  key         none, its HELLOs are not sealed",
    ]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"state": "suspect"}, "is suspect: overdue, last heard 0.4s ago on eth0 from 10.0.0.2; counts as down in 3.6s"),
        ({"state": "down", "last_heard_s": 9.0}, "is down: last heard 9.0s ago"),
        ({"state": "left"}, "is left: said goodbye 0.4s ago"),
        ({"state": "left", "goodbye_reason": "stop"}, "is left: said goodbye 0.4s ago"),
        ({"state": "left", "goodbye_reason": "reboot"}, "is left: said goodbye (reboot) 0.4s ago"),
        ({"state": "odd"}, "is odd: last heard"),
        ({"link": ""}, "on a routed path from"),
        ({"clone": True}, "clone       another running node has the id 9f3a"),
        ({"two_way": True}, "yes, it hears us too"),
        ({"two_way": False}, "no: we hear it, but it does not hear us"),
        ({"hellos_arrive": False}, "HELLOs      do not arrive; it is up because it answers PINGs"),
        ({"shares_address_with": ["b", "c"]}, "address     also of b, c: give each its own"),
        ({"name": None}, "9f3a is up"),
        ({"paths": []}, "paths       none within its ttl"),
        ({"restarts": 1}, "1 restart since"),
        ({"services": [], "tags": {}}, "services    none"),
    ],
)
def test_show_explains_state_and_faults(changed, told):
    assert told in describe.peer_text(peer(paths=PATHS) | changed, Screen())


def test_status_counts_denials_and_registrations(capsys):
    query = STATUS["query"] | {"denied": 2, "registrations": 1}
    with Daemon([[STATUS | {"query": query}]]) as daemon:
        _, out, _ = ask(capsys, daemon, "status")
    assert "0 watching, 0 refused, 2 denied, 1 services registered\n" in out


def test_status_prints_each_section(capsys):
    with Daemon([[STATUS]]) as daemon:
        code, out, _ = ask(capsys, daemon, "status")
    assert code == 0
    assert out.splitlines() == [
        "discoveryd 0.1.0, up 1m",
        "  node      one (id n1, boot b1), realm default",
        "  hello     UDP port 3400, each 0.8s, valid 4s",
        "  peers     2 up, 0 suspect, 0 down, 1 left (3 of at most 4096 rows)",
        "  sent      10 hello, 0 ping, 0 pong",
        "  received  7 hello, 0 bare, 0 ping, 0 pong, 0 will",
        "  query     1 of at most 64 connections, 0 watching, 0 refused",
        "",
        "LINK  ADDRESS      BROADCAST   UP  SENT  RECEIVED  HEARD  LAST ERROR",
        "eth0  10.0.0.1/24  10.0.0.255  1m  10    7         0.4s   -",
    ]


def test_status_counts_what_is_beyond_the_links(capsys):
    routed = {"peers": 14, "former": 0, "candidates": 2, "named": 16, "met": 13, "refused": 0}
    with Daemon([[STATUS | {"routed": routed}]]) as daemon:
        _, out, _ = ask(capsys, daemon, "status")
    assert "  routed    14 peers, 2 candidates that did not answer (16 named by peers, 13 met)\n" in out


def test_status_shows_seeds_and_what_cannot_broadcast(capsys):
    addresses = [{"address": "10.1.0.5", "heard_s": 3.0}, {"address": "10.1.0.6", "heard_s": 0.4}]
    seeds = [
        {"seed": "hub:3401", "state": "answers", "addresses": addresses, "error": None, "next_try_s": 9.0},
        {"seed": "nobody", "state": "unresolved", "addresses": [], "error": "EAI_NONAME: no\x1b", "next_try_s": 1.0},
    ]
    unlinked = [{"name": "wg0", "address": "10.9.0.1", "prefix": 32, "reason": "no-broadcast"}]
    with Daemon([[STATUS | {"seeds": seeds, "unlinked": unlinked}]]) as daemon:
        _, out, _ = ask(capsys, daemon, "status")
    lines = [line.rstrip() for line in out.splitlines()]
    assert "wg0         10.9.0.1/32  the interface cannot broadcast" in lines
    assert "hub:3401  answers     10.1.0.5, 10.1.0.6  0.4s   -" in lines
    assert "nobody    unresolved  -                   -      EAI_NONAME: no\\x1b" in lines


@pytest.mark.parametrize(
    ("reason", "line"), [("malformed", "malformed  eth0  3      "), ("brand-new", "brand-new  eth0  3      -")]
)
def test_status_explains_each_drop_word_it_knows(reason, line):
    assert line in describe.status_text(STATUS | {"drops": [drop(reason)]}, Screen())


def test_status_shows_each_finding_escaped():
    status = STATUS | {"isolated": True, "scan_error": "\x1b[2J"}
    lines = describe.status_text(status, Screen()).splitlines()
    assert lines[-2] == r"! the interfaces cannot be read (\x1b[2J): the links are those that there were"
    assert lines[-1].startswith("! isolated: ")
    assert "! " not in describe.status_text(STATUS, Screen())


def test_status_shows_the_broadcast_address_in_use():
    told = describe.status_text(STATUS | {"links": [LINK | {"limited": True}]}, Screen())
    assert "eth0  10.0.0.1/24  255.255.255.255  1m" in told


def test_status_shows_services_and_tags_of_the_node():
    node = STATUS["node"] | {"tags": {"a": "b"}, "services": [{"name": "dns", "port": 53, "proto": "udp", "tags": {}}]}
    text = describe.status_text(STATUS | {"node": node}, Screen())
    assert "services  dns:53/udp\n  tags      a=b\n" in text


def test_status_says_where_http_is_served():
    web = {"listen": "0.0.0.0:3480", "tls": True, "token": True, "connections": 3, "streams": 2, "refused": 1, "error": None}
    assert "  web       https://0.0.0.0:3480/, with a token, 3 connections, 2 streams, 1 refused" in describe.status_text({**STATUS, "web": web}, Screen())
    plain = {**web, "tls": False, "token": False, "error": "taken"}
    assert "http://0.0.0.0:3480/, 3 connections, 2 streams, 1 refused, does not listen" in describe.status_text({**STATUS, "web": plain}, Screen())
    assert "  web " not in describe.status_text({**STATUS, "web": {"on": False}}, Screen())


@pytest.mark.parametrize(("works", "told"), [(True, "; the resolver of this machine finds them"), (False, "; the resolver of this machine does not find them"), (None, "")])
def test_status_says_where_names_are_served(works, told):
    dns = {"on": True, "error": None, "listen": "127.0.0.1:3453", "zone": "peers.internal", "names": 4, "questions": {"udp": 6, "tcp": 1},
           "resolver": {"delegation": None, "works": works, "error": None}}  # fmt: skip
    assert f"  names     4 below peers.internal at 127.0.0.1:3453, 7 questions{told}\n" in describe.status_text(STATUS | {"dns": dns}, Screen())
    for other in ({"on": False}, {**dns, "error": "taken"}):
        assert "  names " not in describe.status_text(STATUS | {"dns": other}, Screen())
