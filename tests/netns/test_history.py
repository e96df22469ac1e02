"""The history among real hosts: our own cable is nobody's outage, and a killed peer is one.

Takes a minute, so tests/long/run.py alone runs it.
"""

import os
import select
import signal

import pytest

from tests.netns.daemons import until

pytestmark = pytest.mark.skipif(
    "DISCOVERYD_CUT_SECONDS" not in os.environ, reason="takes a minute: set DISCOVERYD_CUT_SECONDS=15, or run tests/long/run.py history"
)
CUT = float(os.environ.get("DISCOVERYD_CUT_SECONDS", "15"))


def wait(seconds):
    select.select([], [], [], seconds)


def availability(client):
    return {peer["name"]: peer for peer in client.request("availability")["peers"]}


def test_our_own_cable_is_nobody_s_outage(fleet):
    hosts, processes, clients = fleet(6)
    here, client = hosts[0], clients[0]
    wait(13.0)  # the history begins, and its first watch
    killed = processes[5]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    until(client, lambda peers: len(peers) == 4)
    wait(8.0)
    here.cable(up=False)
    wait(CUT)
    here.cable(up=True)
    until(client, lambda peers: len(peers) == 4)
    wait(14.0)
    found = availability(client)
    told = client.request("history")
    print(found, told["absences"], client.request("status")["history"])
    assert {name: peer["downs"] for name, peer in found.items()} == {"n2": 0, "n3": 0, "n4": 0, "n5": 0, "n6": 1}
    assert {one["kind"] for one in told["absences"]} == {"isolated"}
    for name in ("n2", "n3", "n4", "n5"):
        assert found[name]["down_s"] < 2.5
        assert found[name]["seen_s"] < 40
    assert found["n6"]["down_s"] > 10
