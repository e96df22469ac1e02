"""``discoveryd`` within this process: what needs no daemon to run, and what one does with its inbox."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from discoveryd import __version__
from discoveryd.config import load
from discoveryd.daemon import main, run
from discoveryd.net.sockets import free_port
from discoveryd.runtime.notices import Notice
from tests.runtime.hooking import event, peer


@pytest.fixture
def signals():
    """Put the signal handlers back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    """Let the defaults stay on this machine, on ports of their own."""
    monkeypatch.setenv("DISCOVERYD_HELLO__LOOPBACK", "127.0.0.2")
    monkeypatch.setenv("DISCOVERYD_HELLO__PORT", str(free_port("127.0.0.2", "udp")))
    monkeypatch.setenv("DISCOVERYD_QUERY__LISTEN", f"127.0.0.2:{free_port('127.0.0.2', 'tcp')}")
    monkeypatch.setenv("DISCOVERYD_NODE__NAME", "anna")
    monkeypatch.setenv("DISCOVERYD_PATHS__STATE", str(tmp_path))
    monkeypatch.setenv("DISCOVERYD_PATHS__RUNTIME", str(tmp_path))


def run_with(monkeypatch, *messages, words=("run",)):
    """Run a daemon whose inbox holds these messages from the beginning."""

    def inbox():
        queue = SimpleQueue()
        for message in messages:
            queue.put(message)
        return queue

    monkeypatch.setattr(run, "SimpleQueue", inbox)
    return main(list(words))


# --- the command line ---------------------------------------------------------------------------------


def test_version(capsys):
    assert main(["version"]) == 0
    said = capsys.readouterr().out
    assert said.split()[:2] == ["discoveryd", __version__]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == said


def test_the_version_waits_for_no_other_module():
    code = (
        "import sys\nfrom discoveryd.daemon import main\nmain(['version'])\n"
        "print([name for name in sys.modules if name.startswith(('discoveryd.net', 'discoveryd.daemon.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith(f"discoveryd {__version__}")
    assert done.stdout.endswith("\n[]\n")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--fast"]])
def test_wrong_usage_exits_2_and_says_how_to_ask(capsys, arguments):
    assert main(arguments) == 2
    assert "Try 'discoveryd --help'." in capsys.readouterr().err


def test_help_names_commands_exit_codes_and_configuration(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("run", "start", "stop", "status", "check", "demo", "version", "exit codes", "DISCOVERYD_CONFIG"):
        assert word in text


def test_check_prints_a_configuration_that_loads_to_the_same(capsys, tmp_path):
    path = tmp_path / "discoveryd.yaml"
    path.write_text("node:\n  name: anna\n  tags: {role: 'on'}\nhello:\n  interval: 250ms\n", encoding="utf-8")
    assert main(["check", "--config", str(path)]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load(str(printed)) == load(str(path))


def test_a_standard_stream_that_is_closed_becomes_no_socket():
    code = "import os, sys; from discoveryd.daemon import main; main(['version']); sys.exit(os.open('/dev/null', os.O_RDONLY))"
    closed = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(closed, check=False, cwd=Path(__file__).parents[2], timeout=20).returncode >= 3


def test_check_may_be_quiet(capsys, tmp_path):
    path = tmp_path / "discoveryd.yaml"
    path.write_text("", encoding="utf-8")
    assert main(["check", "--quiet", "--config", str(path)]) == 0
    assert capsys.readouterr().out == ""
    path.write_text("querry: {}\n", encoding="utf-8")
    assert main(["check", "--quiet", "--config", str(path)]) == 2
    assert "did you mean query" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "run", "start", "stop", "status"])
def test_a_wrong_configuration_is_told_whole_by_every_command(capsys, tmp_path, command):
    path = tmp_path / "discoveryd.yaml"
    path.write_text("hello:\n  port: 99999\n  ttl: 5\nnode:\n  nam: x\n", encoding="utf-8")
    assert main([command, "--config", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        ["discoveryd", f"{path}:{number}"] for number in (2, 3, 5)
    ]


def test_a_configuration_that_is_named_but_not_there_is_an_error(capsys):
    assert main(["check", "--config", "/nowhere/discoveryd.yaml"]) == 2
    assert "/nowhere/discoveryd.yaml: No such file" in capsys.readouterr().err


# --- the inbox ----------------------------------------------------------------------------------------


def test_hooks_are_told_that_the_node_is_isolated(quiet, signals, monkeypatch):
    heard = []
    monkeypatch.setattr("discoveryd.daemon.parts.HooksPart.hear", lambda self, notice: heard.append(notice.text))
    run_with(monkeypatch, Notice(level="warning", text="isolated"), signal.SIGTERM)
    assert "isolated" in heard


def test_hooks_are_told_of_findings(quiet, signals, monkeypatch):
    inbox, found = SimpleQueue(), []

    def find(_, kind, finding):
        found.append((kind, finding["code"]))
        inbox.put(signal.SIGTERM)

    monkeypatch.setattr(run, "SimpleQueue", lambda: inbox)
    monkeypatch.setattr("discoveryd.daemon.parts.HooksPart.find", find)
    monkeypatch.setattr("discoveryd.daemon.findings.PERIOD", 0.0)
    monkeypatch.setattr("discoveryd.daemon.findings.SHARE", 0)
    end = threading.Timer(30, inbox.put, (signal.SIGTERM,))
    with socket.create_server(("127.0.0.2", 0)) as taken:
        monkeypatch.setenv("DISCOVERYD_METRICS__LISTEN", f"127.0.0.2:{taken.getsockname()[1]}")
        end.start()
        main(["run"])
    end.cancel()
    assert ("finding", "metrics-not-served") in found


def test_a_node_id_for_this_run_only_is_logged(quiet, signals, monkeypatch, capfd):
    monkeypatch.setattr(run, "node_id", lambda *_: ("0123456789abcdef", "nothing can be written"))
    assert run_with(monkeypatch, signal.SIGTERM) == 0
    lines = capfd.readouterr().err.splitlines()
    assert "id=0123456789abcdef" in lines[0]
    assert 'level=warning event="the node id lasts for this run only" why="nothing can be written"' in lines[1]


def test_a_thread_that_died_ends_the_process_with_an_error(quiet, signals, monkeypatch, capfd):
    notice = Notice(level="critical", text="thread died", fields={"thread": "hello-sender"})
    assert run_with(monkeypatch, notice, signal.SIGTERM) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert 'level=critical event="thread died" thread=hello-sender' in last


def test_a_lagging_log_says_that_events_went_unlogged(quiet, signals, monkeypatch, capfd):
    assert run_with(monkeypatch, None, signal.SIGTERM) == 0
    assert 'level=warning event="events went unlogged"' in capfd.readouterr().err


def test_a_daemon_says_how_many_events_it_did_not_log(quiet, signals, monkeypatch, capfd):
    made_up = [event("joined", peer(f"id{number}")) for number in range(500)]
    assert run_with(monkeypatch, *made_up, signal.SIGTERM) == 0
    lines = capfd.readouterr().err.splitlines()
    logged = [line for line in lines if "peer joined" in line]
    assert 50 <= len(logged) < 500
    assert f'event="peer events not logged" count={500 - len(logged)}' in lines[-2]


def test_a_port_that_takes_permission_names_the_remedy(quiet, signals, monkeypatch, capsys):
    def refuse(_):
        raise PermissionError(errno.EACCES, "cannot listen on UDP port 34: Permission denied")

    monkeypatch.setattr("discoveryd.net.udp.UdpTransport.open", refuse)
    assert main(["run"]) == 1
    assert capsys.readouterr().err == (
        "discoveryd: cannot listen on UDP port 34: Permission denied; "
        "run it as a user who may, or choose a port above 1023\n"
    )


@pytest.mark.parametrize(
    ("held", "remedy"),
    [
        ("0.0.0.0", "stop that, or set another hello.port, the same for all daemons that you try here"),
        ("127.0.0.2", "stop that, or set another hello.loopback (one for each daemon) or hello.port"),
    ],
)
def test_a_taken_port_on_loopback_names_what_helps(quiet, signals, monkeypatch, capsys, held, remedy):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((held, int(os.environ["DISCOVERYD_HELLO__PORT"])))
        assert main(["run"]) == 1
    assert capsys.readouterr().err.endswith(f"; {remedy}\n")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EMFILE, "too many files are open: raise the limit of open files"),
        (errno.ENOBUFS, "there is too little memory"),
    ],
)
def test_other_errors_of_the_system_do_not_blame_a_port(quiet, signals, monkeypatch, capsys, number, remedy):
    def refuse(_):
        raise OSError(number, f"cannot listen: {os.strerror(number)}")

    monkeypatch.setattr("discoveryd.net.udp.UdpTransport.open", refuse)
    assert main(["run"]) == 1
    assert f"; {remedy}" in capsys.readouterr().err


def test_a_thousand_sighups_are_one_reload_and_delay_no_sigterm(quiet, signals, monkeypatch, capfd):
    def reloads():
        for _ in range(1000):
            signal.raise_signal(signal.SIGHUP)

    def reload_once_more_and_end():
        reloads()
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(run.ServiceManager, "reloading", lambda _: taken.append(len(taken)) or reload_more.pop()())
    taken, reload_more = [], [lambda: None, reload_once_more_and_end]  # during a reload another one may be asked for
    assert run_with(monkeypatch, reloads) == 0
    assert capfd.readouterr().err.count('event="configuration reloaded"') == len(taken) == 2


def test_a_configuration_from_a_pipe_stays_at_a_reload(quiet, signals, monkeypatch, capfd):
    read, write = os.pipe()
    with open(write, "w") as file:
        file.write("node: {tags: {from: pipe}}\n")
    try:
        assert run_with(monkeypatch, signal.SIGHUP, signal.SIGTERM, words=["run", "--config", f"/dev/fd/{read}"]) == 0
    finally:
        os.close(read)
    log = capfd.readouterr().err
    assert f"the configuration came through a pipe (/dev/fd/{read}), which is read once" in log
    assert "the former configuration stays in force" in log


def test_without_a_query_socket_status_goes_by_the_pid_file(quiet, monkeypatch, capsys):
    monkeypatch.setenv("DISCOVERYD_QUERY__LISTEN", "off")
    assert main(["status"]) == 3
    assert "does not run" in capsys.readouterr().out
