"""The machine's name: whatever bytes the kernel has, a record can have what comes of them."""

import pytest

from discoveryd.protocol.wire.record import Record
from discoveryd.runtime.machine import firewalls, machine_name


@pytest.mark.parametrize(
    ("found", "name", "fault"),
    [
        ("raven", "raven", ""),
        ("z\u00fcrich.example.org", "z\u00fcrich.example.org", ""),
        ("localhost", "localhost", "the machine is called localhost"),
        ("localhost.localdomain", "localhost.localdomain", "the machine is called localhost.localdomain"),
        ("", "localhost", "the machine has no name"),
        ("(none)", "localhost", "the machine has no name"),
        ("\udcff\udcfe", "localhost", "the machine has no name"),
        (" ", "localhost", "the machine has no name"),
        ("caf\udce9", "caf-", "the machine's name 'caf\\udce9' cannot be announced"),
        ("a\x1b[31m\nb", "a-[31m-b", "the machine's name 'a\\x1b[31m\\nb' cannot"),
        ("left\u202eright", "left-right", "the machine's name"),
        ("x" * 100, "x" * 64, "the machine's name"),
    ],
)
def test_it_is_mended_and_said(found, name, fault, monkeypatch):
    monkeypatch.setattr("os.uname", lambda: type("uname", (), {"nodename": found}))
    given, why = machine_name()
    assert given == name == Record(name=given).name
    assert why.startswith(fault)
    assert bool(why) == bool(fault)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, []),
        ({"usr/sbin/nft": "", "sbin/iptables": ""}, ["nft", "iptables"]),
        ({"etc/ufw/ufw.conf": "ENABLED=yes\n", "usr/sbin/iptables": ""}, ["ufw", "iptables"]),
        ({"etc/ufw/ufw.conf": "ENABLED=no\n", "usr/sbin/nft": ""}, ["nft"]),
        ({"run/firewalld.pid": "1", "usr/sbin/nft": ""}, ["firewalld", "nft"]),
        ({"sys/fs/cgroup/system.slice/firewalld.service/cgroup.procs": "1"}, ["firewalld"]),
        ({"sys/fs/cgroup/systemd/system.slice/firewalld.service/cgroup.procs": "1"}, ["firewalld"]),
    ],
)
def test_the_tool_that_manages_the_firewall_comes_first(tmp_path, files, found):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert firewalls(str(tmp_path)) == found
