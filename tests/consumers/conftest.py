"""Everything in this folder runs the programs that read exports, or that embed the library: the real ones."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.consumers.far import FarSites
from tests.consumers.install import HOME
from tests.netns.lab import Lab, why_not

ROOT = Path(__file__).parents[2]


def need(reason):
    """Skip with a reason; under CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must not skip this: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def tool():
    """Give the path of a program of the system."""

    def find(name, package):
        found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        return found or need(f"needs {name} (apt-get install {package})")

    return find


@pytest.fixture(scope="session")
def environment():
    """Give the directory of programs of a Python environment."""

    def find(name):
        directory = HOME / name
        return directory / "bin" if (directory / "ready").exists() else need(f"needs {directory}: python tests/consumers/install.py")

    return find


@pytest.fixture
def lab():
    if reason := why_not():
        need(reason)
    with Lab() as made:
        yield made
        for host in made.hosts.values():
            if host.log():
                print(f"--- {host.name}\n{host.log()}")


@pytest.fixture
def discoveryctl(tmp_path):
    """Give a directory with ``discoveryctl`` in it, for scripts."""
    script = tmp_path / "bin" / "discoveryctl"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m discoveryd.ctl "$@"\n')
    script.chmod(0o755)
    return script.parent


@pytest.fixture
def far_sites(tool, tmp_path):
    """Give daemons of two sites, and a NATS server between them."""
    made = FarSites(tool("nats-server", "nats-server"), tmp_path)
    yield made
    made.close()
    for name in made.daemons:
        print(f"--- {name}\n{made.log(name)}")
