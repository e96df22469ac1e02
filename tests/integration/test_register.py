"""``discoveryctl register`` and ``reload`` as processes, against a node of this process; a peer sees what they do."""

import json
import os
import pty
import pwd
import select
import signal
import subprocess
import sys
from contextlib import ExitStack
from time import monotonic

import pytest

from discoveryd.files import token
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.runtime.discovery import Discovery
from discoveryd.runtime.query_handlers import ReloadResult
from tests.control import Control, Peer
from tests.integration.process import ROOT
from tests.stopping import stop

TRAPPING = "trap 'echo got term; exit 7' TERM; echo ready; while :; do read line || exit 3; done"


class Stage:
    """A node with a token in a file, a peer of it, and ``discoveryctl`` for both."""

    def __init__(self, directory):
        self.file = directory / "control.token"
        self.control = Control()
        self._directory = directory
        self._port = free_port("127.0.0.1", "udp")
        self._query = ("127.0.6.1", free_port("127.0.6.1", "tcp"))
        self._stack = ExitStack()
        self._processes = []
        self.node = None
        self.begin()
        other = Discovery(self._parameters(2), name="bert", node_id="bert")
        self.bert = Peer(self._stack.enter_context(other))
        self.bert.sees()

    def _parameters(self, number):
        return Parameters(port=self._port, loopback=f"127.0.6.{number}", interval=0.1, limits=Limits(registrations=2))

    def begin(self):
        self.control.token, held = token.create(str(self._directory))
        os.close(held)  # as a daemon that has ended: the next one has another
        self.node = Discovery(
            self._parameters(1), name="anna", node_id="anna", query=self._query, control=self.control
        )
        self.node.start()

    def end(self):
        self.node.stop()

    def ctl(self, *words, **more):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        process = subprocess.Popen(  # unbuffered, or `select` would not know of a line that was read with another
            [sys.executable, "-m", "discoveryd.ctl", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), "DISCOVERYCTL_ADDRESS": f"{self._query[0]}:{self._query[1]}",
                 "DISCOVERYCTL_TOKEN_FILE": str(self.file)}, bufsize=0, **options,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def run(self, *words):
        return ended(self.ctl(*words))

    def close(self):
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self.node.stop()
        self._stack.close()


@pytest.fixture
def stage(tmp_path):
    found = Stage(tmp_path)
    yield found
    found.close()


def line_of(stream):
    ready, _, _ = select.select([stream], (), (), 10)
    assert ready, "nothing was said"
    return stream.readline().decode()


def ended(process):
    """Give exit code, and the rest of what was said."""
    out, err = process.communicate(timeout=20)
    return process.returncode, out.decode(), err.decode()


# --- register -----------------------------------------------------------------------------------------


def test_a_command_runs_as_the_user_that_is_named(stage):
    who = pwd.getpwuid(os.geteuid() or pwd.getpwnam("nobody").pw_uid)
    code, out, err = stage.run(
        "register", "web", "--port", "80", "--user", who.pw_name, "--", "sh", "-c", "id -u; id -g; id -G; echo $HOME $USER"
    )
    assert (code, err) == (0, "")
    uid, gid, groups, names = out.splitlines()
    assert (int(uid), int(gid), names) == (who.pw_uid, who.pw_gid, f"{who.pw_dir} {who.pw_name}")
    assert set(map(int, groups.split())) == set(os.getgrouplist(who.pw_name, who.pw_gid))


def test_register_for_an_unknown_user_registers_nothing(stage):
    code, out, err = stage.run("register", "web", "--port", "80", "--user", "no-such-user", "--", "true")
    assert (code, out) == (2, "")
    assert err == "discoveryctl: --user: there is no user 'no-such-user' on this machine (see: getent passwd)\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_is_there_as_long_as_it_runs(stage, number):
    process = stage.ctl("register", "dns", "--port", "53", "--proto", "udp", "--tag", "zone=lan")
    assert line_of(process.stdout) == "dns:53/udp is registered as long as this runs\n"
    [service] = stage.bert.sees("dns")
    assert (service.port, service.proto, dict(service.tags)) == (53, "udp", {"zone": "lan"})
    process.send_signal(number)
    assert ended(process) == (0, "", "")
    stage.bert.sees()


def test_a_killed_registrant_loses_its_service_and_no_other(stage):
    one = stage.ctl("register", "one", "--port", "1")
    stage.bert.sees("one")
    stage.ctl("register", "two", "--port", "2")
    stage.bert.sees("one", "two")
    one.kill()
    stage.bert.sees("two")


def test_a_command_is_run_and_its_exit_code_passed_on(stage):
    process = stage.ctl("register", "web", "--port", "80", "--", "sh", "-c", "echo $0 $1; read line; exit 5", "a", "--b")
    assert line_of(process.stdout) == "a --b\n"  # and nothing of ours: the output is the command's
    stage.bert.sees("web")
    assert process.communicate(b"\n", timeout=10) == (b"", b"")
    assert process.returncode == 5
    stage.bert.sees()


def test_a_command_that_a_signal_ends(stage):
    assert stage.run("register", "web", "--port", "80", "--", "sh", "-c", "kill -9 $$")[0] == 128 + signal.SIGKILL


def test_sigterm_reaches_the_registered_command(stage):
    process = stage.ctl("register", "web", "--port", "80", "--", "bash", "-c", TRAPPING)
    assert line_of(process.stdout) == "ready\n"
    process.terminate()
    assert line_of(process.stdout) == "got term\n"
    assert ended(process) == (7, "", "")


def test_ctrl_c_comes_to_the_command_once(stage):
    """The terminal sends it to both; passed on as well, it would come twice."""
    counting = (
        "import os, signal\nsignal.signal(signal.SIGINT, lambda *_: os.write(1, b'int\\n'))\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'end\\n'), os._exit(0)))\n"
        "os.write(1, b'ready\\n')\nwhile True: signal.pause()"
    )
    ours, theirs = pty.openpty()
    try:
        process = stage.ctl(
            "register", "web", "--port", "80", "--", sys.executable, "-c",
            counting, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=lambda: take_terminal(theirs),
        )  # fmt: skip
        read_until(ours, b"ready")
        stop(process.pid)  # so that the second would not melt into the first
        os.write(ours, b"\x03")
        said = read_until(ours, b"int")
        process.terminate()
        process.send_signal(signal.SIGCONT)
        said += read_until(ours, b"end")
        assert said.count(b"int") == 1
        assert process.wait(10) == 0
    finally:
        os.close(ours)
        os.close(theirs)


def take_terminal(terminal):
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def read_until(descriptor, text):
    said, deadline = b"", monotonic() + 10
    while text not in said:
        ready, _, _ = select.select([descriptor], (), (), max(0, deadline - monotonic()))
        assert ready, said
        said += os.read(descriptor, 4096)
    return said


def test_sigint_from_elsewhere_is_passed_on(stage):
    process = stage.ctl("register", "web", "--port", "80", "--", "bash", "-c", TRAPPING.replace("TERM", "INT"), start_new_session=True)
    assert line_of(process.stdout) == "ready\n"
    process.send_signal(signal.SIGINT)
    assert line_of(process.stdout) == "got term\n"
    assert ended(process)[0] == 7


@pytest.mark.parametrize(("command", "code"), [("no-such-command-anywhere", 127), ("/", 126)])
def test_a_command_that_cannot_be_run(stage, command, code):
    found, out, err = stage.run("register", "web", "--port", "80", "--", command)
    assert (found, out) == (code, "")
    assert err.startswith(f"discoveryctl: cannot run {command}: ")
    stage.bert.sees()


@pytest.mark.parametrize("command", [[], ["--", "bash", "-c", TRAPPING]])
def test_when_the_daemon_restarts_it_registers_again_and_says_so(stage, command):
    process = stage.ctl("register", "web", "--port", "80", *command)
    stage.bert.sees("web")
    stage.end()
    assert "discoveryd is stopping; trying again" in line_of(process.stderr)
    assert "no daemon answers" in line_of(process.stderr)
    stage.begin()  # with a new token
    assert line_of(process.stderr) == "discoveryctl: registered again\n"
    stage.bert.sees("web")
    process.terminate()
    if command:
        assert [line_of(process.stdout) for _ in range(2)] == ["ready\n", "got term\n"]
    code, _, err = ended(process)
    assert (code, err) == (7 if command else 0, "")


@pytest.mark.parametrize("more", [("--timeout", "1m"), ("--", "sh", "-c", TRAPPING)])
def test_a_daemon_that_comes_later_is_registered_with_then(stage, more):
    stage.end()
    process = stage.ctl("register", "web", "--port", "80", *more)
    if more[0] == "--":
        assert line_of(process.stdout) == "ready\n"  # it does not wait for a daemon
    assert "no daemon answers" in line_of(process.stderr)
    stage.begin()
    assert line_of(process.stderr) == "discoveryctl: registered\n"
    stage.bert.sees("web")
    process.terminate()
    if more[0] == "--":
        assert line_of(process.stdout) == "got term\n"
    code, _, err = ended(process)
    assert (code, err) == (7 if more[0] == "--" else 0, "")


def test_a_daemon_that_comes_later_and_refuses_ends_the_waiting(stage):
    stage.end()
    tags = [word for number in range(4) for word in ("--tag", f"t{number}={'x' * 250}")]
    process = stage.ctl("register", "web", "--port", "80", *tags, "--timeout", "5m")
    assert "no daemon answers" in line_of(process.stderr)
    stage.begin()
    code, _, err = ended(process)
    assert code != 0
    assert "bytes" in err  # by how much the record is too long


def test_the_replies_as_json(stage):
    process = stage.ctl("register", "web", "--port", "80", "--json")
    assert json.loads(line_of(process.stdout))["service"]["name"] == "web"
    process.terminate()
    assert ended(process) == (0, "", "")


# --- refusals -----------------------------------------------------------------------------------------


def test_what_is_refused_says_why_and_the_command_is_not_run(stage):
    long = ["--tag", "a=" + "x" * 250, "--tag", "b=" + "x" * 250, "--tag", "c=" + "x" * 250]
    code, out, err = stage.run("register", "web", "--port", "80", *long, "--", "echo", "run")
    assert (code, out) == (2, "")
    assert "refused, and nothing has changed:" in err
    assert "more than the 700 that fit into a HELLO" in err


def test_a_wrong_token_is_denied_and_not_shown(stage):
    stage.file.write_text("bad0" * 16)
    for words in (["reload"], ["register", "web", "--port", "80", "--", "echo", "run"]):
        code, out, err = stage.run(*words)
        assert (code, out) == (2, "")
        assert "this is not the control token" in err
        assert "bad0" not in err
    assert stage.node.status()["query"]["denied"] == 2


def test_a_token_that_is_not_there(stage):
    stage.file.unlink()
    code, _, err = stage.run("reload")
    assert (code, str(stage.file) in err, "--token-file" in err) == (2, True, True)
    code, out, _ = stage.run("register", "web", "--port", "80", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "denied")
    copy = stage.file.with_name("copy")
    copy.write_text(stage.control.token)
    assert stage.run("reload", "--token-file", str(copy))[0] == 0


def test_register_without_a_daemon_does_not_blame_the_token(stage):
    stage.end()
    stage.file.unlink()
    for words in (["reload"], ["register", "web", "--port", "80"]):
        code, _, err = stage.run(*words)
        assert (code, "no daemon answers" in err) == (3, True)


# --- reload -------------------------------------------------------------------------------------------


def test_reload(stage):
    assert stage.run("reload") == (0, "configuration reloaded\n", "")
    stage.control.result = ReloadResult(needs_restart=({"key": "hello.port", "now": 3400, "wanted": 3401},))
    told = "configuration reloaded\nhello.port needs a restart: it is 3400, 3401 is wanted\n"
    assert stage.run("reload") == (0, told, "")
    code, out, err = stage.run("reload", "--json")
    assert (code, json.loads(out)["needs_restart"][0]["wanted"], err) == (0, 3401, "")


def test_a_reload_that_is_refused_tells_each_problem_on_a_line(stage):
    stage.control.result = ReloadResult(problems=("a.yaml:1: x\x1b[2J", "a.yaml:7: y"))
    told = "discoveryctl: refused, and nothing has changed:\n  a.yaml:1: x\\x1b[2J\n  a.yaml:7: y\n"
    assert stage.run("reload") == (2, "", told)
    code, out, err = stage.run("reload", "--json")
    assert (code, json.loads(out)["error"]["problems"][1], err) == (2, "a.yaml:7: y", told)
