"""Each fault that a status can show gives one finding."""

import pytest

from discoveryd.query.finding_kind import AREAS
from discoveryd.query.finding_kinds import FINDING_KINDS
from discoveryd.query.findings import findings
from tests.query.samples import LINK, STATUS

OUTSIDE = {
    "link": "eth0", "address": "10.0.0.1", "ours": "10.0.0.130/25", "in_our_network": False, "listed": True, "two_way": True,
}  # fmt: skip


def texts(**changed):
    """Return the texts of all findings of a changed status, a line each."""
    return "\n".join(finding.text for finding in findings(STATUS | changed))


def codes(**changed):
    """Return the codes of all findings of a changed status."""
    return [finding.code for finding in findings(STATUS | changed)]


def dropped(reason, **changed):
    """Return a source of drops."""
    return {"reason": reason, "address": "10.0.0.7", "link": "eth0", "detail": "lab", "count": 3, "last_s": 1.0} | changed


def impaired(**changed):
    """Return a peer that is heard, and about which something is odd."""
    return {
        "id": "9f3a", "name": "alpha", "address": "10.0.0.2", "link": "eth0", "two_way": None, "loss": None,
        "hellos_arrive": True, "hears_nobody": False, "hears_itself": True,
    } | changed  # fmt: skip


def test_a_good_status_has_no_finding():
    assert texts() == ""


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"links": []}, "no usable link: no interface that hello.interfaces allows"),
        (
            {"links": [], "scan_error": "EMFILE: Too many open files"},
            "the interfaces cannot be read (EMFILE: Too many open files): the links are those",
        ),
        (
            {"receive_buffer": {"bytes": 212992, "wanted": 4194304}},
            "the receive buffer has 212992 of 4194304 bytes: HELLOs are lost where hundreds of nodes speak at once; as root: sysctl -w net.core.rmem_max=4194304, then restart",
        ),
        ({"isolated": True}, "isolated: most peers fell silent together"),
        ({"received": {"hello": 0, "bare": 0}}, "no HELLO was ever heard"),
        ({"received": {}}, "tcpdump -ni any udp port 3400"),
        ({"links": [LINK | {"last_error": "ENETUNREACH: Network is unreachable"}]}, "eth0: sending failed: ENET"),
        (
            {"outside": [{"link": "eth0", "address": "10.0.0.1", "ours": "10.0.0.130/25"}]},
            "10.0.0.1 broadcasts on eth0 but is outside of our 10.0.0.130/25 there, and does not hear us",
        ),
        ({"outside": [OUTSIDE]}, "is outside of our 10.0.0.130/25 there: the two reach each other by 255.255.255.255"),
        ({"outside": [OUTSIDE | {"two_way": False}]}, "is outside of our 10.0.0.130/25 there, and does not hear us: give"),
        (
            {"outside": [OUTSIDE | {"in_our_network": True}]},
            "10.0.0.1 on eth0 is within our 10.0.0.130/25 but has another broadcast address",
        ),
        (
            {"rp_filter": {"dropped": 4, "links": [{"link": "eth0", "mode": 1}]}},
            "the kernel's rp_filter (eth0) dropped 4 datagrams of any program",
        ),
        (
            {"send_errors": [{"link": "-", "target": "192.0.2.7", "error": "EHOSTUNREACH: No route to host"}]},
            "seed 192.0.2.7: sending failed: EHOSTUNREACH",
        ),
        (
            {"dropins": [{"file": "/etc/discoveryd/services.d/web.yaml", "name": "web", "state": "failing", "why": "exit 1"}]},
            "service web is not announced (failing): exit 1 (/etc/discoveryd/services.d/web.yaml)",
        ),
        (
            {"dropins": [{"file": "/s/\x1b.yaml", "name": None, "state": "refused", "why": "line 1: \x1b"}]},
            "service file is refused: line 1: \x1b (/s/\x1b.yaml)",
        ),
        ({"hooks": {"refused": 2}}, "2 hooks are not run: the log says why, look for 'hook not run'"),
        (
            {"shared_addresses": [{"address": "10.0.0.7", "ids": ["a", "b"]}]},
            "a and b have the address 10.0.0.7 at the same time: give each its own",
        ),
        (
            {"shared_addresses": [{"address": "10.0.0.7", "link": "eth0", "ids": ["a", "b"]}]},
            "a and b have the address 10.0.0.7 on eth0 at the same time: give each its own",
        ),
    ],
)
def test_each_fault_is_found_and_explained(changed, text):
    assert text in texts(**changed)


def test_what_follows_from_a_cause_is_not_told_beside_it():
    assert codes(links=[], isolated=True, received={}) == ["no-link"]
    shut = LINK | {"echoed": 0, "last_echo_s": None, "unechoed": 8, "misses_echo": True}
    assert codes(links=[shut], received={}) == ["own-firewall-in"]
    assert codes(received={}, drop_sources=[dropped("other-realm")]) == ["other-realm"]


@pytest.mark.parametrize(
    ("changed", "is_told"),
    [
        ({"unechoed": 9, "misses_echo": True}, True),
        ({"unechoed": 9, "misses_echo": False}, False),
        ({"unechoed": 9, "misses_echo": True, "last_error": "ENETDOWN: Network is down"}, False),
    ],
)
def test_an_echo_that_is_missing_is_a_firewall_of_ours(changed, is_told):
    assert ("own-firewall-in" in codes(links=[LINK | changed])) is is_told


@pytest.mark.parametrize(
    ("firewalls", "into", "out"),
    [
        (["ufw", "nft"], ("ufw allow 3400/udp",), ("ufw allow out 3400/udp",)),
        (["firewalld"], ("firewall-cmd --permanent --add-port=3400/udp && firewall-cmd --reload",), ()),
        (["nft"], ("nft insert rule inet filter input udp dport 3400 accept",),
         ("nft insert rule inet filter output udp dport 3400 accept",)),
        (["iptables"], ("iptables -I INPUT -p udp --dport 3400 -j ACCEPT",), ("iptables -I OUTPUT -p udp --dport 3400 -j ACCEPT",)),
        ([], (), ()),
    ],
)  # fmt: skip
def test_the_remedy_is_that_of_the_tool_that_is_there(firewalls, into, out):
    shut, mute = LINK | {"unechoed": 9, "misses_echo": True}, LINK | {"last_error": "EPERM: Operation not permitted"}
    [finding] = findings(STATUS | {"links": [shut], "firewalls": firewalls})
    assert (finding.code, finding.remedy, finding.subject) == ("own-firewall-in", into, "eth0")
    [finding] = findings(STATUS | {"links": [mute], "firewalls": firewalls})
    assert (finding.code, finding.remedy) == ("own-firewall-out", out)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("other-realm", "other-realm"), ("version", "other-version"), ("sealed", "no-keys"), ("unknown-key", "unknown-key"),
        ("bad-seal", "bad-seal"), ("plain", "plain-refused"), ("foreign-port", "port-translated"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_understood_is_named(reason, code):
    [finding] = findings(STATUS | {"drop_sources": [dropped(reason)]})
    assert (finding.code, finding.subject) == (code, "10.0.0.7")
    assert "10.0.0.7" in finding.text
    assert codes(drop_sources=[dropped(reason, count=2)]) == codes(drop_sources=[dropped(reason, last_s=61.0)]) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"two_way": False}, ["peers-one-way"]),
        ({"two_way": False, "hears_nobody": True}, ["peer-deaf"]),
        ({"two_way": False, "hears_nobody": True, "hears_itself": False}, ["peer-firewall-in"]),
        ({"two_way": True, "hears_nobody": True, "hears_itself": False}, []),
        ({"hellos_arrive": False, "two_way": True}, ["hellos-filtered"]),
        ({"loss": 0.3, "two_way": True}, ["lossy-path"]),
        ({"loss": 0.3, "two_way": False}, ["peers-one-way"]),
    ],
)
def test_a_peer_that_is_heard_badly_is_named_with_the_cause(changed, found):
    assert codes(impaired=[impaired(**changed)]) == found
    if found:
        assert "alpha" in texts(impaired=[impaired(**changed)])


def test_an_excluded_interface_is_told_with_its_name():
    drops = [{"reason": "excluded", "link": "eth7", "count": 4}]
    [finding] = findings(STATUS | {"links": [], "drops": drops})
    assert (finding.code, finding.remedy) == ("interface-excluded", ("hello.interfaces: [eth7]",))
    assert codes(drops=drops) == []


def test_a_full_table_and_a_flood_are_told():
    drops = [{"reason": "table-full", "link": "eth0", "count": 4}]
    assert codes(drops=drops, table={"rows": 8, "limit": 8}) == ["table-full"]
    assert codes(drops=drops, table={"rows": 7, "limit": 8}) == []
    assert codes(flooded=True) == ["flood"]


def test_a_witness_that_is_gone_is_good_to_know():
    [finding] = findings(STATUS | {"last_will": {"witness": "dead", "datagrams": 0}})
    assert (finding.code, finding.is_fault) == ("no-witness", False)


def test_a_finding_as_json_has_what_is_said_of_its_kind():
    [finding] = findings(STATUS | {"links": []})
    told = finding.to_json()
    assert told == {
        "code": "no-link", "severity": "high", "certainty": "proven", "title": "no usable link", "text": finding.text,
        "subject": "", "evidence": {}, "remedy": [], "since_s": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"rp_filter": {"dropped": 2, "links": [{"link": "eth0", "mode": 1}]}},
        {"rp_filter": {"dropped": 9, "links": []}},
        {"uptime_s": 2000.0, "rp_filter": {"dropped": 99, "links": [{"link": "eth0", "mode": 1}]}},
    ],
)
def test_a_few_filtered_datagrams_are_no_finding(changed):
    assert texts(**changed) == ""


def test_silence_is_no_finding_within_two_intervals():
    assert texts(received={}, uptime_s=1.0) == ""


def test_a_cloned_memory_is_told_with_the_address():
    text = texts(new_boots={"count": 1, "address": "10.0.0.9"})
    assert text.startswith("10.0.0.9 ran under the same boot, and this node drew a new one: the machine was cloned")


def test_clones_are_told_apart_from_a_clone_of_this_node():
    ours, theirs = findings(STATUS | {"clones": ["n1", "n2"]})
    assert ours.text.startswith("clone: this node and another have the id n1,")
    assert theirs.text.startswith("clone: two running nodes have the id n2,")
    assert (ours.code, ours.subject, theirs.subject) == ("clone", "n1", "n2")


def test_an_unserved_metrics_page_is_told():
    [finding] = findings(STATUS | {"metrics": {"error": "TCP port 9 is taken"}})
    assert finding.text == "the metrics are not served over HTTP: TCP port 9 is taken; stop that, or set metrics.listen"


def test_interfaces_without_broadcast_are_named():
    unlinked = [{"name": "wg0", "address": "10.9.0.1", "prefix": 32, "reason": "no-broadcast"}]
    nobody = {"up": 0, "suspect": 0, "down": 0, "left": 0}
    told = texts(links=[], unlinked=unlinked, peers=nobody)
    assert told.endswith("wg0 (10.9.0.1/32) cannot: name another node there under hello.seeds")
    # a broadcast to 255.255.255.255 is heard now and then; what answers a PING is reached
    assert texts(links=[], unlinked=unlinked, peers=nobody | {"up": 1}) == told
    assert texts(links=[], unlinked=unlinked, peers=nobody | {"up": 1}, received=STATUS["received"] | {"pong": 1}) == ""


def test_causes_come_before_what_may_follow_from_them():
    everything = {
        "metrics": {"error": "x"}, "receive_buffer": {"bytes": 1, "wanted": 2}, "scan_error": "x", "isolated": True,
        "dropins": [{"file": "f", "name": "n", "state": "failing", "why": "w"}], "hooks": {"refused": 1},
        "clones": ["n1"], "new_boots": {"count": 1, "address": "a"}, "received": {}, "outside": [OUTSIDE],
        "shared_addresses": [{"address": "10.0.0.7", "ids": ["a", "b"]}],
        "links": [LINK | {"last_error": "x"}], "rp_filter": {"dropped": 9, "links": [{"link": "eth0"}]},
        "send_errors": [{"link": "-", "target": "t", "error": "x"}],
    }  # fmt: skip
    assert codes(**everything) == [
        "interfaces-unreadable", "sending-failed", "sending-failed", "isolated", "nothing-heard", "other-prefix",
        "rp-filter", "clone", "cloned-memory", "shared-address", "small-receive-buffer", "metrics-not-served",
        "service-not-announced", "hook-not-run",
    ]  # fmt: skip


def test_what_a_kind_hides_is_a_kind():
    hidden = {code for kind in FINDING_KINDS.values() for code in kind.hides}
    assert hidden <= FINDING_KINDS.keys()
    assert {kind.area for kind in FINDING_KINDS.values()} == set(AREAS)
