"""The section ``dns``: what is taken, and what is refused with place and remedy."""

import pytest

from discoveryd.config import Config, parse
from discoveryd.config.dns import ZONE, DnsSection
from discoveryd.errors import ConfigError
from discoveryd.query.formats.names import DOMAIN


def section(text):
    return parse("c.yaml", f"dns: {text}".encode(), {}).dns


def test_it_is_off_unless_there_is_an_address():
    assert Config().dns == DnsSection()
    assert (DnsSection().address, DnsSection().zone, DnsSection().ttl, DnsSection().self) == (None, "peers.internal", 0.0, True)


def test_the_zone_is_the_domain_of_exports():
    assert ZONE == DOMAIN


def test_all_keys_are_taken():
    found = section('{listen: "[::1]:53", zone: lan.example.org, ttl: 4s, self: off}')
    assert (found.address, found.zone, found.ttl, found.self) == (("::1", 53), "lan.example.org", 4.0, False)
    assert section("{listen: 0.0.0.0:3453}").address == ("0.0.0.0", 3453)


@pytest.mark.parametrize(("text", "problem"), [
    ("{listen: 3453}", "dns.listen: must be an address and a port such as 127.0.0.1:3453"),
    ("{listen: localhost:3453}", "dns.listen: must be an address"),
    ("{zone: x.local}", "dns.zone: 'x.local' is a domain which resolvers do not ask a server for"),
    ("{zone: 10.in-addr.arpa}", "dns.zone: '10.in-addr.arpa' is a domain of reverse names"),
    ('{zone: ""}', "dns.zone: must be a domain such as peers.internal"),
    ("{zone: peers.internal.}", "dns.zone: must be a domain such as peers.internal"),
    (f"{{zone: {'x' * 60}.{'y' * 60}.{'z' * 60}}}", "dns.zone: must be a domain"),
    ("{ttl: 61s}", "dns.ttl: must be 0s to 60s, not 61s"),
    ("{ttl: -1s}", "dns.ttl"),
    ("{self: maybe}", "dns.self: must be on or off"),
    ("{port: 53}", "unknown key dns.port"),
])  # fmt: skip
def test_a_wrong_value_is_refused_with_place_and_remedy(text, problem):
    with pytest.raises(ConfigError, match=r"^c\.yaml:1: ") as caught:
        section(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(("other", "key"), [
    ("query: {listen: 127.0.0.1:3453}", "query.listen (127.0.0.1:3453)"), ("web: {listen: 127.0.0.1:3453}", "web.listen (127.0.0.1:3453)"),
    ("hello: {port: 3453}", "hello.port (3453)"),
])  # fmt: skip
def test_a_port_of_another_socket_is_refused(other, key):
    with pytest.raises(ConfigError) as caught:
        parse("c.yaml", f'{other}\ndns: {{listen: "0.0.0.0:3453"}}'.encode(), {})
    assert f"dns.listen: must be another port than {key}" in str(caught.value)
