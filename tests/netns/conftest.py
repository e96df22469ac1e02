"""Everything in this folder runs real hosts: see lab.py."""

import os
from pathlib import Path

import pytest

from tests.netns.lab import Lab, why_not

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.netns)


@pytest.fixture
def permitted():
    """Skip with the reason where this machine cannot hold a lab; under CI=true that is a failure."""
    reason = why_not()
    if reason and os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI must not skip this: {reason}")
    if reason:
        pytest.skip(reason)


@pytest.fixture
def lab(permitted):
    """Give an empty lab; the logs of its hosts are shown when the test fails."""
    with Lab() as lab:
        yield lab
        for host in lab.hosts.values():
            if host.log():
                print(f"--- {host.name}\n{host.log()}")
