"""``watch`` and ``wait`` against a daemon that is played."""

import json
import re
import signal
import socket
import subprocess
from time import monotonic

import pytest

from discoveryd.cli import ctl_commands
from discoveryd.ctl import follow
from discoveryd.errors import QueryError
from discoveryd.net.query_client import QueryClient
from discoveryd.query.formats.table import Screen
from tests.ctl.played import (
    GREETING,
    STOPPING,
    Daemon,
    ask,
    command,
    environment,
    event,
    peers_reply,
    refusal,
    snapshot,
    spawn,
)
from tests.query.samples import peer


@pytest.mark.parametrize("width", [40, 60, 80])
def test_an_event_fits_the_screen_and_loses_nothing(width):
    changed = event("down", 8, "not heard for its ttl of 4 s", name="web-frontend-with-a-long-name-01", state="down")
    text = follow.event_text(changed, Screen(width, colour=True))
    lines = re.sub(r"\x1b\[\d*m", "", text).splitlines()
    assert max(map(len, lines)) <= width
    assert re.match(r"\d\d:\d\d:\d\d - down( |$)", lines[0])
    assert "10.0.0.2 eth0 not heard for its ttl of 4 s" in " ".join(" ".join(lines).split())
    assert re.search(r"web-\S+-01\b", text)


def test_json_of_wait(capsys):
    with Daemon([snapshot(peer(), peer(state="suspect", boot="b", id="b"))]) as daemon:
        code, out, _ = ask(capsys, daemon, "wait", "--count", "1", "--json")
    assert (code, json.loads(out)) == (0, peers_reply(peer()))


def test_watch_prints_the_peers_then_each_change(capsys):
    lines = [
        *snapshot(peer()),
        event("joined", name="beta", id="b", boot="b"),
        event("suspect", 9, "two HELLOs missed", state="suspect"),
        event("down", 10, "not heard for its ttl of 4 s", state="down"),
        event("clone", 11, "another running node has the id 9f3a", clone=True),
        {"event": "of-a-later-version"},
        refusal("bad_request", "enough"),
    ]
    with Daemon([lines]) as daemon:
        code, out, err = ask(capsys, daemon, "watch")
    assert (code, err) == (2, "discoveryctl: enough\n")
    table, *events = re.sub(r"^\d\d:\d\d:\d\d ", "", out, flags=re.MULTILINE).split("+ ", 1)
    assert "alpha" in table
    assert ("+ " + events[0]).splitlines() == [
        "+ joined     beta  10.0.0.2 eth0  first HELLO on eth0",
        "? suspect    alpha  10.0.0.2 eth0  two HELLOs missed",
        "- down       alpha  10.0.0.2 eth0  not heard for its ttl of 4 s",
        "! clone      alpha  10.0.0.2 eth0  another running node has the id 9f3a",
    ]


def test_watch_connects_again_and_lists_anew(capsys):
    first, second = [*snapshot(peer()), STOPPING], [*snapshot(), event("joined"), refusal("odd", "enough")]
    with Daemon([first, second] * 2) as daemon:
        code, out, err = ask(capsys, daemon, "watch", "--json")
        assert code == 3
        assert [json.loads(one).get("event") for one in out.splitlines()] == [
            "snapshot", "sync", "snapshot", "sync", "joined", None,
        ]  # fmt: skip
        assert err.splitlines() == [
            "discoveryctl: the daemon is stopping; trying again",
            "discoveryctl: connected again",
            "discoveryctl: enough",
        ]
        _, out, _ = ask(capsys, daemon, "watch")
        assert "alpha" in out
        assert "no peers up yet" in out


def test_watch_pauses_longer_after_each_attempt(monkeypatch):
    pauses, notes = [], []
    monkeypatch.setattr(follow, "note", notes.append)
    with Daemon([[*snapshot(), STOPPING]]) as daemon:
        asked = ctl_commands.parse(["watch", "--address", daemon.address], {})
        lines = follow.follow(asked, QueryClient.watch)
        assert [next(lines)[1]["event"] for _ in range(2)] == ["snapshot", "sync"]

    def pause(_read, _write, _error, seconds):
        pauses.append(seconds)
        if len(pauses) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(follow, "select", pause)
    with pytest.raises(KeyboardInterrupt):
        next(lines)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert len(notes) == 2  # that it stops, and once that nobody answers
    assert "Connection refused" in notes[1]


def test_wait_counts_peers_that_join_later(capsys):
    lines = [*snapshot(peer()), event("joined", name="beta", id="b", boot="b", address="10.0.0.3")]
    with Daemon([lines]) as daemon:
        code, out, _ = ask(capsys, daemon, "wait", "--count", "2", "--timeout", "10")
    assert code == 0
    assert "alpha" in out
    assert "beta" in out


def test_wait_survives_a_restart_of_the_daemon(capsys):
    with Daemon([[*snapshot(peer()), STOPPING], snapshot(peer(), peer(id="b", boot="b"))]) as daemon:
        assert ask(capsys, daemon, "wait", "--count", "2", "--timeout", "10")[0] == 0


@pytest.mark.parametrize("timeout", ["0", "50ms"])
def test_wait_times_out_and_says_how_many_were_up(capsys, timeout):
    with Daemon([[*snapshot(peer(), peer(id="b", boot="b")), event("down", state="down")]]) as daemon:
        code, out, err = ask(capsys, daemon, "wait", "--count", "3", "--timeout", timeout)
    assert (code, out) == (1, "")
    assert re.fullmatch(r"discoveryctl: timed out after \S+ s with [12] of 3 peers up\n", err)


def test_wait_times_out_while_the_daemon_is_away(capsys):
    with Daemon([[*snapshot(peer()), STOPPING]]) as daemon:
        asked = ctl_commands.parse(["watch", "--address", daemon.address], {})
        lines = follow.follow(asked, QueryClient.watch, monotonic() + 0.3)
        next(lines)
        next(lines)
    with pytest.raises(QueryError) as caught:
        next(lines)
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    "words", [["--tag", "role=cpu"], ["--name", "b*"], ["--service", "ssh"], ["--link", "eth1"], ["--state", "down"]]
)
def test_wait_counts_only_peers_that_match(capsys, words):
    state = "down" if "--state" in words else "up"
    changed = {"tags": {"role": "cpu"}, "name": "beta", "link": "eth1", "state": state}
    services = [{"name": "ssh", "port": 22, "proto": "tcp", "tags": {}}]
    with Daemon([snapshot(peer()), [*snapshot(peer()), event("updated", services=services, **changed)]]) as daemon:
        wanted = ["wait", "--count", "1", *words]
        assert ask(capsys, daemon, *wanted, "--timeout", "0")[0] == 1
        assert ask(capsys, daemon, *wanted, "--timeout", "10")[0] == 0


def test_wait_sees_a_peer_that_no_longer_matches(capsys):
    beta = {"id": "b", "boot": "b"}
    events = [event("updated", tags={"role": "cpu"}), event("joined", **beta), event("joined", boot="c", id="c")]
    with Daemon([[*snapshot(peer()), *events]]) as daemon:
        code, out, _ = ask(capsys, daemon, "wait", "--count", "2", "--tag", "role=gpu", "--timeout", "10", "--json")
    assert (code, [one["boot"] for one in json.loads(out)["peers"]]) == (0, ["b", "c"])


def test_wait_can_wait_for_a_departure(capsys):
    with Daemon([[*snapshot(peer()), event("left", state="left")]]) as daemon:
        assert ask(capsys, daemon, "wait", "--count", "1", "--state", "left", "--timeout", "10")[0] == 0


@pytest.mark.parametrize("words", [["wait", "--count", "1", "--only", "address"], ["watch"]])
def test_the_daemon_may_start_within_the_timeout(words):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]  # bound, not listened to: refused
        process = subprocess.Popen(
            command(*words, "--timeout", "30s", "--address", str(port)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(),
        )  # fmt: skip
        assert b"Connection refused (ECONNREFUSED); trying again" in process.stderr.readline()
        reserved.listen()
        with reserved.accept()[0] as client:
            client.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in (GREETING, *snapshot(peer()))))
            found = process.stdout.readline()
            if words[0] == "watch":
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
    assert found == b"10.0.0.2\n" if words[0] == "wait" else found.startswith(b"NAME")


def test_no_daemon_within_the_timeout_is_exit_3():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        found = spawn("wait", "--count", "1", "--timeout", "200ms", "--address", str(reserved.getsockname()[1]))
    assert found.returncode == 3
    assert "Connection refused" in found.stderr


def test_watch_ends_when_its_reader_is_gone():
    with Daemon([snapshot(peer())]) as daemon:
        process = subprocess.Popen(command("watch", "--json", "--address", daemon.address), stdout=subprocess.PIPE, env=environment())
        process.stdout.readline()
        process.stdout.close()  # as `head -1` does
        try:
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
