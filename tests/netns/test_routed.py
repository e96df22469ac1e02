"""Real hosts in routed subnets: one seed by its name leads to all, and is needed for that alone."""

import os
import time
from contextlib import ExitStack

import pytest

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from tests.netns.daemons import asking, events, listed, names, until

PER_SUBNET = int(os.environ.get("DISCOVERYD_ROUTED_HOSTS", "2"))
WITHIN = 15.0 if PER_SUBNET < 5 else 60.0


class Subnets:
    """Three subnets with a router between, and a daemon on each host; the first host of the first is the seed."""

    def __init__(self, lab, stack, settings):
        self.stack = stack
        self.settings = {"DISCOVERYD_HELLO__SEEDS": "[hub.lab]", **settings}
        self.hosts, self.processes, self.clients = {}, {}, {}
        router = lab.host("r", address="10.77.1.254/24", bridge="br1")
        for number in (2, 3):
            router.add_interface(f"eth{number}", f"10.77.{number}.254/24", bridge=f"br{number}")
        router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for subnet in (1, 2, 3):
            for last in range(1, PER_SUBNET + 1):
                name = f"h{subnet}{last}"
                host = lab.host(name, address=f"10.77.{subnet}.{last}/24", bridge=f"br{subnet}")
                host.ip(f"route add default via 10.77.{subnet}.254")
                host.run("sh", "-c", "echo 10.77.1.1 hub.lab > /run/hosts && mount --bind /run/hosts /etc/hosts")
                self.hosts[name] = host

    def start(self, *chosen):
        for name in chosen or self.hosts:
            self.processes[name] = self.hosts[name].discoveryd(env=self.settings)
        self.started = time.monotonic()
        for name in chosen or self.hosts:
            self.clients[name] = self.stack.enter_context(asking(self.hosts[name]))

    def all_listed(self, *without):
        """Wait until each lists all others; return the seconds since the start of the last one."""
        there = [name for name in self.processes if name not in without]
        for name in there:
            until(self.clients[name], names(*(other for other in there if other != name)), within=WITHIN)
        return time.monotonic() - self.started


@pytest.fixture
def subnets(lab):
    with ExitStack() as stack:
        yield lambda **settings: Subnets(lab, stack, settings)


def keyed(tmp_path):
    """Return the settings of a fleet that requires a key."""
    path = tmp_path / "fleet.key"
    write_key(str(path), Key(b"k" * 32))
    return {"DISCOVERYD_SECURITY__MODE": "require", "DISCOVERYD_SECURITY__KEYS": f"[{path}]"}


def test_one_seed_by_name_leads_sealed_subnets_to_each_other(subnets, tmp_path):
    net = subnets(**keyed(tmp_path))
    net.start()
    took = net.all_listed()
    print(f"{len(net.hosts)} hosts complete {took:.2f} s after the last one was started")
    client = net.clients["h21"]
    until(client, lambda _: client.request("status")["routed"]["peers"] == 2 * PER_SUBNET)
    assert client.request("status")["seeds"][0]["state"] == "answers"
    assert net.clients["h11"].request("status")["seeds"][0]["state"] == "here"
    streams = {name: events(net.clients[name]) for name in net.hosts if name != "h11"}
    net.processes.pop("h11").kill()  # its will goes to all
    for stream in streams.values():
        event = next(stream)
        while event["peer"]["name"] != "h11" or event["event"] != "down":
            assert event["event"] != "down"
            event = next(stream)
    net.processes["h31"].terminate()  # a node that was there before finds the others without the seed
    net.processes["h31"].wait(10)
    for name in net.processes:  # those that watched can ask no more
        if name != "h31":
            net.clients[name] = net.stack.enter_context(asking(net.hosts[name]))
    net.start("h31")
    net.all_listed()


def test_in_plain_networks_that_are_named_are_introduced(subnets):
    net = subnets(DISCOVERYD_HELLO__INTRODUCE="[10.77.0.0/16]")
    net.start("h11", "h21", "h31")
    net.all_listed()
    log = "".join(net.hosts[name].log() for name in net.processes)
    assert "level=error" not in log
    assert listed(net.clients["h21"]) == {"h11", "h31"}


def test_a_route_that_leads_elsewhere_keeps_the_row(subnets, tmp_path):
    net = subnets(**keyed(tmp_path))
    net.start("h11", "h21", "h31")
    net.all_listed()
    watching = net.stack.enter_context(asking(net.hosts["h31"]))
    stream = events(watching)
    net.hosts["h21"].ip("address del 10.77.2.1/24 dev eth0", "address add 10.77.2.77/24 dev eth0", "route add default via 10.77.2.254")
    until(net.clients["h31"], lambda peers: {peer["address"] for peer in peers} == {"10.77.1.1", "10.77.2.77"})
    net.processes["h11"].kill()
    for event in stream:
        assert event["event"] not in ("down", "left", "joined", "restarted") or event["peer"]["name"] == "h11"
        if event["event"] == "down":
            break


def test_a_seed_of_ipv6_is_found_by_its_name(lab):
    router = lab.host("r", bridge="br1", ipv6=True)
    router.add_interface("eth1", bridge="br2")
    router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    router.ip("address add fd00:1::fe/64 dev eth0 nodad", "address add fd00:2::fe/64 dev eth1 nodad")
    hosts = [lab.host(f"v{number}", bridge=f"br{number}", ipv6=True) for number in (1, 2)]
    for number, host in enumerate(hosts, 1):
        host.ip(f"address add fd00:{number}::1/64 dev eth0 nodad", f"route add default via fd00:{number}::fe")
        host.run("sh", "-c", "echo fd00:2::1 hub.lab > /run/hosts && mount --bind /run/hosts /etc/hosts")
        process = host.discoveryd(env={"DISCOVERYD_HELLO__SEEDS": '["hub.lab"]'})
    with asking(hosts[0]) as first, asking(hosts[1]) as second:
        (peer,), _ = until(first, names("v2"))
        assert (peer["address"], peer["link"]) == ("fd00:2::1", "")
        until(second, names("v1"))
        assert second.request("status")["seeds"][0]["state"] == "here"
        until(first, lambda peers: [peer["two_way"] for peer in peers] == [True])
        until(second, lambda _: second.request("status")["routed"]["peers"] == 1)
        with asking(hosts[0]) as watching:
            stream = events(watching)
            process.kill()
            down = next(event for event in stream if event["event"] == "down")
            assert down["reason"] == "its process died"  # its will came
