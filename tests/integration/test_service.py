"""``discoveryd run`` under a service manager: the test is the service manager."""

import signal
import socket
import sys
from time import monotonic

import pytest

from discoveryd.net.query_client import QueryClient

HUNG = """
import sys, threading
from discoveryd.daemon import main
from {module} import {owner}

work, held = {owner}.{name}, threading.Event()

def hang(*given, **more):
    held.wait()
    return work(*given, **more)

def begin(signum, frame):
    {owner}.{name} = hang

import signal
signal.signal(signal.SIGUSR1, begin)
sys.exit(main(["run"]))
"""


class Manager:
    """What a daemon tells of itself."""

    def __init__(self, path):
        self.path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))

    def until(self, wanted, timeout=10.0):
        """Give all lines heard up to one that begins so."""
        deadline = monotonic() + timeout
        lines = []
        while True:
            self._sock.settimeout(max(0.001, deadline - monotonic()))
            try:
                heard = self._sock.recv(4096).decode().splitlines()
            except TimeoutError:
                raise AssertionError(f"no {wanted} within {timeout:g} s, but {lines}") from None
            lines += heard
            if any(line.startswith(wanted) for line in heard):
                return lines

    def for_seconds(self, seconds):
        """Give all lines heard in so many seconds."""
        deadline = monotonic() + seconds
        lines = []
        while (left := deadline - monotonic()) > 0:
            self._sock.settimeout(left)
            try:
                lines += self._sock.recv(4096).decode().splitlines()
            except TimeoutError:
                break
        return lines

    def close(self):
        self._sock.close()


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def supervised(make, manager):
    def supervised(**options):
        environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "300000", **options.pop("environment", {})}
        return make(environment=environment, **options)

    return supervised


def test_ready_means_that_queries_are_answered(supervised, manager, observer):
    daemon = supervised().run()
    assert manager.until("READY=1")[0] == "READY=1"  # nothing before it
    with QueryClient(daemon.query) as client:  # at once
        assert client.request("status")["ok"]
    assert manager.until("STATUS=1 up, 1 link")
    observer.discovery.stop()
    assert manager.until("STATUS=0 up, 1 link")
    assert daemon.end()[0] == 0
    assert manager.until("STOPPING=1")


def test_a_reload_is_told_from_its_beginning_to_its_end(supervised, manager):
    daemon = supervised(config="log:\n  level: info\n").run()
    manager.until("READY=1")
    daemon.config.write_text("log:\n  level: loud\n")
    daemon.kill(signal.SIGHUP)
    assert manager.until("RELOADING=1")
    assert manager.until("READY=1")  # a refused one is over, too
    daemon.log_until("the former configuration stays in force")


def test_the_watchdog_is_fed_while_all_is_well(supervised, manager):
    daemon = supervised().run()
    manager.until("READY=1")
    assert manager.for_seconds(1.0).count("WATCHDOG=1") >= 5  # three a period
    assert daemon.process.poll() is None


@pytest.mark.parametrize(
    ("thread", "module", "owner", "name"),
    [
        ("hello-sender", "discoveryd.net.udp", "UdpTransport", "send"),
        ("hello-receiver", "discoveryd.net.udp", "UdpTransport", "wait"),
        ("query-server", "discoveryd.runtime.query_handlers", "QueryHandlers", "events"),
    ],
)
def test_one_hung_thread_starves_the_watchdog(supervised, manager, thread, module, owner, name):
    daemon = supervised().run(HUNG.format(module=module, owner=owner, name=name))
    manager.until("WATCHDOG=1")
    daemon.kill(signal.SIGUSR1)
    daemon.log_until(f"silent={thread}")
    manager.for_seconds(0.2)  # what was on its way
    assert "WATCHDOG=1" not in manager.for_seconds(1.0)


def test_without_a_watchdog_none_is_fed(supervised, manager):
    supervised(environment={"WATCHDOG_USEC": ""}).run()
    manager.until("READY=1")
    assert "WATCHDOG=1" not in manager.for_seconds(0.5)


ACTIVATED = """
import os, socket, sys
listener = socket.create_server(({address!r}, {port}))
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "discoveryd", "run"])
"""


def test_the_query_socket_may_be_opened_by_the_manager(make):
    daemon = make()
    address, port = daemon.query
    daemon.run(ACTIVATED.format(address=address, port=port))
    daemon.log_until("discoveryd started")
    assert daemon.ask("status")["node"]["name"] == "node-2"
    assert daemon.end()[0] == 0


def test_a_wrong_socket_is_refused_with_what_to_do(make):
    daemon = make()
    wrong = ACTIVATED.replace("socket.create_server(({address!r}, {port}))", "socket.socket(type=socket.SOCK_DGRAM)")
    daemon.run(wrong)
    lines = daemon.log_until("ListenStream=")
    assert daemon.process.wait(10) == 1
    assert "systemctl disable --now discoveryd.socket" in lines[-1]
    assert sys.executable not in lines[-1]
