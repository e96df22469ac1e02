"""Services from files: a daemon announces what stands in its ``services.d``, and its peers list it."""

import os
import select
import signal
from time import monotonic

import pytest

from tests.conftest import BUSY

SOON = 3.0
"""Seconds from the writing of a file to its service in the list of a peer: a look each two seconds."""
CHECKED = "name: ssh\nport: 22\nhealth:\n  command: {command}\n  interval: 100ms\n  timeout: 200ms\n"


class Services:
    """A daemon with a directory of services, and another one that lists it."""

    def __init__(self, make):
        self.daemon = make(config="node:\n  tags: {role: web}\n")
        self.peer = make()
        self.directory = self.daemon.config.parent / "services.d"
        self.directory.mkdir(mode=0o755)

    def run(self):
        self.daemon.run()
        self.peer.run()
        self.lines = self.daemon.log_until("peer joined")
        return self

    def log(self, text):
        """Give a line of the log of the daemon, from its start on."""
        return next((line for line in self.lines if text in line), None) or self.daemon.log_until(text)[-1]

    def write(self, name, text):
        (self.directory / name).write_text(text)
        (self.directory / name).chmod(0o644)

    def until(self, *names, timeout=10.0):
        """Wait until the peer lists exactly these services of the daemon; give the seconds it took."""
        began = monotonic()
        with self.peer.client() as client:
            for line in client.watch(deadline=began + timeout, name="node-2"):
                peers = line.get("peers") or ([line["peer"]] if "peer" in line else [])
                if any([one["name"] for one in peer["services"]] == list(names) for peer in peers):
                    return monotonic() - began
        raise AssertionError("the watch ended")


@pytest.fixture
def services(make):
    return Services(make)


def test_what_was_there_at_the_start_is_in_the_first_record(services, observer):
    services.write("a.yaml", "name: ssh\nport: 22\ntags: {zone: lan}\n")
    services.run()
    peer = observer.until("joined", lambda peer: peer.name == "node-2")
    assert [one.to_json() for one in peer.services] == [
        {"name": "ssh", "port": 22, "proto": "tcp", "tags": {"zone": "lan"}}
    ]


def test_a_file_that_is_written_is_in_the_list_of_a_peer_soon(services):
    services.run()
    services.write("a.yaml", "name: ssh\nport: 22\n")
    assert services.until("ssh") < SOON
    (peer,) = services.peer.ask("show", peer="node-2")["peers"]
    assert peer["services"] == [{"name": "ssh", "port": 22, "proto": "tcp", "tags": {}}]


def test_a_bad_services_file_is_named_and_the_others_count(services):
    services.write("a.yaml", "name: ssh\nport: 22\n")
    services.write("bad.yaml", "name: web\nport: http\n")
    services.run()
    services.until("ssh")
    services.write("worse.yaml", "name: mail\nprot: tcp\nport: 25\n")
    line = services.daemon.log_until("worse.yaml")[-1]
    assert f'problem="{services.directory}/worse.yaml:2: unknown key prot; did you mean proto?"' in line
    services.write("worse.yaml", "name: mail\nport: 25\n")
    (services.directory / "a.yaml").unlink()
    services.daemon.kill(signal.SIGHUP)
    services.until("mail")


def test_a_reload_looks_at_once_and_tells_what_is_wrong_again(services):
    services.write("a.yaml", "name: ssh\nport: 22\n")
    services.write("bad.yaml", "name: web\nport: http\n")
    services.run()
    services.daemon.config.write_text("node:\n  tags: {role: db}\n")
    services.daemon.kill(signal.SIGHUP)
    lines = services.daemon.log_until("bad.yaml:2: port: must be a whole number, not 'http'")
    assert any("configuration reloaded" in line for line in lines)
    deadline = monotonic() + SOON
    while True:  # the new record is on its way
        (peer,) = services.peer.ask("show", peer="node-2")["peers"]
        if peer["tags"] == {"role": "db"}:
            break
        assert monotonic() < deadline, peer
        select.select([], [], [], 0.01)
    services.until("ssh")


def test_what_a_new_configuration_needs_is_taken_from_the_files(services):
    services.write("a.yaml", f"name: ssh\nport: 22\ntags: {{x: '{'y' * 250}'}}\n")
    services.run()
    services.until("ssh")
    services.daemon.config.write_text(f"node:\n  tags: {{x: '{'y' * 250}', z: '{'y' * 250}'}}\n")
    services.daemon.kill(signal.SIGHUP)
    assert "bytes too much" in services.daemon.log_until("service withdrawn")[-1]
    services.until()
    services.daemon.config.write_text("")
    services.daemon.kill(signal.SIGHUP)
    services.until("ssh")


def test_a_failing_check_withdraws_its_service_for_that_time(services, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    services.write("a.yaml", CHECKED.format(command=f"echo no flag; test -e {flag}"))
    services.run()
    services.until("ssh")
    flag.unlink()
    assert services.until() < 1.0  # its interval, a run, and a HELLO at once
    assert 'why="exit 1: no flag"' in services.daemon.log_until("service withdrawn")[-1]
    flag.touch()
    assert services.until("ssh") < 1.0
    assert services.daemon.end()[0] == 0


def test_a_check_that_hangs_is_bounded_and_harms_nothing(services, tmp_path):
    os.mkfifo(tmp_path / "alive")
    end = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    services.write("a.yaml", "name: web\nport: 80\n")
    services.write("b.yaml", CHECKED.format(command=f"trap '' TERM; exec 9> {tmp_path}/alive; sleep 1000 & wait"))
    services.run()
    services.until("web")
    assert "no answer within 0.2 s, killed" in services.log("service not announced")
    code, seconds = services.daemon.end()
    assert (code, seconds < 1.0 * BUSY) == (0, True)
    assert select.select([end], [], [], 10)[0]
    assert os.read(end, 1) == b""  # nobody is left who holds it open
    os.close(end)
