"""``discoveryd run`` as a process: signals, taken ports, descriptors, wrong configurations."""

import os
import re
import signal
import socket
import threading
from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from discoveryd.errors import DaemonUnreachable
from discoveryd.net.query_client import QueryClient
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Pong
from discoveryd.protocol.wire.record import Record
from tests.ear import EVERYBODY
from tests.integration.process import PROMPT
from tests.protocol.samples import boot, hello
from tests.runtime.hooking import write_hook
from tests.stopping import stop


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
        stop(daemon.process.pid)
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
    lines = daemon.log_until("peer down")  # those from before the pause may tell of a test that was slow
    since = next((number for number, line in enumerate(lines) if "we were asleep" in line), -1)
    log = "\n".join(lines[since:])
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


def test_a_signal_ends_a_daemon_whose_watchers_do_not_read(make, observer):
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
    status = {}
    while status.get("hooks", {}).get("hooks") != 1:
        assert monotonic() < deadline + 10
        with suppress(DaemonUnreachable):  # it may not have closed the connections yet that took all descriptors
            status = daemon.ask("status")
    assert [service["name"] for service in status["node"]["services"]] == ["web"]
    assert daemon.end()[0] == 0


def test_a_taken_port_is_reported_with_its_process(make, observer):
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
