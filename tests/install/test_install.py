"""``discoveryd install`` and ``uninstall``: into a directory, and with a systemd that the test plays."""

import os
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from discoveryd import __version__
from discoveryd.daemon import main
from discoveryd.install import machine, places
from discoveryd.protocol.parameters import Parameters

ROOT = Path(__file__).parents[2]
CONFIG = "etc/discoveryd/discoveryd.yaml"
UNIT = "usr/local/lib/systemd/system/discoveryd.service"
PORTS = f"{UNIT}.d/ports.conf"


def tree(root):
    """Everything in a directory: path to content, target, or nothing."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def did(lines):
    """What was done, by path; notes left out."""
    return {path: what for what, path, *_ in (line.split() for line in lines) if what != "note"}


# --- putting it there -----------------------------------------------------------------------------


def test_everything_is_installed_and_told(root, run, commands):
    code, lines = run("install")
    assert code == 0
    put = tree(root)
    assert {f"/{name}" for name in put if name} - set(did(lines)) == {places.PATH}
    assert set(did(lines).values()) == {"made"}
    assert f"ExecStart={commands}/discoveryd run\n" in put[UNIT].decode()
    assert put[UNIT.replace(".service", ".socket")] == (ROOT / "systemd/discoveryd.socket").read_bytes()
    assert put[CONFIG] == (ROOT / "config/discoveryd.yaml").read_bytes()
    assert put["usr/local/bin/discoveryd"] == f"{commands}/discoveryd"
    assert put["usr/local/bin/discoveryctl"] == "../share/discoveryd/discoveryctl"
    assert put["etc/discoveryd/hooks.d"] is None
    assert put["etc/discoveryd/messages.d"] is None
    assert "etc/discoveryd/services.d/ssh.yaml.example" in put
    assert {path.split("/")[4] for path in put if path.startswith("usr/local/share/man/man")} >= {"man8"}
    assert put["usr/local/lib/sysctl.d/10-discoveryd.conf"] == (ROOT / "config/sysctl.d/10-discoveryd.conf").read_bytes()
    assert "usr/local/share/bash-completion/completions/discoveryd" in put


def test_installed_files_are_readable_whatever_the_umask(root, run):
    former = os.umask(0o077)
    try:
        run("install")
    finally:
        os.umask(former)
    for path in root.rglob("*"):
        assert path.stat().st_mode & 0o004, path
        assert path.is_file() or path.stat().st_mode & 0o001, path


def test_the_discoveryctl_of_the_machine_starts_without_site(root, run):
    run("install")
    command = root / "usr/local/bin/discoveryctl"
    assert command.read_text().splitlines()[0].endswith("/python3 -IS")
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=False, cwd="/")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.split()[:2] == ["discoveryctl", __version__]
    nowhere = subprocess.run([command, "--address", "127.0.0.1:1", "list"], capture_output=True, text=True, check=False)
    assert (nowhere.returncode, nowhere.stdout) == (3, "")
    assert "no daemon answers at 127.0.0.1:1" in nowhere.stderr


def test_the_script_of_the_environment_takes_over_if_it_moved(root, run, commands):
    (commands / "discoveryctl").write_text('#!/bin/sh\necho "from its environment: $*"\n')
    run("install")
    path = root / "usr/local/bin/discoveryctl"
    lines = ["sys.path.append('/nowhere')" if "sys.path" in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    told = subprocess.run([path, "list", "--all"], capture_output=True, text=True, check=False, cwd="/")
    assert told.stdout == "from its environment: list --all\n"


def test_a_second_install_changes_nothing(root, run):
    run("install")
    before = {name: (root / name).lstat().st_mtime_ns for name in tree(root)}
    code, lines = run("install")
    assert code == 0
    assert set(did(lines).values()) == {"unchanged"}
    assert {name: (root / name).lstat().st_mtime_ns for name in tree(root)} == before


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_dry_run_tells_the_same_and_does_nothing(root, run, command):
    if command == "uninstall":
        run("install")
    before = tree(root)
    _, said = run(command, "--dry-run")
    assert tree(root) == before
    assert said.pop().endswith("this was a dry run: nothing has been changed")
    assert run(command)[1] == said


def test_an_unedited_configuration_is_replaced(root, run, shipped):
    shipped(discoveryd=b"# of an earlier version\n")
    run("install")
    shipped()
    assert did(run("install")[1])[f"/{CONFIG}"] == "replaced"
    assert (root / CONFIG).read_bytes() == (ROOT / CONFIG.replace("etc/discoveryd", "config")).read_bytes()


def test_an_edited_configuration_gets_new_defaults_beside_it(root, run, shipped):
    run("install")
    (root / CONFIG).write_text("node: {name: mine}\n")
    beside = root / f"{CONFIG}.new"
    assert did(run("install")[1])[f"/{CONFIG}"] == "kept"
    assert not beside.exists()  # the default is the one that was edited
    shipped(discoveryd=b"# a later default\n")
    _, lines = run("install")
    assert f"kept      /{CONFIG}  (it was edited; the new default is /{CONFIG}.new)" in lines
    assert beside.read_bytes() == b"# a later default\n"
    beside.unlink()  # merged by hand
    run("install")
    assert not beside.exists()
    assert (root / CONFIG).read_text() == "node: {name: mine}\n"


def test_a_configuration_that_was_there_counts_as_edited(root, run):
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("log: {level: debug}\n")
    assert did(run("install")[1])[f"/{CONFIG}.new"] == "made"
    assert (root / CONFIG).read_text() == "log: {level: debug}\n"


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_command_that_was_there_before_stays(root, run, what):
    path = root / "usr/local/bin/discoveryctl"
    path.parent.mkdir(parents=True)
    path.symlink_to("/bin/true") if what == "link" else path.write_text("#!/bin/sh\n")
    before = tree(root)
    assert did(run("install")[1])["/usr/local/bin/discoveryctl"] == "kept"
    run("uninstall")
    assert tree(root)["usr/local/bin/discoveryctl"] == before["usr/local/bin/discoveryctl"]


def test_a_dangling_link_to_a_command_is_replaced(root, run):
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "usr/local/bin/discoveryd").symlink_to("/opt/gone/bin/discoveryd")
    assert did(run("install")[1])["/usr/local/bin/discoveryd"] == "replaced"


def test_the_link_of_uv_or_pipx_to_the_same_command_is_replaced(root, run, commands):
    path = root / "usr/local/bin/discoveryctl"
    path.parent.mkdir(parents=True)
    path.symlink_to(commands / "discoveryctl")
    assert did(run("install")[1])["/usr/local/bin/discoveryctl"] == "replaced"
    assert os.readlink(path) == "../share/discoveryd/discoveryctl"


def test_another_environment_replaces_the_links(root, run, commands, monkeypatch):
    run("install")
    monkeypatch.setattr(machine, "commands", lambda: "/opt/second/bin")
    done = did(run("install")[1])
    assert {path for path, what in done.items() if what == "replaced"} == {
        f"/{UNIT}", "/usr/local/bin/discoveryd", "/usr/local/share/discoveryd/discoveryctl",
    }  # fmt: skip
    assert run("uninstall")[0] == 0
    assert not (root / "usr").exists()


def test_files_that_a_version_no_longer_has_are_removed(root, run, monkeypatch):
    run("install")
    monkeypatch.setattr("discoveryd.cli.completion.scripts", dict)
    removed = {path for path, what in did(run("install")[1]).items() if what == "removed"}
    assert "/usr/local/share/bash-completion/completions/discoveryd" in removed
    run("uninstall")
    assert not (root / "usr").exists()


def test_the_systems_own_python_needs_no_links(root, run, monkeypatch):
    monkeypatch.setattr(machine, "commands", lambda: "/usr/local/bin")
    run("install")
    assert not (root / "usr/local/bin").exists()


def test_a_failed_install_names_the_path_and_can_be_undone(root, run, capsys):
    (root / "usr/local/share").mkdir(parents=True)
    (root / "usr/local/share/man").write_text("in the way")
    assert main(["install", "--prefix", str(root)]) == 1
    assert capsys.readouterr().err == f"discoveryd: {root}/usr/local/share/man: File exists\n"
    assert (root / UNIT).exists()
    assert run("uninstall")[0] == 0
    assert not (root / UNIT).exists()


# --- taking it away -------------------------------------------------------------------------------


def test_uninstall_leaves_configuration_and_foreign_files(root, run):
    (root / "usr/local/share/man").mkdir(parents=True)
    (root / "usr/local/share/man/other.1").write_text("")
    before = tree(root)
    run("install")
    code, lines = run("uninstall")
    assert code == 0
    assert f"kept      /{CONFIG}  (the configuration is yours)" in lines
    assert {name for name in tree(root) if name not in before} == {"etc", "etc/discoveryd", CONFIG}
    assert all(name in tree(root) for name in before)


def test_uninstall_leaves_hooks_and_changed_files(root, run):
    run("install")
    hook = root / "etc/discoveryd/hooks.d/mail"
    hook.write_text("#!/bin/sh\n")
    (root / UNIT).write_text("[Service]\n")
    lines = run("uninstall")[1]
    assert hook.exists()
    assert f"kept      /{UNIT}  (it was changed since)" in lines
    assert "kept      /etc/discoveryd/hooks.d  (it holds mail)" in lines


def test_uninstall_without_an_installation_does_nothing(root, run):
    code, lines = run("uninstall")
    assert code == 0
    assert lines == [f"note      nothing is installed here: there is no {places.PATH}"]
    assert not tree(root)


@pytest.mark.parametrize("text", ["{", "[]", '{"entries": [{}]}', '{"entries": [{"path": "/x", "sort": 1}]}'])
def test_a_damaged_manifest_says_what_to_do(root, run, capsys, text):
    run("install")
    (root / places.PATH.lstrip("/")).write_text(text)
    for command in ("install", "uninstall"):
        assert main([command, "--prefix", str(root)]) == 1
        assert "installed.json is damaged" in capsys.readouterr().err
    assert (root / UNIT).exists()


# --- firewalls ------------------------------------------------------------------------------------


def test_profiles_are_installed_where_their_firewall_is(root, run):
    (root / "etc/ufw/applications.d").mkdir(parents=True)
    put = set(did(run("install")[1]))
    assert "/etc/ufw/applications.d/discoveryd" in put
    assert not any("firewalld" in path for path in put)
    (root / "etc/firewalld/services").mkdir(parents=True)
    assert did(run("install")[1])["/etc/firewalld/services/discoveryd.xml"] == "made"


def test_the_profiles_open_the_port_of_the_hellos():
    port = str(Parameters().port)
    assert f"ports={port}/udp\n" in (ROOT / "config/ufw/discoveryd").read_text()
    opened = ET.parse(ROOT / "config/firewalld/discoveryd.xml").findall("port")
    assert [one.attrib for one in opened] == [{"protocol": "udp", "port": port}]


def test_the_units_are_in_the_wheel():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    files = {file for files in named.values() for file in files}
    assert {f"systemd/{file.name}" for file in (ROOT / "systemd").iterdir()} <= files


# --- the ports of the service ---------------------------------------------------------------------


def allowed(root):
    return [line.partition("=")[2] for line in (root / PORTS).read_text().splitlines() if line.startswith("SocketBindAllow=")]


def test_the_service_may_bind_the_configured_ports_alone(root, run):
    assert did(run("install")[1])[f"/{PORTS}"] == "made"
    assert allowed(root) == ["", "udp:3400", "tcp:3400"]
    (root / CONFIG).write_text("hello: {port: 3401}\nquery: {listen: off}\nmetrics: {listen: '127.0.0.1:9341'}\n")
    assert did(run("install")[1])[f"/{PORTS}"] == "replaced"
    assert allowed(root) == ["", "udp:3401", "tcp:9341"]
    run("uninstall")
    assert not (root / "usr").exists()


def test_a_wrong_configuration_leaves_the_ports_as_they_are(root, run):
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("hello: {port: x}\n")
    _, lines = run("install")
    assert f"note      the ports of the service stay: discoveryd check says what is wrong with /{CONFIG}" in lines
    assert not (root / PORTS).exists()
    (root / CONFIG).write_text("hello: {port: 3401}\n")
    run("install")
    (root / CONFIG).write_text("hello: {port: x}\n")
    assert did(run("install")[1][1:])[f"/{PORTS}"] == "unchanged"
    assert allowed(root) == ["", "udp:3401", "tcp:3400"]


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_only_root_may_install(monkeypatch, capsys, command):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main([command]) == 1
    assert f"discoveryd: {command} needs root" in capsys.readouterr().err


def test_now_and_prefix_exclude_each_other(root, capsys):
    assert main(["install", "--now", "--prefix", str(root)]) == 2
    assert "--prefix leaves it alone" in capsys.readouterr().err
    assert not tree(root)


def test_without_systemd_install_names_the_alternatives(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "BOOTED", str(tmp_path / "no"))
    assert main(["install"]) == 1
    said = capsys.readouterr().err
    assert "systemd does not run this machine" in said
    assert "discoveryd start" in said
