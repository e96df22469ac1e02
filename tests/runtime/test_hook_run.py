"""One run of a hook."""

import os
import select
import signal

import pytest

from discoveryd.runtime import hook_run
from tests.runtime.hooking import WAIT, write_hook


@pytest.fixture
def bell():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def run(tmp_path, bell):
    def run(script, line=b"", timeout=WAIT, **environment):
        return hook_run.run(write_hook(tmp_path, "hook", script), line, environment, timeout=timeout, stop=bell[0])

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


def test_it_gets_a_line_and_an_environment_of_its_own(run, monkeypatch):
    monkeypatch.setenv("SECRET", "of ours")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("HOME", "/h\udce4")  # a byte that is no UTF-8
    ran = run("cat; env | sort; pwd", b'{"event":"joined"}\n', DISCOVERYD_EVENT="joined", DISCOVERYD_PEER="ännä €")
    lines = ran.output.splitlines()
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
    assert (ran.ended, ran.code, ran.is_cut) == ("exit", 0, False)


def test_both_outputs_and_the_exit_code(run):
    ran = run("echo out; echo err >&2; exit 3")
    assert (ran.ended, ran.code, ran.output) == ("exit", 3, b"out\nerr\n")


def test_a_line_longer_than_the_pipe_and_one_that_is_not_read(run):
    line = b"x" * 300_000 + b"\n"
    assert run("wc -c", line).output.strip() == b"300001"
    assert run("exec <&-; echo deaf", line).output == b"deaf\n"


def test_its_deadline_ends_it_and_what_it_started(run, tmp_path):
    ran = run(f"sleep 1000 & echo $! > {tmp_path}/child; echo begun; wait", timeout=0.3)
    assert (ran.ended, ran.code, ran.output) == ("timeout", -signal.SIGTERM, b"begun\n")
    assert is_gone((tmp_path / "child").read_text())


def test_one_that_does_not_heed_sigterm_is_killed(run, monkeypatch):
    monkeypatch.setattr(hook_run, "GRACE", 0.1)
    ran = run("trap 'echo never' TERM; while :; do sleep 0.05; done", timeout=0.2)
    assert (ran.ended, ran.code) == ("timeout", -signal.SIGKILL)
    assert b"never" in ran.output


def test_what_it_leaves_running_ends_with_it(run, tmp_path):
    """Otherwise the number of processes would have no bound; and the output it holds open is not waited for."""
    ran = run(f"sleep 1000 & echo $! > {tmp_path}/child; echo done")
    assert (ran.ended, ran.code, ran.output) == ("exit", 0, b"done\n")
    assert is_gone((tmp_path / "child").read_text())


def test_of_the_output_the_first_part_is_kept(run):
    ran = run("head -c 4096 /dev/zero")
    assert (ran.output, ran.is_cut) == (bytes(4096), False)
    ran = run("head -c 500000 /dev/zero; echo end; exit 4")
    assert (ran.output, ran.is_cut, ran.code) == (bytes(4096), True, 4)  # it could write all of it


def test_one_that_writes_without_end_is_ended(run):
    ran = run("exec yes")
    assert (ran.ended, ran.code, len(ran.output), ran.is_cut) == ("exit", -signal.SIGPIPE, 4096, True)


def test_the_bell_ends_it(run, bell):
    os.write(bell[1], b"!")
    ran = run("sleep 1000")
    assert (ran.ended, ran.code) == ("stopped", -signal.SIGTERM)


def test_one_that_cannot_begin_says_why(run, tmp_path, bell):
    ran = run("#!/nowhere/sh\n")
    assert (ran.ended, ran.error) == (
        "unstartable", "No such file or directory: is the interpreter in its first line there?",
    )  # fmt: skip
    (tmp_path / "hook").write_text("echo no first line\n")
    ran = hook_run.run(str(tmp_path / "hook"), b"", {}, timeout=WAIT, stop=bell[0])
    assert (ran.ended, ran.error) == (
        "unstartable", "Exec format error: does it begin with a line such as #!/bin/sh ?",
    )  # fmt: skip


def test_one_that_cannot_be_followed_is_not_left_behind(run, monkeypatch):
    def refuse(_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert run("sleep 1000") == hook_run.Ran(ended="unstartable", error="Too many open files", may_pass=True)
