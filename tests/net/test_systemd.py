"""What a service manager hears, and what it hands over."""

import os
import socket
from contextlib import closing

import pytest

from discoveryd.net import systemd
from discoveryd.net.systemd import ServiceManager, inherited
from tests.conftest import no_descriptors


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket that a service manager would listen on, and what it would put into the environment."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@discoveryd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        sock.settimeout(2)
        yield sock, {"NOTIFY_SOCKET": name}


def heard(sock):
    return sock.recv(4096).decode().splitlines()


def test_readiness_status_and_the_end_are_told(manager, request):
    sock, environ = manager
    told = ServiceManager(environ)
    request.addfinalizer(told.close)
    assert told.is_there
    told.ready("0 up, 1 link")
    assert heard(sock) == ["READY=1", "STATUS=0 up, 1 link"]
    told.status("1 up, 1 link")
    assert heard(sock) == ["STATUS=1 up, 1 link"]
    told.feed()
    assert heard(sock) == ["WATCHDOG=1"]
    told.stopping()
    assert heard(sock) == ["STOPPING=1"]


def test_a_reload_is_told_with_the_monotonic_time(manager, monkeypatch):
    sock, environ = manager
    monkeypatch.setattr(systemd.time, "clock_gettime_ns", lambda clock: 5_000_123_999)
    with closing(ServiceManager(environ)) as told:
        told.reloading()
    assert heard(sock) == ["RELOADING=1", "MONOTONIC_USEC=5000123"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_manager_nothing_is_told(environ):
    told = ServiceManager({**environ, "WATCHDOG_USEC": "1000000"})
    assert not told.is_there
    assert told.watchdog is None
    told.ready("fine")  # and nothing fails


def test_a_manager_that_is_gone_does_not_matter(tmp_path):
    with closing(ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})) as told:
        told.feed()


def test_the_watchdog_is_fed_without_a_free_descriptor(manager):
    sock, environ = manager
    with closing(ServiceManager(environ)) as told:
        with no_descriptors():
            told.feed()  # nobody hears it, and nothing fails
        told.ready("fine")
        assert heard(sock) == ["READY=1", "STATUS=fine"]
        with no_descriptors():
            told.feed()
            assert heard(sock) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_says_how_often(environ, seconds):
    assert ServiceManager({"NOTIFY_SOCKET": "/nowhere", **environ}).watchdog == seconds


# --- sockets handed over --------------------------------------------------------------------------


@pytest.fixture
def handed_over(monkeypatch):
    """Pretend that a socket stands where a service manager puts it."""

    def hand_over(sock, **environ):
        monkeypatch.setattr(systemd, "FIRST_FD", os.dup(sock.fileno()))
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", **environ}

    return hand_over


def test_a_listening_socket_is_taken(handed_over):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        found = inherited(handed_over(sock))
        assert found is not None
        with found:
            assert found.getsockname() == sock.getsockname()
            assert found.gettimeout() == 0
            assert not found.get_inheritable()


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}]
)
def test_sockets_of_others_are_left_alone(environ):
    assert inherited(environ) is None


def test_another_kind_of_socket_is_refused_with_what_to_do(handed_over):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        environ = handed_over(sock)
        with pytest.raises(OSError, match="ListenStream= must be an IPv4 address and port"):
            inherited(environ)


def test_more_than_one_is_refused(handed_over):
    with pytest.raises(OSError, match="hands over 2 sockets, one is wanted"):
        inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
