"""An environment and a root to install into."""

from pathlib import Path

import pytest

from discoveryd.daemon import main
from discoveryd.install import machine, places

ROOT = Path(__file__).parents[2]
CONFIG = "etc/discoveryd/discoveryd.yaml"
UNIT = "usr/local/lib/systemd/system/discoveryd.service"
PORTS = f"{UNIT}.d/ports.conf"


@pytest.fixture(autouse=True)
def commands(tmp_path, monkeypatch):
    """An environment with the commands in it."""
    directory = tmp_path / "environment/bin"
    directory.mkdir(parents=True)
    for name in ("discoveryd", "discoveryctl"):
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)
    monkeypatch.setattr(machine, "commands", lambda: str(directory))
    return directory


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def run(root, capsys):
    """Run a command on the root; give its exit code and its lines."""

    def run(command, *options):
        code = main([command, "--prefix", str(root), *options])
        return code, capsys.readouterr().out.replace(str(root), "").splitlines()

    return run


@pytest.fixture
def shipped(monkeypatch):
    """Have an earlier or later version ship something else."""
    read = places.content_of

    def shipped(**contents):
        monkeypatch.setattr(places, "content_of", lambda name: contents.get(Path(name).stem) or read(name))

    return shipped
