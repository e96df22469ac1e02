"""Whether a service could be started from the environment of the command."""

import os
from pathlib import Path

import pytest

from discoveryd.daemon import main
from discoveryd.install import machine

ROOT = Path(__file__).parents[2]
CONFIG = "etc/discoveryd/discoveryd.yaml"
UNIT = "usr/local/lib/systemd/system/discoveryd.service"
PORTS = f"{UNIT}.d/ports.conf"


def test_an_environment_that_the_sandbox_hides_is_refused(monkeypatch, tmp_path, capsys, commands):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "BOOTED", str(tmp_path))
    monkeypatch.setattr(machine, "HIDDEN", ((str(tmp_path), "PrivateTmp="),))
    assert main(["install"]) == 1
    said = capsys.readouterr().err
    assert f"the service cannot reach {commands}/discoveryd: PrivateTmp= of its unit hides {tmp_path}" in said
    assert "python3 -m venv /opt/discoveryd" in said


@pytest.mark.parametrize(
    ("path", "setting"),
    [
        ("/home/anna/venv/bin/discoveryd", "ProtectHome="),
        ("/root/venv/bin/discoveryd", "ProtectHome="),
        ("/tmp/venv/bin/discoveryd", "PrivateTmp="),
        ("/var/tmp/venv/bin/discoveryd", "PrivateTmp="),
    ],
)
def test_a_path_that_the_unit_hides_is_an_obstacle(path, setting):
    assert f"cannot reach {path}: {setting}" in machine.obstacle(path)
    assert f"\n{setting}yes\n" in (ROOT / "systemd/discoveryd.service").read_text()


def test_a_path_the_services_user_may_not_read_is_an_obstacle(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "HIDDEN", ())
    for path in (tmp_path, *tmp_path.parents):
        if not path.stat().st_mode & 0o001:  # pytest's own directories are for their user alone
            assert f"cannot enter {path}," in machine.obstacle(str(tmp_path / "file"))
            break
    mode = os.stat("/etc").st_mode
    assert machine.obstacle("/etc/passwd") == ""
    monkeypatch.setattr(machine, "mode_of", lambda path: 0o640 if path == "/etc/passwd" else mode)
    assert machine.obstacle("/etc/passwd") == "the service's user cannot read /etc/passwd"
    monkeypatch.setattr(machine, "mode_of", lambda path: 0o750 if path == "/etc" else mode)
    assert "cannot enter /etc, needed for /etc/passwd" in machine.obstacle("/etc/passwd")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda bin: os.chown(bin, 1234, 0), "uid 1234, its owner, may change {bin}"),
        (lambda bin: os.chown(bin / "discoveryd", 1234, 0), "uid 1234, its owner, may change {bin}/discoveryd"),
        (lambda bin: bin.parent.chmod(0o777), "everybody may change {bin.parent}"),
        (lambda bin: (os.chown(bin, 0, 4242), bin.chmod(0o775)), "the group 4242 may change {bin}"),
        (lambda bin: bin.chmod(0o1777), None),  # sticky: nobody replaces what is root's
        (lambda bin: bin.chmod(0o775), None),  # the group is root's
    ],
)
def test_an_environment_that_others_may_write_is_an_obstacle(commands, monkeypatch, spoil, told):
    monkeypatch.setattr(machine, "HIDDEN", ())
    assert machine.intruder(f"{commands}/discoveryd") == ""
    spoil(commands)
    found = machine.intruder(f"{commands}/discoveryd")
    if told is None:
        assert found == ""
        return
    place = told.format(bin=commands)
    assert found.startswith(f"{place}, and root would run it: chown -R root:root ")
    assert found in machine.obstacles()


def test_a_missing_command_or_an_odd_path_is_an_obstacle(commands, monkeypatch, tmp_path):
    (odd := tmp_path / "my environment").mkdir()
    (odd / "discoveryd").write_text("")
    monkeypatch.setattr(machine, "commands", lambda: str(odd))
    assert "a unit cannot name" in machine.obstacles()[0]
    (odd / "discoveryd").unlink()
    assert "install the package into this environment first" in machine.obstacles()[0]
