"""``list``, ``show``, ``status``, ``metrics`` and ``ping`` against a daemon that is played."""

import json
import re

import pytest

from tests.ctl.played import METRICS, PATHS, Daemon, ask, drop, event, peers_reply, refusal, snapshot
from tests.query.samples import BARE, LINK, STATUS, peer


def test_list_prints_a_table(capsys):
    with Daemon([[peers_reply(BARE, peer())]]) as daemon:
        code, out, err = ask(capsys, daemon, "list")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "NAME    STATE  ADDRESS   LINK  SERVICES  TAGS      HEARD",
        "(bare)  up     10.0.0.9  eth0  -         -         0.4s",
        "alpha   up     10.0.0.2  eth0  http:80   role=gpu  0.4s",
    ]


@pytest.mark.parametrize(
    ("column", "lines"),
    [
        ("name", ["10.0.0.9", "alpha", r"be\u200bta"]),  # what has no name goes by its id
        ("id", ["10.0.0.9", "77", "9f3a"]),
        ("address", ["10.0.0.2", "10.0.0.9"]),  # each once
        ("link", ["eth0"]),
        ("service", ["http"]),
        ("tag", ["role=gpu"]),
    ],
)
def test_only_prints_the_values_of_a_column(capsys, column, lines):
    with Daemon([[peers_reply(BARE, peer(), peer(name="be\u200bta", id="77"))]]) as daemon:
        assert ask(capsys, daemon, "list", "--only", column) == (0, "".join(f"{line}\n" for line in lines), "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no peers up (--all shows those gone)"),
        (["--all"], "no peer was heard yet (see 'discoveryctl status')"),
        (["--all", "--name", "x"], "no peer matches"),
        (["--name", "x"], "no peers up match (--all shows those gone)"),
        (["--state", "down"], "no peers down"),
    ],
)
def test_an_empty_list_exits_1_and_says_why(capsys, words, told):
    with Daemon([[peers_reply()]]) as daemon:
        assert ask(capsys, daemon, "list", *words) == (1, "", told + "\n")


def test_list_shows_id_and_boot_of_clones(capsys):
    clones = [peer(clone=True), peer(clone=True, address="10.0.0.3", boot="ff00ff00")]
    with Daemon([[peers_reply(*clones)]]) as daemon:
        out = ask(capsys, daemon, "list")[1]
    assert re.search(r"up\(clone\) +10\.0\.0\.2 .* 9f3a  ab12cd34\n", out)
    assert re.search(r"up\(clone\) +10\.0\.0\.3 .* 9f3a  ff00ff00\n", out)


def test_list_marks_peers_that_share_an_address(capsys):
    both = [peer(shares_address=True), peer(id="b", name="b", shares_address=True, clone=True), peer(id="c", name="c")]
    with Daemon([[peers_reply(*both)]]) as daemon:
        out = ask(capsys, daemon, "list")[1]
    assert re.findall(r"^(\w+) +(\S+) +10\.0\.0\.2", out, re.MULTILINE) == [
        ("alpha", "up(shared)"), ("b", "up(clone,shared)"), ("c", "up"),
    ]  # fmt: skip


def test_a_filter_for_this_node_says_it_is_no_peer_of_itself(capsys):
    with Daemon([[peers_reply()], snapshot(), [peers_reply()]]) as daemon:
        _, _, err = ask(capsys, daemon, "list", "--name", "one")
        assert err.endswith("; one is this node, which is no peer of itself\n")
        code, _, err = ask(capsys, daemon, "wait", "--name", "on?", "--count", "1", "--timeout", "50ms")
        assert (code, err.endswith("with 0 of 1 peers up; one is this node, which is no peer of itself\n")) == (1, True)
        _, _, err = ask(capsys, daemon, "list", "--name", "two")
        assert "this node" not in err


def test_show_describes_several_peers_and_a_bare_one(capsys):
    with Daemon([[peers_reply(BARE, peer())]]) as daemon:
        out = ask(capsys, daemon, "show", "x")[1]
    assert out.startswith("10.0.0.9 is up: last heard 0.4s ago on eth0 from 10.0.0.9")
    assert "\n\nalpha is up" in out
    assert "two-way" not in out.partition("\n\n")[0]


@pytest.mark.parametrize(
    ("reply", "code", "told"),
    [
        ({"received": 1}, 0, "alpha (10.0.0.2): 1 of 1 PINGs answered in 0.41 ms; it heard our HELLO 0.3s before"),
        ({"received": 1, "rtt_ms": [0.6, 0.412, 0.5]}, 0, "answered in 0.41 to 0.60 ms; it heard"),
        ({"received": 1, "hears_us_s": None}, 0, "answered in 0.41 ms; it does not hear our HELLOs"),
        ({"received": 0, "rtt_ms": [], "hears_us_s": None}, 1, "0 of 1 PINGs answered; it is up, last heard 0.4s ago"),
    ],
)
def test_ping_prints_round_trip_and_hearing(capsys, reply, code, told):
    full = {"ok": True, "schema": 1, "peer": peer(), "sent": 1, "rtt_ms": [0.41], "hears_us_s": 0.3} | reply
    with Daemon([[full]]) as daemon:
        found = ask(capsys, daemon, "ping", "alpha")
    assert found[0] == code
    assert told in found[1]


@pytest.mark.parametrize(
    ("reply", "code", "told"),
    [
        ({}, 0, "10.0.0.9 (not listed): 1 of 1 questions answered in 0.41 ms; it heard our HELLO 0.3s before"),
        ({"hears_us_s": None}, 0, "answered in 0.41 ms; it does not hear our HELLOs"),
        ({"received": 0, "rtt_ms": []}, 1, "0 of 1 questions answered; see 'discoveryctl doctor 10.0.0.9'"),
    ],
)
def test_ping_tells_of_an_address_that_is_not_listed(capsys, reply, code, told):
    full = {"ok": True, "schema": 1, "peer": None, "sent": 1, "received": 1, "rtt_ms": [0.41], "hears_us_s": 0.3}
    with Daemon([[full | {"address": "10.0.0.9"} | reply]]) as daemon:
        found = ask(capsys, daemon, "ping", "10.0.0.9")
    assert found[0] == code
    assert told in found[1]


def test_ping_of_an_address_says_where_it_needs_the_token(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("discoveryd.files.token.default_path", lambda: str(tmp_path / "no.token"))
    with Daemon([[refusal("denied", "10.0.0.9 is not listed: to ask it takes the token")]]) as daemon:
        code, _, err = ask(capsys, daemon, "ping", "10.0.0.9")
        assert (code, "10.0.0.9 is not listed" in err) == (2, True)
        code, _, err = ask(capsys, daemon, "ping", "10.0.0.9", "--token-file", str(tmp_path / "other.token"))
        assert (code, "other.token" in err) == (2, True)
    assert [request.get("proof") for request in daemon.requests] == [None]


def test_metrics_prints_the_text_of_the_daemon(capsys):
    with Daemon([[METRICS]]) as daemon:
        assert ask(capsys, daemon, "metrics") == (0, METRICS["text"], "")


@pytest.mark.parametrize(
    ("words", "reply", "code"),
    [
        (["list"], peers_reply(peer()), 0),
        (["show", "alpha"], peers_reply(peer(paths=PATHS)), 0),
        (["status"], STATUS, 0),
        (["metrics"], METRICS, 0),
        (["ping", "a"], {"ok": True, "schema": 1, "peer": peer(), "sent": 1, "received": 0, "rtt_ms": []}, 1),
    ],
)
def test_json_is_the_line_of_the_daemon(capsys, words, reply, code):
    with Daemon([[reply]]) as daemon:
        assert ask(capsys, daemon, *words, "--json") == (code, json.dumps(reply) + "\n", "")


def test_json_of_an_impostor_is_escaped(capsys):
    replies = (peers_reply(peer(name="\u202eabc")), METRICS | {"text": "a\x9b1m 1\nb 2\n"})
    with Daemon([[json.dumps(reply, ensure_ascii=False).encode()] for reply in replies]) as daemon:
        code, out, _ = ask(capsys, daemon, "list", "--json")
        assert code == 0
        assert out.rstrip("\n").isprintable()
        assert json.loads(out)["peers"][0]["name"] == "\u202eabc"
        assert ask(capsys, daemon, "metrics") == (0, "a\\x9b1m 1\nb 2\n", "")


def test_json_of_an_empty_list(capsys):
    with Daemon([[peers_reply()]]) as daemon:
        code, out, err = ask(capsys, daemon, "list", "--json")
    assert (code, json.loads(out)) == (1, peers_reply())
    assert "no peers up" in err


def test_json_of_a_failure_is_an_object(capsys):
    with Daemon([[refusal("not_found", "no peer x")]]) as daemon:
        code, out, err = ask(capsys, daemon, "show", "x", "--json")
    assert (code, json.loads(out)) == (1, refusal("not_found", "no peer x"))
    assert err == "discoveryctl: no peer x\n"


@pytest.mark.parametrize("bad", ["\x1b[2J", "a\nb", "\u202eabc", "\x07", "\x9b1m", "\ud800"])
def test_text_of_a_peer_is_escaped_in_every_command(capsys, bad):
    service = {"name": bad, "port": 1, "proto": bad, "tags": {bad: bad}}
    evil = peer(name=bad, tags={bad: bad}, link=bad, services=[service], boot=bad, id=bad, address=bad, clone=True)
    evil_show = evil | {"paths": [PATHS[0] | {"address": bad, "link": bad}]}
    answers = [
        [peers_reply(evil)],
        [peers_reply(evil_show)],
        [peers_reply() | {"peer": evil, "sent": 1, "received": 0, "rtt_ms": [], "hears_us_s": None}],
        [*snapshot(evil), event("joined", reason=bad, name=bad), refusal("odd", bad)],
        [STATUS | {"links": [LINK | {"name": bad, "last_error": bad}], "drops": [drop(bad, bad)]}],
        [refusal("not_found", bad)],
    ]
    with Daemon(answers) as daemon:
        for words in (["list"], ["show", "x"], ["ping", "x"], ["watch"], ["status"], ["show", "x"]):
            _, out, err = ask(capsys, daemon, *words)
            assert all(line.isprintable() for line in (out + err).split("\n"))
            assert out + err
            assert bad not in out + err
