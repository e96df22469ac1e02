"""Routed peers outlive a restart in a file of the state directory."""

import os

import pytest

from discoveryd.daemon import routed_peers
from discoveryd.daemon.routed_peers import NAME, RoutedPeersPart, addresses
from discoveryd.protocol.link import Source
from discoveryd.protocol.routed import MAX_FORMER
from tests.protocol.samples import hello, make_node


class Kept:
    """A part with a node that stands for a discovery, and time that the test sets."""

    def __init__(self, directory, monkeypatch, loopback=""):
        self.now = 0.0
        self.notices = []
        self.path = directory / NAME
        monkeypatch.setattr(routed_peers, "monotonic", lambda: self.now)
        self.directory, self.loopback = str(directory), loopback
        self.restart()

    def restart(self):
        self.node = make_node()
        self.part = RoutedPeersPart(self.directory, self.loopback, self, self.notices.append)
        self.part.start()

    def look(self, at):
        return at(self.node, self.now)

    def meet(self, *addresses):
        for number, address in enumerate(addresses, 1):
            self.node.outbox.aliases.admit(address)
            said = hello(number, f"n{number}", interval=100, ttl=1000)
            self.node.table.heard(said, Source(address, None), self.now, proved=True)

    def pass_time(self, seconds):
        self.now += seconds
        self.part.look()

    def lines(self):
        return [line for line in self.path.read_text().splitlines() if not line.startswith("#")]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    return Kept(tmp_path / "state", monkeypatch)


def test_routed_peers_are_greeted_after_a_restart(kept):
    kept.meet("10.1.0.1", "fd00::2")
    kept.pass_time(5.0)
    assert not kept.path.exists()
    kept.pass_time(6.0)
    assert kept.lines() == ["10.1.0.1", "fd00::2"]
    kept.restart()
    assert list(kept.node.beyond.former) == ["10.1.0.1", "fd00::2"]


def test_the_end_of_the_daemon_writes_too(kept):
    kept.meet("10.1.0.1")
    kept.part.stop()
    kept.part.stop()
    assert kept.lines() == ["10.1.0.1"]


def test_a_node_without_routed_peers_writes_nothing(kept):
    kept.pass_time(60.0)
    kept.part.stop()
    assert not kept.path.parent.exists()


def test_what_is_no_address_of_another_is_passed_over(kept):
    kept.path.parent.mkdir()
    lines = ["# no", "", "10.1.0.1", "10.1.0.300", "hub", "fe80::1%eth0", "127.0.0.1", "224.0.0.1", "FD00::1", "\xff"]
    kept.path.write_bytes("\n".join(lines).encode("latin-1"))
    kept.restart()
    assert list(kept.node.beyond.former) == ["10.1.0.1", "fd00::1"]
    assert len(addresses(f"10.1.{number >> 8}.{number & 255}" for number in range(1000))) == MAX_FORMER


def test_a_file_that_cannot_be_used_is_told_once(kept):
    kept.path.parent.mkdir()
    kept.path.mkdir()
    kept.restart()
    assert [notice.text for notice in kept.notices] == [
        "the routed peers cannot be read: after a restart only seeds lead to them"
    ]
    assert kept.notices[0].fields["file"] == str(kept.path)
    kept.meet("10.1.0.1")
    kept.notices.clear()
    for _ in range(5):
        kept.pass_time(11.0)
    assert [notice.level for notice in kept.notices] == ["warning"]
    kept.path.rmdir()
    kept.pass_time(11.0)
    assert kept.lines() == ["10.1.0.1"]


def test_on_loopback_nothing_is_kept(tmp_path, monkeypatch):
    kept = Kept(tmp_path, monkeypatch, loopback="127.0.0.2")
    kept.meet("10.1.0.1")
    kept.pass_time(60.0)
    kept.part.stop()
    assert os.listdir(tmp_path) == []
