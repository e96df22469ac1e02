"""Hosts with different prefixes on one wire: each hears of each, and stays."""

import os
import select
import time
from contextlib import ExitStack

import pytest

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from tests.netns.daemons import asking, listed, names, until

SECONDS = float(os.environ.get("DISCOVERYD_PREFIX_SECONDS") or 0)
"""Without an event, at the default interval. DISCOVERYD_PREFIX_SECONDS=60 is the long run; else 5 s."""
INTERVAL = 0.8
WITHIN = 10.0
MORE = 1.05
"""Times as many HELLOs as beats: the third of full ones that go to the directed broadcast too, and chance."""


def settings(lab, mode):
    """Give the environment of daemons that seal, or insist on it, or neither."""
    found = {"DISCOVERYD_HELLO__INTERVAL": f"{INTERVAL}s"}
    if mode:
        path = lab.directory / "key"
        write_key(str(path), Key(b"\1" * 32))
        found |= {"DISCOVERYD_SECURITY__KEYS": f"[{path}]", "DISCOVERYD_SECURITY__MODE": mode}
    return found


def stays(clients):
    """Let time pass in which nothing happens, and no more is sent than a HELLO an interval; give the statuses."""
    before = {name: client.request("status") for name, client in clients.items()}
    select.select([], [], [], SECONDS or 5.0)
    after = {name: client.request("status") for name, client in clients.items()}
    assert {name: one["events"] for name, one in after.items()} == {name: one["events"] for name, one in before.items()}
    for name, one in after.items():
        beats = (one["uptime_s"] - before[name]["uptime_s"]) / INTERVAL
        assert one["links"][0]["sent"] - before[name]["links"][0]["sent"] <= MORE * beats + 2
    return after


@pytest.mark.parametrize("mode", ["", "require"], ids=["plain", "require"])
@pytest.mark.parametrize(
    "addresses",
    [{"a": "10.77.0.1/24", "b": "10.77.0.130/25", "c": "10.77.0.2/16"}, {"a": "10.77.0.1/24", "c": "10.77.0.2/16"}],
    ids=["24-25-16", "24-16"],
)
def test_hosts_of_different_prefixes_list_each_other_and_stay(lab, addresses, mode):
    hosts = [lab.host(name, address=address) for name, address in addresses.items()]
    if "b" in addresses:
        lab.hosts["b"].ip("route add default via 10.77.0.254")  # whatever goes there is lost
    env = settings(lab, mode)
    for host in hosts:
        host.discoveryd(env=env)
    with ExitStack() as stack:
        clients = {host.name: stack.enter_context(asking(host)) for host in hosts}
        began = time.monotonic()
        for name, client in clients.items():
            others = names(*(addresses.keys() - {name}))
            until(client, lambda peers, others=others: others(peers) and all(peer["two_way"] for peer in peers), WITHIN)
        assert time.monotonic() - began < WITHIN
        for name, client in clients.items():
            until(client, lambda _, client=client: client.request("status")["links"][0]["limited"], WITHIN)
            assert {peer["link"] for peer in client.request("list")["peers"]} == {"eth0"}, name
        after = stays(clients)
        if "b" in addresses:
            assert [(one["address"], one["ours"], one["listed"], one["two_way"]) for one in after["b"]["outside"]] == [
                ("10.77.0.1", "10.77.0.130/25", True, True), ("10.77.0.2", "10.77.0.130/25", True, True),
            ]  # fmt: skip
            told = lab.hosts["b"].discoveryctl("status").stdout.replace("\n", " ")
            assert "10.77.0.1 broadcasts on eth0 but is outside of our 10.77.0.130/25" in told


def test_status_reports_a_neighbour_that_rp_filter_drops(lab):
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.130/25")
    b.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter")
    env = settings(lab, "")
    a.discoveryd(env=env)
    b.discoveryd(env=env)
    with asking(a) as on_a, asking(b) as on_b:
        until(on_a, names("b"))
        until(on_b, lambda _: on_b.request("status")["rp_filter"]["dropped"] >= 4)
        assert on_b.request("status")["rp_filter"]["links"] == [{"link": "eth0", "mode": 1}]
        assert listed(on_b) == set()
        assert "the kernel's rp_filter (eth0) dropped" in b.discoveryctl("status").stdout.replace("\n", " ")
        b.ip("route add 10.77.0.0/24 dev eth0")  # as the sentence advises
        until(on_b, names("a"))
