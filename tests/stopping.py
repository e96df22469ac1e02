"""Stopping a process for good: a signal is only sent, and a thread on another core goes on for a moment."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

WAIT = 10.0
"""Seconds that the kernel of a busy machine may need."""


def stop(pid):
    """Send SIGSTOP, and return once each thread of the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = monotonic() + WAIT
    while moving := [one for one in Path(f"/proc/{pid}/task").iterdir() if _state(one) not in "Tt"]:
        assert monotonic() < deadline, f"still running: {moving}"
        sleep(0.001)


def _state(thread):
    with suppress(OSError):  # it has ended meanwhile
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    return "T"
