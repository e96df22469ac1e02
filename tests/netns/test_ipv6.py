"""Daemons that speak IPv6, alone and beside IPv4, between real hosts."""

import os
import select
import signal
import sys
import time

import pytest

from discoveryd.net.reachability import probe, way_to
from discoveryd.protocol.link import GROUP
from discoveryd.protocol.outcome import Send
from tests.net.listening import listen
from tests.netns.daemons import asking, events, heal, names, until
from tests.netns.members import OLD, Member
from tests.netns.test_quiet import PROMPT, STEADY, hear, opened, slept
from tests.runtime.waiting import until as wait_until

PATIENCE = 15.0
MEASURED = "DISCOVERYD_IPV6_MEASURED" in os.environ
"""Whether the times are bars too, as tests/long/run.py has it."""
FIREWALL = """
table ip lab {{
    chain {0} {{
        type filter hook {0} priority 0;
        {1} udp dport 3400 drop
    }}
}}
"""
BROADCASTS = "ip daddr {{ 10.77.0.255, 255.255.255.255 }} ip saddr != {}"


def six(host, interface="eth0"):
    """Give the link-local address of an interface, as other hosts call it where theirs is named alike."""
    for line in host.run("ip", "-6", "-o", "addr", "show", "dev", interface, "scope", "link").stdout.splitlines():
        if "tentative" not in line:
            return f"{line.split()[3].partition('/')[0]}%{interface}"
    return None


def speaks(host, *links, within=PATIENCE):
    """Wait until a daemon uses these links (interface and family); give its status."""
    deadline = time.monotonic() + within
    with asking(host) as client:
        while True:
            status = client.request("status")
            if {(link["name"], link["family"]) for link in status["links"]} == set(links):
                return status
            assert time.monotonic() < deadline, status["links"]
            select.select([], [], [], 0.02)


def alone(peer_of):
    """Hold where one peer is listed and something is true of it."""
    return lambda peers: len(peers) == 1 and peer_of(peers[0])


def test_a_lan_of_ipv6_alone_lives_as_one_of_ipv4(lab):
    a, b = (lab.host(name, ipv6=True) for name in "ab")
    a.discoveryd()
    for ending, event, reason in ((signal.SIGKILL, "down", "its process died"), (signal.SIGTERM, "left", "said goodbye")):
        daemon = b.discoveryd()
        with asking(a) as client, asking(a) as watching:
            [peer], _ = until(client, names("b"))
            assert (peer["address"], peer["addresses"], peer["link"]) == (six(b), [six(b)], "eth0")
            with asking(b) as newcomer:
                _, took = until(newcomer, names("a"))
            if MEASURED:
                assert took < 0.15
            changes = events(watching)
            daemon.send_signal(ending)
            end = next(line for line in changes if line["event"] in ("down", "left"))
            assert (end["event"], end["reason"].startswith(reason)) == (event, True), end
        daemon.wait(PATIENCE)
    b.discoveryd()
    with asking(a) as client, asking(b) as other:
        until(client, names("b"))
        until(other, names("a"))
        # another address
        b.ip(f"addr del {six(b).partition('%')[0]}/64 dev eth0", "addr add fe80::77/64 dev eth0")
        until(client, alone(lambda peer: peer["address"] == "fe80::77%eth0"))
        # the cable, cut and plugged in again
        b.cable(up=False)
        speaks(b)
        until(client, names())
        b.cable(up=True)
        until(client, names("b"))
        # no IPv6 for a while
        b.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        speaks(b)
        b.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
        speaks(b, ("eth0", "ipv6"))
        until(client, alone(lambda peer: peer["address"] == six(b) and peer["state"] == "up"))
        # another name
        b.ip("link set eth0 down", "link set eth0 name lan0", "link set lan0 up")
        until(other, alone(lambda peer: peer["address"] == six(a).replace("eth0", "lan0")))
        # another interface
        b.remove_interface("lan0")
        speaks(b)
        b.add_interface("eth0")
        speaks(b, ("eth0", "ipv6"))
        until(client, alone(lambda peer: peer["address"] == six(b) and peer["state"] == "up"))
        counts = client.request("status")["events"]
        assert (counts["clone"], counts["left"]) == (0, 1)



def test_two_families_are_one_peer_and_hide_nobody(lab, firewall):
    a, b = (lab.host(name, address=f"10.77.0.{last}/24", ipv6=True) for last, name in enumerate("ab", 1))
    for host in (a, b):
        host.discoveryd()
    with asking(a) as client, asking(b) as other:
        [peer], _ = until(client, alone(lambda peer: len(peer["addresses"]) == 2 and peer["two_way"]))
        assert (peer["address"], peer["addresses"][1]) == ("10.77.0.2", six(b))
        until(other, alone(lambda peer: peer["address"] == "10.77.0.1"))
        speaks(a, ("eth0", "ipv4"), ("eth0", "ipv6"))
        # what a says by IPv4 does not get out
        a.run("nft", "-f", "-", input=FIREWALL.format("output", ""))
        until(other, alone(lambda peer: peer["address"] == six(a)))
        deaf = wait_for_path(client, "b", lambda path: path["two_way"] is False)
        assert deaf["address"] == "10.77.0.2"
        shown = a.discoveryctl("show", "b").stdout
        assert [line for line in shown.splitlines() if "10.77.0.2 on eth0:" in line and "one-way" in line], shown
        assert [line for line in shown.splitlines() if f"{six(b)} on eth0 by IPv6:" in line and "one-way" not in line], shown
        heal(a)
        until(other, alone(lambda peer: peer["address"] == "10.77.0.1"))
        for one in (client, other):
            counts = one.request("status")["events"]
            assert (counts["down"], counts["clone"], counts["restarted"]) == (0, 0, 0)


def test_where_broadcasts_are_eaten_ipv6_finds_the_peers(lab, firewall):
    a, b = (lab.host(name, address=f"10.77.0.{last}/24", ipv6=True) for last, name in enumerate("ab", 1))
    for last, host in enumerate((a, b), 1):  # in place of a switch that drops what is for all
        host.run("nft", "-f", "-", input=FIREWALL.format("input", BROADCASTS.format(f"10.77.0.{last}")))
        host.discoveryd()
    for host, other in ((a, b), (b, a)):
        with asking(host) as client:
            [peer], _ = until(client, names(other.name))
            assert peer["address"] == six(other)
            until(client, alone(lambda peer: peer["two_way"]))


def test_an_address_that_is_not_settled_yet_is_waited_for(lab):
    a, b = (lab.host(name, ipv6=True, dad=True) for name in "ab")
    b.ip("link set eth0 down")
    for host in (a, b):
        host.discoveryd()
    speaks(a, ("eth0", "ipv6"))
    speaks(b)
    with asking(a) as client, asking(b) as other:
        b.ip("link set eth0 up")
        while six(b) is None:
            time.sleep(0.005)
        settled = time.monotonic()
        until(client, names("b"))
        until(other, names("a"))
        if MEASURED:
            assert time.monotonic() - settled < 0.15  # the kernel takes 1 to 2 s to settle it
        for one in (client, other):
            status = one.request("status")
            assert not [drop for drop in status["drops"] if drop["reason"] not in ("own-echo", "off-link")]
            assert not status["send_errors"]
    for host in (a, b):
        assert not [line for line in host.log().splitlines() if "level=warning" in line and "no usable link" not in line]


@pytest.mark.skipif(not MEASURED, reason="takes two minutes: set DISCOVERYD_IPV6_MEASURED=1, or run tests/long/run.py")
@pytest.mark.parametrize("kind", ["kept", "optimistic"])
def test_after_carrier_a_peer_is_listed_in_time(lab, kind):
    """Where the address outlives the cable, and where the kernel lets a new one speak at once (RFC 4429)."""
    a, b = (lab.host(name, ipv6=True, dad=True) for name in "ab")
    b.run("sysctl", "-qw", f"net.ipv6.conf.eth0.optimistic_dad={int(kind == 'optimistic')}")
    for host in (a, b):
        host.discoveryd()
    speaks(a, ("eth0", "ipv6"))
    speaks(b, ("eth0", "ipv6"))
    times = []
    with asking(a) as client, asking(b) as other:
        for up in [True, *[False, True] * 20]:
            if kind == "kept":
                b.cable(up=up)
            else:
                b.ip(f"link set eth0 {'up' if up else 'down'}")
            began = time.monotonic()
            until(client, names(*"b"[:up]))
            until(other, names(*"a"[:up]))
            times += [time.monotonic() - began] * up
    print(f"{kind}: {sorted(times[1:])}")
    assert max(times[1:]) < 1.6


def test_an_address_of_another_machine_is_not_used(lab):
    a, b = (lab.host(name, address=f"10.77.0.{last}/24", ipv6=True, dad=True) for last, name in enumerate("ab", 1))
    for host in (a, b):
        host.ip("link set eth0 addrgenmode none", "addr flush dev eth0 scope link")
    a.ip("addr add fe80::5/64 dev eth0 nodad")
    b.ip("addr add fe80::5/64 dev eth0")
    for host in (a, b):
        host.discoveryd()
    speaks(a, ("eth0", "ipv4"), ("eth0", "ipv6"))
    with asking(b) as client:
        [peer], _ = until(client, names("a"))
        assert peer["address"] == "10.77.0.1"
        deadline = time.monotonic() + PATIENCE
        while not (told := client.request("status"))["unlinked"]:
            assert time.monotonic() < deadline
            select.select([], [], [], 0.02)
    assert [link["family"] for link in told["links"]] == ["ipv4"]
    assert told["unlinked"] == [{"name": "eth0", "address": "fe80::5%eth0", "prefix": 64, "reason": "duplicate"}]
    assert "shared-address" in {finding["code"] for finding in told["findings"]}


RECORDER = """
import socket, struct, sys
ear = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
ear.bind(("::", 3400))
index = socket.if_nametoindex("eth0")
group = socket.inet_pton(socket.AF_INET6, "ff12::d15c:3400") + struct.pack("@i", index)
ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, int(sys.argv[1]))
print("ready", flush=True)
heard = [ear.recv(2048) for _ in range(8)]
for datagram in heard:
    ear.sendto(datagram, ("ff12::d15c:3400", 3400, 0, index))
print(len(heard), flush=True)
"""


def test_keys_hold_by_both_families_and_a_reload_changes_these(lab):
    a, b = fleet = [Member(lab, number, ipv6=True) for number in (1, 2)]
    for one in fleet:
        one.write("require", OLD)
        one.start()
    with asking(a.host) as client, asking(b.host) as other:
        [peer], _ = until(client, alone(lambda peer: len(peer["addresses"]) == 2 and peer["two_way"]))
        assert (peer["key"], peer["address"]) == (OLD.id, "10.77.0.2")
        until(other, alone(lambda peer: len(peer["addresses"]) == 2))
        # a recording, from another address; and one from beyond the link, as its hop limit says
        for hops, reasons in (("255", {"bad-seal", "replayed"}), ("254", {"hop-limit"})):
            evil = lab.host(f"evil{hops}", ipv6=True)
            recorder = evil.popen(sys.executable, "-c", RECORDER, hops, stdout=-1)
            assert recorder.stdout.readline() == "ready\n"
            for one in fleet:
                one.reload()  # which says something by each family
                one.write("require", OLD, tags=f"{{round: '{hops}'}}")
                one.reload()
            assert recorder.stdout.readline() == "8\n"
            counted(client, reasons, 1)
        [peer], _ = until(client, names("n2"))
        assert (peer["clone"], peer["restarts"]) == (False, 0)
        # one family, the other, both
        for families in (["ipv6"], ["ipv4"], ["ipv4", "ipv6"]):
            a.write("require", OLD, families=families)
            a.reload()
            speaks(a.host, *(("eth0", family) for family in families))
            wanted = "10.77.0.2" if "ipv4" in families else six(b.host)
            until(client, alone(lambda peer, wanted=wanted: peer["address"] == wanted and peer["two_way"]))
        assert client.request("status")["events"]["down"] == 0


def counted(client, reasons, least):
    """Wait until so many datagrams were dropped for these reasons."""
    deadline = time.monotonic() + PATIENCE
    while True:
        drops = client.request("status")["drops"]
        if sum(drop["count"] for drop in drops if drop["reason"] in reasons) >= least:
            return
        assert time.monotonic() < deadline, drops
        time.sleep(0.02)


def test_what_a_machine_answers_by_ipv6_is_known(lab, firewall):
    a, b = (lab.host(name, ipv6=True) for name in "ab")
    wait_until(lambda: six(a) and six(b))  # the kernel gives them a moment after the interfaces are up
    address, nobody = six(b), "fe80::99%eth0"
    with a.namespace():
        assert probe(address, 3400) == ("refused", "refused", True)
        assert way_to(address) is None  # its zone says it
    b.run("nft", "-f", "-", input=FIREWALL.format("input", "").replace("table ip ", "table ip6 "))
    with a.namespace():
        assert probe(address, 3400) == ("silent", "refused", True)
        assert probe(nobody, 3400)[:2] == ("no-machine", "no-machine")


def test_by_multicast_a_steady_hello_wakes_nobody(lab):
    a, b = (lab.host(name, ipv6=True) for name in "ab")
    with opened(a, families=("ipv6",)) as here, opened(b, families=("ipv6",)) as there:
        assert here.has_quiet_socket
        ([link], [mine]) = there.others, here.others

        def say(datagram, to=GROUP):
            assert there.send([Send(datagram, link, to)]) == []

        deadline = time.monotonic() + PATIENCE
        while not listen(here, 0.1, is_calm=True).datagrams:  # until the switch forwards
            assert time.monotonic() < deadline
            say(PROMPT)
        while listen(here, 0.1, is_calm=True).datagrams:
            pass
        say(STEADY % 1)
        assert slept(here) == [STEADY % 1]
        for datagram, to in ((PROMPT, GROUP), (PROMPT, mine.address), (STEADY % 2, mine.address)):
            say(datagram, to)
            [(heard, source, _)] = hear(here, 1)
            assert (heard, source.address, source.unicast) == (datagram, link.address.partition("%")[0] + "%eth0", to != GROUP)
        # in a flood the filters of both keep their portions
        assert here.sample([source.address], 0.5) is None
        say(STEADY % 3)
        assert slept(here) == [STEADY % 3]
        assert here.sample([], 1.0) is None
        assert here.drops == {}


def wait_for_path(client, name, holds):
    """Ask for a peer until one of its paths is so; give that path."""
    deadline = time.monotonic() + PATIENCE
    while True:
        [peer] = client.request("show", peer=name)["peers"]
        if found := [path for path in peer["paths"] if holds(path)]:
            return found[0]
        assert time.monotonic() < deadline, peer["paths"]
        time.sleep(0.05)

