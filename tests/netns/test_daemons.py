"""What the README promises, between real hosts: real sockets, real processes, no configuration."""

import signal
import statistics
import sys
import time

import pytest

from discoveryd.net.query_client import QueryClient
from tests.conftest import BUSY
from tests.netns.daemons import TTL, asking, events, listed, names, until


@pytest.fixture
def pair(lab):
    """Two hosts, a daemon on each."""
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    return a, b, a.discoveryd(), b.discoveryd()


def test_two_hosts_find_each_other_without_configuration(lab):
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    a.discoveryd()
    with asking(a) as on_a:
        until(on_a, names())
        began = time.monotonic()
        b.discoveryd()
        with asking(b) as on_b:
            until(on_a, names("b"))
            (peer,), _ = until(on_b, names("a"))
            took = time.monotonic() - began
    assert took < 1.0 * BUSY, "the whole of it, start of Python included"
    assert (peer["address"], peer["link"], peer["state"], peer["kind"]) == ("10.77.0.1", "eth0", "up", "node")


def test_of_200_addresses_one_speaks_and_all_are_heard(lab):
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.201/24")
    a.ip(*(f"addr add 10.77.0.{last}/24 dev eth0" for last in range(2, 201)))
    a.discoveryd()
    b.discoveryd()
    with asking(a) as on_a, asking(b) as on_b:
        until(on_b, lambda peers: any(peer["two_way"] and peer["loss"] is not None for peer in peers))
        (peer,) = on_b.request("show", peer="a")["peers"]
        assert (peer["address"], peer["loss"], len(peer["paths"])) == ("10.77.0.1", 0.0, 1)
        assert on_b.request("status")["events"].get("updated", 0) == 0
        status = on_a.request("status")
        (link,) = status["links"]
        assert (link["address"], link["other_addresses"]) == ("10.77.0.1", 199)
        # a burst of three, and what was asked for; the rest are beats
        assert link["sent"] - 8 <= 1.4 * status["uptime_s"]
        probe = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 34001))\n"
            "s.sendto(b'HELLO|', ('10.77.0.150', 3400))"
        )
        b.python(probe)
        peers, _ = until(on_a, names("b", "10.77.0.201"))
        assert {peer["link"] for peer in peers} == {"eth0"}


def test_a_machine_of_odd_name_starts_and_may_be_renamed(lab):
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    b.run(sys.executable, "-c", "import socket; socket.sethostname(b'caf\\xe9\\x1b')")
    a.discoveryd()
    b.discoveryd()
    with asking(a) as on_a, asking(b):
        until(on_a, names("caf--"))
        stream = events(on_a)
        before = on_a.request("status")["events"]["updated"]
        b.run("hostname", "dora")
        began = time.monotonic()
        event = next(line for line in stream if line["event"] == "updated")
        assert event["peer"]["name"] == "dora"
        assert time.monotonic() - began < 3.0 * BUSY
        assert on_a.request("status")["events"]["updated"] == before + 1
    assert "cannot be announced as it is" in b.log()


def test_a_leaving_peer_is_gone_at_once(pair):
    a, b, _, second = pair
    with asking(a) as on_a, asking(b) as on_b:
        until(on_a, names("b"))
        until(on_b, names("a"))
        began = time.monotonic()
        second.send_signal(signal.SIGTERM)
        until(on_a, names())
        assert time.monotonic() - began < 0.2 * BUSY
        assert second.wait(5) == 0
        assert time.monotonic() - began < 1.0 * BUSY
        (gone,) = on_a.request("list", all=True)["peers"]
        assert (gone["name"], gone["state"]) == ("b", "left")


def test_a_killed_peer_is_never_listed_after_its_ttl(pair):
    a, b, _, second = pair
    with asking(a) as on_a, asking(b):
        until(on_a, names("b"))
        second.kill()
        killed = time.monotonic()
        seen = []

        def is_gone(peers):
            seen.extend(peers)
            return not peers

        until(on_a, is_gone)
        took = time.monotonic() - killed
    assert all(peer["last_heard_s"] < TTL and peer["expires_s"] > 0 for peer in seen)
    assert took < TTL + 0.1 * BUSY


def test_an_address_change_leaves_the_other_links_alone(lab):
    a, b, c = (lab.host(name) for name in "abc")
    for host, last in ((a, 1), (b, 2)):
        host.set_address(None, f"10.77.0.{last}/24")
    b.add_interface("eth1", "10.78.0.2/24", bridge="br1")
    c.remove_interface("eth0")
    c.add_interface("eth1", "10.78.0.3/24", bridge="br1")
    for host in (a, b, c):
        host.discoveryd()
    with asking(a) as on_a, asking(b) as on_b, asking(b) as watching:
        until(on_a, names("b"))
        until(on_b, names("a", "c"))
        stream = events(watching)
        b.set_address("10.77.0.2/24", "10.77.0.99/24")
        changed = time.monotonic()
        until(on_a, lambda peers: peers and "10.77.0.99" in peers[0]["addresses"])
        assert time.monotonic() - changed < 2.0 * BUSY
        until(on_a, lambda peers: peers and peers[0]["address"] == "10.77.0.99")
        assert time.monotonic() - changed < 2.5 * BUSY
        until(on_a, lambda peers: peers and peers[0]["addresses"] == ["10.77.0.99"])
        # a heard it, and it still hears a; of c, on the other link, nothing was said at all
        assert listed(on_b) == {"a", "c"}
        c_row = on_b.request("show", peer="c")["peers"][0]
        assert c_row["first_seen_s"] > time.monotonic() - changed
        a.set_address("10.77.0.1/24", "10.77.0.98/24")
        told = next(event for event in stream if event["peer"]["name"] == "a")
        assert told["event"] == "updated"


def test_an_interface_that_appears_after_the_start(lab):
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b")
    b.remove_interface("eth0")
    a.discoveryd()
    b.discoveryd()
    with asking(a) as on_a, asking(b) as on_b:
        assert on_b.request("status")["links"] == []
        b.add_interface("eth0", "10.77.0.2/24")
        plugged = time.monotonic()
        until(on_a, names("b"))
        until(on_b, names("a"))
        assert time.monotonic() - plugged < 2.0 * BUSY


def test_a_cable_pulled_and_plugged_in_again(pair):
    a, b, *_ = pair
    with asking(a) as on_a, asking(b) as on_b:
        until(on_a, names("b"))
        until(on_b, names("a"))
        b.cable(up=False)
        until(on_b, names())
        until(on_a, names())
        b.cable(up=True)
        plugged = time.monotonic()
        until(on_b, names("a"))
        until(on_a, names("b"))
        assert time.monotonic() - plugged < 2.0 * BUSY


def test_a_peer_on_two_links_is_one_row(lab):
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    a.add_interface("eth1", "10.78.0.1/24", bridge="br1")
    b.add_interface("eth1", "10.78.0.2/24", bridge="br1")
    a.discoveryd()
    b.discoveryd()
    with asking(a) as on_a:
        until(on_a, lambda peers: peers and set(peers[0]["addresses"]) == {"10.77.0.2", "10.78.0.2"})
        b.cable(up=False)  # eth0
        (peer,), _ = until(on_a, lambda peers: peers and peers[0]["addresses"] == ["10.78.0.2"])
        assert (peer["address"], peer["link"], peer["state"]) == ("10.78.0.2", "eth1", "up")


def test_odd_prefixes_hear_each_other(lab):
    a, b = lab.host("a", address="172.16.3.1/20"), lab.host("b", address="172.16.14.2/20")
    a.discoveryd()
    b.discoveryd()
    with asking(a) as on_a:
        until(on_a, names("b"))


def routed(lab):
    """Give two hosts in two networks with a router between, through which no broadcast passes."""
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.99.0.2/24", bridge="br1")
    router = lab.host("r", address="10.77.0.254/24")
    router.add_interface("eth1", "10.99.0.254/24", bridge="br1")
    router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    a.ip("route add default via 10.77.0.254")
    b.ip("route add default via 10.99.0.254")
    return a, b


def test_seeds_reach_where_no_broadcast_does(lab):
    a, b = routed(lab)
    a.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[10.99.0.2]"})
    b.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[10.77.0.1]"})
    with asking(a) as on_a, asking(b) as on_b:
        (peer,), _ = until(on_a, names("b"))
        until(on_b, names("a"))
        assert (peer["address"], peer["link"]) == ("10.99.0.2", "")


def test_a_seed_is_found_by_name_and_followed_elsewhere(lab):
    a, b = routed(lab)
    a.run("sh", "-c", "echo 10.99.0.9 hub.lab > /run/hosts && mount --bind /run/hosts /etc/hosts")
    a.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[hub.lab, nobody.lab]"})
    b.discoveryd()
    with asking(a) as on_a, asking(b) as on_b:
        until(on_a, lambda _: [one["state"] for one in on_a.request("status")["seeds"]] == ["silent", "unresolved"])
        a.run("sh", "-c", "echo 10.99.0.2 hub.lab > /run/hosts")
        a.ip("address add 10.66.0.1/24 dev eth0")  # names are asked for when a link changes
        (peer,), _ = until(on_a, names("b"))
        assert (peer["address"], peer["link"]) == ("10.99.0.2", "")
        until(on_b, names("a"))
    assert a.log().count('does not resolve" seed=nobody.lab') == 1


def test_seeds_are_reached_where_no_interface_can_broadcast(lab):
    """As over WireGuard: each host has a /32 and a route to the other."""
    a, b = lab.host("a", address="10.77.0.1/32"), lab.host("b", address="10.77.0.2/32")
    a.ip("route add 10.77.0.2/32 dev eth0")
    b.ip("route add 10.77.0.1/32 dev eth0")
    a.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[10.77.0.1, 10.77.0.2]"})  # the same on both
    with asking(a) as on_a:
        until(on_a, lambda _: [one["state"] for one in on_a.request("status")["seeds"]] == ["here", "silent"])
        status = on_a.request("status")
        assert status["unlinked"] == [
            {"name": "eth0", "address": "10.77.0.1", "prefix": 32, "reason": "no-broadcast-address"}
        ]
        assert [finding["code"] for finding in status["findings"]] == ["no-link"]
        b.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[10.77.0.1, 10.77.0.2]"})
        until(on_a, lambda peers: [(peer["name"], peer["two_way"]) for peer in peers] == [("b", True)])
        assert on_a.request("status")["findings"] == []
        with asking(b) as on_b:
            until(on_b, names("a"))
    assert "without_broadcast=eth0" in a.log()


def test_a_seed_may_answer_from_another_of_its_addresses(lab):
    a, b = routed(lab)
    b.ip("address add 10.98.0.2/32 dev lo")
    lab.hosts["r"].ip("route add 10.98.0.2/32 via 10.99.0.2")
    a.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[10.98.0.2]"})
    b.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[10.77.0.1]"})
    with asking(a) as on_a, asking(b) as on_b:
        (peer,), _ = until(on_a, lambda peers: [one["two_way"] for one in peers] == [True])
        assert (peer["name"], peer["address"]) == ("b", "10.99.0.2")
        until(on_b, lambda peers: [one["two_way"] for one in peers] == [True])


def test_realms_do_not_mix(lab):
    a, b, c = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate("abc", 1))
    for host, realm in ((a, "blue"), (b, "red"), (c, "blue")):
        host.discoveryd(env={"DISCOVERYD_HELLO__REALM": realm})
    with asking(a) as on_a:
        until(on_a, names("c"))
        until(on_a, lambda _: any(drop["reason"] == "other-realm" for drop in on_a.request("status")["drops"]))
        assert listed(on_a) == {"c"}


def test_two_nodes_of_one_id_stay_visible_both(lab):
    a, b, c = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate("abc", 1))
    a.discoveryd()
    for host in (b, c):
        host.discoveryd(env={"DISCOVERYD_NODE__ID": "golden-image"})
    with asking(a) as on_a, asking(b) as on_b:
        peers, _ = until(on_a, lambda peers: names("b", "c")(peers) and all(peer["clone"] for peer in peers))
        assert {peer["address"] for peer in peers} == {"10.77.0.2", "10.77.0.3"}
        # each of the two sees the other as well, and knows what it is
        peers, _ = until(on_b, names("a", "c"))
        assert {peer["name"]: peer["clone"] for peer in peers} == {"a": False, "c": True}


def test_a_restarted_daemon_is_one_event(lab):
    """With a last will it would be two: the death is told before it is back."""
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    a.discoveryd()
    second = b.discoveryd(env={"DISCOVERYD_HELLO__LAST_WILL": "off"})
    with asking(a) as on_a, asking(a) as watching:
        until(on_a, names("b"))
        stream = events(watching)
        second.kill()
        second.wait(5)
        b.discoveryd()
        event = next(stream)
        assert (event["event"], event["peer"]["name"], event["peer"]["restarts"]) == ("restarted", "b", 1)
        assert listed(on_a) == {"b"}


def test_ping_measures_the_path(pair):
    a, b, *_ = pair
    with asking(a) as on_a, asking(b) as on_b:
        until(on_a, names("b"))
        until(on_b, names("a"))
        reply = on_a.request("ping", peer="b", count=3, timeout=10)
        assert (reply["sent"], reply["received"]) == (3, 3)
        assert all(0 < rtt < 1000 for rtt in reply["rtt_ms"])
        assert reply["hears_us_s"] < TTL
        (peer,) = on_a.request("show", peer="b")["peers"]
        assert peer["two_way"] is True


def test_ten_daemons_know_each_other(lab):
    hosts = [lab.host(f"n{last}", address=f"10.77.0.{last}/24") for last in range(1, 11)]
    listener = hosts[0].popen(
        "python3", "-c",
        "import socket, sys\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))\n"
        "while True:\n"
        "    p = s.recv(2048)\n"
        # in one write, where print makes several: the log is that of the daemon, too, and is read meanwhile
        "    if p[9] == 17: sys.stdout.write(f\"{len(p) - 28} {p[28:68].decode('ascii', 'replace')} {p[16:20].hex()}\\n\")\n",
    )  # fmt: skip
    for host in hosts:
        host.discoveryd()
    clients = []
    try:
        for host in hosts:
            client = asking(host)
            clients.append((host, client, client.__enter__()))
        for host, _, client in clients:
            until(client, names(*(other.name for other in hosts if other is not host)))

        def sizes():
            return [int(line.split()[0]) for line in hosts[0].log().splitlines() if " HELLO|2|" in line]

        # what is steady is one field short of a record, and small; most are, a few beats after the start
        until(clients[0][2], lambda _: len(sizes()) > 60 and statistics.median(sizes()) <= 128)
        assert max(sizes()) <= 1024
    finally:
        for _, context, _ in clients:
            context.__exit__(None, None, None)
    listener.kill()


def test_the_readme_script_is_a_bare_peer_that_expires(lab):
    """Ten lines that anybody would write, afresh: no code of ours."""
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    script = b.popen(
        "python3", "-c",
        "import socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
        "while True:\n"
        "    s.sendto(b'HELLO|', ('10.77.0.255', 3400))\n"
        "    time.sleep(0.8)\n",
    )  # fmt: skip
    a.discoveryd()
    with asking(a) as on_a:
        (peer,), _ = until(on_a, names("10.77.0.2"))
        assert (peer["kind"], peer["id"], peer["name"], peer["boot"]) == ("bare", "10.77.0.2", None, "")
        script.kill()
        ended = time.monotonic()
        until(on_a, names())
        assert time.monotonic() - ended < TTL + 0.1 * BUSY
        (gone,) = on_a.request("list", all=True)["peers"]
        assert gone["state"] == "down"


def test_a_simple_listener_survives_all_we_send(lab):
    """Ten lines that decode and print each datagram, with a buffer of 1024 bytes, beside daemons at work."""
    a, b, c = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate("abc", 1))
    listener = c.popen(
        "python3", "-c",
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.bind(('', 3400))\n"
        "while True:\n"
        "    data, source = s.recvfrom(1024)\n"
        "    fields = data.decode('ascii').split('|')\n"
        "    print(len(data), fields[0], source[0], source[1], len(fields), flush=True)\n",
    )  # fmt: skip
    long = "{" + ", ".join(f'"k{n}": "{"v|" * 15}"' for n in range(4)) + "}"
    first = a.discoveryd(env={"DISCOVERYD_NODE__TAGS": long, "DISCOVERYD_HELLO__SEEDS": "[10.77.0.3]"})
    second = b.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": "[10.77.0.3]"})
    with asking(a) as on_a:
        until(on_a, names("b"))
        until(on_a, lambda _: c.log().count("HELLO") > 36)  # bursts, beats, and full ones again
    for process in (first, second):
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert listener.poll() is None, "the listener died"
    lines = [line.split() for line in c.log().splitlines()]
    assert {line[1] for line in lines} == {"HELLO"}
    assert {line[2] for line in lines} == {"10.77.0.1", "10.77.0.2"}
    assert {line[3] for line in lines} == {"3400"}, "the source port is 3400 as well"
    assert {line[4] for line in lines} == {"10", "12", "13"}, "no field of ours holds a separator"
    assert max(int(line[0]) for line in lines) > 500, "a record was among them"


def test_the_udp_port_is_taken(lab):
    a = lab.host("a", address="10.77.0.1/24")
    a.popen("python3", "-c", "import socket, signal\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.bind(('', 3400))\n"
            "print('bound', flush=True)\n"
            "signal.pause()\n")  # fmt: skip
    deadline = time.monotonic() + 5
    while "bound" not in a.log():
        assert time.monotonic() < deadline
    done = a.run(sys.executable, "-m", "discoveryd", "run", check=False)
    assert done.returncode == 1
    assert "UDP port 3400 is taken by python3" in done.stderr
    assert "Traceback" not in done.stderr
    with a.namespace(), pytest.raises(Exception, match="no daemon answers"):
        QueryClient().connect()
