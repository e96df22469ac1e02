"""Log lines in each form, written to a descriptor of the test's own."""

import json
import os
import re
import subprocess
import sys

import pytest

from discoveryd.daemon.logs import LONGEST, Log, event_line
from discoveryd.protocol.table.peer import Event, Peer

NASTY = 'two\nlines "quoted" \x1b[31m = ü \ud800'


def peer(**changes):
    given = {
        "id": "id-anna", "name": "anna", "state": "up", "kind": "node", "address": "10.0.0.7",
        "addresses": ("10.0.0.7",), "link": "eth0", "boot": "b1", "services": (), "tags": {}, "first_seen_s": 1.0,
        "last_heard_s": 0.1, "expires_s": 3.9, "interval_s": 0.8, "ttl_s": 4.0, "rtt_ms": None, "loss": None,
        "two_way": None, "restarts": 0, "clone": False, "key": None,
    }  # fmt: skip
    return Peer(**{**given, **changes})


@pytest.fixture
def written(capfd):
    """Give what went to standard error, line by line."""
    return lambda: capfd.readouterr().err.splitlines()


def test_a_line_in_logfmt(written):
    Log("info", "logfmt").write("info", "peer joined", peer="anna", reason="first HELLO")
    [line] = written()
    assert re.fullmatch(r'timestamp=\S+Z level=info event="peer joined" peer=anna reason="first HELLO"', line)


def test_a_line_in_json(written):
    Log("info", "json").write("warning", "peer down", peer="anna")
    found = json.loads(*written())
    assert found.pop("timestamp").endswith("Z")
    assert found == {"level": "warning", "event": "peer down", "peer": "anna"}


def test_a_line_for_the_console(written):
    Log("info", "console").write("info", "peer joined", peer="anna")
    [line] = written()
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[info +\] peer joined +peer=anna", line)


def test_auto_is_logfmt_where_there_is_no_terminal(written):
    Log("info", "auto").write("info", "hello")
    assert written()[0].startswith("timestamp=")


@pytest.mark.parametrize("form", ["logfmt", "json", "console"])
def test_control_characters_in_a_field_are_escaped(written, form):
    log = Log("info", form)
    log.write("info", "first", detail=NASTY)
    log.write("info", "second", detail=NASTY)
    lines = written()
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)


def test_levels_below_the_chosen_one_are_not_written(written):
    log = Log("warning", "logfmt")
    for level in ("debug", "info", "warning", "error", "critical"):
        log.write(level, "x")
    assert [re.search(r"level=(\w+)", line)[1] for line in written()] == ["warning", "error", "critical"]


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_in_the_journal_a_priority_replaces_the_time(written, monkeypatch, form):
    about = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{about.st_dev}:{about.st_ino}")
    log = Log("debug", form)
    for level in ("debug", "info", "warning", "error", "critical"):
        log.write(level, "x")
    lines = written()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert "timestamp" not in "".join(lines)


def test_the_journal_stream_of_another_process_does_not_count(written, monkeypatch):
    """What a service starts inherits the variable, but may write to a file."""
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    Log("info", "logfmt").write("info", "x")
    assert written()[0].startswith("timestamp=")


def test_without_a_standard_error_nothing_is_written_anywhere(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", None)
    Log("info", "auto").write("info", "x")
    assert capfd.readouterr() == ("", "")


def test_an_error_while_writing_the_log_is_ignored(monkeypatch):
    with open("/dev/full", "w", encoding="ascii", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        log = Log("info", "logfmt")
        for _ in range(3):
            log.write("info", "x" * 10_000)


def test_an_event_has_these_fields_in_the_log():
    event = Event(kind="joined", seq=1, peer=peer(), reason="first HELLO on eth0")
    assert event_line(event) == (
        "info",
        "peer joined",
        {"reason": "first HELLO on eth0", "peer": "anna", "address": "10.0.0.7", "link": "eth0", "id": "id-anna"},
    )


def test_a_nameless_peer_is_logged_by_id_a_routed_without_link():
    event = Event(kind="down", seq=1, peer=peer(id="10.0.0.7", name=None, link=""), reason="silent")
    assert event_line(event) == (
        "warning",
        "peer down",
        {"reason": "silent", "peer": "10.0.0.7", "address": "10.0.0.7", "link": "-"},
    )


def test_a_field_cannot_hide_the_event_level_or_timestamp(capfd):
    Log("info", "logfmt").write("info", "told", event="joined", level="high")
    [line] = capfd.readouterr().err.splitlines()
    assert "level=info event=told" in line
    assert "event_=joined level_=high" in line


def test_a_hanging_reader_of_the_log_is_told_what_it_missed(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setattr("discoveryd.daemon.logs.PATIENCE", 0.01)
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        log = Log("info", "logfmt")
        for number in range(1000):
            log.write("info", f"line-{number}", more="x" * 200)  # the pipe takes 64 KiB
        text = reader.read(1 << 20)
        log.write("info", "the-last")
        text += reader.read(1 << 20)
    lines = text.decode().splitlines()
    told = [line for line in lines if "line-" in line]
    assert 100 < len(told) < 1000
    assert lines[-2] == f"{1000 - len(told)} lines of the log are lost: nobody read them"
    assert "the-last" in lines[-1]


def test_a_log_line_longer_than_a_pipe_takes_is_cut(capfd):
    Log("info", "logfmt").write("info", "long", more="x" * 10_000)
    [line] = capfd.readouterr().err.splitlines()
    assert len(line) == LONGEST


SPARED = """
import sys
from discoveryd.daemon.logs import Log
Log("info", "logfmt").write("info", "x")
print(sorted({"asyncio", "ssl", "hashlib"} & set(sys.modules)))
import structlog
print(structlog.stdlib.asyncio.Event.__module__)
import asyncio
print(asyncio.Event is structlog.stdlib.asyncio.Event)
"""


def test_what_only_asynchronous_loggers_need_is_loaded_on_demand():
    done = subprocess.run([sys.executable, "-c", SPARED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "asyncio.locks", "True"]
