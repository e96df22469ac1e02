"""Programs that mean harm, and peers that do: real processes, a real terminal."""

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from discoveryd.net.sockets import free_port
from discoveryd.protocol.wire.record import digest_of
from tests.integration.process import ROOT, Daemon

OPENER = """
kept = []
for number in range(10**9):
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex((sys.argv[1], int(sys.argv[2])))
    kept.append(connection)
    if len(kept) > 500:
        kept.pop(0).close()
    if number == 600:
        print("begun", flush=True)
"""
WATCHER = """
kept = []
for number in range(200):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((sys.argv[1], int(sys.argv[2])))
    try:
        connection.sendall(b"watch\\n" * 50)
    except OSError:
        pass
    kept.append(connection)
    if number == 8:
        print("begun", flush=True)
sys.stdin.read()
"""
PIPELINER = """
kept = []
for number in range(400):
    connection = socket.socket()
    connection.connect((sys.argv[1], int(sys.argv[2])))
    connection.setblocking(False)
    connection.send(b"status\\n" * 340)
    kept.append(connection)
print("begun", flush=True)
"""
AS = "import os, select, socket, sys; uid = int(sys.argv.pop()); uid and os.setuid(uid)\n"


@pytest.fixture
def make(tmp_path):
    """Make a daemon; of the terminal its close comes after that of the daemon."""
    port = free_port("127.0.0.1", "udp")
    with ExitStack() as stack:

        def make(**more):
            daemon = Daemon(tmp_path, 2, port, **more)
            stack.callback(daemon.close)
            return daemon

        yield make


def test_a_program_that_asks_and_ends_blocks_no_other_user(make):
    if os.getuid():
        pytest.skip("only root can be other users")
    daemon = make().run()
    daemon.log_until("discoveryd started")
    command = [sys.executable, "-c", AS + PIPELINER, *map(str, daemon.query), "12345"]
    subprocess.run(command, stdout=subprocess.PIPE, cwd="/", check=True, timeout=30)
    began = monotonic()
    assert asked(daemon, "list", "--all")["peers"] == []
    # what it asked would keep the daemon busy for 10 s; a busy machine needs a second to start Python
    assert monotonic() - began < 5.0


@pytest.mark.parametrize("uids", [("0", "0"), ("12345", "12346")], ids=["of-one-user", "of-others"])
def test_two_hostile_programs_keep_no_third_from_listing(make, uids):
    if os.getuid() and uids != ("0", "0"):
        pytest.skip("only root can be other users")
    daemon = make().run()
    daemon.log_until("discoveryd started")
    with ExitStack() as stack:
        for program, uid in zip((OPENER, WATCHER), uids, strict=True):
            hostile = stack.enter_context(subprocess.Popen(
                [sys.executable, "-c", AS + program, *map(str, daemon.query), uid],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
            ))  # fmt: skip
            stack.callback(hostile.kill)
            assert hostile.stdout.readline() == b"begun\n"
        # of one user there is no share: its own connections may push out one that has not asked yet
        tries = 10 if uids[0] == str(os.getuid()) else 1
        for _ in range(5):
            query = asked(daemon, "status", tries=tries)["query"]
            assert query["connections"] <= 2 * query["limit"]  # half of them have asked nothing yet
            assert asked(daemon, "list", "--all", tries=tries)["peers"] == []
        assert query["refused"] > 0


def asked(daemon, *words, tries=1):
    """Give what a command prints, again as long as it was pushed out before it asked."""
    found = ctl(daemon, *words, "--json")
    if tries > 1 and "others came" in found.stderr:
        return asked(daemon, *words, tries=tries - 1)
    assert found.returncode in (0, 1), found.stderr
    return json.loads(found.stdout)


def ctl(daemon, *words):
    return subprocess.run(
        [sys.executable, "-m", "discoveryd.ctl", *words, "--address", "{}:{}".format(*daemon.query)],
        env=daemon.environment, cwd="/", capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


# --- what reaches a terminal --------------------------------------------------------------------------

EVIL = (
    "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\x00", "\x07", "\b", "\r", "\n", "\x7f", "\x85",
    "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069", "\u200e", "\u200f", "\u061c",
    "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u2028", "\u2029", "\ud800",
)  # fmt: skip
RAW = [one.encode("utf-8", "surrogatepass") for one in EVIL if one not in "\r\n"]


def hostile_hellos(port):
    """Send HELLOs whose record has each of these somewhere, from one address each."""
    for number, evil in enumerate(EVIL):
        name, tag, service = [(evil, "", ""), ("", evil, ""), ("", "", evil)][number % 3]
        record = {"name": f"n{name}x", "tags": {f"k{tag}": f"v{tag}"}, "services": [{"name": f"s{service}", "port": 1}]}
        encoded = json.dumps(record, separators=(",", ":")).encode()
        steady = f"HELLO|2|default|evil{number}|{number + 1:016x}|60000|600000||{digest_of(encoded)}|1".encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((f"127.0.1.{number + 1}", port))
            sender.sendto(b"%b||%b|" % (steady, encoded), ("127.0.0.2", port))
            sender.sendto(steady, ("127.0.0.2", port))  # listed by its id, without its record
            sender.sendto(b"HELLO|2|" + evil.encode("utf-8", "surrogatepass") + b"|x|", ("127.0.0.2", port))


class Terminal:
    """A pseudo-terminal, all that was written to it, and somebody who reads that as it comes."""

    def __init__(self):
        self._near, self.far = pty.openpty()
        self.seen = b""
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="terminal")
        self._reader.start()

    def _read(self):
        with suppress(OSError):  # nobody has the other side any more
            while chunk := os.read(self._near, 65536):
                with self._more:
                    self.seen += chunk
                    self._more.notify_all()

    def until(self, text, timeout=15.0):
        with self._more:
            assert self._more.wait_for(lambda: text in self.seen, timeout), f"no {text!r} in {self.seen[-2000:]!r}"

    def close(self):
        os.close(self.far)
        self._reader.join(10)
        os.close(self._near)


@pytest.fixture
def terminal():
    found = Terminal()
    yield found
    found.close()


def colourless(seen):
    """Take away what we wrote ourselves: colours, and the ends of lines."""
    for code in (b"0", b"1", b"2", b"31", b"32", b"33", b"34", b"35", b"36"):
        seen = seen.replace(b"\x1b[" + code + b"m", b"")
    return seen.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("form", ["console", "logfmt", "json"])
def test_no_raw_byte_of_a_hostile_record_reaches_a_terminal(terminal, make, form):
    environment = {"DISCOVERYD_LOG__FORMAT": form, "DISCOVERYD_LOG__LEVEL": "debug", "TERM": "xterm"}
    daemon = make(environment=environment, stderr=terminal.far).run()
    terminal.until(b"discoveryd started")
    watch = subprocess.Popen(
        [sys.executable, "-m", "discoveryd.ctl", "watch", "--address", "{}:{}".format(*daemon.query)],
        stdout=terminal.far, stderr=terminal.far, stdin=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    try:
        terminal.until(b"no peers up yet")
        hostile_hellos(daemon.port)
        terminal.until(f"evil{len(EVIL) - 1}".encode())
        for words in (["list"], ["list", "--wide"], ["list", "--json"], ["status"], ["show", "evil0"], ["metrics"], ["show", EVIL[0]]):
            subprocess.run(
                [sys.executable, "-m", "discoveryd.ctl", *words, "--address", "{}:{}".format(*daemon.query)],
                stdout=terminal.far, stderr=terminal.far, stdin=subprocess.DEVNULL, cwd=ROOT, timeout=20, check=False,
            )  # fmt: skip
        assert daemon.ask("list")["peers"][0]["name"] is None
        assert {"reason": "malformed", "link": "lo", "count": 2 * len(EVIL)} in daemon.ask("status")["drops"]
    finally:
        watch.kill()
        watch.wait(10)
    daemon.end()
    terminal.until(b"discoveryd stops")
    seen = colourless(terminal.seen)
    assert [evil for evil in RAW if evil in seen] == []
