"""Resolvers and ssh: dnsmasq follows the file without a signal, and what ssh makes of its own."""

import os
import subprocess

import pytest

from discoveryd.query.formats.exports import ExportOptions, export_text
from tests.consumers.conftest import ROOT
from tests.netns.daemons import asking, names, until
from tests.query.formats.contracts import HOSTILE
from tests.query.samples import peer

RESOLVER = "nameserver 127.0.0.1\noptions timeout:1\n"


def test_dnsmasq_knows_who_is_up(lab, tool, tmp_path):
    """A peer that joins is found, one that is killed is gone, and nobody is sent a signal."""
    dnsmasq = tool("dnsmasq", "dnsmasq-base")
    a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
    for path, text in (("/etc/resolv.conf", RESOLVER), ("/etc/nsswitch.conf", "hosts: files dns\n")):
        (file := tmp_path / os.path.basename(path)).write_text(text)
        a.run("mount", "--bind", str(file), path)
    directory = tmp_path / "a/export/dnsmasq"
    a.discoveryd(env={"DISCOVERYD_PATHS__RUNTIME": str(tmp_path / "a"), "DISCOVERYD_EXPORT__FILES": "[{format: dnsmasq}]"})
    with asking(a) as on_a:
        until(on_a, names())
        until(on_a, lambda _: directory.is_dir())
        a.popen(dnsmasq, "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
                "--listen-address=127.0.0.1", "--bind-interfaces", f"--hostsdir={directory}", "--domain-needed",
                "--local=/peers.internal/")  # fmt: skip

        def found(name):
            return a.run("getent", "hosts", f"{name}.peers.internal", check=False).stdout.split()

        until(on_a, lambda _: found("a"))
        daemon = b.discoveryd()
        until(on_a, names("b"))
        _, took = until(on_a, lambda _: found("b")[:1] == ["10.77.0.2"])
        print(f"a peer that joined is found by getent after {took:.2f} s")
        daemon.kill()
        _, took = until(on_a, lambda _: not found("b"))
        print(f"a peer that was killed is gone after {took:.2f} s")
        assert found("a")[:1] == ["10.77.0.1"]
        assert sorted(os.listdir(directory)) == ["peers"]


@pytest.fixture
def ssh(tool, tmp_path):
    """Give what ssh would do for a name with the exported file as its configuration."""
    program, file = tool("ssh", "openssh-client"), tmp_path / "ssh_config"

    def ask(name, peers):
        file.write_text(export_text("ssh", peers, None, ExportOptions()))
        done = subprocess.run([program, "-G", "-F", file, name], capture_output=True, text=True, timeout=20, check=True)
        return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)

    return ask


@pytest.mark.parametrize("name", ["alpha", "alpha.peers.internal"])
def test_ssh_finds_a_peer_by_its_name(ssh, name):
    offered = [{"name": "ssh", "port": 2222, "proto": "tcp", "tags": {}}]
    found = ssh(name, [peer(services=offered)])
    assert (found["hostname"], found["port"], found["hostkeyalias"]) == ("10.0.0.2", "2222", "discoveryd-9f3a")
    assert ssh("alpha", [peer(address="fe80::1%eth0", addresses=[])])["hostname"] == "fe80::1%eth0"


def test_no_record_gives_ssh_an_option_or_another_machine(ssh):
    evils = [peer(id=f"id{number}", boot=f"{number:04}", name=evil, tags={evil: evil}) for number, evil in enumerate(HOSTILE)]
    plain = ssh("elsewhere.example.org", [])
    for name in ("elsewhere.example.org", "github.com", "localhost", "10.0.0.1"):
        found = ssh(name, evils)
        assert found | {"hostname": "", "host": ""} == plain | {"hostname": "", "host": ""}
        assert found["hostname"] == name


def test_ssh_takes_the_host_keys(tool, tmp_path):
    """ssh-keygen finds the key under the alias that the configuration names."""
    keygen = tool("ssh-keygen", "openssh-client")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True, timeout=20)
    public = (tmp_path / "key.pub").read_text().split()[1]
    text = export_text("known-hosts", [peer(key="3fa29c01", tags={"sshhostkey": public})], None, ExportOptions())
    (tmp_path / "known").write_text(text)
    for name in ("discoveryd-9f3a", "alpha.peers.internal"):
        done = subprocess.run([keygen, "-F", name, "-f", tmp_path / "known"], capture_output=True, text=True, timeout=20, check=True)
        assert public in done.stdout


def test_a_script_of_three_lines_waits_for_two_workers(lab, tmp_path, discoveryctl):
    """The one in docs/exports.md."""
    page = (ROOT / "docs/exports.md").read_text(encoding="utf-8")
    (tmp_path / "workers.sh").write_text(page.partition("<!-- the script -->\n```sh\n")[2].partition("```")[0])
    hosts = [lab.host(f"n{number}", address=f"10.77.0.{number}/24") for number in (1, 2, 3)]
    hosts[0].discoveryd()
    for host in hosts[1:]:
        host.discoveryd(env={"DISCOVERYD_NODE__SERVICES": "[{name: render, port: 9000}]", "DISCOVERYD_NODE__TAGS": "{role: worker}"})
    path = f"{discoveryctl}:{os.environ['PATH']}"
    printed = hosts[0].run("sh", str(tmp_path / "workers.sh"), env={"PATH": path}).stdout
    assert printed == "n2 10.77.0.2:9000\nn3 10.77.0.3:9000\n"
