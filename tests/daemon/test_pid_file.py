"""The pid file: its lock says whether a daemon runs, its text only which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from discoveryd.daemon import pid_file as module
from discoveryd.daemon.pid_file import PidFile


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "discoveryd.pid")


def test_the_pid_file_lives_as_long_as_the_daemon(path):
    file = PidFile(path)
    assert file.holder() is None
    with file:
        assert PidFile(path).holder() == os.getpid()
        with open(path, encoding="ascii") as text:
            assert text.read() == f"{os.getpid()}\n"
    assert PidFile(path).holder() is None
    assert not os.path.exists(path)


def test_a_second_daemon_is_refused_and_harms_nothing(path):
    with PidFile(path):
        with pytest.raises(BlockingIOError), PidFile(path):
            pass
        assert PidFile(path).holder() == os.getpid()


def test_the_pid_file_is_removed_after_an_error(path):
    with pytest.raises(ZeroDivisionError), PidFile(path):
        raise ZeroDivisionError
    with PidFile(path):
        pass


@pytest.mark.parametrize("text", ["", "1\n", "999999999\n", "nonsense"])
def test_a_pid_file_left_by_a_crash_means_nothing(path, text):
    os.makedirs(os.path.dirname(path))
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    assert PidFile(path).holder() is None
    with PidFile(path) as file:
        assert file.holder() == os.getpid()  # shorter than what stood there


def test_a_pid_file_removed_before_the_lock_is_made_again(path, monkeypatch):
    """Open, then the former daemon ends, then lock: that lock would be on a file nobody else can find."""
    former = PidFile(path)
    former.__enter__()
    opened = os.open

    def open_late(*arguments):
        descriptor = opened(*arguments)
        former.__exit__(None, None, None)
        return descriptor

    monkeypatch.setattr(module.os, "open", open_late)
    with PidFile(path):
        monkeypatch.undo()
        assert PidFile(path).holder() == os.getpid()


def test_a_killed_daemon_holds_no_lock(path):
    script = f"""
import sys
from pathlib import Path
from discoveryd.daemon.pid_file import PidFile
with PidFile({path!r}):
    print("locked", flush=True)
    sys.stdin.read()
"""
    root = Path(module.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stdout.readline() == b"locked\n"
        assert PidFile(path).holder() == process.pid
        process.kill()
    assert os.path.exists(path)
    assert PidFile(path).holder() is None


def test_a_pid_file_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    file = PidFile(str(tmp_path / "file" / "discoveryd.pid"))
    with pytest.raises(NotADirectoryError):
        file.holder()
    with pytest.raises(OSError), file:
        pass
