"""The lab itself: what it promises, and that it leaves nothing behind."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netns.lab import REPOSITORY, Lab


def namespace_of(pid):
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def processes_in(namespace):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if namespace_of(process.name) == namespace:
                found.append(int(process.name))
        except OSError:
            continue  # it ended meanwhile, or is a zombie
    return found


def has_ended(pid, seconds=5.0):
    """Wait until the process is gone, by its pidfd; the pid may be of somebody else's child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def test_hosts_hear_each_others_broadcast(lab):
    a = lab.host("a", address="10.77.0.1/25")
    b = lab.host("b", address="10.77.0.2/25")
    with b.namespace():
        hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with a.namespace():
        speaking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with hearing, speaking:
        hearing.bind(("", 3400))
        speaking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(50):  # the switch may not forward yet, and the kernel's queue is that of all labs
            speaking.sendto(b"HELLO|", ("10.77.0.127", 3400))
            if select.select([hearing], [], [], 0.2)[0]:
                break
        hearing.setblocking(False)
        data, source = hearing.recvfrom(1024)
    assert (data, source[0]) == (b"HELLO|", "10.77.0.1")


def test_a_host_is_a_machine_of_its_own_without_an_uplink(lab):
    hosts = [lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")]
    seen = [
        (
            host.run("uname", "-n").stdout.strip(),
            host.run("cat", "/etc/machine-id", check=False).stdout.strip(),
            set(host.run("ls", "/run", "/var/lib").stdout.split()),
        )
        for host in hosts
    ]
    assert [name for name, _, _ in seen] == ["a", "b"]
    if Path("/etc/machine-id").exists():
        assert len({machine for _, machine, _ in seen} | {Path("/etc/machine-id").read_text().strip()}) == 3
    own = {"/run:", "/var/lib:", "machine-id", "mount"}  # the last is mount's own book-keeping
    assert all(listing <= own for _, _, listing in seen)
    for host in (*hosts, lab.switch):
        assert not host.run("ip", "route", "show", "default").stdout


def test_run_shows_what_failed(lab):
    a = lab.host("a")
    with pytest.raises(AssertionError, match=r"in host a.*gave 3\nout\nerr\n"):
        a.run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert a.run("cat", input="text").stdout == "text"
    assert a.run("false", check=False).returncode == 1
    with pytest.raises(subprocess.TimeoutExpired):
        a.run("sleep", "60", timeout=0.1)


def test_python_finds_the_package_and_no_setting_of_the_tester(lab, monkeypatch):
    monkeypatch.setenv("DISCOVERYD_HELLO__PORT", "1")
    code = "import discoveryd.errors, json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    arguments, environment = json.loads(lab.host("a").python(code, "x", env={"MORE": "1"}).stdout)
    assert arguments == ["x"]
    assert "DISCOVERYD_HELLO__PORT" not in environment
    assert environment["MORE"] == "1"


def test_signals_reach_the_process_itself(lab):
    a = lab.host("a")
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready'); signal.pause()"
    process = a.popen(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    assert a.run("readlink", f"/proc/{process.pid}/exe").stdout.strip() == os.path.realpath(sys.executable)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 7


def test_what_a_process_prints_is_kept(lab):
    a = lab.host("a")
    assert a.popen("sh", "-c", "echo out; echo err >&2").wait(5) == 0
    assert a.log() == "out\nerr\n"


def test_unplugging_takes_the_carrier(lab):
    a = lab.host("a", address="10.77.0.1/24")
    a.cable(up=False)
    assert "NO-CARRIER" in a.run("ip", "link", "show", "eth0").stdout
    a.cable(up=True)
    assert "NO-CARRIER" not in a.run("ip", "link", "show", "eth0").stdout


def test_interfaces_and_addresses_come_and_go(lab):
    a = lab.host("a", address="10.77.0.1/24")
    b = lab.host("b", address="10.77.0.2/24")
    for host, address in ((a, "10.78.0.1/24"), (b, "10.78.0.2/24")):
        host.add_interface("eth1", address, bridge="br1")
    a.set_address("10.77.0.1/24", "10.77.0.9/24")
    for server_address, client_address in (("10.77.0.2", "10.77.0.9"), ("10.78.0.2", "10.78.0.1")):
        with b.namespace():
            server = socket.create_server((server_address, 0))
        with a.namespace(), server, socket.create_connection(server.getsockname(), timeout=5) as connection:
            assert connection.getsockname()[0] == client_address
    a.remove_interface("eth1")
    assert a.run("ip", "link", "show", "eth1", check=False).returncode != 0
    a.add_interface("eth1")  # replugged: the switch gives it a new port


def test_closing_leaves_nothing_behind(permitted):
    before = socket.if_nameindex()
    mounts = Path("/proc/self/mountinfo").read_text()
    with Lab() as lab:
        a = lab.host("a", address="10.77.0.1/24")
        namespaces = {namespace_of(host.pid) for host in lab.hosts.values()}
        pids = [host.pid for host in lab.hosts.values()] + [a.popen("sleep", "60").pid]
        a.run("sh", "-c", "setsid sleep 60 >/dev/null 2>&1 </dev/null &")  # as a detached daemon is
        detached = [pid for pid in processes_in(namespace_of(a.pid)) if pid not in pids]
        assert len(detached) == 1
        directory = lab.directory
    assert all(has_ended(pid) for pid in pids + detached)
    assert [processes_in(namespace) for namespace in namespaces] == [[], []]
    assert not directory.exists()
    assert socket.if_nameindex() == before
    assert Path("/proc/self/mountinfo").read_text() == mounts
    lab.close()


def test_a_test_that_fails_half_way_leaves_nothing_behind(permitted):
    pids = []

    def fail_half_way():
        with Lab() as lab:
            a = lab.host("a", address="10.77.0.1/24")
            pids.extend([a.pid, lab.switch.pid, a.popen("sleep", "60").pid])
            a.run("false")

    with pytest.raises(AssertionError, match="gave 1"):
        fail_half_way()
    assert all(has_ended(pid) for pid in pids)


def test_a_host_that_cannot_start_says_why_and_leaves_nothing(lab):
    with pytest.raises(RuntimeError, match=r"host x{80} did not start: hostname"):
        lab.host("x" * 80)


def test_a_killed_test_run_leaves_nothing_behind(permitted):
    code = (
        "from tests.netns.lab import Lab; import signal\n"
        "lab = Lab(); lab.open(); a = lab.host('a', address='10.77.0.1/24')\n"
        "print(a.pid, lab.switch.pid, a.popen('sleep', '60').pid, lab.directory, flush=True); signal.pause()\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    with run:
        *pids, directory = run.stdout.readline().split()
        run.kill()
    try:
        assert all(has_ended(int(pid)) for pid in pids)
    finally:
        for path in (*Path(directory).iterdir(), Path(directory)):  # files are the one thing a kill can leave
            path.unlink() if path.is_file() else path.rmdir()
