"""The hour is played by processes of its own while other tests wait for something: it costs them and us no time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEED = 1
INTERVAL = 6.0
"""Seconds: an hour of the default interval would be three minutes of this machine; a few of its minutes follow."""
HASHES = ("0", "4711")
"""Two interpreters with other hashes: what is decided by the order of a set differs between them."""

_hours: list[subprocess.Popen[str]] = []


def pytest_collection_finish(session):
    """Begin at once, with the least priority, if the hour is among the tests."""
    if session.config.option.collectonly or not any("/test_hour.py::test_an_hour" in item.nodeid for item in session.items):
        return
    play = "import os; os.nice(19); from tests.simulation.hour import main; main()"
    command = [sys.executable, "-c", play, str(SEED), "60", str(INTERVAL)]
    for seed in HASHES:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        _hours.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))


def pytest_sessionfinish():
    """Leave none behind, however the session ended."""
    for process in _hours:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def hours():
    """Give what the two processes printed."""
    ended = [process.communicate() for process in _hours]
    for process, (_, complaint) in zip(_hours, ended, strict=True):
        assert process.returncode == 0, complaint
    return [said for said, _ in ended]
