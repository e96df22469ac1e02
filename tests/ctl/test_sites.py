"""``discoveryctl sites``, and ``--site`` where a list is printed, watched or waited for, against a daemon that is played."""

import json

from tests.ctl.played import Daemon, ask, peers_reply, snapshot
from tests.query.samples import peer
from tests.query.sites_status import CONNECTION, PARIS

SITES = {
    "ok": True, "schema": 1, "site": "berlin", "role": "gateway", "gateways": ["a", "b"], "peers": 3, "sites": [PARIS],
    "connection": CONNECTION,
}  # fmt: skip


def remote(state="up", name="bert", site="paris", **more):
    return {**peer(state=state, name=name, link=""), "site": site, "via": "g1", "vouched_s": 1.2, **more}


def here(**more):
    return {**peer(**more), "site": "berlin", "via": None, "vouched_s": None}


def test_the_sites_are_a_table(capsys):
    with Daemon([[SITES]]) as daemon:
        code, out, err = ask(capsys, daemon, "sites")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["SITE", "STATE", "PEERS", "UNKNOWN", "VOUCHED", "GATEWAYS"],
        ["berlin", "*", "gateway", "3", "-", "-", "a,", "b"],
        ["paris", "reachable", "5", "-", "1.2s", "g1,", "g2"],
    ]


def test_the_exit_code_tells_of_a_silent_site_or_a_lost_server(capsys):
    silent = {**PARIS, "state": "unreachable", "unknown": 5, "vouched_s": 31.0}
    lost = {**CONNECTION, "connected": False, "server": None, "trouble": {"server": "nats://a", "kind": "auth", "error": "no\x1b"}}
    with Daemon([[{**SITES, "sites": [silent]}], [{**SITES, "connection": lost}], [{**SITES, "connection": lost}]]) as daemon:
        code, out, _ = ask(capsys, daemon, "sites")
        assert (code, out.splitlines()[2].split()) == (1, ["paris", "unreachable", "5", "5", "31s", "g1,", "g2"])
        code, _, err = ask(capsys, daemon, "sites")
        assert (code, err) == (1, "no NATS server is connected: nats://a: no\\x1b\n")
        code, out, err = ask(capsys, daemon, "sites", "--json")
        assert (code, json.loads(out)["site"], err) == (1, "berlin", "")


def test_a_list_of_sites_shows_the_site_of_each_peer(capsys):
    with Daemon([[peers_reply(here(), remote("unknown"))], [peers_reply(here(), remote())]]) as daemon:
        _, out, _ = ask(capsys, daemon, "list", "--site", "all")
        heads, first, second = (line.split() for line in out.splitlines())
        assert daemon.requests[0]["site"] == "all"
        assert (heads[:3], "VOUCHED" in heads, "VIA" in heads) == (["NAME", "SITE", "STATE"], True, False)
        assert sorted([first[1:3], second[1:3]]) == [["berlin", "up"], ["paris", "unknown"]]
        _, out, _ = ask(capsys, daemon, "list", "--site", "all", "--wide")
        assert "VIA" in out.splitlines()[0].split()


def test_a_list_of_this_network_has_no_column_more(capsys):
    with Daemon([[peers_reply(peer())]]) as daemon:
        _, out, _ = ask(capsys, daemon, "list")
    assert not {"SITE", "VOUCHED", "VIA"} & {*out.splitlines()[0].split()}


def test_waiting_counts_no_peer_of_a_silent_site(capsys):
    lines = [
        *snapshot(here(id="a", boot="a", name="anna"), remote(id="b", boot="b")),
        {"event": "site-unreachable", "seq": 8, "site": "paris", "reason": "silent"},
        {"event": "joined", "seq": 9, "peer": here(id="c", boot="c", name="carl"), "reason": "first HELLO"},
        {"event": "site-back", "seq": 10, "site": "paris", "reason": "heard"},
    ]
    with Daemon([lines]) as daemon:
        code, out, _ = ask(capsys, daemon, "wait", "--count", "3", "--site", "all", "--only", "name", "--timeout", "10")
    assert daemon.requests[0]["site"] == "all"
    assert (code, out.split()) == (0, ["anna", "bert", "carl"])


def test_the_doctor_of_a_peer_of_another_site_is_there(capsys):
    def shown(*peers):
        return [{"ok": True, "schema": 1, "peers": list(peers)}]

    far = "What is wrong with it a node of its own network can tell. Run on a node of paris\n    discoveryctl doctor"
    with Daemon([shown(remote()), shown(remote("unknown", name="b; rm", id="id7")), shown(here(name="anna")), shown(remote("left"))]) as daemon:
        code, out, err = ask(capsys, daemon, "doctor", "bert", "--site", "paris")
        assert (code, out, err) == (0, f"bert of paris is up, by the word of its gateway g1, proved 1.2s ago.\n{far} bert\n", "")
        assert {key: daemon.requests[0][key] for key in ("op", "peer", "site")} == {"op": "show", "peer": "bert", "site": "paris"}
        code, out, _ = ask(capsys, daemon, "doctor", "b; rm", "--site", "paris")
        assert (code, "No gateway of paris is heard" in out, out.splitlines()[-1]) == (1, True, "    discoveryctl doctor id7")
        assert ask(capsys, daemon, "doctor", "anna", "--site", "berlin")[1] == "anna is of this network. Run\n    discoveryctl doctor anna\n"
        code, out, _ = ask(capsys, daemon, "doctor", "bert", "--site", "paris", "--json")
        assert (code, json.loads(out)["peers"][0]["state"]) == (1, "left")
        for words, says in ((("--site", "paris"), "--site is for a peer"), (("bert", "--site", "paris", "--watch"), "--site gives no report")):
            code, out, err = ask(capsys, daemon, "doctor", *words)
            assert (code, out, says in err) == (2, "", True)
