"""The long bar of the source distribution, run by tests/long/run.py: README's test line passes with what is in it alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
OWN = ("DISCOVERYD_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")
"""What this run of pytest has in its environment for itself."""


def environment():
    """Give the environment of a person who begins; the programs that tests/consumers/install.py made may stay known."""
    return {key: value for key, value in os.environ.items() if key == "DISCOVERYD_CONSUMERS" or not key.startswith(OWN)}


def unpacked(directory):
    """Build the source distribution of the files that are kept under version control, and give it unpacked."""
    tree, built = directory / "tree", directory / "built"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:  # no checkout: what is here came from a source distribution itself
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".venv", "__pycache__", "*.egg-info"))
    for name in listed.stdout.split("\0")[:-1]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
    subprocess.run([sys.executable, "-c", BUILD, built], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    (packed,) = built.glob("discoveryd-*.tar.gz")
    subprocess.run(["tar", "-xzf", packed, "-C", directory], check=True)
    (found,) = directory.glob("discoveryd-*/")
    return found


def test_readmes_test_line_passes_in_the_source_distribution(tmp_path):
    root = unpacked(tmp_path)
    line = re.search(r"^<!-- the test line -->\n```sh\n(.*)\n```$", (root / "README.md").read_text(), re.MULTILINE)[1]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line], cwd=root, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout[-20_000:], done.stderr[-5000:])
    assert done.returncode == 0
    assert re.search(r"^[0-9]+ passed", done.stdout.strip().splitlines()[-1])
