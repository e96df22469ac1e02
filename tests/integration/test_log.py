"""The log of a daemon: its forms, and a log that cannot be written."""

import json
import os
import pty
import re
import socket
import subprocess
import sys
from time import monotonic

import pytest

from tests.integration.process import PROMPT


def test_one_line_per_event_in_logfmt_when_nobody_watches(make):
    one = make().run()
    one.log_until("discoveryd started")
    two = make().run()
    joined = one.log_until("peer joined")[-1]
    assert re.fullmatch(
        r'timestamp=\S+Z level=info event="peer joined" reason="first HELLO on lo" '
        r"peer=node-3 address=127.0.0.3 link=lo id=id-3",
        joined,
    )
    two.end()
    assert 'level=info event="peer left" reason="said goodbye"' in one.log_until("peer left")[-1]
    one.end()
    rest = one.log_rest()
    assert [line for line in rest if "discoveryd stops" not in line] == []


def test_json_is_one_object_per_line(make):
    one, two = make(environment={"DISCOVERYD_LOG__FORMAT": "json"}).run(), make().run()
    one.log_until("peer joined")
    two.end()
    lines = [json.loads(line) for line in one.log_until("peer left")]
    assert {"timestamp", "level", "event", "reason", "peer", "address", "link", "id"} == set(lines[-1])
    one.end()
    assert json.loads(one.log_rest()[-1])["event"] == "discoveryd stops"


def test_in_the_journal_lines_have_a_priority_and_no_timestamp(make):
    read_end, write_end = os.pipe()
    about = os.fstat(write_end)
    daemon = make(environment={"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}, stderr=write_end)
    daemon.run()
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as journal:
        first = journal.readline()
        assert daemon.end()[0] == 0
        lines = [first, *journal]
    assert first.startswith('<6>level=info event="discoveryd started" ')
    assert all(re.match(r"<[0-7]>level=", line) for line in lines)


def test_a_bad_source_is_logged_once_and_then_counted(make):
    daemon = make().run()
    daemon.log_until("discoveryd started")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, daemon.client() as client:
        stranger.bind(("127.0.0.99", 0))

        def dropped():
            drops = client.request("status")["drops"]
            return sum(drop["count"] for drop in drops if drop["reason"] == "malformed")

        for count in range(1, 51):
            stranger.sendto(b"nonsense \x1b[31m\n", (daemon.address, daemon.port))
            deadline = monotonic() + 5
            while dropped() < count:
                assert monotonic() < deadline
    daemon.end()
    lines = [line for line in daemon.log_rest() if "datagrams dropped" in line]
    assert len(lines) == 1
    assert "address=127.0.0.99 link=lo reason=malformed" in lines[0]
    assert "\x1b" not in lines[0]


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


def closed_pipe():
    read_end, write_end = os.pipe()
    os.close(read_end)
    return write_end


@pytest.mark.parametrize("broken", [full_disk, closed_pipe])
def test_a_log_that_cannot_be_written_ends_nothing(make, observer, broken):
    descriptor = broken()
    daemon = make(stderr=descriptor).run()
    os.close(descriptor)
    observer.until("joined")
    assert daemon.ask("list")["ok"]
    code, seconds = daemon.end()
    assert (code, seconds < PROMPT) == (0, True)
    observer.until("left")


def test_a_standard_error_that_was_closed_before_ends_nothing(make, observer):
    """Number 2 is then one of the daemon's own sockets: no log line may go there."""
    daemon = make()
    daemon.process = subprocess.Popen(
        ["sh", "-c", 'exec "$0" -m discoveryd run 2>&-', sys.executable],
        env=daemon.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    observer.until("joined")
    assert daemon.ask("list")["ok"]
    code, seconds = daemon.end()
    assert (code, seconds < PROMPT) == (0, True)
    with daemon.process.stdout as stdout:
        assert stdout.read() == b""  # nor may it turn up among what the daemon prints


def test_on_a_terminal_it_is_for_people(make):
    main, terminal = pty.openpty()
    daemon = make(stderr=terminal, environment={"TERM": "xterm", "NO_COLOR": "1"})
    daemon.run()
    os.close(terminal)
    with os.fdopen(main, "rb", buffering=0) as screen:
        line = b""
        while b"\n" not in line:
            line += screen.read(4096)
        assert re.match(rb"\d\d:\d\d:\d\d \[info +\] discoveryd started", line)
        assert daemon.end()[0] == 0
