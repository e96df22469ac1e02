"""How the suite itself is run: from which releases, and that CI hides nothing."""

import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = (ROOT / "tests" / "constraints.txt").read_text(encoding="utf-8").splitlines()


def plain(name):
    return re.sub("[-_.]+", "-", name).lower()


def needed():
    """Give what the project, its tests and its build need, by name, with the least release."""
    found = chain(
        PROJECT["build-system"]["requires"],
        PROJECT["project"]["dependencies"],
        PROJECT["project"]["optional-dependencies"]["test"],
    )
    return {plain(name): least for name, _, least in (one.partition(">=") for one in found)}


def test_the_test_line_pins_all_that_is_needed():
    pinned = dict(line.split("==") for line in CONSTRAINTS if not line.startswith("#"))
    assert set(needed()) <= {plain(name) for name in pinned}


def test_the_oldest_releases_are_those_of_pyproject():
    done = subprocess.run([sys.executable, ROOT / ".ci" / "oldest"], capture_output=True, text=True, check=True, timeout=20)
    oldest = {plain(name): version for name, version in (line.split("==") for line in done.stdout.splitlines())}
    bounded = {name: least for name, least in needed().items() if least}
    assert oldest == {name: least for name, least in bounded.items() if name != "setuptools"}


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_run_of_ci_that_skips_fails_and_says_why(tmp_path, ci, code):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_it():\n    pytest.skip('no frobnicator here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path, env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "1 x Skipped: no frobnicator here" in done.stdout


def test_no_test_file_is_too_long_to_be_read_at_once():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > 500} == {}


def test_a_name_of_a_test_can_be_read_at_a_glance():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    names = [name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)]
    assert [name for name in names if len(name) > 60] == []
