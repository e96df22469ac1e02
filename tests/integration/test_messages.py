"""Messages of daemons that run: what a reload of their configuration changes."""

import signal
from pathlib import Path

import pytest

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from discoveryd.runtime.client import Client
from tests.runtime.hooking import write_hook

CONFIG = "security: {mode: require, keys: [group.key]}\n"


@pytest.fixture
def two(make, tmp_path):
    """Give a client of one daemon, and the other daemon, which has a program in its messages.d."""
    write_key(str(tmp_path / "group.key"), Key(b"k" * 32))
    write_hook(tmp_path / "messages.d", "disk", "echo $DISCOVERYD_PEER wants $(cat)")
    daemons = [make(config=CONFIG).run() for _ in range(2)]
    token = Path(daemons[0].environment["DISCOVERYD_PATHS__RUNTIME"]) / "control.token"
    daemons[0].log_until("peer joined")
    with Client(daemons[0].query, token=lambda: token.read_text().strip()) as client:
        while ends(client.ask("echo", "x", everyone=True)) != ["x"]:  # until both have answered each other
            pass
        yield client, daemons[1]


def ends(result):
    return [(one.answer or b"").decode() or one.reason for one in result.deliveries]


def reload(daemon, text):
    daemon.config.write_text(CONFIG + text, encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    return daemon.log_until("configuration re")


def test_a_reload_changes_who_may_start_a_program(two):
    client, daemon = two
    why = 'why="nobody may: list {name: disk, from: \\"...\\"} under messages.allow"'
    assert why in daemon.log_until("message program not run")[-1]
    assert ends(client.ask("disk", "space", everyone=True)) == ["denied"]
    reload(daemon, 'messages: {allow: [{name: "*", from: "nobody"}]}\n')
    assert ends(client.ask("disk", "space", everyone=True)) == ["denied"]
    reload(daemon, 'messages: {allow: [{name: disk, from: "node-*"}]}\n')
    [answer] = ends(client.ask("disk", "space", everyone=True))
    assert answer.startswith("node-")
    assert answer.endswith(" wants space\n")
    refused = reload(daemon, "messages: {allow: [{name: disk}]}\n")
    assert "messages.allow: a rule needs from" in refused[-1]
    assert ends(client.ask("disk", "space", everyone=True)) == [answer], "the former rules stay"
    [program] = daemon.ask("status")["messages"]["programs"]
    assert program == {"name": "disk", "why": None, "taken": 0, "run": 2, "failed": 0, "timeout": 0}


def test_a_reload_changes_builtin_names_and_the_rate(two):
    client, daemon = two
    assert ends(client.ask("upper", "a", everyone=True)) == ["A"]
    reload(daemon, "messages: {builtins: off}\n")
    assert ends(client.ask("upper", "a", everyone=True)) == ["no-handler"]
    reload(daemon, "messages: {rate: 1}\n")
    assert {ends(client.ask("upper", "a", everyone=True))[0] for _ in range(8)} == {"A", "busy"}
