"""The hour is played by processes of its own while other tests wait for something: it costs them and us no time."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEED = 1
INTERVAL = 6.0
"""Seconds: an hour of the default interval would be three minutes of this machine; a few of its minutes follow."""
HASHES = ("0", "4711")
"""Two interpreters with other hashes: what is decided by the order of a set differs between them."""

PLAYER = """
import os, sys
said = int(sys.argv[1])
if os.fork():
    os._exit(0)
os.nice(19)
os.dup2(said, 1)
os.dup2(said, 2)
print(os.getpid(), flush=True)
sys.argv[:2] = [""]
from tests.simulation.hour import main
main()
"""
"""Plays in a process that is no child of ours: other tests count those."""

_hours = []  # of each process what it says; its pid comes first


def pytest_collection_finish(session):
    """Begin at once, with the least priority, if the hour is among the tests."""
    if session.config.option.collectonly or not any("/test_hour.py::test_an_hour" in item.nodeid for item in session.items):
        return
    for seed in HASHES:
        reading, writing = os.pipe()
        command = [sys.executable, "-c", PLAYER, str(writing), str(SEED), "60", str(INTERVAL)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(command, cwd=ROOT, env=environment, pass_fds=[writing], check=True)
        os.close(writing)
        said = os.fdopen(reading)
        _hours.append((int(said.readline()), said))


def pytest_sessionfinish():
    """Leave none behind, however the session ended."""
    for pid, said in _hours:
        if not said.closed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            said.close()


@pytest.fixture
def hours():
    """Give what the two processes printed."""
    found = []
    for _, said in _hours:
        with said:
            found.append(said.read())
    assert all(text.startswith("{") for text in found), "\n".join(found)
    return found
