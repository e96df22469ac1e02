"""One command: its input, output, deadline and end."""

import os
import select
import signal
import threading
from itertools import count
from math import inf
from time import monotonic

import pytest

from discoveryd.runtime.process import GRACE, Process, Processes
from tests.runtime.hooking import WAIT, write_hook

MOST_OUTPUT = 1024 * 1024


@pytest.fixture
def processes():
    made = Processes("processes", pytest.fail, pytest.fail)
    made.open()
    yield made
    made.end()
    made.close()
    made.close()


@pytest.fixture
def start(tmp_path, processes):
    numbers = count()

    def start(script, stdin=b"", timeout=WAIT, grace=GRACE, **environment):
        path = write_hook(tmp_path, f"hook-{next(numbers)}", script)  # a shell may still read the last one
        process = Process(
            [os.fsencode(path)], timeout=timeout, grace=grace, stdin=stdin, environment=environment, most_output=MOST_OUTPUT
        )
        processes.running[process] = None
        return process

    return start


@pytest.fixture
def run(start, processes):
    def run(script, stdin=b"", **arguments):
        process = start(script, stdin, **arguments)
        while not process.is_gone:
            processes.wait(inf)
        return process

    return run


def is_gone(pid):
    """Wait for the end of a process that is not ours to wait for."""
    try:
        handle = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    try:
        return bool(poll.poll(WAIT * 1000))
    finally:
        os.close(handle)


def test_only_the_given_environment_and_input_reach_a_command(run, monkeypatch):
    monkeypatch.setenv("SECRET", "of ours")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("HOME", "/h\udce4")  # a byte that is no UTF-8
    ran = run("cat; env | sort; pwd", b'{"event":"joined"}\n', DISCOVERYD_EVENT="joined", DISCOVERYD_PEER="ännä €")
    lines = ran.head.splitlines()
    assert lines[0] == b'{"event":"joined"}'
    assert lines[-1] == b"/"
    environment = dict(line.split(b"=", 1) for line in lines[1:-1])
    assert environment.pop(b"PWD", b"/") == b"/"  # the shell's own
    environment.pop(b"_", None)
    environment.pop(b"OLDPWD", None)
    environment.pop(b"SHLVL", None)
    assert environment == {
        b"DISCOVERYD_EVENT": b"joined", b"DISCOVERYD_PEER": "ännä €".encode(), b"HOME": b"/h\xe4", b"LANG": b"C.UTF-8",
        b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip
    assert (ran.ended, ran.code, ran.size) == ("exit", 0, len(ran.head))


def test_stdout_stderr_and_exit_code_are_kept(run):
    ran = run("echo out; echo err >&2; exit 3")
    assert (ran.ended, ran.code, ran.exit, ran.head, ran.tail) == ("exit", 3, "3", b"out\nerr\n", b"out\nerr\n")


@pytest.mark.parametrize(("number", "name"), [("KILL", "SIGKILL"), ("40", "signal 40")])
def test_the_signal_that_ended_a_command_has_a_name(run, number, name):
    assert run(f"kill -{number} $$").exit == name


def test_input_longer_than_a_pipe_is_written_whole(run):
    assert run("wc -c", b"x" * 300_000 + b"\n").head.strip() == b"300001"


def test_a_command_need_not_read_its_input(run):
    assert run("exec <&-; echo deaf", b"x" * 300_000 + b"\n").head == b"deaf\n"


def test_without_input_the_end_of_it_is_read(run):
    assert run("read line || echo nothing").head == b"nothing\n"


def test_the_deadline_ends_a_command_and_its_children(run, tmp_path):
    ran = run(f"sleep 1000 & echo $! > {tmp_path}/child; echo begun; wait", timeout=0.3)
    assert (ran.ended, ran.code, ran.head) == ("timeout", -signal.SIGTERM, b"begun\n")
    assert is_gone((tmp_path / "child").read_text())


def test_a_command_that_ignores_sigterm_is_killed(run):
    ran = run("trap 'echo never' TERM; while :; do sleep 0.05; done", timeout=0.2, grace=0.1)
    assert (ran.ended, ran.code) == ("timeout", -signal.SIGKILL)
    assert b"never" in ran.head


def test_without_a_grace_sigkill_comes_at_the_deadline(run):
    ran = run("trap 'echo never' TERM; while :; do sleep 0.05; done", timeout=0.2, grace=0.0)
    assert (ran.ended, ran.code, ran.head) == ("timeout", -signal.SIGKILL, b"")


def test_a_passed_deadline_is_returned_before_the_end(start, processes):
    process = start("trap '' TERM; echo begun; while :; do sleep 0.05; done", timeout=0.3, grace=0.2)
    changes = []
    while not process.is_gone:
        changes += [(one.ended, one.is_gone) for one, _ in processes.wait(inf)]
    assert changes == [("timeout", False), ("timeout", True)]


def test_what_a_command_leaves_running_ends_with_it(run, tmp_path):
    """Otherwise the number of processes would have no bound; and the output it holds open is not waited for."""
    ran = run(f"sleep 1000 & echo $! > {tmp_path}/child; echo done")
    assert (ran.ended, ran.code, ran.head) == ("exit", 0, b"done\n")
    assert is_gone((tmp_path / "child").read_text())


def test_the_first_and_the_last_part_of_the_output_are_kept(run):
    ran = run("head -c 4096 /dev/zero")
    assert (ran.head, ran.size) == (bytes(4096), 4096)
    ran = run("head -c 500000 /dev/zero; echo end; exit 4")
    assert (ran.head, ran.size, ran.code) == (bytes(4096), 500_004, 4)  # it could write all of it
    assert ran.tail == bytes(4092) + b"end\n"


def test_output_without_end_ends_the_command(run):
    ran = run("exec yes")
    assert (ran.ended, ran.code, len(ran.head)) == ("exit", -signal.SIGPIPE, 4096)
    assert MOST_OUTPUT < ran.size < 2 * MOST_OUTPUT


def test_a_command_can_be_stopped(start, processes):
    process = start("sleep 1000")
    process.end("stopped", monotonic())
    while not process.is_gone:
        processes.wait(inf)
    assert (process.ended, process.code) == ("stopped", -signal.SIGTERM)


def test_a_wait_ends_at_a_wake_from_another_thread(processes):
    thread = threading.Timer(0.05, processes.wake)
    thread.start()
    assert processes.wait(inf) == []
    thread.join()


def test_a_wait_ends_at_its_moment(start, processes):
    start("sleep 1000")
    until = monotonic() + 0.05
    assert processes.wait(until) == []
    assert monotonic() >= until


def test_the_end_of_all_commands_is_waited_for(start, processes):
    begun = [start("echo begun; exec sleep 1000") for _ in range(3)]
    while not all(process.head for process in begun):
        assert not any(process.is_gone for process in begun), "nothing is left that would wake this loop"
        processes.wait(inf)
    processes.end()
    assert {(process.ended, process.code) for process in begun} == {("stopped", -signal.SIGTERM)}


def test_a_command_that_cannot_be_followed_is_not_left_behind(start, monkeypatch):
    def refuse(_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        start("sleep 1000")
    with pytest.raises(ChildProcessError):  # nor is there anybody left to wait for
        os.waitpid(-1, os.WNOHANG)
