"""The long bar of the sites, run by tests/long/run.py: three sites of five hosts, and every server and gateway in trouble.

DISCOVERYD_SITES_HOSTS is the number of hosts of a site, DISCOVERYD_SITES_STOP the seconds for which something is stopped
or cut off. Figures are printed; those of the promise are asserted.
"""

import os
import shutil
import signal

import pytest

from tests.netns.lab import Lab, why_not
from tests.netns.sites import GONE, SITES, Fleet, lag, throughout, until

HOSTS = int(os.environ.get("DISCOVERYD_SITES_HOSTS", "5"))
STOP = float(os.environ.get("DISCOVERYD_SITES_STOP", "60"))
UNKNOWN, HEALED = 12.0, 5.0
"""Seconds until a site that is cut off is unknown elsewhere, and until it is back after the cure."""


class Watched:
    """The events of all sites at one node, but for those of nodes that the test ends itself."""

    def __init__(self, fleet, name):
        self.fleet, self.name = fleet, name
        self.before = self.count()

    def count(self):
        """Give how many peers were ever told to be gone, by this network and by the log of the daemon."""
        log = self.fleet.nodes[self.name].host.log()
        return log.count('event="peer down"') + log.count('event="peer left"')

    def gone(self):
        return self.count() - self.before


@pytest.fixture
def fleet():
    if reason := why_not() or (None if shutil.which("nats-server") else "needs nats-server"):
        pytest.fail(reason)
    with Lab() as lab:
        made = Fleet(lab, shutil.which("nats-server"), hosts=HOSTS, loss=25)
        yield made
        made.close()


def complete(fleet, witnesses, names):
    return all(fleet.lists(witness, *names, state=("up", "suspect")) for witness in witnesses)


def sites_of(fleet, name):
    return {one["name"]: one["state"] for one in fleet.client(name).request("sites")["sites"]}


def test_three_sites_survive_the_trouble_of_each_server(fleet):
    names = list(fleet.nodes)
    fleet.start()
    print("all list all", until(lambda: complete(fleet, names, names), 90.0, "all list all"))
    witnesses = [f"{site}{HOSTS}" for site in SITES]
    calm = {name: Watched(fleet, name) for name in witnesses}

    gone = f"paris{HOSTS - 1}"
    far = [f"berlin{HOSTS}", f"tokyo{HOSTS}"]
    near = fleet.gateways("paris", but=gone)  # a successor of the node that ends is not heard at once
    fleet.nodes[gone].send(signal.SIGTERM)
    left = lag(fleet, near, far, gone, GONE)
    fleet.forget(gone)
    fleet.start(gone)
    joined = lag(fleet, near, far, gone, "up")
    fleet.nodes[gone].kill()
    killed = lag(fleet, near, far, gone, GONE)
    print("joined", joined, "left", left, "killed", killed)
    assert max(joined.values()) <= 0.5
    assert max(left.values()) <= 0.3
    assert max(killed.values()) <= 1.0
    fleet.forget(gone)
    fleet.start(gone)
    until(lambda: complete(fleet, witnesses, names), 60.0, "it is back")

    speaker = next(one for one in fleet.gateways("paris") if one not in witnesses)  # it listed itself a moment ago
    near = fleet.gateways("paris", but=speaker)
    fleet.nodes[speaker].kill()
    killed = lag(fleet, near, far, speaker, GONE)
    print(speaker, "killed as gateway", killed)
    assert max(killed.values()) <= 1.0
    fleet.forget(speaker)
    fleet.start(speaker)
    until(lambda: complete(fleet, witnesses, names), 60.0, "it is back")

    for name, server in fleet.servers.items():
        server.hang()
        throughout(STOP, lambda: assert_truth(fleet, witnesses, names))
        server.send(signal.SIGCONT)
        print(name, "stopped, healed after", healed(fleet, witnesses, names))
        server.kill()
        throughout(3.0, lambda: assert_truth(fleet, witnesses, names))
        server.start()
        print(name, "restarted, healed after", healed(fleet, witnesses, names))
    for site in SITES:
        fleet.cut(site)
        others = [one for one in witnesses if not one.startswith(site)]
        silent = until(lambda: all(sites_of(fleet, one)[site] == "unreachable" for one in others), 20.0, f"{site} is silent")  # noqa: B023
        throughout(STOP / 2, lambda: assert_truth(fleet, witnesses, names))
        fleet.cut(site, up=True)
        print(site, "silent after", silent, "healed after", cured := healed(fleet, witnesses, names))
        assert silent <= UNKNOWN
        assert cured <= HEALED
    for site in SITES:  # gateways: what a standby takes over
        for speaker in fleet.gateways(site):
            if speaker in witnesses:
                continue
            rest = [one for one in names if one != speaker]
            fleet.nodes[speaker].hang()
            throughout(STOP, lambda: assert_truth(fleet, witnesses, rest))  # noqa: B023
            assert complete(fleet, witnesses, rest), "the others of the site are still known"
            fleet.nodes[speaker].send(signal.SIGCONT)
            print(speaker, "stopped as gateway, complete after", until(lambda: complete(fleet, witnesses, names), 30.0, "it is back"))
    for name, watched in calm.items():
        print(name, "was told of", watched.gone(), "peers of its own network that were gone")
    for name in ("berlin", "tokyo"):  # of these only gateways were stopped
        assert calm[f"{name}{HOSTS}"].gone() <= 2


def assert_truth(fleet, witnesses, names):
    """See that nobody is taken for gone, neither here nor there, whatever becomes of servers."""
    for witness in witnesses:
        states = fleet.states(witness)
        wrong = {one: states.get(one) for one in names if states.get(one) not in ("up", "unknown", "suspect")}
        assert wrong == {}, f"{witness}: {wrong}"
        site = fleet.nodes[witness].site
        assert {states[one] for one in names if fleet.nodes[one].site == site} <= {"up", "suspect"}


def healed(fleet, witnesses, names):
    return until(lambda: complete(fleet, witnesses, names), 30.0, "all is well again")
