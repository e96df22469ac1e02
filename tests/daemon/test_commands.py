"""The pid file of a detached daemon: its lock says whether a daemon runs, its text only which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from discoveryd.daemon import commands
from discoveryd.daemon.commands import hold, holder


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "discoveryd.pid")


def test_the_pid_file_lives_as_long_as_the_daemon(path):
    assert holder(path) is None
    with hold(path):
        assert holder(path) == os.getpid()
        with open(path, encoding="ascii") as text:
            assert text.read() == f"{os.getpid()}\n"
    assert holder(path) is None
    assert not os.path.exists(path)


def test_a_second_daemon_is_refused_and_harms_nothing(path):
    with hold(path):
        with pytest.raises(BlockingIOError), hold(path):
            pass
        assert holder(path) == os.getpid()


def test_the_pid_file_is_removed_after_an_error(path):
    with pytest.raises(ZeroDivisionError), hold(path):
        raise ZeroDivisionError
    with hold(path):
        pass


@pytest.mark.parametrize("text", ["", "1\n", "999999999\n", "nonsense"])
def test_a_pid_file_left_by_a_crash_means_nothing(path, text):
    os.makedirs(os.path.dirname(path))
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    assert holder(path) is None
    with hold(path):
        assert holder(path) == os.getpid()  # shorter than what stood there


def test_a_pid_file_removed_before_the_lock_is_made_again(path, monkeypatch):
    """Open, then the former daemon ends, then lock: that lock would be on a file nobody else can find."""
    former = hold(path)
    former.__enter__()
    opened = os.open

    def open_late(*arguments):
        descriptor = opened(*arguments)
        former.__exit__(None, None, None)
        return descriptor

    monkeypatch.setattr(commands.os, "open", open_late)
    with hold(path):
        monkeypatch.undo()
        assert holder(path) == os.getpid()


def test_a_killed_daemon_holds_no_lock(path):
    script = f"""
import sys
from pathlib import Path
from discoveryd.daemon.commands import hold
with hold({path!r}):
    print("locked", flush=True)
    sys.stdin.read()
"""
    root = Path(commands.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stdout.readline() == b"locked\n"
        assert holder(path) == process.pid
        process.kill()
    assert os.path.exists(path)
    assert holder(path) is None


def test_a_pid_file_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "discoveryd.pid")
    with pytest.raises(NotADirectoryError):
        holder(path)
    with pytest.raises(OSError), hold(path):
        pass
