"""The service on booted machines, as `run.py` shows it: minutes, so only for who asks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.systemd.machine import why_not

SCRIPTS = ("run.py", "names.py")
TIMEOUT = 1800.0
"""Seconds; the first time it makes two Debians."""


@pytest.mark.timeout(TIMEOUT + 60)
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_service_on_booted_machines(script):
    if os.environ.get("DISCOVERYD_SYSTEMD") != "1":
        pytest.skip("boots machines for some minutes: set DISCOVERYD_SYSTEMD=1, or run tests/systemd/run.py and names.py")
    reason = why_not()
    if reason:
        pytest.skip(reason)
    subprocess.run([sys.executable, Path(__file__).parent / script], check=True, timeout=TIMEOUT)
