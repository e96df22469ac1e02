"""A daemon that is killed: its witness tells the others, between real hosts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.netns.daemons import asking, events, names, until


def start(lab, count, **options):
    """Start daemons in so many hosts; give the hosts and the processes once the first lists all others, proved."""
    hosts = [lab.host(f"n{last}", address=f"10.77.0.{last}/24") for last in range(1, count + 1)]
    processes = [host.discoveryd(**options) for host in hosts]
    for host in hosts:
        with asking(host) as client:
            others = names(*(other.name for other in hosts if other is not host))
            until(client, lambda peers, others=others: others(peers) and all(peer["two_way"] for peer in peers))
    return hosts, processes


def seen(stream, name):
    """Wait for the first event of a peer; give its kind, its reason and the time."""
    for event in stream:
        if event["peer"]["name"] == name:
            return event["event"], event["reason"], time.monotonic()
    raise AssertionError("the watch ended")


def witness_of(process):
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def kill_and_watch(hosts, process):
    """Kill the daemon of n3; give what the two others see, and print how soon."""
    with asking(hosts[0]) as one, asking(hosts[1]) as two:
        streams = [events(one), events(two)]
        began = time.monotonic()
        process.kill()
        told = [seen(stream, "n3") for stream in streams]
    print("killed, seen after", *(f"{1000 * (at - began):.1f} ms" for *_, at in told))
    return [each[:2] for each in told]


def test_a_kill_is_seen_by_two_others_as_a_death(lab):
    hosts, processes = start(lab, 3)
    witness = witness_of(processes[2])
    assert Path(f"/proc/{witness}/comm").read_text() == "discoveryd-will\n"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGABRT):
        os.kill(witness, number)
    assert kill_and_watch(hosts, processes[2]) == [("down", "its process died")] * 2
    hosts[2].discoveryd()  # while the witness may hold the port
    with asking(hosts[0]) as client:
        until(client, names("n2", "n3"))


def test_a_kill_among_nodes_with_a_key_is_seen_as_a_death(lab, tmp_path):
    key = tmp_path / "group.key"
    subprocess.run([sys.executable, "-m", "discoveryd", "keygen", key], check=True, capture_output=True)
    env = {"DISCOVERYD_SECURITY__MODE": "require", "DISCOVERYD_SECURITY__KEYS": f"[{key}]"}
    hosts, processes = start(lab, 3, env=env)
    assert kill_and_watch(hosts, processes[2]) == [("down", "its process died")] * 2


def test_a_lost_witness_is_told_and_silence_tells(lab):
    hosts, processes = start(lab, 3)
    os.kill(witness_of(processes[2]), signal.SIGKILL)
    with asking(hosts[2]) as client:
        until(client, lambda _: client.request("status")["last_will"] == {"witness": "dead", "datagrams": 0})
    assert "the witness was killed" in hosts[2].discoveryctl("status").stdout
    assert [kind for kind, _ in kill_and_watch(hosts, processes[2])] == ["suspect", "suspect"]


def test_an_orderly_end_leaves_no_will(lab):
    hosts, processes = start(lab, 3)
    with asking(hosts[0]) as one:
        stream = events(one)
        processes[2].terminate()
        assert seen(stream, "n3")[:2] == ("left", "said goodbye")
        assert processes[2].wait(10) == 0
        assert one.request("status")["received"]["will"] == 0
