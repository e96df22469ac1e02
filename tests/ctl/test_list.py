"""``list``: its shapes, and what a person at a terminal is told besides; and ``export``."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
from time import monotonic

import pytest

from discoveryd.cli.ctl_commands import parse
from discoveryd.cli.ctl_values import EXPORTS
from discoveryd.ctl import main
from discoveryd.ctl.live import REFRESH, LiveTable
from discoveryd.errors import QueryError
from discoveryd.query.formats.exports import EXPORT_FORMATS
from discoveryd.query.formats.table import Screen, peers_table
from tests.ctl.played import Daemon, ask, command, environment, event, peers_reply, refusal, snapshot
from tests.query.samples import STATUS, peer

OWN = peer(id="own", name="me", boot="me", address="10.0.0.1", addresses=["10.0.0.1"], services=[], tags={})
FAR = peer(id="77", name="beta", boot="b", address="10.0.0.10", rtt_ms=0.5, loss=0.25, two_way=False, state="suspect",
           services=[{"name": "dns", "port": 53, "proto": "udp", "tags": {}}])  # fmt: skip
TABLE = """\
NAME   STATE    ADDRESS    LINK  SERVICES    TAGS      HEARD
alpha  up       10.0.0.2   eth0  http:80     role=gpu  0.4s
beta   suspect  10.0.0.10  eth0  dns:53/udp  role=gpu  0.4s
"""


def at_a_terminal(monkeypatch, columns="200"):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)


def with_self(*peers):
    return {"ok": True, "schema": 1, "self": OWN, "peers": list(peers)}


@pytest.mark.parametrize(
    ("words", "out"),
    [
        ([], TABLE),
        (["--no-header"], TABLE.partition("\n")[2]),
        (["--only", "endpoint"], "10.0.0.10:53\n10.0.0.2:80\n"),
        (["--only", "name,endpoint"], "alpha\t10.0.0.2:80\nbeta\t10.0.0.10:53\n"),
        (["--format", "{name} {address}:{port}"], "alpha 10.0.0.2:80\nbeta 10.0.0.10:53\n"),
        (["--format", "{endpoint}", "--service", "dns"], "10.0.0.10:53\n"),
        (["--format", "{name}", "--sort", "rtt"], "beta\nalpha\n"),
        (["--format", "{name}", "--sort", "state"], "beta\nalpha\n"),
        (["--format", "{address}", "--sort", "address"], "10.0.0.2\n10.0.0.10\n"),
    ],
)
def test_what_a_pipe_reads(capsys, words, out):
    with Daemon([[peers_reply(FAR, peer())]]) as daemon:
        assert ask(capsys, daemon, "list", *words) == (0, out, "")
    assert "with_self" not in daemon.requests[0]


def test_a_pipe_gets_the_wide_table_as_before(capsys):
    with Daemon([[peers_reply(FAR)]]) as daemon:
        out = ask(capsys, daemon, "list", "--wide")[1]
    assert out.splitlines()[0].split() == ["NAME", "STATE", "ADDRESS", "LINK", "SERVICES", "TAGS", "HEARD", "ID", "BOOT"]


def test_a_person_sees_this_node_the_one_way_and_a_summary(capsys, monkeypatch):
    with Daemon([[with_self(FAR, peer())], [STATUS]]) as daemon:
        at_a_terminal(monkeypatch)
        code, out, err = ask(capsys, daemon, "list", "--wide")
    assert daemon.requests == [{"op": "list", "with_self": True}, {"op": "status"}]
    assert (code, err) == (0, "2 up, 1 left; 1 link\n")
    assert [re.split("  +", line) for line in out.splitlines()] == [
        ["NAME", "STATE", "ADDRESS", "LINK", "SERVICES", "TAGS", "RTT", "LOSS", "UP SINCE", "HEARD", "ID", "BOOT"],
        ["alpha", "up", "10.0.0.2", "eth0", "http:80", "role=gpu", "-", "-", "12m", "0.4s", "9f3a", "ab12cd34"],
        ["beta", "suspect(one-way)", "10.0.0.10", "eth0", "dns:53/udp", "role=gpu", "0.50ms", "25%", "12m", "0.4s", "77", "b"],
        ["me *", "up", "10.0.0.1", "eth0", "-", "-", "-", "-", "12m", "-", "own", "me"],
    ]  # fmt: skip


def test_one_way_is_no_clone():
    assert "\x1b[33mup(one-way)" in peers_table([peer(two_way=False)], Screen(200, colour=True))
    assert "\x1b[35mup(clone,one-way)" in peers_table([peer(two_way=False, clone=True)], Screen(200, colour=True))


@pytest.mark.parametrize(
    ("severities", "told"),
    [
        ([], "2 up, 1 left; 1 link\n"), (["low"], "2 up, 1 left; 1 link\n"),
        (["high"], "2 up, 1 left; 1 link; 1 fault: see 'discoveryctl doctor'\n"),
        (["medium", "low", "high"], "2 up, 1 left; 1 link; 2 faults: see 'discoveryctl doctor'\n"),
    ],
)  # fmt: skip
def test_a_person_who_lists_is_told_of_faults(capsys, monkeypatch, severities, told):
    found = {**STATUS, "findings": [{"severity": severity} for severity in severities]}
    with Daemon([[with_self(peer())], [found]]) as daemon:
        at_a_terminal(monkeypatch)
        assert ask(capsys, daemon, "list")[2] == told


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"findings": [{"code": "clone", "text": "c", "severity": "low"}, {"code": "no-link", "text": "no usable link", "severity": "high"}]},
         "because: no usable link\n"),
        ({"received": {"hello": 0, "bare": 0}}, "because: nobody was heard yet, up for 61.2 s\n"),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_person_is_told_why_nobody_is_there(capsys, monkeypatch, status, why):
    with Daemon([[with_self()], [STATUS | status]]) as daemon:
        at_a_terminal(monkeypatch)
        code, out, err = ask(capsys, daemon, "list")
    assert code == 1
    assert out.splitlines()[1].startswith("me *")
    assert err.startswith(f"no peers up (--all shows those gone)\n{why}2 up, 1 left; 1 link")


@pytest.mark.parametrize("words", [["--json"], ["--only", "name"], ["--format", "{name}"]])
def test_a_program_that_lists_is_told_nothing_else(capsys, monkeypatch, words):
    with Daemon([[peers_reply(peer())]]) as daemon:
        at_a_terminal(monkeypatch)
        assert ask(capsys, daemon, "list", *words)[2] == ""


def test_self_is_there_for_a_pipe_that_asks_for_it(capsys):
    with Daemon([[with_self(peer())], [STATUS], [with_self(peer())]]) as daemon:
        _, out, err = ask(capsys, daemon, "list", "--self")
        assert ("me *" in out, err) == (True, "2 up, 1 left; 1 link\n")
        assert json.loads(ask(capsys, daemon, "list", "--self", "--json")[1]) == with_self(peer())


def test_a_daemon_of_before_this_program_lists_too(capsys, monkeypatch):
    with Daemon([[refusal("bad_argument", "not 'with_self'")], [peers_reply(peer())], [STATUS]]) as daemon:
        at_a_terminal(monkeypatch)
        code, out, _ = ask(capsys, daemon, "list")
    assert (code, "alpha" in out) == (0, True)


def test_a_daemon_that_ends_between_two_questions_is_no_failure(capsys, monkeypatch):
    with Daemon([[with_self(peer())], [refusal("stopping", "the daemon is stopping")]]) as daemon:
        at_a_terminal(monkeypatch)
        code, _, err = ask(capsys, daemon, "list")
    assert (code, err) == (0, "")


def read_until(terminal, wanted):
    """Read from a terminal until a text came, for at most ten seconds."""
    deadline, text = monotonic() + 10, ""
    while wanted not in text:
        assert select.select([terminal], [], [], max(deadline - monotonic(), 0))[0], text
        text += os.read(terminal, 65536).decode()
    return text


def test_a_live_table_follows_and_gives_the_terminal_back():
    lines = [*snapshot(peer()), event("joined", name="new-one", id="n", boot="n")]
    with Daemon([[with_self(peer())], lines]) as daemon:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 120))
        words = command("list", "--watch", "--address", daemon.address)
        with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm")) as process:
            os.close(theirs)
            text = read_until(ours, "joined new-one: first HELLO on eth0")
            assert "me *" in text
            process.send_signal(signal.SIGINT)
            assert read_until(ours, "\x1b[?1049l")
            assert process.wait(10) == 130
        os.close(ours)


def test_a_live_table_shows_round_trips_that_no_event_tells(monkeypatch):
    replies = [with_self(peer(rtt_ms=0.5, loss=0.5)), QueryError("busy", "too many connections"), with_self(peer(rtt_ms=7.0))]

    def asked():
        if isinstance(reply := replies.pop(0), QueryError):
            raise reply
        return reply

    at_a_terminal(monkeypatch)
    now, shown = 0.0, []
    monkeypatch.setattr("discoveryd.ctl.live.time.monotonic", lambda: now)
    table = LiveTable(parse(["list", "--watch", "--wide"], {}), asked)
    for line in snapshot(peer(rtt_ms=None)):
        table.take(line)
    monkeypatch.setattr(table, "_draw", lambda now, **_: shown.append("".join(table.picture(now, is_connected=True))))
    reading, writing = os.pipe()
    for now in (REFRESH, 2 * REFRESH - 1, 2 * REFRESH, 3 * REFRESH):  # noqa: B007 - the clock of the table
        table.wait(reading, 0.0)
    os.close(reading)
    os.close(writing)
    assert [re.findall(r"[0-9.]+ms", text) for text in shown] == [["0.50ms"], ["0.50ms"], ["0.50ms"], ["7.00ms"]]
    assert replies == []


# --- export -----------------------------------------------------------------------------------------


def test_the_formats_of_the_command_are_those_there_are():
    assert tuple(EXPORT_FORMATS) == EXPORTS


def test_export_asks_for_this_node_too_and_prints_the_format(capsys):
    with Daemon([[with_self(peer())]] * 3) as daemon:
        code, out, err = ask(capsys, daemon, "export", "dnsmasq", "--domain", "lan", "--tag", "role=gpu")
        assert (code, out, err) == (0, "10.0.0.2 alpha.lan\n10.0.0.1 me.lan\n", "")
        assert json.loads(ask(capsys, daemon, "export", "ansible", "--host", "alpha")[1])["ansible_host"] == "10.0.0.2"
        assert json.loads(ask(capsys, daemon, "export", "ansible", "--list")[1])["discoveryd"]["hosts"] == ["alpha", "me"]
    assert daemon.requests[0] == {"op": "list", "tags": {"role": "gpu"}, "with_self": True}


def test_export_without_this_node_and_of_nobody(capsys):
    with Daemon([[peers_reply(peer())], [peers_reply()]]) as daemon:
        assert ask(capsys, daemon, "export", "template", "--no-self", "--template", "{name}") == (0, "alpha\n", "")
        assert ask(capsys, daemon, "export", "prometheus", "--no-self", "--port", "9100") == (0, "[]\n", "")
    assert daemon.requests == [{"op": "list"}] * 2


def test_a_check_of_nagios_has_its_own_exit_codes(capsys):
    with Daemon([[with_self(peer(), FAR)]] * 3) as daemon:
        for words, code in ((["--critical", "1"], 0), (["--warning", "2"], 1), (["--critical", "2"], 2)):
            assert ask(capsys, daemon, "export", "nagios", *words)[0] == code
    assert main(["export", "nagios", "--address", daemon.address]) == 3
    assert capsys.readouterr().out.startswith("UNKNOWN - no daemon answers at 127.0.0.1:")
