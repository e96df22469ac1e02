"""Attacks of the audit by a program without privileges, against real daemons. The numbers of findings are those of the audit."""

import select
import sys
import time

from tests.netns.daemons import PATIENCE, asking, until
from tests.netns.test_keys import OLD, SUBNET, Member
from tests.runtime.hooking import write_hook

HERE, THERE, STRANGER = (f"{SUBNET}.{last}" for last in (1, 2, 3))
WATCHED = 5.0
"""Seconds for which a peer is looked at: more than its ttl."""


def start(host, module, *words):
    """Run a module of this folder in a host, and wait until it says that it works."""
    host.popen(sys.executable, "-m", f"tests.netns.{module}", *words)
    deadline = time.monotonic() + PATIENCE
    while not host.log():
        assert time.monotonic() < deadline, host.name
        select.select([], [], [], 0.01)


def drops(client):
    return {drop["reason"]: drop["count"] for drop in client.request("status")["drops"]}


def test_two_forged_datagrams_hide_no_live_peer(lab):
    """Finding 1; on 0.1.0 the peer was hidden for an hour."""
    hosts = [lab.host(f"n{last}", address=f"{SUBNET}.{last}/24") for last in (1, 2)]
    stranger = lab.host("stranger", address=f"{STRANGER}/24")
    for host in hosts:
        host.discoveryd()
    with asking(hosts[0]) as client:
        peers, _ = until(client, lambda peers: [peer["name"] for peer in peers] == ["n2"] and peers[0]["two_way"])
        boot = peers[0]["boot"]
        start(stranger, "stranger", "replace", f"{SUBNET}.255", THERE)
        until(client, lambda _: "said goodbye" in hosts[0].log())
        seen, began = [], time.monotonic()
        while time.monotonic() < began + WATCHED:
            seen.append(boot in {peer["boot"] for peer in client.request("list")["peers"]})
            select.select([], [], [], 0.05)
        assert sum(seen) > 0.9 * len(seen)
        assert seen[-1]


def test_forged_peers_fill_no_log_and_delay_no_hook(lab):
    """Finding 11; on 0.1.0: 313 kB of log a second, and a real event after some thousand forged ones."""
    hosts = [lab.host(f"n{last}", address=f"10.77.0.{last}/16") for last in (1, 2)]
    config = lab.directory / "config"
    told = lab.directory / "told"
    (config / "hooks.d").mkdir(parents=True)
    (config / "discoveryd.yaml").write_text("")
    write_hook(config / "hooks.d", "note", f'echo "$DISCOVERYD_EVENT $DISCOVERYD_PEER" >> {told}')
    hosts[0].discoveryd("--config", str(config / "discoveryd.yaml"))
    victim = hosts[1].discoveryd()
    with asking(hosts[0]) as client:
        until(client, lambda peers: [peer["name"] for peer in peers if peer["two_way"]] == ["n2"])
        logged = len(hosts[0].log())
        flooder = lab.host("flooder", address="10.77.9.9/16")
        flood = flooder.popen(sys.executable, "-m", "tests.netns.flood", "eth0", "10.77.0.0/16", "1000", "5")
        assert flood.wait(PATIENCE) == 0
        assert len(hosts[0].log()) - logged < 100_000
        victim.kill()
        until(client, lambda peers: "n2" not in {peer["name"] for peer in peers})
        gone = time.monotonic()
        while "down n2" not in told.read_text().splitlines():
            assert time.monotonic() < gone + WATCHED, told.read_text()[-500:]
            select.select([], [], [], 0.02)


def started(members, client, former):
    """Start the second one until each has listed the other under its key, kill it, and return its boot."""
    members[1].start()
    seals = {("n2", OLD.id)}
    peers, _ = until(client, lambda peers: {(one["name"], one["key"]) for one in peers if one["boot"] != former} >= seals)
    with asking(members[1].host) as other:
        until(other, lambda peers: ("n1", OLD.id) in {(peer["name"], peer["key"]) for peer in peers})
    members[1].process.kill()
    members[1].process.wait(5)
    return next(peer["boot"] for peer in peers if peer["key"] and peer["boot"] != former)


def test_a_stranger_who_squats_boots_hides_no_node_that_seals(lab):
    """Finding 2; on 0.1.0 who starts or restarts was hidden for an hour."""
    members = [Member(lab, number) for number in (1, 2)]
    start(lab.host("stranger", address=f"{STRANGER}/24"), "stranger", "squat", f"{SUBNET}.255")
    for member in members:
        member.write("accept", OLD)
    members[0].start()
    with asking(members[0].host) as client:
        first = started(members, client, "")
        assert started(members, client, first) != first
        said = [peer for peer in client.request("list", all=True)["peers"] if peer["address"] == STRANGER]
        assert said or "downgrade" in drops(client), "the stranger said nothing"


def test_a_relay_faster_than_the_access_point_is_no_path(lab):
    """Finding 3; on 0.1.0 the peer was listed at the stranger's address alone, from the sixth second on."""
    here, there = (Member(lab, number, bridge=bridge) for number, bridge in ((1, "air"), (2, "br0")))
    access_point = lab.host("ap")
    access_point.add_interface("eth1", bridge="air")
    start(access_point, "access_point", "eth0", "eth1", "0.1")
    start(lab.host("stranger", address=f"{STRANGER}/24"), "stranger", "relay", HERE, THERE)
    for member in (here, there):
        member.write("require", OLD)
        member.start()
    with asking(here.host) as client:
        until(client, lambda peers: {(peer["name"], peer["two_way"]) for peer in peers} == {("n2", True)})
        seen, began = set(), time.monotonic()
        while time.monotonic() < began + WATCHED:
            seen |= {(*peer["addresses"], peer["two_way"]) for peer in client.request("list")["peers"]}
            select.select([], [], [], 0.1)
        assert seen == {(THERE, True)}
        assert drops(client)["bad-seal"] > WATCHED, "the stranger carried nothing"
        assert here.lost() == []
