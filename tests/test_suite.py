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


HANGS = """
import threading
import pytest
from hypothesis import given, strategies

def test_waits_for_ever():
    wakes = threading.Event()
    thread = threading.Thread(target=wakes.wait, args=(60,), name="bystander")
    thread.start()
    try:
        threading.Event().wait()
    finally:
        wakes.set()
        thread.join()

@given(strategies.just(1))
@pytest.mark.timeout(1)
def test_waits_in_an_example(_):
    threading.Event().wait()

@pytest.fixture
def waits_at_the_end():
    yield
    threading.Event().wait()

def test_fails_and_waits_at_the_end(waits_at_the_end):
    assert False

@given(strategies.just(1))
def test_is_a_property(_):
    pass

@pytest.mark.timeout(60)
def test_goes_on(request):
    limits = {one.name: one.get_closest_marker("timeout") for one in request.session.items}
    assert limits["test_is_a_property"].args == (600,)
"""


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=str)
def test_a_test_that_hangs_fails_alone_and_shows_all_threads(tmp_path, workers):
    assert 240 <= PROJECT["tool"]["pytest"]["ini_options"]["timeout"] <= 300
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 1\n")
    (tmp_path / "test_it.py").write_text(HANGS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", *workers, tmp_path],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "DISCOVERYD_FUZZ_EXAMPLES": ""},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "3 failed, 2 passed, 1 error in" in done.stdout, done.stdout + done.stderr
    assert "Stack of bystander" in done.stdout
    assert done.stdout.count("Failed: Timeout") >= 3


def test_no_test_file_is_too_long_to_be_read_at_once():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > 500} == {}


def test_a_name_of_a_test_can_be_read_at_a_glance():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    names = [name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)]
    assert [name for name in names if len(name) > 60] == []
