"""Lines for syslog: what arrives, and that a reader which does not read holds nothing up."""

import os
import re
import socket

import pytest

from discoveryd.net import syslog as module
from discoveryd.net.syslog import Syslog


@pytest.fixture
def reader(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(tmp_path / "log"))
        reader.settimeout(5.0)
        yield reader


@pytest.fixture
def syslog(tmp_path):
    syslog = Syslog(str(tmp_path / "log"))
    yield syslog
    syslog.close()


def text(datagram):
    return datagram.decode().partition("]: ")[2]


def test_a_line_has_priority_moment_name_and_process(reader, syslog):
    syslog.write(4, "peer down")
    line = reader.recv(8192).decode()
    assert re.fullmatch(rf"<28>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d discoveryd\[{os.getpid()}\]: peer down", line)


def test_an_idle_reader_costs_one_wait_and_counted_lines(reader, syslog, monkeypatch):
    waits = []

    class Socket(socket.socket):
        def settimeout(self, seconds):
            waits.append(seconds)
            super().settimeout(seconds)

    monkeypatch.setattr(module, "PATIENCE", 0.002)
    monkeypatch.setattr(module.socket, "socket", Socket)
    for number in range(2000):
        syslog.write(6, f"line {number}")
    full = waits.index(0.0)  # lines that the queue took, and the first one that was lost
    assert set(waits[full:]) == {0.0}
    taken = [text(reader.recv(8192)) for _ in range(full - 1)]
    assert taken == [f"line {number}" for number in range(full - 1)]
    syslog.write(6, "read again")
    assert text(reader.recv(8192)) == f"{2000 - full + 1} lines of the log are lost: nobody read them"
    assert text(reader.recv(8192)) == "read again"


def test_a_syslog_daemon_that_starts_anew_is_found_again(tmp_path, syslog):
    for number in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
            reader.bind(str(tmp_path / "log"))
            reader.settimeout(5.0)
            syslog.write(6, f"run {number}")
            assert text(reader.recv(8192)) == f"run {number}"
        os.unlink(tmp_path / "log")


def test_without_a_syslog_daemon_lines_are_lost_and_told_later(tmp_path, syslog):
    syslog.write(6, "nobody there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(tmp_path / "log"))
        reader.settimeout(5.0)
        syslog.write(6, "here")
        assert text(reader.recv(8192)) == "1 lines of the log are lost: nobody read them"
        assert text(reader.recv(8192)) == "here"


def test_a_long_line_is_cut_and_odd_characters_are_escaped(reader, syslog):
    syslog.write(6, "x" * 10_000)
    assert len(text(reader.recv(65536))) == module.LONGEST
    syslog.write(6, "\udcff")
    assert text(reader.recv(8192)) == "\\udcff"
