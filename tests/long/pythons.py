"""The long bar of Python releases, run by tests/long/run.py: a large part of the suite with each that is here.

They are the commands ``python3.11`` to ``python3.14`` on the PATH, or those that ``DISCOVERYD_PYTHONS`` names, by
spaces. Each needs its `venv`; warnings are errors, as ever.
"""

import os
import shutil
import subprocess
import tomllib

import pytest

from tests.long.sdist import ROOT, environment

RELEASES = (11, 12, 13, 14)
PART = (
    "tests/protocol", "tests/properties", "tests/config", "tests/ctl", "tests/query", "tests/daemon", "tests/runtime",
    "tests/net", "tests/history", "tests/exports", "tests/dns", "tests/web", "tests/sites", "tests/files", "tests/install",
    "tests/integration",
)  # fmt: skip
PYTHONS = os.environ.get("DISCOVERYD_PYTHONS", "").split() or [
    name for name in (f"python3.{number}" for number in RELEASES) if shutil.which(name)
]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_suite_passes_with_this_python(python, tmp_path):
    def run(*command):
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        print(done.stdout[-20_000:], done.stderr[-5000:])
        assert done.returncode == 0, command

    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
    run(python, "-m", "venv", tmp_path / "venv")
    own = tmp_path / "venv/bin/python"
    run(own, "-m", "pip", "install", "-q", f"{ROOT}[sites]", "setuptools", "wheel", *needs)
    run(own, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *PART)
