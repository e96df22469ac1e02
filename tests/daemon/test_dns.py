"""The names for resolvers as a part of the daemon: off unless configured, changed by a reload, tried again."""

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue

import pytest
from dnslib import DNSRecord

from discoveryd.config import Config
from discoveryd.config.dns import DnsSection
from discoveryd.daemon import dns
from discoveryd.daemon.dns import DnsPart
from discoveryd.daemon.loop import LoopPart
from discoveryd.daemon.parts import Parts
from discoveryd.errors import ConfigError
from discoveryd.net.asked import open_asked
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.wire.record import Record
from discoveryd.query.findings import findings
from discoveryd.runtime.discovery import Discovery
from tests.protocol.samples import ETH0, hello, source
from tests.query.samples import STATUS
from tests.runtime.waiting import until


class House:
    """The part, a node that is not started, and a configuration."""

    def __init__(self, keys):
        self.discovery = Discovery(Parameters(loopback="127.0.0.2"), name="anna")
        self.discovery.look(lambda node, now: node.set_links((ETH0,), now))
        self.port = free_port("127.0.0.1", "udp")
        self.config = Config(dns=DnsSection(**({"listen": f"127.0.0.1:{self.port}"} | keys)))
        self.notices = SimpleQueue()
        loop = LoopPart(self.notices.put)
        self.part = DnsPart(self.config, self.discovery, loop.loop, self.notices.put)
        self.parts = Parts([loop, self.part], notify=self.notices.put, report=lambda *_: None)

    def reload(self, keys):
        self.config = replace(self.config, dns=DnsSection(**({"listen": f"127.0.0.1:{self.port}"} | keys)))
        self.parts.reload(self.config)

    def hears(self, name, address, number=1):
        """Hear a peer, and tell the part."""
        said = hello(number, f"id{number}", 1, Record(name=name))
        for event in self.discovery.look(lambda node, now: node.table.enter(said, source(address), now, proved=True)):
            self.parts.hear(event)

    def asked(self, name, zone="peers.internal", port=None):
        answer = DNSRecord.parse(DNSRecord.question(f"{name}.{zone}").send("127.0.0.1", port or self.port, timeout=10))
        return [str(one.rdata) for one in answer.rr]

    def told(self):
        found = []
        while not self.notices.empty():
            found.append(self.notices.get())
        return found


@pytest.fixture
def make():
    made = []

    def make(**keys):
        made.append(House(keys))
        made[-1].parts.look()
        return made[-1]

    yield make
    for house in made:
        house.parts.stop()


def test_it_is_served_from_the_second_look_on(make):
    """By then the peers that there are were heard; before that no name is denied."""
    house = make()
    house.parts.start()
    house.hears("bert", "10.0.0.2")
    assert "names" not in house.part.status()
    house.parts.look()
    assert (house.asked("bert"), house.asked("anna")) == (["10.0.0.2"], ["10.0.0.1"])
    house.hears("ernie", "10.0.0.3", number=2)
    until(lambda: house.asked("ernie") == ["10.0.0.3"])
    [notice] = house.told()
    assert (notice.level, notice.text, notice.fields["zone"]) == ("info", "names are served by DNS", "peers.internal")
    status = house.part.status()
    assert status["on"]
    assert (status["resolver"], status["answers"]["NOERROR"]) == ({"delegation": None, "works": None, "error": None}, 3)


def test_what_no_event_tells_is_seen_by_a_look(make):
    house = make()
    house.parts.look()
    said = hello(1, "id1", 1, Record(name="bert"))
    house.discovery.look(lambda node, now: node.table.enter(said, source("10.0.0.2"), now, proved=True))
    house.parts.look()
    until(lambda: house.asked("bert") == ["10.0.0.2"])


def test_a_reload_changes_all_of_it(make):
    house = make()
    house.parts.look()
    assert house.asked("anna") == ["10.0.0.1"]
    house.reload({"zone": "lan.example.org", "self": False})
    assert house.asked("anna") == []
    house.reload({"zone": "lan.example.org"})
    assert house.asked("anna", "lan.example.org") == ["10.0.0.1"]
    other = free_port("127.0.0.1", "udp")
    house.reload({"listen": f"127.0.0.1:{other}"})
    assert house.asked("anna", port=other) == ["10.0.0.1"]
    house.reload({"listen": "off"})
    assert house.part.status() == {"on": False}
    house.reload({})
    assert house.asked("anna") == ["10.0.0.1"]
    assert not [one for one in house.told() if one.level != "info"]


def test_a_taken_port_is_told_once_and_tried_again(make, monkeypatch):
    house = make()
    with ExitStack() as stack:
        open_asked(stack, ("127.0.0.1", house.port))
        for _ in range(2):
            monkeypatch.setattr(dns, "RETRY", 0.0)
            house.parts.look()
        [notice] = house.told()
        assert (notice.level, notice.text) == ("warning", "names are not served by DNS")
        assert f"UDP port {house.port} on 127.0.0.1 is taken by" in notice.fields["why"]
        status = {**STATUS, "dns": house.part.status()}
        [finding] = [one for one in findings(status) if one.code == "dns-not-served"]
        assert "is taken by" in finding.text
        assert house.part.status()["next_try_s"] == 0.0
    house.parts.look()
    assert house.asked("anna") == ["10.0.0.1"]
    assert [one.text for one in house.told()] == ["names are served by DNS"]
    assert house.part.status()["error"] is None


def test_a_missing_library_is_told_with_what_to_install(make, monkeypatch):
    for name in ("message", "server", "service"):
        monkeypatch.delitem(sys.modules, f"discoveryd.dns.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "dnslib", None)
    house = make()
    house.parts.look()
    assert house.part.status()["error"].startswith("the library dnslib is missing: apt install python3-dnslib, or pip install")
    assert [one.level for one in house.told()] == ["warning"]


def test_check_refuses_dns_without_its_library(monkeypatch):
    monkeypatch.setattr(dns, "find_spec", lambda _: None)
    dns.need_library(Config())
    with pytest.raises(ConfigError, match=r"dns\.listen: the library dnslib is missing: apt install python3-dnslib"):
        dns.need_library(House({}).config)


def test_a_resolver_that_finds_nothing_is_a_finding():
    failing = {"delegation": "/etc/x", "works": False, "error": "EAI_NONAME: no"}
    dns = {"on": True, "zone": "peers.internal", "listen": "127.0.0.1:3453", "error": None, "resolver": failing}
    [finding] = [one for one in findings({**STATUS, "dns": dns}) if one.code == "names-not-found"]
    assert (finding.subject, finding.remedy) == ("/etc/x", ("getent hosts discoveryd.peers.internal",))
    for resolver in ({**failing, "works": True}, {**failing, "works": None}, {**failing, "delegation": None}):
        assert not [one for one in findings({**STATUS, "dns": {**dns, "resolver": resolver}}) if one.code == "names-not-found"]


def test_a_daemon_that_serves_no_names_imports_nothing_for_it():
    code = (
        "import sys, discoveryd.daemon.run, discoveryd.config\n"
        "from discoveryd.daemon.dns import DnsPart\n"
        "DnsPart(discoveryd.config.Config(), None, None, None).look()\n"
        "print(*(one for one in sys.modules if one.startswith(('dnslib', 'asyncio', 'discoveryd.dns', 'discoveryd.install'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert not [one for one in done.stdout.split() if not one.startswith("asyncio")]


def test_an_event_is_no_error_where_nothing_is_on(make):
    house = make(listen="off")
    house.hears("bert", "10.0.0.2")
    house.parts.look()
    assert house.part.status() == {"on": False}
