"""What holds for every test: it leaves no thread, socket or file open, and gets no configuration from outside."""

import gc
import os
import threading
from time import monotonic

import pytest

GRACE = 2.0
"""Seconds in which a thread that was told to end may end."""


def descriptors():
    """Give the open descriptors of this process with what they are of."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            continue  # the one of the directory itself
    return found


@pytest.fixture(autouse=True)
def no_foreign_configuration(monkeypatch):
    for name in list(os.environ):
        if name.startswith("DISCOVERYD_") and name not in ("DISCOVERYD_FUZZ_EXAMPLES", "DISCOVERYD_LOSS_SECONDS", "DISCOVERYD_SYSTEMD"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


@pytest.fixture(autouse=True)
def nothing_leaks():
    """Fail a test after which a thread runs or a descriptor is open that was not there before."""
    threads, opened = set(threading.enumerate()), descriptors()
    yield
    deadline = monotonic() + GRACE
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:
        thread.join(max(0.0, deadline - monotonic()))
    names = [thread.name for thread in left if thread.is_alive()]
    assert not names, f"threads left running: {', '.join(names)}"
    if descriptors() - opened:
        gc.collect()  # what only a cycle holds; an unclosed socket warns now, and a warning is an error
    extra = sorted(descriptors() - opened)
    assert not extra, f"descriptors left open: {extra}"
