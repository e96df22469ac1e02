"""``discoveryctl`` as a process: exit codes, signals, pipes, terminals, and what it imports."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path
from time import monotonic

from tests.ctl.played import Daemon, command, environment, peers_reply, refusal, snapshot, spawn
from tests.query.samples import peer


def test_no_daemon_is_exit_3_with_address_and_remedy():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    for words in (["list"], ["watch"], ["wait", "--count", "1"]):
        found = spawn(*words, "--address", address)
        assert (found.returncode, found.stdout) == (3, "")
        assert f"no daemon answers at {address}: Connection refused (ECONNREFUSED)" in found.stderr
        assert "discoveryd run" in found.stderr
        assert "systemctl start discoveryd" in found.stderr
        assert "Traceback" not in found.stderr


def test_exit_codes_of_a_process():
    with Daemon([[peers_reply(peer())], [peers_reply()], *[[refusal("busy", "full")]] * 5]) as daemon:
        found = [spawn("list", "--address", daemon.address) for _ in range(3)]
    assert [one.returncode for one in found] == [0, 1, 3]
    assert spawn("list", "--odd").returncode == 2


def lines_of(process, count):
    """Read so many lines from a process, for at most ten seconds."""
    deadline, received = monotonic() + 10, b""
    while received.count(b"\n") < count:
        ready, _, _ = select.select([process.stdout], [], [], max(deadline - monotonic(), 0))
        assert ready, received
        chunk = os.read(process.stdout.fileno(), 65536)
        assert chunk, received
        received += chunk
    return received


def test_interrupt_is_quiet():
    with Daemon([snapshot(peer())]) as daemon:
        words = command("watch", "--json", "--address", daemon.address)
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as process:
            lines_of(process, 2)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, b"")


def test_a_broken_pipe_is_quiet():
    many = [peer(id=str(number), boot=str(number), name="n" * 60) for number in range(3000)]
    with Daemon([[peers_reply(*many)]]) as daemon:
        words = command("list", "--address", daemon.address)
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as process:
            os.read(process.stdout.fileno(), 10)
            process.stdout.close()
            err = process.stderr.read()
            process.wait(10)
    assert (process.returncode, err) == (0, b"")


def test_a_full_disk_is_reported():
    with Daemon([[peers_reply(peer())]]) as daemon, Path("/dev/full").open("w") as full:
        found = subprocess.run(
            command("list", "--address", daemon.address),
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False, env=environment(),
        )  # fmt: skip
    assert found.returncode == 1
    assert found.stderr == "discoveryctl: cannot write the output: No space left on device\n"


def test_a_terminal_without_unicode_gets_escapes():
    with Daemon([[peers_reply(peer(name="\u540d\u524d"))]]) as daemon:
        found = spawn("list", "--address", daemon.address, PYTHONIOENCODING="ascii")
    assert found.returncode == 0
    assert r"\u540d\u524d" in found.stdout


def on_terminal(width, **more):
    """Run ``list`` on a terminal of this width; give what it printed there."""
    with Daemon([[peers_reply(peer(name="n" * 100))]]) as daemon:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, width))
        words = command("list", "--address", daemon.address)
        with subprocess.Popen(words, stdout=theirs, env=environment(**more)) as process:
            os.close(theirs)
            assert process.wait(20) == 0
        text = os.read(ours, 65536).decode()
        os.close(ours)
    return text


def test_a_terminal_gets_its_width_and_colours():
    text = on_terminal(80, TERM="xterm")
    assert "\x1b[32mup" in text
    assert all(len(one) <= 80 for one in re.sub(r"\x1b\[\d*m", "", text).splitlines())
    assert "\x1b" not in on_terminal(80, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in on_terminal(80, TERM="dumb")
    assert "n" * 100 in on_terminal(80, TERM="dumb", COLUMNS="300")


IMPORTED = """
import sys
before = set(sys.modules)
from discoveryd.ctl import main
code = main(["list"])
print(" ".join(sorted(set(sys.modules) - before)), file=sys.stderr)
sys.exit(code)
"""
SLOW = {
    "argparse", "asyncio", "contextlib", "dataclasses", "importlib.metadata", "inspect", "locale", "logging",
    "selectors", "shutil", "signal", "socket", "structlog", "subprocess", "tempfile", "threading", "typing",
    "unicodedata", "yaml",
}  # fmt: skip


def test_list_imports_only_what_it_needs():
    with Daemon([[peers_reply(peer())]]) as daemon:
        found = subprocess.run(
            [sys.executable, "-S", "-c", IMPORTED],
            capture_output=True, text=True, timeout=20, check=False,
            env=environment(DISCOVERYCTL_ADDRESS=daemon.address),
        )  # fmt: skip
    assert found.returncode == 0, found.stderr
    imported = set(found.stderr.split())
    assert imported & SLOW == set()
    assert {name for name in imported if name.startswith("discoveryd")} == {
        "discoveryd", "discoveryd.errors", "discoveryd.net", "discoveryd.net.query_client",
        "discoveryd.cli", "discoveryd.cli.ctl_commands", "discoveryd.cli.ctl_values", "discoveryd.cli.parse",
        "discoveryd.ctl", "discoveryd.ctl.ask", "discoveryd.ctl.output",
        "discoveryd.query", "discoveryd.query.address", "discoveryd.query.formats", "discoveryd.query.formats.table",
        "discoveryd.query.json_text",
    }  # fmt: skip
