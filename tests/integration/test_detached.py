"""``discoveryd start``, ``stop`` and ``status``."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
from time import monotonic

import pytest

from tests.integration.process import PROMPT


@pytest.fixture
def detached(make):
    """Give a daemon that is begun by `start`; it is stopped at the end, if need be."""
    daemon = make()
    yield daemon
    stop = daemon.command("stop")
    assert stop.returncode in (0, 3), stop.stderr  # nothing of a test may live on


def pid_file(daemon):
    return os.path.join(daemon.environment["DISCOVERYD_PATHS__RUNTIME"], "discoveryd.pid")


def test_start_status_stop(detached, observer):
    assert detached.command("status").returncode == 3
    result = detached.command("start")
    assert result.returncode == 0, result.stderr
    pid = int(re.fullmatch(r"discoveryd started \(pid (\d+)\)\n", result.stdout)[1])
    assert detached.ask("status")["node"]["name"] == "node-2"  # started means ready to be asked
    observer.until("joined")
    with open(pid_file(detached), encoding="ascii") as file:
        assert int(file.read()) == pid
    status = detached.command("status")
    assert status.returncode == 0
    assert re.fullmatch(rf"discoveryd \S+ runs \(pid {pid}\) as node-2: 1 up; lo 127.0.0.2\n", status.stdout)
    again = detached.command("start")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"discoveryd: already running (pid {pid}, {pid_file(detached)})\n"
    began = monotonic()
    stop = detached.command("stop")
    assert (stop.returncode, stop.stdout) == (0, f"discoveryd stopped (pid {pid})\n")
    assert monotonic() - began < PROMPT
    observer.until("left")
    assert not os.path.exists(pid_file(detached))
    assert detached.command("stop").returncode == 3
    assert detached.command("status").returncode == 3


def test_a_detached_daemon_has_no_terminal_and_can_reload(detached, observer, tmp_path):
    config = tmp_path / "relative.yaml"
    config.write_text("node:\n  tags: {role: cpu}\n", encoding="utf-8")
    environment = {**detached.environment, "DISCOVERYD_CONFIG": "relative.yaml"}
    result = subprocess.run(
        [sys.executable, "-m", "discoveryd", "start"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    pid = int(re.search(r"pid (\d+)", result.stdout)[1])
    observer.until("joined")
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)} == {"/dev/null"}
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) != os.getsid(0)
    config.write_text("node:\n  tags: {role: gpu}\n", encoding="utf-8")
    os.kill(pid, signal.SIGHUP)
    observer.until("updated", lambda peer: peer.tags == {"role": "gpu"})


def test_a_pid_file_that_a_crash_left_is_no_obstacle(detached):
    first = detached.command("start")
    pid = int(re.search(r"pid (\d+)", first.stdout)[1])
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([handle], [], [], 5.0)[0]
    os.close(handle)
    assert os.path.exists(pid_file(detached))
    assert detached.command("status").returncode == 3
    assert detached.command("stop").returncode == 3
    again = detached.command("start")
    assert again.returncode == 0
    assert str(pid) not in again.stdout


def test_start_reports_what_kept_the_daemon_from_starting(make):
    daemon = make()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((daemon.address, daemon.port))
        result = daemon.command("start")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"UDP port {daemon.port} on {daemon.address} is taken by" in result.stderr
    assert f"(pid {os.getpid()})" in result.stderr
    assert result.stderr.count("discoveryd:") == 1
    assert not os.path.exists(pid_file(daemon))
    assert daemon.command("status").returncode == 3


@pytest.mark.parametrize("place", ["/proc/discoveryd", "/dev/null/discoveryd"])
def test_a_runtime_directory_that_cannot_be_written_is_named(make, place):
    daemon = make(environment={"DISCOVERYD_PATHS__RUNTIME": place})
    result = daemon.command("start")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{place}/discoveryd.pid" in result.stderr
    assert "run as root, or set paths.runtime" in result.stderr
    assert result.stderr.count("\n") == 1


def test_status_knows_a_daemon_that_start_did_not_begin(make, observer):
    daemon = make().run()
    observer.until("joined")
    status = daemon.command("status")
    assert status.returncode == 0
    assert "runs (not begun by start) as node-2: 1 up" in status.stdout
    stop = daemon.command("stop")
    assert stop.returncode == 3
    assert "no daemon runs that start began" in stop.stderr
