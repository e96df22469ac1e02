"""Everything in this folder runs real hosts: see lab.py."""

import os
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path

import pytest

from tests.netns.daemons import asking, names, until
from tests.netns.lab import Lab, has_tool, why_not

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.netns)
    # a flood waits for all others here, and they for it: first of all, when none of them has begun
    items.sort(key=lambda item: item.get_closest_marker("flood") is None)


@pytest.fixture
def permitted():
    """Skip with the reason where this machine cannot hold a lab; under CI=true that is a failure."""
    reason = why_not()
    if reason and os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI must not skip this: {reason}")
    if reason:
        pytest.skip(reason)


@contextmanager
def network_of_the_machine(directory, *, alone):
    """Wait for the kernel's queue of received packets, which all namespaces share: for a part of it, or for all.

    A flood fills that queue, and the kernel throws away what the hosts of another test say (ENOBUFS).
    """
    with open(directory / "netns-next", "a") as next_one, open(directory / "netns", "a") as machine:
        flock(next_one, LOCK_EX)  # while a flood waits, no other test begins
        flock(machine, LOCK_EX if alone else LOCK_SH)
        flock(next_one, LOCK_UN)
        yield


@pytest.fixture
def lab(request, permitted, tmp_path_factory):
    """Give an empty lab; the logs of its hosts are shown when the test fails."""
    alone = request.node.get_closest_marker("flood") is not None
    directory = tmp_path_factory.getbasetemp().parent  # of all workers
    with network_of_the_machine(directory, alone=alone), Lab() as lab:
        yield lab
        for host in lab.hosts.values():
            if host.log():
                print(f"--- {host.name}\n{host.log()}")


@pytest.fixture
def firewall(permitted):
    """Skip where nftables is missing; under CI=true that is a failure."""
    if has_tool("nft"):
        return
    if os.environ.get("CI") == "true":
        pytest.fail("CI must not skip this: needs nft (package nftables)")
    pytest.skip("needs nft (package nftables)")


@pytest.fixture
def fleet(lab):
    """Give a function that makes so many hosts, with a daemon and a connection to it, all complete."""
    contexts = []

    def make(count, prepare=lambda host: None, **options):
        hosts = [lab.host(f"n{last}", address=f"10.77.0.{last}/24") for last in range(1, count + 1)]
        processes = []
        for host in hosts:
            prepare(host)
            processes.append(host.discoveryd(**options))
        clients = []
        for host in hosts:
            context = asking(host)
            contexts.append(context)
            clients.append(context.__enter__())
        for host, client in zip(hosts, clients, strict=True):
            until(client, names(*(other.name for other in hosts if other is not host)))
        return hosts, processes, clients

    yield make
    for context in contexts:
        context.__exit__(None, None, None)
