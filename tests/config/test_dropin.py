"""A file of services.d: its service, or every fault with its line."""

import re
from pathlib import Path

import pytest

from discoveryd.config.dropin import MAX_BYTES, read
from discoveryd.errors import ConfigError
from discoveryd.protocol.wire.record import Service
from discoveryd.runtime.health import Check

SAMPLES = Path(__file__).parents[2] / "config" / "services.d"
SSH = Service(name="ssh", port=22)


def problems(text):
    with pytest.raises(ConfigError) as caught:
        read("f.yaml", text.encode())
    return list(caught.value.problems)


# --- one file -----------------------------------------------------------------------------------------


def test_every_key_of_a_service_is_read():
    text = "name: dns\nport: 53\nproto: udp\ntags: {zone: lan}\nhealth:\n  command: [/usr/bin/dig, lan]\n  interval: 1m\n  timeout: 500ms\n"
    found = read("f.yaml", text.encode())
    assert found.service == Service(name="dns", port=53, proto="udp", tags={"zone": "lan"})
    assert found.check == Check(command=("/usr/bin/dig", "lan"), interval=60.0, timeout=0.5)


def test_keys_of_a_service_have_defaults():
    found = read("f.yaml", b"name: ssh\nport: 22\nproto:\nhealth: {command: pgrep sshd}\n")
    assert found.service == Service(name="ssh", port=22, proto="tcp")
    assert found.check == Check(command=("/bin/sh", "-c", "pgrep sshd"), interval=10.0, timeout=3.0)
    assert read("f.yaml", b"name: ssh\nport: 22\nhealth:\n").check is None


def test_a_command_for_the_shell_may_have_several_lines():
    found = read("f.yaml", b"name: a\nport: 1\nhealth:\n  command: |\n    cd /tmp\n    test -e x\n")
    assert found.check.command == ("/bin/sh", "-c", "cd /tmp\ntest -e x\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["f.yaml:1: a service needs name and port (port 0 where it has none)"]),
        ("name: ssh\n", ["f.yaml:1: a service needs port (port 0 where it has none)"]),
        ("- name: ssh\n", ["f.yaml:1: must be keys such as `name: ssh`, not a list"]),
        ("name: ssh\nport: 22\nprot: udp\n", ["f.yaml:3: unknown key prot; did you mean proto?"]),
        ("name: ssh\nport: 22\nintervall: 1s\n", ["f.yaml:3: unknown key intervall; did you mean health.interval?"]),
        ("name: ssh\nport: 22\nxyz: 1\n", ["f.yaml:3: unknown key xyz; known here are name, port, proto, tags, health"]),
        ("name: ssh\nport: 22\nport: 23\n", ["f.yaml:3: port: set twice, first on line 2; keep one"]),
        ("name: ssh\nport: ssh\n", ["f.yaml:2: port: must be a whole number, not 'ssh'"]),
        ("name: ssh\n\nport: 99999\n", ["f.yaml:3: port: must be 0 to 65535, not 99999"]),
        ("name: a.b:c\nport: 99999\n", ["f.yaml:2: port: must be 0 to 65535, not 99999"]),
        ("name: ''\nport: 1\n", ["f.yaml:1: name: must be 1 to 64 printable characters, not ''"]),
        ("name: a\nport: 1\ntags:\n  x: '" + "y" * 256 + "'\n", [f"f.yaml:4: tags.x: must be 1 to 255 printable characters, not '{'y' * 79}"]),
        ("name: a\nport: 1\nhealth: pgrep a\n", ["f.yaml:3: health: must be keys such as `command:` below it, not 'pgrep a'"]),
        ("name: a\nport: 1\nhealth:\n  interval: 5s\n", ["f.yaml:4: health: needs a command; exit code 0 means that the service works"]),
        ("name: a\nport: 1\nhealth: {command: '', timeout: 2}\n",
         ["f.yaml:3: health.timeout: 2 needs a unit: 2ms, 2s, 2m or 2h"]),
        ("name: a\nport: 1\nhealth: {command: ' '}\n", ["f.yaml:3: health.command: must name a program"]),
        ("name: a\nport: 1\nhealth: {command: []}\n", ["f.yaml:3: health.command: must name a program"]),
        ("name: a\nport: 1\nhealth: {command: {a: b}}\n",
         ['f.yaml:3: health.command: must be a text for the shell, or a list such as ["/usr/bin/pgrep", "sshd"], not a mapping']),
        ('name: a\nport: 1\nhealth: {command: "a\\eb"}\n', ["f.yaml:3: health.command: has a control character in it: 'a\\x1bb'"]),
        ("name: a\nport: 1\nhealth:\n  command: x\n  interval: 50ms\n  timeout: 2m\n",
         ["f.yaml:5: health.interval: must be 100ms to 1h, not 0.05s", "f.yaml:6: health.timeout: must be 100ms to 1m, not 120s"]),
        ("name: [a\n", ["f.yaml:1:7: a quote or bracket is opened and never closed"]),
        ("name: a\nport: 1\n---\nname: b\nport: 2\n", ["f.yaml:3: a second document begins here; a configuration is one"]),
    ],
)  # fmt: skip
def test_every_fault_of_a_service_is_told_with_its_line(text, told):
    assert problems(text) == told


def test_the_sample_is_a_service_once_it_is_renamed():
    (sample,) = SAMPLES.glob("*.example")
    found = read(sample.name, sample.read_bytes())
    assert (found.service, found.check) == (SSH, None)
    everything = re.sub(r"(?m)^# ((?:  )?[a-z]+:(?: |$))", r"\1", sample.read_text())
    found = read(sample.name, everything.encode())
    assert found.service == Service(name="ssh", port=22, tags={"zone": "lan"})
    assert found.check == Check(command=("/usr/bin/pgrep", "-x", "sshd"))  # the rest at its defaults
    assert len(sample.read_bytes()) < MAX_BYTES / 8
