"""The doctor on a street of broken machines: each fault is named, on the right side, with what helps."""

import json
import os
import select
import signal
import time

import pytest

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from tests.netns.daemons import asking, lose, names, until
from tests.stopping import stop

PATIENCE = 20.0
ASKS = int(os.environ.get("DISCOVERYD_DOCTOR_ASKS") or 3)
"""Times that each healthy machine is asked; tests/long/run.py has it 50 times."""
CHAIN = "table inet filter {{ chain {hook} {{ type filter hook {hook} priority 0; {rules} }}; }}"
FIRST, SECOND = Key(bytes(range(32))), Key(bytes(range(1, 33)))


def report(host, *peer):
    """Run the doctor on a host; give its report, the exit code, and the seconds it took."""
    began = time.monotonic()
    done = host.discoveryctl("doctor", *peer, "--json", check=False)
    assert not done.stderr
    return json.loads(done.stdout), done.returncode, time.monotonic() - began


def until_verdict(host, wanted, *peer):
    """Ask the doctor until the verdict is that; give the report."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found, code, took = report(host, *peer)
        if found["verdict"] == wanted or time.monotonic() > deadline:
            assert (found["verdict"], code) == (wanted, int(wanted != "healthy")), (host.name, peer, found)
            assert took < 5.0
            return found


def until_found(host, code):
    """Ask the doctor until it has found something of that kind."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found, _, _ = report(host)
        if code in {finding["code"] for finding in found["findings"]}:
            return
        assert time.monotonic() < deadline, found


def firewall(host, hook, rules):
    host.run("nft", "-f", "-", input=CHAIN.format(hook=hook, rules=rules))


def configured(host, directory, text, key=None):
    """Start a daemon with a configuration, and perhaps a key."""
    if key:
        write_key(str(directory / f"{host.name}.key"), key)
    path = directory / f"{host.name}.yaml"
    path.write_text(text)
    return host.discoveryd("--config", str(path))


def address(host):
    return f"10.77.0.{host.last}"


@pytest.fixture
def street(lab):
    """Give a function that makes hosts of one network, by their names; those after ``bridge=`` are on another switch."""

    def make(*names, **others):
        hosts = []
        placed = [(name, "br0") for name in names] + [(name, bridge) for bridge, more in others.items() for name in more]
        for last, (name, bridge) in enumerate(placed, 1):
            host = lab.host(name, address=f"10.77.0.{last}/24", bridge=bridge)
            host.last = last
            host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")  # its faults are those of IPv4
            hosts.append(host)
        return hosts

    return make


@pytest.mark.usefixtures("firewall")
def test_firewalls_are_named_on_both_sides_and_opened(street):
    well, shut, closed, rejects, mute, halfway = hosts = street("well", "shut", "closed", "rejects", "mute", "halfway")
    firewall(shut, "input", "udp dport 3400 drop;")
    firewall(closed, "input", "policy drop; ct state established accept; iif lo accept;")
    firewall(rejects, "input", "udp dport 3400 reject with icmp type admin-prohibited;")
    firewall(mute, "output", "udp dport 3400 drop;")
    # lost on the way: its own broadcasts come back to it, those of the others do not arrive
    firewall(halfway, "input", f"ip saddr != {address(halfway)} udp dport 3400 drop;")
    for host in hosts:
        host.discoveryd()
    remedies = {}
    for host in (shut, closed, rejects):
        found = until_verdict(host, "own-firewall-in")
        [finding] = [one for one in found["findings"] if one["severity"] == "high"]
        assert (finding["certainty"], finding["subject"], finding["evidence"]["echoed"]) == ("proven", "eth0", 0)
        remedies[host] = finding["remedy"]
        seen = until_verdict(well, "peer-firewall-in", host.name)
        assert seen["certainty"] == "proven"
        assert address(host) in seen["findings"][0]["text"]
    assert "rule" in until_verdict(shut, "own-firewall-in")["findings"][0]["evidence"]["rules"][0]
    assert "policy" in until_verdict(closed, "own-firewall-in")["findings"][0]["evidence"]["rules"][0]
    found = until_verdict(mute, "own-firewall-out")
    assert found["findings"][0]["evidence"]["error"].startswith("EPERM")
    remedies[mute] = found["findings"][0]["remedy"]
    until_verdict(well, "peer-deaf", halfway.name)
    assert until_verdict(halfway, "healthy")["findings"][0]["code"] == "nothing-heard"
    for host, [command] in remedies.items():
        host.run("sh", "-c", command)
    halfway.run("nft", "delete table inet filter")
    with asking(well) as client:
        until(client, lambda peers: {peer["name"] for peer in peers if peer["two_way"]} >= {host.name for host in remedies})
    for host in remedies:
        until_verdict(host, "healthy")


def test_a_machine_that_is_missing_is_asked(street, lab):
    well, stopped, isolated, hung, other = street("well", "stopped", "isolated", "hung", "other")
    daemons = {host: host.discoveryd() for host in (well, isolated, hung)}
    with asking(well) as client:
        until(client, lambda peers: {peer["name"] for peer in peers if peer["two_way"]} == {"isolated", "hung"})
    other.discoveryd(env={"DISCOVERYD_HELLO__PORT": "3499", "DISCOVERYD_QUERY__LISTEN": "127.0.0.1:3400"})
    isolated.cable(up=False)
    stop(daemons[hung].pid)
    try:
        assert until_verdict(well, "not-running", address(stopped))["certainty"] == "proven"
        until_verdict(well, "not-running", address(other))
        until_verdict(well, "port-silent", "hung")
        # as long as the kernel remembers its hardware address nobody can tell a firewall from a cable
        assert report(well, "isolated")[0]["verdict"] in ("no-answer", "no-such-machine")
        found = until_verdict(well, "no-such-machine", "10.77.0.99")
        assert [finding["code"] for finding in found["findings"]] == ["no-such-machine"]
        assert until_verdict(well, "peer-unknown", "nobody")["peers"] == []
    finally:
        daemons[hung].send_signal(signal.SIGCONT)
    isolated.cable(up=True)
    with asking(well) as client:
        until(client, lambda peers: {peer["name"] for peer in peers} == {"isolated", "hung"})
    until_verdict(well, "healthy", "hung")


EATS = """table bridge filter {{
    chain forward {{
        type filter hook forward priority 0;
        oifname {{ {} }} ether daddr ff:ff:ff:ff:ff:ff udp dport 3400 drop
    }}
}}"""


@pytest.mark.usefixtures("firewall")
def test_what_lies_between_is_told_by_the_answers_of_others(street, lab, tmp_path):
    """A switch with isolated ports, another VLAN, a switch that eats broadcasts: the peer is asked, and witnesses."""
    well, witness, apart, vlan, here, there = hosts = street("well", "witness", "apart", br1=["vlan"], br2=["here", "there"])
    for host in (well, apart):
        lab.switch.run("bridge", "link", "set", "dev", lab.ports[host.name, "eth0"], "isolated", "on")
    lab.switch.run("nft", "-f", "-", input=EATS.format(", ".join(lab.ports[host.name, "eth0"] for host in (here, there))))
    settings = tmp_path / "here.yaml"
    settings.write_text("{}")
    for host in hosts:
        host.discoveryd(*(["--config", str(settings)] if host is here else []))
    with asking(well) as client, asking(witness) as other:
        until(other, names("well", "apart"))
        until(client, lambda peers: [peer["name"] for peer in peers if peer["two_way"]] == ["witness"])
    found = until_verdict(well, "client-isolation", "apart")  # it was never heard here: the witness knows its address
    assert (found["certainty"], found["findings"][0]["subject"]) == ("likely", address(apart))
    assert "witness (10.77.0.2) hears it" in found["findings"][0]["text"]
    found = until_verdict(well, "no-such-machine", address(vlan))
    assert "witness (10.77.0.2) does not hear it either" in found["findings"][0]["text"]
    found = until_verdict(here, "broadcasts-lost", address(there))
    assert (found["certainty"], found["findings"][0]["evidence"]["hears_us_s"]) == ("proven", None)
    assert here.discoveryctl("ping", address(there)).stdout.startswith(f"{address(there)} (not listed): 1 of 1 questions answered")
    [remedy] = found["findings"][0]["remedy"]
    key, value = remedy.split(": ")
    settings.write_text(f"hello: {{{key.removeprefix('hello.')}: {value}}}\n")
    here.discoveryctl("reload")
    with asking(there) as client:
        _, took = until(client, names("here"))
    assert took < 2.0
    lab.switch.run("bridge", "link", "set", "dev", lab.ports["well", "eth0"], "isolated", "off")
    with asking(well) as client:
        until(client, names("witness", "apart"))
    until_verdict(well, "healthy", "apart")


def test_groups_prefixes_and_identities_are_told_apart(street, tmp_path):
    well, realm, sealed, strict, narrow, excluded = street("well", "realm", "sealed", "strict", "narrow", "excluded")
    narrow.ip("addr flush dev eth0", f"addr add {address(narrow)}/30 dev eth0")
    well.discoveryd()
    realm.discoveryd(env={"DISCOVERYD_HELLO__REALM": "lab2"})
    configured(sealed, tmp_path, "security: {mode: accept, keys: [sealed.key]}\n", FIRST)
    configured(strict, tmp_path, "security: {mode: require, keys: [strict.key]}\n", SECOND)
    narrow.discoveryd()
    excluded.discoveryd(env={"DISCOVERYD_HELLO__INTERFACES": "[eth7]"})
    found = until_verdict(well, "dropped", address(realm))
    assert "other-realm (lab2)" in found["findings"][0]["text"]
    until_found(realm, "other-realm")
    found = until_verdict(well, "dropped", address(strict))
    assert found["findings"][0]["evidence"]["reason"] == "sealed"
    until_found(strict, "unknown-key")
    until_found(strict, "plain-refused")
    until_verdict(narrow, "other-prefix", address(well))
    until_verdict(excluded, "interface-excluded")


def test_routes_that_lead_elsewhere_are_named(street):
    """A VPN that took the network, and the kernel's filter where the way back to a neighbour is another interface."""
    vpn, strict, there, twofold = hosts = street("vpn", "strict", "there", "twofold")
    twofold.add_interface("eth1", "10.77.0.104/24")  # two cables into one network, of which the filter wants one
    for host in (vpn, strict):
        host.add_interface("wg0", f"10.99.0.{host.last}/24", bridge="away")
    vpn.ip(f"route add {address(there)}/32 dev wg0")
    for host, interface in ((strict, "eth0"), (twofold, "eth1")):
        host.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv4/conf/{interface}/rp_filter")
    strict.ip(f"route add {address(there)}/32 dev wg0")
    for host in hosts:
        host.discoveryd(env={"DISCOVERYD_HELLO__INTERFACES": "[eth*]"})
    found = until_verdict(vpn, "routed-elsewhere", "there")
    assert found["findings"][0]["evidence"] == {"heard_on": ["eth0"], "routed_by": ["wg0"], "source": "10.99.0.1"}
    until_verdict(strict, "rp-filter")
    until_verdict(twofold, "rp-filter")
    until_verdict(vpn, "healthy", "strict")
    until_verdict(there, "healthy", "vpn")
    vpn.ip(f"route del {address(there)}/32 dev wg0")
    until_verdict(vpn, "healthy", "there")


def test_addresses_that_do_not_fit_are_named(street):
    """Another subnet, an address that cannot broadcast, and one that two machines have (the others see that, not they)."""
    well, subnet, lone, first, second = hosts = street("well", "subnet", "lone", "first", "second")
    subnet.set_address(f"{address(subnet)}/24", "10.78.0.2/24")
    lone.set_address(f"{address(lone)}/24", f"{address(lone)}/32")
    second.set_address(f"{address(second)}/24", f"{address(first)}/24")
    for host in hosts:
        host.discoveryd()
    found = until_verdict(well, "other-prefix")
    assert found["findings"][0]["subject"] == "10.78.0.2"
    until_verdict(subnet, "other-prefix")
    until_verdict(subnet, "other-prefix", address(well))
    until_verdict(lone, "no-link")
    until_found(well, "shared-address")


@pytest.mark.usefixtures("firewall")
def test_a_machine_without_arp_is_named_on_both_sides(street):
    """What is for one machine does not arrive: by a flag of the interface, or as ARP is dropped there."""
    well, mute, filtered = hosts = street("well", "mute", "filtered")
    mute.ip("link set eth0 arp off")
    for hook in ("input", "output"):
        filtered.run("nft", "-f", "-", input=f"table arp filter {{ chain {hook} {{ type filter hook {hook} priority 0; drop; }}; }}")
    for host in hosts:
        host.discoveryd()
    with asking(well) as client:
        until(client, lambda peers: [peer["two_way"] for peer in peers] == [False])
        assert until_verdict(well, "no-arp", "filtered")["certainty"] == "likely"
        found = until_verdict(mute, "arp-off")
        until_verdict(well, "no-such-machine", address(mute))
        [finding] = [one for one in found["findings"] if one["code"] == "arp-off"]
        mute.run("sh", "-c", *finding["remedy"])
        _, took = until(client, lambda peers: any(peer["name"] == "mute" and peer["two_way"] for peer in peers))
        assert took < 2.0
    until_verdict(well, "healthy", "mute")


def test_healthy_machines_have_no_fault(street):
    hosts = street("one", "two", "three")
    alone, *others = hosts
    alone.discoveryd()
    with asking(alone) as client:
        select.select([], [], [], 7 - client.request("status")["uptime_s"])  # longer than any evidence takes
        [finding] = report(alone)[0]["findings"]
        assert (finding["code"], finding["severity"]) == ("nothing-heard", "low")
        for host in others:
            host.discoveryd()
        until(client, lambda peers: len(peers) == 2 and all(peer["two_way"] for peer in peers))
    for host in hosts * ASKS:
        found, code, _ = report(host)
        assert (found["verdict"], code, found["findings"]) == ("healthy", 0, [])
        assert {check["result"] for check in found["checks"]} == {"ok"}


@pytest.mark.usefixtures("firewall")
def test_loss_is_told_as_loss_and_as_nothing_else(street):
    hosts = street("one", "two", "three")
    for host in hosts:
        lose(host, "numgen random mod 100 < 30")
        host.discoveryd()
    with asking(hosts[0]) as client:
        until(client, lambda peers: len(peers) == 2 and all((peer["loss"] or 0) > 0.1 for peer in peers), within=60)
    for host in hosts * ASKS:
        found, _, _ = report(host)
        assert (found["verdict"], {one["code"] for one in found["findings"]} - {"lossy-path"}) == ("healthy", set())
    until_found(hosts[0], "lossy-path")
