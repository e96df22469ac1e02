"""Findings that differ by the family of addresses."""

from discoveryd.query.findings import findings
from tests.query.samples import LINK, STATUS


def found(**changed):
    """Give code, text and remedy of each finding."""
    return {finding.code: (finding.text, finding.remedy) for finding in findings(STATUS | changed)}


def test_a_family_without_a_socket_is_named():
    families = [{"family": "ipv4", "error": None}, {"family": "ipv6", "error": "UDP port 3400 of IPv6 is taken by x (pid 7)"}]
    text, _ = found(families=families)["family-unspoken"]
    assert text == "IPv6 is not spoken: UDP port 3400 of IPv6 is taken by x (pid 7); it is tried again each 30 s"
    assert "family-unspoken" not in found(families=families[:1])


def test_a_firewall_of_one_family_is_opened_for_that_one():
    link = LINK | {"family": "ipv6", "misses_echo": True, "unechoed": 9, "echoed": 0}
    text, remedy = found(links=[LINK, link], firewalls=["iptables"])["own-firewall-in"]
    assert text == (
        "eth0: the last 9 HELLOs that were sent by IPv6 did not come back, as each to all does: a firewall of this machine "
        "drops UDP port 3400 by IPv6, so nobody is heard there by IPv6"
    )
    assert remedy == ("ip6tables -I INPUT -p udp --dport 3400 -j ACCEPT",)


def test_an_address_that_another_machine_has_is_named():
    unlinked = [{"name": "eth0", "address": "fe80::5%eth0", "prefix": 64, "reason": "duplicate"}]
    text, _ = found(unlinked=unlinked)["shared-address"]
    assert text.startswith("another machine on eth0 has our address fe80::5%eth0, so it is not used")
    assert "fe80" not in found(unlinked=unlinked, links=[])["no-link"][0]
