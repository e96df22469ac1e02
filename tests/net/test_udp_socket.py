"""The buffers and counters of one UDP socket."""

import errno
from pathlib import Path

import pytest

from discoveryd.net import udp_socket as module
from discoveryd.net.sockets import explain_bind
from tests.net.conftest import stranger


def test_the_receive_buffer_is_asked_for(make):
    with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        granted = min(module.RECEIVE_BUFFER, int(file.read()))
    size, wanted = make().receive_buffer()
    assert size >= granted
    assert wanted == module.RECEIVE_BUFFER


def test_the_buffer_that_was_granted_is_told(make, monkeypatch, unprivileged):
    wanted = module.RECEIVE_BUFFER
    assert make("127.0.0.2").receive_buffer() == (min(wanted, unprivileged), wanted)
    monkeypatch.setattr(module, "RECEIVE_BUFFER", 2 * unprivileged)
    assert make("127.0.0.3").receive_buffer() == (unprivileged, 2 * unprivileged)


def test_the_sysctl_file_allows_what_is_wanted():
    lines = (Path(__file__).parents[2] / "config/sysctl.d/10-discoveryd.conf").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [f"net.core.rmem_max = {module.RECEIVE_BUFFER}"]


@pytest.mark.parametrize(("size", "least", "most"), [(212_992, 150, 250), (4 * 1024 * 1024, 990, 1000)])
def test_a_thousand_at_once_find_room_with_the_sysctl(make, port, monkeypatch, unprivileged, size, least, most):
    if unprivileged < size:
        pytest.skip(f"needs net.core.rmem_max={size}")
    monkeypatch.setattr(module, "RECEIVE_BUFFER", size)
    links = make("127.0.0.2")
    with stranger() as sender:
        for _ in range(1000):
            sender.sendto(b"HELLO|" + b"x" * 854, ("127.0.0.2", port))
    assert least <= 1000 - links.kernel_drops() <= most


@pytest.mark.usefixtures("unprivileged")
def test_what_the_kernel_lost_is_counted(make, port, monkeypatch):
    monkeypatch.setattr(module, "RECEIVE_BUFFER", 4096)
    links = make()
    assert links.kernel_drops() == 0
    with stranger() as sender:
        for _ in range(100):
            sender.sendto(bytes(1000), ("127.0.0.2", port))
    assert 50 <= links.kernel_drops() < 100


def test_a_kernel_without_that_count_is_no_error(make, monkeypatch):
    links = make()
    monkeypatch.setattr(module, "SO_MEMINFO", 9999)
    assert links.kernel_drops() == 0


def test_an_error_is_written_with_its_name():
    assert module.error_text(OSError(errno.ENETDOWN, "x")) == "ENETDOWN: Network is down"


def test_a_port_below_1024_without_permission_is_explained():
    error = explain_bind(PermissionError(errno.EACCES, "Permission denied"), "UDP", "0.0.0.0", 34)
    assert isinstance(error, PermissionError)
    assert error.strerror == "cannot listen on UDP port 34: Permission denied"


def test_a_port_that_a_unit_forbids_is_explained():
    error = explain_bind(PermissionError(errno.EPERM, ""), "TCP", "127.0.0.1", 3400)
    assert "SocketBindDeny=" in error.strerror
