"""``discoveryd`` as a person, a shell or a service manager runs it."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from time import monotonic

import pytest

from discoveryd.net.query_client import QueryClient
from discoveryd.protocol.wire.messages import Pong, decode
from discoveryd.protocol.wire.record import Record
from tests.ear import EVERYBODY
from tests.protocol.samples import boot, hello
from tests.runtime.hooking import write_hook

PROMPT = 5.0
"""Seconds for an end that takes a tenth of one on idle cores (tests/benchmarks/start.py): two busy ones may take more."""


# --- run ----------------------------------------------------------------------------------------------


def test_two_daemons_list_each_other(make):
    one, two = make().run(), make().run()
    one.log_until("peer joined")
    two.log_until("peer joined")
    assert [peer["name"] for peer in one.ask("list")["peers"]] == ["node-3"]
    assert [peer["name"] for peer in two.ask("list")["peers"]] == ["node-2"]


def test_a_peer_that_died_while_we_were_stopped_is_never_up(make, port):
    daemon = make(environment={"DISCOVERYD_HELLO__INTERVAL": "0.4s", "DISCOVERYD_HELLO__TTL": "2s"}).run()
    daemon.log_until("discoveryd started")
    pause = threading.Event().wait
    with ExitStack() as stack:
        senders = {}
        for number, name in ((8, "living"), (9, "dead")):
            senders[number, name] = sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.bind((f"127.0.0.{number}", port))

        def beat(seq, *names):
            for (number, name), sender in senders.items():
                if name in names:
                    said = hello(number, name, seq, Record(name=name), interval=0.4, ttl=2.0)
                    sender.sendto(said.encode(), (EVERYBODY, port))

        client = stack.enter_context(daemon.client())
        beat(1, "living", "dead")
        daemon.log_until("peer joined")
        daemon.log_until("peer joined")
        for (number, _), sender in senders.items():  # what never answered a PING is forgotten in seconds
            sender.settimeout(10.0)
            asked, there = b"", None
            while not asked.startswith(b"PING"):
                asked, there = sender.recvfrom(2048)
            pong = Pong(realm="default", boot=boot(number), nonce=decode(asked).nonce, heard_ms=0)
            sender.sendto(pong.encode(), there)
        deadline = monotonic() + 10.0
        while len([peer for peer in client.request("list")["peers"] if peer["rtt_ms"] is not None]) < 2:
            assert monotonic() < deadline
        daemon.kill(signal.SIGSTOP)
        beat(2, "living", "dead")
        for seq in range(3, 12):
            pause(0.4)
            beat(seq, "living")
        daemon.kill(signal.SIGCONT)
        deadline = monotonic() + 15.0
        seen = []
        while not seen or seen[-1]["dead"] != "down":
            assert monotonic() < deadline, seen
            peers = client.request("list", all=True)["peers"]
            seen.append({peer["name"]: peer["state"] for peer in peers})
            [silence] = [peer["last_heard_s"] for peer in peers if peer["name"] == "dead"]
            assert silence > 3.5
            beat(seq := seq + 1, "living")
            pause(0.1)
    states = {state["dead"] for state in seen}
    assert states == {"suspect", "down"} or states == {"down"}
    assert {state["living"] for state in seen} == {"up"}
    log = "\n".join(daemon.log_until("peer down"))
    assert "living" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_goodbye(make, observer, number):
    daemon = make().run()
    observer.until("joined")
    daemon.log_until("discoveryd started")
    code, seconds = daemon.end(number)
    assert code == 0
    assert seconds < PROMPT
    assert observer.until("left").name == "node-2"
    assert daemon.log_rest()[-1].endswith(f'event="discoveryd stops" signal={number.name}')


def test_a_signal_ends_it_also_while_clients_watch_and_do_not_read(make, observer):
    daemon = make().run()
    observer.until("joined")
    with daemon.client() as client:
        watch = client.watch()
        assert next(watch)["event"] == "snapshot"
        code, seconds = daemon.end()
    assert (code, seconds < PROMPT) == (0, True)


FEW = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
from discoveryd.daemon import main
sys.exit(main(["run"]))
"""


def test_without_a_free_descriptor_it_goes_on_and_catches_up(make, tmp_path):
    """A program of this machine may take them all: with connections to the query socket."""
    tmp_path.chmod(0o755)
    daemon, other = make(config="{}").run(FEW), make()
    daemon.log_until("discoveryd started")
    with ExitStack() as stack:
        deadline = monotonic() + 10
        while len(os.listdir(f"/proc/{daemon.process.pid}/fd")) < 30:
            stack.enter_context(socket.create_connection(daemon.query, timeout=10))
            assert monotonic() < deadline
        write_hook(tmp_path / "hooks.d", "a", "exit 0")
        (tmp_path / "services.d").mkdir(mode=0o755)
        (tmp_path / "services.d" / "web.yaml").write_text("name: web\nport: 80\n")
        daemon.log_until('event="cannot be looked at now" what=hooks.d why="Too many open files"')
        daemon.kill(signal.SIGHUP)
        daemon.log_until("the former configuration stays in force")
        other.run()
        daemon.log_until("peer joined")
    daemon.log_until("service announced")
    status = daemon.ask("status")
    while status["hooks"].get("hooks") != 1:
        assert monotonic() < deadline + 10
        status = daemon.ask("status")
    assert [service["name"] for service in status["node"]["services"]] == ["web"]
    assert daemon.end()[0] == 0


def test_a_taken_port_is_named_with_its_process_and_nothing_is_half_started(make, observer):
    daemon = make()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((daemon.address, daemon.port))
        result = daemon.command("run")
    assert result.returncode == 1
    name = f"UDP port {daemon.port} on {daemon.address} is taken by"
    assert re.fullmatch(rf"discoveryd: {name} \S+ \(pid {os.getpid()}\); stop that, or set .*\n", result.stderr)
    assert "hello.port" in result.stderr
    assert observer.discovery.peers(gone=True) == ()


def test_a_taken_query_port_is_told_and_ends_nothing(make, observer):
    """Whoever takes it, a program of any user, must not keep this machine from being seen."""
    daemon = make()
    with socket.create_server(daemon.query):
        daemon.run()
        line = daemon.log_until("the query socket does not listen")[-1]
        assert f"TCP port {daemon.query[1]} on {daemon.address} is taken by" in line
        assert f"(pid {os.getpid()}); stop that, or set query.listen: it is tried again each 5 s" in line
        assert observer.until("joined").address == daemon.address
    daemon.log_until("the query socket listens")
    assert daemon.ask("status")["query"]["error"] is None
    assert daemon.end()[0] == 0


def test_a_taken_metrics_port_is_told_and_ends_nothing(make):
    daemon = make()
    with socket.create_server((daemon.address, 0)) as other:
        port = other.getsockname()[1]
        daemon.environment["DISCOVERYD_METRICS__LISTEN"] = f"{daemon.address}:{port}"
        daemon.run()
        assert "is taken by" in daemon.log_until("the metrics are not served over HTTP")[-1]
        with daemon.client() as client:
            told = client.request("status")["metrics"]
        assert told["error"].startswith(f"TCP port {port} on {daemon.address} is taken by")
        assert 0 <= told["next_try_s"] <= 10
        assert daemon.end(signal.SIGTERM)[0] == 0


def test_the_process_named_is_the_one_at_that_address(make):
    """Several daemons hold the port, each at its own address."""
    one, two = make().run(), make().run()
    for daemon in (one, two):
        daemon.log_until("discoveryd started")
    for daemon in (one, two):
        assert f"(pid {daemon.process.pid})" in daemon.command("run").stderr


def test_a_wrong_configuration_tells_every_fault_and_exits_2(make):
    daemon = make(config="hello:\n  intervall: 1s\n  budget: 0\nlog:\n  level: loud\n")
    result = daemon.command("run")
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    for line, (number, word) in zip(lines, ((2, "intervall"), (3, "budget"), (5, "loud")), strict=True):
        assert line.startswith(f"discoveryd: {daemon.config}:{number}: ")
        assert word in line


# --- reload -------------------------------------------------------------------------------------------

BEFORE = """\
node:
  tags: {role: cpu}
hello:
  interval: 800ms
log:
  level: info
  format: logfmt
"""
AFTER = """\
node:
  tags: {role: gpu}
  services: [{name: http, port: 8080}]
hello:
  interval: 200ms
  ttl: 3s
  realm: other
limits:
  routed: 7
log:
  level: warning
  format: json
"""


def test_sighup_takes_over_what_can_change_and_names_what_cannot(make, observer):
    daemon = make(config=BEFORE).run()
    assert dict(observer.until("joined", lambda peer: peer.tags).tags) == {"role": "cpu"}
    boot = daemon.ask("status")["node"]["boot"]
    daemon.log_until("discoveryd started")
    daemon.config.write_text(AFTER, encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    assert 'event="needs a restart" key=hello.realm now=default wanted=other' in daemon.log_until("restart")[-1]
    for _ in range(2):  # and still does, when nothing has changed since; in the new form by now
        daemon.kill(signal.SIGHUP)
        line = json.loads(daemon.log_until("needs a restart")[-1])
        assert (line["key"], line["now"], line["wanted"]) == ("hello.realm", "default", "other")
    peer = observer.until("updated", lambda peer: peer.tags == {"role": "gpu"})
    assert [(service.name, service.port) for service in peer.services] == [("http", 8080)]
    status = daemon.ask("status")
    assert status["hello"] == {"port": daemon.port, "interval_s": 0.2, "ttl_s": 3.0}
    assert (status["node"]["realm"], status["node"]["boot"]) == ("default", boot)
    assert status["table"]["routed_limit"] == 7
    daemon.end()
    assert daemon.log_rest() == []  # level warning: the goodbye is no news


def test_sighup_with_a_broken_configuration_changes_nothing(make, observer):
    daemon = make(config=BEFORE).run()
    observer.until("joined")
    daemon.log_until("discoveryd started")
    daemon.config.write_text("node:\n  tags: {role: gpu}\nhello:\n  interval: 5\n", encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    refused, kept = daemon.log_until("the former configuration stays in force")[-2:]
    assert 'level=error event="configuration refused"' in refused
    assert f"{daemon.config}:4: " in refused
    assert "hello.interval" in refused
    assert "level=warning" in kept
    status = daemon.ask("status")
    assert (status["node"]["tags"], status["hello"]["interval_s"]) == ({"role": "cpu"}, 0.8)
    daemon.config.unlink()
    daemon.kill(signal.SIGHUP)
    assert "No such file" in daemon.log_until("stays in force")[-2]
    daemon.config.write_text(BEFORE.replace("cpu", "tpu"), encoding="utf-8")
    daemon.kill(signal.SIGHUP)
    daemon.log_until("configuration reloaded")
    assert daemon.ask("status")["node"]["tags"] == {"role": "tpu"}


# --- start, stop, status ------------------------------------------------------------------------------


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


def test_a_detached_daemon_has_no_terminal_and_reads_its_configuration_again(detached, observer, tmp_path):
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


# --- logs ---------------------------------------------------------------------------------------------


def test_one_line_per_event_in_logfmt_when_nobody_watches(make):
    one = make().run()
    one.log_until("discoveryd started")
    two = make().run()
    joined = one.log_until("peer joined")[-1]
    assert re.fullmatch(
        r'timestamp=\S+Z level=info event="peer joined" reason="first HELLO on lo" '
        r"peer=node-3 address=127.0.0.3 link=lo id=id-3",
        joined,
    )
    two.end()
    assert 'level=info event="peer left" reason="said goodbye"' in one.log_until("peer left")[-1]
    one.end()
    rest = one.log_rest()
    assert [line for line in rest if "discoveryd stops" not in line] == []


def test_json_is_one_object_per_line(make):
    one, two = make(environment={"DISCOVERYD_LOG__FORMAT": "json"}).run(), make().run()
    one.log_until("peer joined")
    two.end()
    lines = [json.loads(line) for line in one.log_until("peer left")]
    assert {"timestamp", "level", "event", "reason", "peer", "address", "link", "id"} == set(lines[-1])
    one.end()
    assert json.loads(one.log_rest()[-1])["event"] == "discoveryd stops"


def test_in_the_journal_lines_have_a_priority_and_no_timestamp(make):
    read_end, write_end = os.pipe()
    about = os.fstat(write_end)
    daemon = make(environment={"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}, stderr=write_end)
    daemon.run()
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as journal:
        first = journal.readline()
        assert daemon.end()[0] == 0
        lines = [first, *journal]
    assert first.startswith('<6>level=info event="discoveryd started" ')
    assert all(re.match(r"<[0-7]>level=", line) for line in lines)


def test_a_bad_source_is_logged_once_and_then_counted(make):
    daemon = make().run()
    daemon.log_until("discoveryd started")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, daemon.client() as client:
        stranger.bind(("127.0.0.99", 0))

        def dropped():
            drops = client.request("status")["drops"]
            return sum(drop["count"] for drop in drops if drop["reason"] == "malformed")

        for count in range(1, 51):
            stranger.sendto(b"nonsense \x1b[31m\n", (daemon.address, daemon.port))
            deadline = monotonic() + 5
            while dropped() < count:
                assert monotonic() < deadline
    daemon.end()
    lines = [line for line in daemon.log_rest() if "datagrams dropped" in line]
    assert len(lines) == 1
    assert "address=127.0.0.99 link=lo reason=malformed" in lines[0]
    assert "\x1b" not in lines[0]


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


def closed_pipe():
    read_end, write_end = os.pipe()
    os.close(read_end)
    return write_end


@pytest.mark.parametrize("broken", [full_disk, closed_pipe])
def test_a_log_that_cannot_be_written_ends_nothing(make, observer, broken):
    descriptor = broken()
    daemon = make(stderr=descriptor).run()
    os.close(descriptor)
    observer.until("joined")
    assert daemon.ask("list")["ok"]
    code, seconds = daemon.end()
    assert (code, seconds < PROMPT) == (0, True)
    observer.until("left")


def test_a_standard_error_that_was_closed_before_ends_nothing(make, observer):
    """Number 2 is then one of the daemon's own sockets: no log line may go there."""
    daemon = make()
    daemon.process = subprocess.Popen(
        ["sh", "-c", 'exec "$0" -m discoveryd run 2>&-', sys.executable],
        env=daemon.environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    observer.until("joined")
    assert daemon.ask("list")["ok"]
    code, seconds = daemon.end()
    assert (code, seconds < PROMPT) == (0, True)
    with daemon.process.stdout as stdout:
        assert stdout.read() == b""  # nor may it turn up among what the daemon prints


def test_on_a_terminal_it_is_for_people(make):
    main, terminal = pty.openpty()
    daemon = make(stderr=terminal, environment={"TERM": "xterm", "NO_COLOR": "1"})
    daemon.run()
    os.close(terminal)
    with os.fdopen(main, "rb", buffering=0) as screen:
        line = b""
        while b"\n" not in line:
            line += screen.read(4096)
        assert re.match(rb"\d\d:\d\d:\d\d \[info +\] discoveryd started", line)
        assert daemon.end()[0] == 0


# --- the rest -----------------------------------------------------------------------------------------


def test_a_free_address_again_after_the_end(make):
    """No port stays taken: a service manager restarts at once."""
    daemon = make()
    for _ in range(2):
        daemon.run()
        daemon.log_until("discoveryd started")
        with QueryClient(daemon.query) as client:
            assert client.request("list")["ok"]
            assert daemon.end()[0] == 0
        daemon.process.stderr.close()
