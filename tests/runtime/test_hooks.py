"""Hooks: run at each event, and whatever they do holds nothing up."""

import errno
import json
import os
import threading
from contextlib import ExitStack

import pytest

from discoveryd.protocol.parameters import Limits
from discoveryd.query.reply import event_line
from discoveryd.runtime import hooks as module
from discoveryd.runtime import process
from discoveryd.runtime.hooks import Hooks
from tests.conftest import no_descriptors
from tests.runtime.hooking import WAIT, Feed, Gate, Notices, peer, write_hook
from tests.runtime.waiting import until


@pytest.fixture
def directory(tmp_path):
    tmp_path.chmod(0o755)
    return tmp_path / "hooks.d"


@pytest.fixture
def feed():
    return Feed()


@pytest.fixture
def notices():
    return Notices()


@pytest.fixture
def begin(directory, feed, notices):
    """Start hooks; they are stopped at the end."""
    with ExitStack() as stack:

        def begin(**limits):
            feed.hooks = hooks = Hooks(str(directory), notices.put, Limits(**limits))
            stack.callback(hooks.stop)
            hooks.start()
            return hooks

        yield begin


def settled(hooks):
    """Give the counts that are not zero; a run is told of a moment before it is over."""
    return {name: count for name, count in hooks.counts().items() if count and name not in ("hooks", "running")}


def says(notices, line):
    return notices.until("hook says", line=line).fields


# --- what a hook is told ----------------------------------------------------------------------------


def test_an_event_runs_each_hook(directory, feed, notices, begin):
    write_hook(directory, "a", 'echo "$DISCOVERYD_EVENT of $DISCOVERYD_PEER at $DISCOVERYD_ADDRESS"')
    write_hook(directory, "b", f"cat > {directory}/.line && echo written")
    hooks = begin()
    told = feed.tell("joined", peer(name="anna"))
    for _ in range(2):
        notices.until("hook ended", exit="0")
    lines = {notice.fields["hook"]: notice.fields["line"] for notice in notices.seen if notice.text == "hook says"}
    assert lines == {"a": "joined of anna at 10.0.0.7", "b": "written"}
    assert json.loads((directory / ".line").read_text()) == {**json.loads(event_line(told)), "coalesced": 0}
    assert hooks.counts()["hooks"] == 2
    assert settled(hooks)["run"] == 2


def test_hooks_are_told_of_isolation(directory, notices, begin):
    write_hook(directory, "a", "echo $DISCOVERYD_EVENT; cat")
    hooks = begin()
    hooks.doubt(is_isolated=True, reason="most peers fell silent together")
    says(notices, "isolated")
    shown = json.loads(notices.until("hook says").fields["line"])
    assert (shown["event"], shown["peer"], shown["reason"]) == ("isolated", None, "most peers fell silent together")
    hooks.doubt(is_isolated=False, reason="")
    says(notices, "connected")


def test_hooks_are_told_of_findings(directory, feed, notices, begin):
    write_hook(directory, "a", "echo never")
    write_hook(directory, "finding-mail", 'echo "$DISCOVERYD_EVENT $DISCOVERYD_FINDING $DISCOVERYD_SUBJECT"; cat; exit 1')
    hooks = begin()
    finding = {"code": "peer-deaf", "subject": "db1", "text": "db1 does not hear us"}
    hooks.find("finding", finding)
    assert says(notices, "finding peer-deaf db1")["code"] == "peer-deaf"
    assert json.loads(notices.until("hook says").fields["line"])["finding"] == finding
    notices.until("hook ended", exit="1")
    hooks.find("finding-gone", finding)
    says(notices, "finding-gone peer-deaf db1")
    assert [notice for notice in notices.seen if notice.fields.get("hook") == "a"] == []


def test_two_hooks_do_not_wait_for_each_other(directory, feed, notices, begin):
    """Each ends only when the other has begun."""
    for mine, others in (("a", "b"), ("b", "a")):
        os.makedirs(directory, mode=0o755, exist_ok=True)
        os.mkfifo(directory / f".{mine}")
        script = f"echo x > {directory}/.{mine} & read x < {directory}/.{others}; wait; echo met"
        write_hook(directory, mine, script)
    begin()
    feed.tell()
    for _ in range(2):
        says(notices, "met")


# --- what is logged ----------------------------------------------------------------------------------


def test_a_failing_hook_is_logged_and_counted(directory, feed, notices, begin):
    write_hook(directory, "bad", "echo no such table >&2; exit 3")
    hooks = begin()
    feed.tell("down", peer(name="anna"))
    about = {"hook": "bad", "on": "down", "peer": "anna"}
    assert notices.until("hook says").fields == {**about, "line": "no such table"}
    ended = notices.until("hook ended")
    assert (ended.level, ended.fields) == ("warning", {**about, "exit": "3"})
    assert settled(hooks)["failed"] == 1


@pytest.mark.parametrize(("number", "shown"), [("KILL", "SIGKILL"), ("40", "signal 40")])
def test_the_signal_that_ended_a_hook_is_named(directory, feed, notices, begin, number, shown):
    write_hook(directory, "bad", f"kill -{number} $$")
    begin()
    feed.tell()
    assert notices.until("hook ended").fields["exit"] == shown


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("#!/nowhere/sh\n", "No such file or directory: is the interpreter in its first line there?"),
        ("echo no first line\n", "Exec format error: does it begin with a line such as #!/bin/sh ?"),
    ],
)
def test_a_hook_that_cannot_start_is_logged_and_counted(directory, feed, notices, begin, text, error):
    path = write_hook(directory, "bad", "#!")
    (directory / "bad").write_text(text)
    hooks = begin()
    feed.tell()
    assert notices.until("hook cannot be run", hook="bad").fields["error"] == error
    assert settled(hooks) == {"run": 1, "failed": 1}, path


def test_output_of_a_hook_cannot_command_a_terminal(directory, feed, notices, begin):
    write_hook(directory, "a", r"""printf 'a\033[31mred\033]0;title\007\rb\302\205c \342\200\256 \377 \303\244\n\n  \nlast'""")
    begin()
    feed.tell()
    assert notices.until("hook says").fields["line"] == r"a\x1b[31mred\x1b]0;title\x07\rb\x85c \u202e \xff ä"
    assert notices.until("hook says").fields["line"] == "last"
    notices.until("hook ended")


def test_a_talkative_hook_drowns_neither_log_nor_other_hooks(directory, feed, notices, begin, monkeypatch):
    monkeypatch.setattr(module, "NOTICES", 30)
    write_hook(directory, "a", "seq 1000")
    write_hook(directory, "b", "echo quiet")
    hooks = begin(hooks=1)  # so that a has ended when b says something
    for number in range(3):
        feed.tell("joined", peer(f"web{number}"))
    for _ in range(3):
        says(notices, "quiet")
    said = [notice.fields["line"] for notice in notices.seen if notice.fields["hook"] == "a" and "line" in notice.fields]
    assert said[:21] == [*map(str, range(1, 21)), "... and more"]
    assert len(said) < 63  # three times as much
    assert hooks.counts()["unlogged"] > 0


# --- hooks that misbehave ----------------------------------------------------------------------------


def test_a_hanging_hook_delays_nothing_and_is_ended(directory, feed, notices, begin):
    write_hook(directory, "hang", "sleep 1000")
    write_hook(directory, "quick", "echo $DISCOVERYD_PEER")
    hooks = begin(hooks=2, hook_timeout=0.5)
    for number in range(20):
        feed.tell("joined", peer(f"web{number}", name=f"peer{number}"))
    for number in range(20):
        says(notices, f"peer{number}")
    assert hooks.counts()["running"] <= 2
    notices.until("hook was ended", hook="hang", why="limits.hook_timeout is over")
    assert settled(hooks)["timeout"] >= 1


def test_events_that_outrun_a_hook_are_merged_by_peer(directory, feed, notices, begin):
    os.makedirs(directory, mode=0o755)
    with Gate(directory / ".gate") as gate:
        write_hook(directory, "slow", f'read x < {gate.path}; echo "$DISCOVERYD_PEER $DISCOVERYD_EVENT $(grep -o "coalesced.*")"')
        hooks = begin(hooks=1, hook_queue=3)
        feed.tell("joined", peer("first", name="first"))
        until(lambda: hooks.counts()["running"])
        for kind in ("joined", "suspect", "recovered"):
            for number in range(5):
                feed.tell(kind, peer(f"web{number}", name=f"peer{number}"))
        feed.tell("left", peer("end"))
        for what in ("full", "coalescing"):
            assert notices.until("hook falls behind", what=module.TROUBLES[what]).fields["hook"] == "slow"
        gate.open()
        says(notices, 'first joined coalesced":0}')
        for number in range(3):
            gate.open()
            assert says(notices, f'peer{number} recovered coalesced":2}}')["coalesced"] == 2
    notices.until("hook ended")
    assert settled(hooks) == {"run": 4, "coalesced": 6, "dropped": 7}
    assert not [notice for notice in notices.rest() if notice.text == "hook falls behind"]  # told once


def test_events_that_hooks_missed_are_counted(directory, feed, notices, begin):
    write_hook(directory, "a", "echo $DISCOVERYD_SEQ")
    feed.miss(5)  # before it began
    hooks = begin(hooks=1)
    for number in range(3):
        feed.tell("joined", peer(f"web{number}"))
    feed.miss(6)
    feed.tell("joined", peer("web10"))
    assert notices.until("hooks missed events").fields == {"lost": 6}
    for number in ("6", "7", "8", "15"):
        says(notices, number)
    notices.until("hook ended")
    assert settled(hooks) == {"run": 4, "lost": 6}


def test_the_death_of_the_hook_runner_is_told(directory, feed, notices, begin, monkeypatch):
    died = []
    monkeypatch.setattr(threading, "excepthook", lambda args: died.append(args.exc_type))
    monkeypatch.setattr(module, "Process", lambda *_, **__: 1 / 0)
    write_hook(directory, "a", "true")
    hooks = begin()
    feed.tell()
    notice = notices.until("thread died", thread="hook-runner")
    assert (notice.level, hooks.counts()["running"]) == ("critical", 0)
    hooks.stop()
    assert died == [ZeroDivisionError]


# --- the directory -----------------------------------------------------------------------------------


def test_a_hook_that_others_may_write_is_refused_until_mended(directory, feed, notices, begin):
    path = write_hook(directory, "open", "echo run", mode=0o777)
    hooks = begin()
    assert notices.until("hook not run").fields == {
        "path": path, "why": f"{path} is writable by group or others: chmod go-w {path}",
    }  # fmt: skip
    hooks.reload()
    feed.tell()
    assert notices.rest() == []
    assert settled(hooks) == {"refused": 1}
    os.chmod(path, 0o755)
    hooks.reload()
    feed.tell()
    says(notices, "run")
    notices.until("hook ended")
    assert settled(hooks) == {"run": 1}


def test_a_hook_made_writable_since_is_not_run(directory, feed, notices, begin, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN", 1000.0)
    path = write_hook(directory, "a", "echo run")
    hooks = begin()
    os.chmod(path, 0o757)
    feed.tell()
    notices.until("hook not run", path=path)
    hooks.stop()
    assert hooks.counts()["run"] == 0


def test_hooks_that_come_and_go_are_seen_without_a_reload(directory, feed, notices, begin, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.0)  # not only after a second
    hooks = begin()
    feed.tell()
    write_hook(directory, "a", "echo a")
    feed.tell()
    says(notices, "a")
    notices.until("hook ended")
    os.replace(directory / "a", directory / "b")
    feed.tell("down")
    assert notices.until("hook ended").fields["hook"] == "b"
    assert hooks.counts()["hooks"] == 1


def test_a_chmod_of_a_hook_is_seen_without_a_reload(directory, feed, notices, begin, monkeypatch):
    path = write_hook(directory, "a", "echo run", mode=0o644)
    begin()
    notices.until("hook not run", path=path, why=f"is not executable: chmod +x {path}")
    os.chmod(path, 0o755)
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.0)
    feed.tell()
    says(notices, "run")
    notices.until("hook ended")


def test_the_hooks_directory_is_not_read_at_each_event(directory, feed, notices, begin, monkeypatch):
    write_hook(directory, "a", "true")
    hooks = begin(hooks=1)
    looks = []
    monkeypatch.setattr(module, "find_hooks", looks.append)
    monkeypatch.setattr(module, "LOOK_AGAIN", 1000.0)
    for number in range(20):
        feed.tell("joined", peer(f"web{number}"))
    notices.until("hook ended", peer="web19")
    assert (looks, hooks.counts()["run"]) == ([], 20)


def test_limits_of_hooks_change_with_a_reload(directory, feed, notices, begin):
    write_hook(directory, "a", "sleep 1000")
    hooks = begin(hooks=1, hook_timeout=1000.0)
    hooks.reload(Limits(hooks=3, hook_timeout=0.1))
    for number in range(3):
        feed.tell("joined", peer(f"web{number}"))
    for _ in range(3):
        notices.until("hook was ended")
    assert settled(hooks) == {"run": 3, "timeout": 3}


# --- life --------------------------------------------------------------------------------------------


def test_stop_ends_running_hooks_and_forgets_waiting_events(directory, feed, notices, begin):
    directory.mkdir(mode=0o755)
    os.mkfifo(directory / ".begun")
    write_hook(directory, "a", f"echo $$ > {directory}/.begun; exec sleep 1000")
    hooks = begin(hooks=1)
    for number in range(3):
        feed.tell("joined", peer(f"web{number}"))
    with (directory / ".begun").open() as begun:
        pid = int(begun.readline())
    hooks.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert settled(hooks) == {}
    assert not [notice for notice in notices.rest() if notice.text.startswith("hook ended")]
    hooks.stop()
    hooks.doubt(is_isolated=True, reason="")
    hooks.reload()
    assert settled(hooks) == {}


def test_stop_before_start(directory, notices):
    hooks = Hooks(str(directory), notices.put)
    hooks.stop()
    hooks.stop()


# --- what the system lacks for the moment -------------------------------------------------------------


def test_a_directory_that_cannot_be_read_now_keeps_its_hooks(directory, feed, notices, begin):
    write_hook(directory, "a", "echo $DISCOVERYD_EVENT")
    hooks = begin()
    with no_descriptors():
        hooks.reload()
    assert hooks.counts()["hooks"] == 1
    assert notices.until("hook not run").fields["why"] == "cannot be read now: Too many open files"
    feed.tell("joined")
    assert says(notices, "joined")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_a_hook_that_cannot_start_now_is_started_again(directory, feed, notices, begin, monkeypatch, number):
    refused = threading.Event()

    def refuse(*_, **__):
        refused.set()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "RETRY", 0.01)
    write_hook(directory, "a", "echo $DISCOVERYD_EVENT")
    begin()
    with monkeypatch.context() as patch:
        patch.setattr(process.subprocess, "Popen", refuse)
        feed.tell("joined")
        assert refused.wait(WAIT)
    assert says(notices, "joined")
