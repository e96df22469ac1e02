"""Who is down, and how soon; who is not, however bad the network: between real hosts."""

import os
import signal
import statistics
import sys
import time

import pytest

from discoveryd.errors import QueryError
from tests.conftest import BUSY
from tests.netns.daemons import TTL, asking, events, heal, listed, lose, names, until
from tests.stopping import stop

SECONDS = float(os.environ.get("DISCOVERYD_LOSS_SECONDS") or 10)
"""Of loss; DISCOVERYD_LOSS_SECONDS=120 is the long run."""

NO_WILL = {"DISCOVERYD_HELLO__LAST_WILL": "off"}
"""A daemon that dies says nothing; tests/netns/test_wills.py has the others."""


def seen_down(stream, name):
    """Wait until a peer is told to be down; give the seconds and the reason."""
    began = time.monotonic()
    for event in stream:
        if event["event"] == "down" and event["peer"]["name"] == name:
            return time.monotonic() - began, event["reason"]
    raise AssertionError("the watch ended")


def test_a_killed_daemon_is_seen_by_all_within_2_5_seconds(lab, fleet):
    hosts, processes, _ = fleet(10, env=NO_WILL)
    took = []
    for victim in (9, 8, 7):
        watching = []
        for host in hosts[:victim]:
            context = asking(host)
            watching.append((context, context.__enter__()))
        streams = [events(client) for _, client in watching]
        killed = time.monotonic()
        processes[victim].kill()
        for stream in streams:
            _, reason = seen_down(stream, hosts[victim].name)
            took.append(time.monotonic() - killed)
            assert "port unreachable" in reason
        for context, _ in watching:
            context.__exit__(None, None, None)
    print(f"killed, seen after: median {statistics.median(took):.2f} s, worst {max(took):.2f} s of {len(took)}")
    assert max(took) < 2.5 * BUSY
    assert statistics.median(took) < 2.0 * BUSY


def test_a_host_that_is_cut_off_is_seen_and_doubts_itself(fleet):
    hosts, _, clients = fleet(6)
    with asking(hosts[0]) as watching:
        stream = events(watching)
        hosts[-1].cable(up=False)
        took, _ = seen_down(stream, "n6")
        assert took < 4.2 * BUSY
    # its link is down: it is the one that is isolated, and says so; the others are not
    until(clients[-1], lambda _: clients[-1].request("status")["isolated"])
    assert clients[0].request("status")["isolated"] is False
    hosts[-1].cable(up=True)
    # it may list them all still, from before: what tells is that it doubts itself no more
    until(clients[-1], lambda peers: len(peers) == 5 and not clients[-1].request("status")["isolated"])
    until(clients[0], lambda peers: len(peers) == 5)


def test_thirty_percent_loss_takes_nobody_down(firewall, fleet):
    hosts, _, clients = fleet(6, lambda host: lose(host, "numgen random mod 100 < 30"))
    with asking(hosts[0]) as watching:
        stream = watching.watch(deadline=time.monotonic() + SECONDS)
        told = []
        with pytest.raises(QueryError, match="sent nothing more in time"):
            told.extend(line["event"] for line in stream)
    print({kind: told.count(kind) for kind in set(told)})
    # a third of all HELLOs is lost: somebody misses two in a row, some twenty times among all; one host alone may not
    assert any("peer suspect" in host.log() for host in hosts)
    for host, client in zip(hosts, clients, strict=True):
        assert "peer down" not in host.log(), host.log()
        assert len(listed(client)) == 5
    # 8 HELLOs of each of 30 pairs; of one host alone, 40, it would be outside by chance one time in thirty
    losses = [peer["loss"] for client in clients for peer in client.request("list")["peers"]]
    assert 0.15 < statistics.mean(losses) < 0.45


def test_a_one_way_path_is_told_by_both_sides(firewall, fleet):
    (a, b), _, (on_a, on_b) = fleet(2)
    until(on_a, lambda peers: peers and peers[0]["two_way"])
    until(on_b, lambda peers: peers and peers[0]["two_way"])
    lose(b)  # b hears nothing; a hears b
    broken = time.monotonic()
    until(on_a, lambda peers: peers and peers[0]["two_way"] is False)
    assert time.monotonic() - broken < 10
    assert "does not hear us" in a.discoveryctl("show", "n2").stdout
    until(on_b, names())
    assert time.monotonic() - broken < 10
    assert "nothing of it arrives here" in b.discoveryctl("show", "n1").stdout
    heal(b)
    until(on_b, names("n1"))


def test_a_daemon_that_was_stopped_knows_who_died_meanwhile(fleet):
    hosts, processes, clients = fleet(5, env=NO_WILL)
    with asking(hosts[0]) as watching, asking(hosts[4]) as asleep:
        stream, own = events(watching), events(asleep)
        stop(processes[4].pid)
        kinds = []
        for event in stream:
            kinds.append(event["event"])
            if event["event"] == "down":
                break
        assert kinds == ["suspect", "down"]
        processes[3].kill()
        until(clients[0], names("n2", "n3"))
        until(clients[0], lambda peers: peers and peers[0]["first_seen_s"] > 12, all=True)  # ten seconds and more
        processes[4].send_signal(signal.SIGCONT)
        shown = {peer["name"]: peer["state"] for peer in clients[4].request("list")["peers"]}
        assert shown.pop("n4", "suspect") == "suspect"
        assert shown == dict.fromkeys(("n1", "n2", "n3"), "up"), "at once"
        first = next(own)
        assert (first["event"], first["peer"]["name"]) == ("suspect", "n4"), "it died long ago, and nobody else has an event"
        assert first["peer"]["last_heard_s"] > TTL
        assert next(own)["event"] == "down"


def test_two_nodes_of_one_id_and_then_one(lab):
    a, b, c = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate("abc", 1))
    a.discoveryd()
    processes = [host.discoveryd(env={"DISCOVERYD_NODE__ID": "golden-image"}) for host in (b, c)]
    with asking(a) as on_a, asking(b) as on_b:
        until(on_a, lambda peers: names("b", "c")(peers) and all(peer["clone"] for peer in peers))
        assert "golden-image" in a.discoveryctl("status").stdout
        until(on_b, lambda peers: names("a", "c")(peers) and {peer["clone"] for peer in peers} == {True, False})
        assert "reset-id" in b.discoveryctl("status").stdout
        processes[1].kill()
        until(on_a, names("b"))
        until(on_a, lambda peers: not peers[0]["clone"])


def test_the_wall_clock_may_step_as_it_likes(fleet):
    """The daemon is given a wall clock that jumps by two days each second."""
    hosts, _, clients = fleet(2)
    code = (
        "import sys, time, discoveryd.runtime.discovery as d\n"
        "real = time.time\n"
        "time.time = lambda: real() + (86400 if int(real()) % 2 else -86400)  # a day ahead, a day behind\n"
        "from discoveryd.daemon import main\n"
        "sys.exit(main(['run']))\n"
    )
    third = hosts[0].lab.host("n3", address="10.77.0.3/24")
    third.popen(sys.executable, "-c", code)
    with asking(third) as on_third:
        until(on_third, names("n1", "n2"))
        until(clients[0], names("n2", "n3"))
        until(on_third, lambda peers: all(peer["first_seen_s"] > 1.5 * TTL for peer in peers))
    assert "peer down" not in third.log() + hosts[0].log()
    assert "peer suspect" not in third.log() + hosts[0].log()
