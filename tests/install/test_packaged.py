"""``discoveryd install`` and ``uninstall`` where a package of the distribution installed the daemon."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from discoveryd import __version__
from discoveryd.daemon import main
from discoveryd.files.directories import PACKAGE
from discoveryd.install import machine, names, packaged, places
from tests.install.conftest import CONFIG, UNIT
from tests.install.test_install import did, tree
from tests.install.test_service import systemd  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "packaging/debian"
PORTS = "etc/systemd/system/discoveryd.service.d/ports.conf"
MANIFEST = packaged.MANIFEST.lstrip("/")


@pytest.fixture
def package(monkeypatch):
    """Have the program come with a package."""
    monkeypatch.setattr(packaged, "is_packaged", lambda: True)


def test_a_package_leaves_the_configuration_alone_to_install(root, run, package):
    code, lines = run("install")
    assert code == 0
    files = {name for name, content in tree(root).items() if content is not None}
    assert files == {CONFIG, MANIFEST, "etc/discoveryd/services.d/ssh.yaml.example"}
    assert not [line for line in lines if "systemctl enable" in line]
    assert set(did(run("install")[1]).values()) == {"unchanged"}


def test_other_ports_than_those_of_the_unit_get_a_drop_in(root, run, package):
    (root / CONFIG).parent.mkdir(parents=True)
    (root / CONFIG).write_text("hello: {port: 3401}\n")
    run("install")
    assert "SocketBindAllow=udp:3401\n" in (root / PORTS).read_text()
    (root / CONFIG).write_text("node: {name: a}\n")
    assert did(run("install")[1])[f"/{PORTS}"] == "removed"
    assert not (root / PORTS).parent.exists()


def test_a_package_takes_over_from_an_environment(root, run, monkeypatch, commands):
    run("install")
    (root / CONFIG).write_text("node: {name: mine}\n")
    (root / "etc/discoveryd/hooks.d/mail").write_text("#!/bin/sh\n")
    monkeypatch.setattr(packaged, "is_packaged", lambda: True)
    assert did(run("install")[1])[f"/{UNIT}"] == "removed"
    left = tree(root)
    assert not [name for name in left if name.startswith("usr/")]
    assert left[CONFIG] == b"node: {name: mine}\n"
    assert {"etc/discoveryd/hooks.d/mail", "etc/discoveryd/messages.d", MANIFEST} <= set(left)
    assert set(did(run("install")[1]).values()) == {"unchanged", "kept"}


def test_a_running_service_becomes_that_of_the_package(systemd, root, package, monkeypatch, capsys, commands):  # noqa: F811
    with monkeypatch.context() as patch:
        patch.setattr(packaged, "is_packaged", lambda: False)
        main(["install", "--now"])
    systemd.asked()
    assert main(["install"]) == 0
    assert systemd.asked() == ["daemon-reload", "reenable discoveryd.service", "restart discoveryd.service"]
    assert f"{commands.parent} is not used any more: rm -r {commands.parent}" in capsys.readouterr().out
    assert main(["install"]) == 0
    assert systemd.asked() == []


def test_a_package_has_names_served_and_takes_the_file_back(root, run, package):
    (root / "etc/dnsmasq.d").mkdir(parents=True)
    run("install")
    assert did(run("install", "--dns")[1])["/etc/dnsmasq.d/discoveryd.conf"] == "made"
    assert "SocketBindAllow=udp:3453\n" in (root / PORTS).read_text()
    assert f'  listen: "{names.LISTEN}"\n' in (root / CONFIG).read_text()
    assert did(run("install")[1])[f"/{CONFIG}"] == "unchanged"
    assert did(run("uninstall", "--dns")[1]) == {"/etc/dnsmasq.d/discoveryd.conf": "removed"}


def test_the_package_manager_removes_what_a_package_installed(root, run, package, capsys):
    run("install")
    before = tree(root)
    assert main(["uninstall", "--prefix", str(root)]) == 1
    assert "apt purge discoveryd" in capsys.readouterr().err
    assert tree(root) == before


def test_an_environment_is_not_installed_beside_a_package(root, run, capsys):
    path = root / packaged.UNIT.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert main(["install", "--prefix", str(root)]) == 1
    assert "apt remove discoveryd makes room" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("/usr/lib/python3/dist-packages/discoveryd", True),
        ("/usr/lib/python3.14/site-packages/discoveryd", True),
        ("/usr/local/lib/python3.11/dist-packages/discoveryd", False),
        ("/opt/discoveryd/lib/python3.11/site-packages/discoveryd", False),
        (PACKAGE, False),
    ],
)
def test_the_place_of_a_package_tells_it(monkeypatch, tmp_path, package, expected):
    (tmp_path / "unit").write_text("")
    monkeypatch.setattr(packaged, "UNIT", str(tmp_path / "unit"))
    monkeypatch.setattr(packaged, "PACKAGE", package)
    assert packaged.is_packaged() is expected
    monkeypatch.setattr(packaged, "UNIT", str(tmp_path / "none"))
    assert not packaged.is_packaged()


def test_the_command_of_a_package_is_the_systems(monkeypatch, package):
    monkeypatch.undo()
    monkeypatch.setattr(packaged, "is_packaged", lambda: True)
    assert machine.commands() == "/usr/bin"


# --- packaging/debian -----------------------------------------------------------------------------


def test_the_package_has_the_version_of_the_program():
    assert re.match(rf"discoveryd \({re.escape(__version__)}-\d+\) ", (DEBIAN / "changelog").read_text())


def test_the_package_needs_what_the_program_needs():
    """Of the control file: names as Debian has them, and the oldest releases of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {"prometheus-client": "prometheus-client", "python-daemon": "daemon", "pyyaml": "yaml"}
    needed = {names.get(name, name): least for name, least in (one.split(">=") for one in project["dependencies"])}
    named = dict(re.findall(r"python3-([\w-]+) \(>= ([\d.]+)\)", (DEBIAN / "control").read_text()))
    assert {name: named.get(name) for name in needed} == needed


def test_a_purge_names_each_place_that_install_writes_to():
    script = (DEBIAN / "discoveryd.postrm").read_text()
    for path in (packaged.MANIFEST, f"{packaged.UNIT_DIRECTORY}/discoveryd.service.d/ports.conf", places.CONFIG_DIRECTORY):
        assert path in script


@pytest.mark.parametrize("script", ["build", "discoveryd.postinst", "discoveryd.prerm", "discoveryd.postrm"])
def test_the_scripts_of_the_package_can_be_read(script):
    done = subprocess.run(["sh", "-n", DEBIAN / script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
