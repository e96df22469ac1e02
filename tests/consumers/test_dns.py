"""Resolvers: dig asks the daemon itself, getent by way of a dnsmasq that was told as `install --dns` tells it."""

import os
import select
from contextlib import contextmanager
from time import monotonic

import pytest

from discoveryd.dns.delegation import DNSMASQ, Delegation, delegation
from tests.conftest import BUSY
from tests.netns.daemons import TTL, asking, events, names, until

LISTEN = ("127.0.0.1", 3453)
RESOLVER = "nameserver 127.0.0.1\noptions timeout:2\n"
SERVICE = {"DISCOVERYD_NODE__SERVICES": "[{name: render, port: 9000, tags: {path: /}}]", "DISCOVERYD_NODE__TAGS": "{role: gpu}"}
FOREIGN = "printer.example.org"
"""Its address is public: the guard of dnsmasq holds one of documentation for private."""


@pytest.fixture
def pair(lab):
    """Give two hosts of which the first serves names."""
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    a.discoveryd(env={"DISCOVERYD_DNS__LISTEN": "127.0.0.1:3453"})
    with asking(a) as client:
        until(client, names())
        since(monotonic(), lambda: "names" in client.request("status")["dns"])
        yield a, b, client


@pytest.fixture
def dig(tool, pair):
    program = tool("dig", "bind9-dnsutils")

    def ask(*words, server="127.0.0.1", port=3453, host=pair[0]):
        """Give the lines of the answer, and the status."""
        command = [program, f"@{server}", "-p", str(port), "+tries=1", "+timeout=5", "+noall", "+answer", "+comments", *words]
        lines = host.run(*command, check=False).stdout.splitlines()
        status = next((line.split("status: ")[1].split(",")[0] for line in lines if "status: " in line), "")
        return [line.split(None, 4)[3:] for line in lines if line and not line.startswith(";")], status

    return ask


def since(began, holds, within=15.0):
    """Wait until something holds; give the seconds since a moment."""
    while not holds():
        assert monotonic() < began + within
        select.select((), (), (), 0.005)
    return monotonic() - began


def test_dig_finds_who_joined_and_loses_who_left(pair, dig):
    a, b, _ = pair
    with asking(a) as watching:
        stream = events(watching)
        daemon = b.discoveryd(env=SERVICE)
        assert next(stream)["event"] == "joined"
        joined = since(monotonic(), lambda: dig("b.peers.internal")[0] == [["A", "10.77.0.2"]])
        since(monotonic(), lambda: dig("_render._tcp.peers.internal", "SRV")[0] == [["SRV", "0 1 9000 b.peers.internal."]])
        for words, answer in (
            (("B.peers.Internal", "TXT"), [["TXT", '"role=gpu"']]),
            (("_render._tcp.peers.internal", "PTR", "+tcp"), [["PTR", "b._render._tcp.peers.internal."]]),
            (("b._render._tcp.peers.internal", "TXT"), [["TXT", '"path=/"']]),
            (("-x", "10.77.0.2"), [["PTR", "b.peers.internal."]]),
            (("a.peers.internal", "A"), [["A", "10.77.0.1"]]),
        ):  # fmt: skip
            assert dig(*words)[0] == answer
        assert [dig(*words)[1] for words in (("-x", "10.77.0.9"), (FOREIGN,), ("b.peers.internal", "AAAA"), ("c.peers.internal",))] == [
            "REFUSED", "REFUSED", "NOERROR", "NXDOMAIN"]  # fmt: skip
        daemon.terminate()
        while next(stream)["event"] != "left":
            pass
        left = since(monotonic(), lambda: dig("b.peers.internal")[1] == "NXDOMAIN")
        daemon = b.discoveryd(env={**SERVICE, "DISCOVERYD_HELLO__LAST_WILL": "off"})
        since(monotonic(), lambda: dig("b.peers.internal")[0])
        daemon.kill()
        crashed = since(monotonic(), lambda: dig("b.peers.internal")[1] == "NXDOMAIN")
    print(f"found {joined * 1000:.0f} ms after the join, gone {left * 1000:.0f} ms after a goodbye, {crashed:.2f} s after a crash")
    assert joined <= 0.2 * BUSY
    assert left <= 0.05 * BUSY
    assert crashed <= TTL * BUSY


def test_dig_asks_by_tcp_for_what_no_datagram_has_room_for(pair, dig):
    _, b, client = pair
    services = ", ".join(f"{{name: s, port: {port}}}" for port in range(1, 23))
    b.discoveryd(env={"DISCOVERYD_NODE__SERVICES": f"[{services}]", "DISCOVERYD_NODE__NAME": "b" * 40})
    until(client, names("b" * 40))
    since(monotonic(), lambda: len(dig("_s._tcp.peers.internal", "SRV")[0]) == 22)
    found, _ = dig("_s._tcp.peers.internal", "SRV", "+ignore")
    assert found == []


@contextmanager
def resolved_by(host, tool, tmp_path, *arguments):
    """Let programs of a host ask a dnsmasq there."""
    dnsmasq = tool("dnsmasq", "dnsmasq-base")
    for path, text in (("/etc/resolv.conf", RESOLVER), ("/etc/nsswitch.conf", "hosts: files dns\n")):
        (file := tmp_path / os.path.basename(path)).write_text(text)
        host.run("mount", "--bind", str(file), path)
    process = host.popen(dnsmasq, "--keep-in-foreground", "--no-hosts", "--user=root", "--pid-file=", "--listen-address=127.0.0.1",
                         "--bind-interfaces", *arguments)  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def test_getent_finds_peers_and_foreign_names_by_dnsmasq(pair, tool, tmp_path):
    """As `install --dns` writes it, with the guard against DNS rebinding on, and a cache."""
    a, b, client = pair
    wanted: Delegation = delegation(LISTEN, "peers.internal", root="", run=lambda *command: "active" if command[-1] == "dnsmasq" else "")
    assert wanted.path == DNSMASQ
    (tmp_path / "discoveryd.conf").write_bytes(wanted.content)
    b.popen(tool("dnsmasq", "dnsmasq-base"), "--keep-in-foreground", "--no-hosts", "--no-resolv", "--user=root", "--pid-file=",
            "--listen-address=10.77.0.2", "--bind-interfaces", f"--address=/{FOREIGN}/93.184.216.34")  # fmt: skip
    with resolved_by(a, tool, tmp_path, "--no-resolv", "--server=10.77.0.2", "--stop-dns-rebind", "--cache-size=1000",
                     f"--conf-file={tmp_path / 'discoveryd.conf'}"):  # fmt: skip

        def found(name):
            return a.run("getent", "hosts", name, check=False).stdout.split()

        since(monotonic(), lambda: found(FOREIGN)[:1] == ["93.184.216.34"])
        assert found("b.peers.internal") == []
        daemon = b.discoveryd()
        until(client, names("b"))
        joined = since(monotonic(), lambda: found("b.peers.internal")[:1] == ["10.77.0.2"])
        daemon.terminate()
        until(client, names())
        left = since(monotonic(), lambda: not found("b.peers.internal"))
        print(f"getent finds it {joined * 1000:.0f} ms after the join, and not {left * 1000:.0f} ms after a goodbye")
        assert joined <= 0.2 * BUSY
        assert left <= 0.05 * BUSY
        assert found(FOREIGN)[:1] == ["93.184.216.34"]
        assert found("discoveryd.peers.internal")[:1] == ["127.0.0.1"]


def test_another_machine_may_ask_where_it_is_let(lab, dig, pair):
    _, b, _ = pair
    c = lab.host("c", address="10.77.0.3/24")
    c.discoveryd(env={"DISCOVERYD_DNS__LISTEN": "0.0.0.0:3453"})
    since(monotonic(), lambda: dig("c.peers.internal", server="10.77.0.3", host=b)[0] == [["A", "10.77.0.3"]])
    assert dig("discoveryd.peers.internal", server="10.77.0.3", host=b)[0] == [["A", "10.77.0.3"]]
    assert dig("c.peers.internal", server="10.77.0.1", host=b)[1] == ""  # the other one answers itself only
