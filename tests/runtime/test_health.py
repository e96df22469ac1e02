"""Health: commands that are run again and again."""

import errno
import os
import select
import signal
import threading
from queue import SimpleQueue
from time import monotonic

import pytest

from discoveryd.errors import ConfigError
from discoveryd.runtime import health as module
from discoveryd.runtime import process
from discoveryd.runtime.health import CONCURRENT, LONGEST_LINE, Check, Health
from discoveryd.runtime.process import KEPT

HOUR = 3600.0
LONG = 60.0


def shell(text, interval=HOUR, timeout=LONG):
    return Check(command=("/bin/sh", "-c", text), interval=interval, timeout=timeout)


class Checks:
    def __init__(self):
        self.verdicts = SimpleQueue()
        self.failures = SimpleQueue()
        self.health = Health(self.verdicts.put, lambda *failure: self.failures.put(failure))

    def run(self, **checks):
        self.health.replace(checks)

    def next(self):
        return self.verdicts.get(timeout=10)

    def why(self, text, **times):
        """Run this alone, and give what is wrong."""
        self.run(it=shell(text, **times))
        verdict = self.next()
        assert verdict.works == (not verdict.why)
        return verdict.why


@pytest.fixture
def checks():
    made = Checks()
    made.health.start()
    yield made
    made.health.stop()


class Trace:
    """A pipe that processes write to, and hold open while they live."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def _read(self, size):
        while True:
            ready, _, _ = select.select([self._end], [], [], 10)
            assert ready, "a process is silent, and still there"
            try:
                return os.read(self._end, size)
            except BlockingIOError:
                continue  # there was nobody, and then somebody opened it

    def line(self):
        """Wait for a line."""
        text = b""
        deadline = monotonic() + 10
        while not text.endswith(b"\n"):
            assert monotonic() < deadline, "nobody writes a line"
            text += self._read(1)
        return text.decode().strip()

    def rest(self):
        """Wait until no process holds it open any more, and give what they wrote."""
        text = b""
        while chunk := self._read(4096):
            text += chunk
        return text.decode().split()

    def close(self):
        os.close(self._end)


@pytest.fixture
def trace(tmp_path):
    made = Trace(tmp_path / "trace")
    yield made
    made.close()


# --- verdicts -----------------------------------------------------------------------------------------


def test_the_first_run_of_a_check_comes_at_once(checks):
    check = shell("exit 0")
    checks.run(ssh=check)
    verdict = checks.next()
    assert (verdict.key, verdict.check, verdict.works, verdict.why) == ("ssh", check, True, "")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("exit 3", "exit 3"),
        ("echo one; echo two; echo; exit 3", "exit 3: two"),
        ("echo of no interest; exit 0", ""),
        ("echo bad >&2; exit 1", "exit 1: bad"),
        ("printf 'a\\033[31mb\\377\\n'; exit 1", r"exit 1: a\x1b[31mb\xff"),
        ("kill -KILL $$", "ended by SIGKILL"),
        (f"head -c {KEPT * 100} /dev/zero; echo; echo end; exit 1", "exit 1: end"),
        (f"head -c {KEPT * 100} /dev/zero | tr '\\0' x; exit 1", "exit 1: " + "x" * LONGEST_LINE),
        ("read line && exit 1", "exit 1"),  # there is nothing to read
        ('test -z "$NOTIFY_SOCKET" && test -n "$PATH" && test "$PWD" = / || exit 7', ""),
    ],
)  # fmt: skip
def test_the_result_of_a_check_is_told_in_a_line(checks, monkeypatch, command, why):
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    assert checks.why(command) == why


def test_a_check_that_cannot_be_run_does_not_work(checks, tmp_path):
    checks.run(it=Check(command=(str(tmp_path / "none"),)))
    assert checks.next().why == f"cannot run {tmp_path}/none: No such file or directory"
    (tmp_path / "none").write_text("")
    checks.run(it=Check(command=(str(tmp_path / "none"), "again")))
    assert checks.next().why == f"cannot run {tmp_path}/none: Permission denied"


def test_a_check_is_run_after_each_interval(checks):
    checks.run(it=shell("exit 0", interval=0.1))
    for _ in range(3):
        assert checks.next().works


# --- processes ----------------------------------------------------------------------------------------


def test_a_hanging_check_is_killed_with_its_children(checks, trace):
    # ignoring SIGTERM helps neither of them
    text = f"exec 9> {trace.path}; echo begun >&9; trap '' TERM; sleep 1000 & echo waiting; wait"
    assert checks.why(text, timeout=0.3) == "no answer within 0.3 s, killed: waiting"
    assert trace.rest() == ["begun"]


def test_what_a_check_leaves_running_is_killed(checks, trace):
    assert checks.why(f"exec 9> {trace.path}; echo begun >&9; sleep 1000 > /dev/null 2>&1 &") == ""
    assert trace.rest() == ["begun"]


def test_the_next_run_of_a_check_waits_for_the_last(checks, trace):
    other = shell("exit 0", interval=0.1)  # it keeps the thread awake
    checks.run(it=shell(f"echo + > {trace.path}; sleep 0.25; echo - > {trace.path}", interval=0.1), other=other)
    assert [trace.line() for _ in range(4)] == ["+", "-", "+", "-"]


def test_a_hanging_check_delays_no_other(checks):
    checks.run(hung=shell("sleep 1000"), it=shell("exit 0", interval=0.1))
    assert [checks.next().key for _ in range(3)] == ["it"] * 3


def test_checks_at_the_same_time_are_bounded_and_take_turns(checks, tmp_path):
    log = tmp_path / "log"
    count = CONCURRENT * 2
    checks.run(**{f"n{number}": shell(f"echo 1 >> {log}; sleep 0.2; echo -1 >> {log}") for number in range(count)})
    assert {checks.next().key for _ in range(count)} == {f"n{number}" for number in range(count)}
    running, most = 0, 0
    for change in log.read_text().split():
        running += int(change)
        most = max(most, running)
    assert 1 < most <= CONCURRENT


def test_a_removed_check_is_killed_and_not_told(checks, trace):
    checks.run(it=shell(f"exec 9> {trace.path}; echo begun >&9; sleep 1000"))
    assert trace.line() == "begun"
    checks.run(other=shell("exit 0"))
    assert checks.next().key == "other"
    assert trace.rest() == []


def test_a_changed_check_is_run_at_once(checks, trace):
    checks.run(it=shell("exit 1"), hung=shell(f"exec 9> {trace.path}; echo begun >&9; sleep 1000"))
    assert checks.next().why == "exit 1"
    assert trace.line() == "begun"
    checks.run(it=shell("exit 1"), hung=shell("exit 2"))
    assert checks.next().why == "exit 2"
    assert trace.rest() == []
    assert checks.verdicts.empty()


# --- life ---------------------------------------------------------------------------------------------


def test_stop_kills_the_checks_that_run(trace):
    checks = Checks()
    checks.run(it=shell(f"exec 9> {trace.path}; trap '' TERM; echo begun >&9; sleep 1000"))
    checks.health.start()
    assert trace.line() == "begun"
    checks.health.stop()
    checks.health.stop()
    assert trace.rest() == []
    assert checks.verdicts.empty()
    with pytest.raises(ChildProcessError):  # nor is there anybody left to wait for
        os.waitpid(-1, os.WNOHANG)


def test_stop_before_start():
    checks = Checks()
    checks.run(it=shell("exit 0"))
    checks.health.stop()
    assert checks.verdicts.empty()


def test_the_death_of_the_health_thread_is_told(monkeypatch):
    def told(_):
        raise ZeroDivisionError

    printed, failures = [], SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda args: printed.append(args.exc_type))
    health = Health(told, lambda *failure: failures.put(failure))
    health.replace({"it": shell("exit 0")})
    health.start()
    name, error = failures.get(timeout=10)
    assert (name, type(error)) == ("health-checks", ZeroDivisionError)
    health.stop()
    assert printed == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"command": ()}, "command: must name a program"),
        ({"interval": 0.01}, "interval: must be 100ms to 1h, not 0.01s"),
        ({"interval": float("nan")}, "interval: must be 100ms to 1h, not nans"),
        ({"timeout": 61}, "timeout: must be 100ms to 1m, not 61s"),
    ],
)
def test_a_check_is_refused_with_what_is_allowed(keys, problem):
    with pytest.raises(ConfigError) as caught:
        Check(**{"command": ("true",), **keys})
    assert caught.value.problems == (problem,)


def test_a_check_inherits_neither_files_nor_ignored_signals(checks, tmp_path):
    with open(tmp_path / "secret", "w") as file:
        os.set_inheritable(file.fileno(), True)
        assert checks.why(f"test ! -e /proc/self/fd/{file.fileno()}") == ""
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN  # ours, not theirs
    assert checks.why("kill -PIPE $$; exit 5") == "ended by SIGPIPE"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_a_check_that_cannot_start_now_is_no_failure(checks, monkeypatch, number):
    """A verdict would withdraw a service that works."""
    refused = SimpleQueue()

    def refuse(*_, **__):
        refused.put(1)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "RETRY", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(process.subprocess, "Popen", refuse)
        checks.run(it=shell("true"))
        for _ in range(3):
            refused.get(timeout=10)
        assert checks.verdicts.empty()
    assert checks.next().works
