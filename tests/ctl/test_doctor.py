"""``doctor``: what it prints, what it looks at by itself, and its exit codes."""

import json
import subprocess

import pytest

from discoveryd.ctl import doctor, main
from discoveryd.net.reachability import Reachability, Way
from discoveryd.net.sockets import free_port
from discoveryd.query.doctor import report
from tests.ctl.played import Daemon, ask, refusal
from tests.query.samples import LINK, STATUS, peer

SHUT = STATUS | {"links": [LINK | {"unechoed": 9, "echoed": 0, "misses_echo": True}], "firewalls": ["ufw"]}


@pytest.fixture(autouse=True)
def _no_rules(monkeypatch):
    """Let the rules of the machine that the tests run on be none of ours."""
    monkeypatch.setattr("discoveryd.ctl.firewall.openings", lambda *_, **__: ([], []))


def played(found, status=STATUS):
    return Daemon([[found], [status]])


def test_a_healthy_node_is_said_in_one_line(capsys):
    with played(report(STATUS)) as daemon:
        code, out, err = ask(capsys, daemon, "doctor")
    assert (code, err) == (0, "")
    first, _, *checks = out.splitlines()
    assert first == "nothing is wrong"
    assert checks[2] == "  hearing     ok             10 of 10 came back on eth0, 7 of others heard"
    assert daemon.requests == [{"op": "doctor"}, {"op": "status"}]


def test_a_fault_is_told_with_the_command_that_helps(capsys):
    with played(report(SHUT)) as daemon:
        code, out, _ = ask(capsys, daemon, "doctor")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "1 fault: own-firewall-in (proven)"
    assert "  hearing     FAULT          0 of 10 came back on eth0, 7 of others heard" in lines
    assert "! a firewall of this machine drops what comes in (own-firewall-in, proven)" in lines
    assert lines[-1] == "    ufw allow 3400/udp"


@pytest.mark.parametrize(("tool", "told"), [("nft", ""), ("ufw", "ufw allow 3400/udp")])
def test_root_is_told_the_rule_and_what_helps(capsys, monkeypatch, tool, told):
    """What keeps the rules is told to change them: it would lose a rule that is put between its own."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    rule, command = "chain x of table inet f: rule 7 has drop for UDP port 3400", "nft insert rule inet f x udp dport 3400 accept"
    monkeypatch.setattr("discoveryd.ctl.firewall.openings", lambda port, **_: ([rule], [command]))
    with played(report(SHUT | {"firewalls": [tool]})) as daemon:
        _, out, _ = ask(capsys, daemon, "doctor")
    assert out.splitlines()[-2:] == [f"  {rule}", f"    {told or command}"]


@pytest.mark.parametrize(
    ("answered", "verdict"),
    [
        (Reachability("refused", "silent", None), "not-running"),
        (Reachability("prohibited", "silent", True), "firewall-rejects"),
        (Reachability("silent", "prohibited", True), "firewall-rejects"),
        (Reachability("no-machine", "no-machine", False), "no-such-machine"),
        (Reachability("silent", "silent", False), "no-such-machine"),
        (Reachability("silent", "refused", True), "port-silent"),
        (Reachability("silent", "silent", True), "no-answer"),
        (Reachability("silent", "silent", None), "peer-unknown"),
        (Reachability("unreachable", "unreachable", None), "peer-unknown"),
    ],
)
def test_a_missing_machine_is_asked(capsys, monkeypatch, answered, verdict):
    asked = []
    monkeypatch.setattr("discoveryd.net.reachability.probe", lambda *place: asked.append(place) or answered)
    with played(report(STATUS, "10.0.0.7")) as daemon:
        code, out, _ = ask(capsys, daemon, "doctor", "10.0.0.7", "--json")
    found = json.loads(out)
    assert (code, found["verdict"], asked) == (1, verdict, [("10.0.0.7", 3400)])
    assert [finding["code"] for finding in found["findings"]] == [verdict]


def test_a_peer_is_told_with_its_state(capsys):
    with played(report(STATUS, "alpha", [peer(two_way=True)])) as daemon:
        code, out, _ = ask(capsys, daemon, "doctor", "alpha")
    assert code == 0
    assert out.splitlines() == [
        "alpha: nothing is wrong", "", "  alpha (10.0.0.2) is up, last heard 0.4s ago; it hears this node",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("way", "verdict"),
    [
        (Way("10.99.0.1", frozenset(("wg0",))), "routed-elsewhere"),
        (Way("10.0.0.1", frozenset(("eth1", "wg0"))), "healthy"),  # one of those where it is heard
        (Way("10.255.0.1", frozenset(("lo",))), "healthy"),
        (None, "healthy"),
    ],
)
def test_the_routes_to_a_peer_are_looked_at(capsys, monkeypatch, way, verdict):
    asked = []
    monkeypatch.setattr("discoveryd.net.reachability.way_to", lambda address: asked.append(address) or way)
    heard = peer(paths=[{"link": "eth0"}, {"link": "eth1"}])
    with played(report(STATUS, "alpha", [heard])) as daemon:
        code, out, _ = ask(capsys, daemon, "doctor", "alpha", "--json")
    assert (json.loads(out)["verdict"], code, asked) == (verdict, int(verdict != "healthy"), ["10.0.0.2"])


@pytest.mark.parametrize(("state", "link"), [("left", "eth0"), ("up", None)])
def test_the_routes_to_one_that_left_or_is_routed_say_nothing(capsys, monkeypatch, state, link):
    monkeypatch.setattr("discoveryd.net.reachability.way_to", lambda _: Way("10.99.0.1", frozenset(("wg0",))))
    with played(report(STATUS, "alpha", [peer(state=state, paths=[{"link": link}])])) as daemon:
        _, out, _ = ask(capsys, daemon, "doctor", "alpha", "--json")
    assert json.loads(out)["verdict"] == "healthy"


ASKED = {
    "address": "10.0.0.7", "name": None, "about": None, "asked": 1, "answered": True, "rtt_ms": 0.52, "hears_us_s": None,
    "release": "0.1.0", "network": "10.0.0.7/24", "broadcast": "10.0.0.255", "sent": 40, "echoed": 40, "drops": [], "third": None,
}  # fmt: skip
HEARS = ASKED | {
    "address": "10.0.0.3", "name": "cleo", "about": "10.0.0.7", "third": {"state": "up", "address": "10.0.0.7", "last_heard_s": 0.4}
}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (ASKED, "10.0.0.7 was asked, and answered in 0.5 ms: it never heard this node"),
        (ASKED | {"hears_us_s": 0.3, "name": "bert"}, "bert (10.0.0.7) was asked, and answered in 0.5 ms: it heard this node 0.3s ago"),
        (ASKED | {"answered": False, "asked": 4}, "10.0.0.7 was asked 4 times, and did not answer"),
        (HEARS, "cleo (10.0.0.3) was asked about it: up there, last heard 0.4s ago"),
        (HEARS | {"third": None}, "cleo (10.0.0.3) was asked about it, and does not list it"),
    ],
)
def test_the_answers_of_others_are_told(capsys, monkeypatch, asked, told):
    monkeypatch.setattr("discoveryd.net.reachability.probe", lambda *_: Reachability("silent", "silent", None))
    with played(report(STATUS, "10.0.0.7", (), [asked])) as daemon:
        _, out, _ = ask(capsys, daemon, "doctor", "10.0.0.7")
    assert f"  {told}" in out.splitlines()
    is_unasked = asked["about"] is not None
    assert ("was not asked" in out, "--token-file" in out) == (is_unasked, is_unasked)


def test_a_machine_that_only_others_reach_is_kept_apart(capsys, monkeypatch):
    monkeypatch.setattr("discoveryd.net.reachability.probe", lambda *_: Reachability("no-machine", "no-machine", False))
    with played(report(STATUS, "bert", (), [HEARS])) as daemon:
        _, out, _ = ask(capsys, daemon, "doctor", "bert", "--json")
    found = json.loads(out)
    assert [finding["code"] for finding in found["findings"]] == ["client-isolation"]
    assert "nobody answers for 10.0.0.7 on the link, and cleo (10.0.0.3) hears it" in found["findings"][0]["text"]
    with played(report(STATUS, "10.0.0.7", (), [HEARS | {"third": None}])) as daemon:
        _, out, _ = ask(capsys, daemon, "doctor", "10.0.0.7", "--json")
    [finding] = json.loads(out)["findings"]
    assert finding["code"] == "no-such-machine"
    assert finding["text"].endswith("; cleo (10.0.0.3) does not hear it either")
    assert finding["evidence"]["asked"] == ["10.0.0.3"]


def test_names_of_strangers_move_no_cursor(capsys):
    with played(report(STATUS, "x", [peer(name="\x1b[2J", state="down")])) as daemon:
        _, out, _ = ask(capsys, daemon, "doctor", "x")
    assert "\x1b" not in out


def test_a_name_of_several_is_a_refusal(capsys):
    with Daemon([[refusal("ambiguous", "several peers have that name")]]) as daemon:
        code, out, err = ask(capsys, daemon, "doctor", "alpha")
    assert (code, out) == (2, "")
    assert "several peers" in err


def test_watch_asks_again(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "select", interrupt)
    with played(report(STATUS)) as daemon:
        code, out, _ = ask(capsys, daemon, "doctor", "--watch")
    assert code == 130
    assert out.startswith("nothing is wrong")


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ("LoadState=loaded\nActiveState=failed\n", "the unit discoveryd.service is failed: journalctl -u discoveryd -n 20"),
        ("LoadState=loaded\nActiveState=inactive\n", "the unit discoveryd.service is inactive: systemctl start discoveryd"),
        ("LoadState=loaded\nActiveState=active\n", "the unit discoveryd.service is active"),
        ("LoadState=not-found\nActiveState=inactive\n", "there is no unit discoveryd.service here"),
        (None, "there is no unit discoveryd.service here"),
    ],
)
def test_without_a_daemon_it_tells_what_can_be_seen(capsys, monkeypatch, shown, told):
    def systemctl(command, **_):
        if shown is None:
            raise FileNotFoundError
        return subprocess.CompletedProcess(command, 0, shown, "")

    monkeypatch.setattr("subprocess.run", systemctl)
    monkeypatch.setattr("discoveryd.net.owner.holder", lambda *_: "nc (pid 7)")
    nowhere = f"127.0.0.1:{free_port('127.0.0.1', 'tcp')}"
    assert main(["doctor", "--address", nowhere]) == 3
    out = capsys.readouterr().out
    assert f"  - {told}" in out
    assert "  - UDP port 3400 is held by nc (pid 7)" in out
    assert main(["doctor", "--json", "--address", nowhere]) == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "no-daemon"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello: {port: 3444}", ["UDP port 3444 is held by nc (pid 7)"]),
        ("hello: {prot: 3444}", ["the configuration is wrong, so that no daemon starts with it: ", "UDP port 3400 is held by nc (pid 7)"]),
    ],
)
def test_without_a_daemon_it_looks_at_the_configured_port(capsys, monkeypatch, tmp_path, text, told):
    file = tmp_path / "discoveryd.yaml"
    file.write_text(text)
    monkeypatch.setenv("DISCOVERYD_CONFIG", str(file))
    monkeypatch.setattr("discoveryd.net.owner.holder", lambda port, kind: "nc (pid 7)")
    assert main(["doctor", "--json", "--address", f"127.0.0.1:{free_port('127.0.0.1', 'tcp')}"]) == 3
    seen = json.loads(capsys.readouterr().out)["seen"]
    assert all(one in here for one, here in zip(told, seen, strict=False))
    assert len(seen) == len(told) + 1
