"""Each fault that a status can show gives one finding."""

import pytest

from discoveryd.query.findings import findings
from tests.query.samples import LINK, STATUS

OUTSIDE = {
    "link": "eth0", "address": "10.0.0.1", "ours": "10.0.0.130/25", "in_our_network": False, "listed": True, "two_way": True,
}  # fmt: skip


def texts(**changed):
    """Return the texts of all findings of a changed status, a line each."""
    return "\n".join(text for _, text in findings(STATUS | changed))


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


def test_isolation_is_not_told_without_a_link():
    assert "isolated" not in texts(links=[], isolated=True)


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
    (word, ours), (same, theirs) = findings(STATUS | {"clones": ["n1", "n2"]})
    assert ours.startswith("clone: this node and another have the id n1,")
    assert theirs.startswith("clone: two running nodes have the id n2,")
    assert word == same == "clone"


def test_an_unserved_metrics_page_comes_before_all_else():
    first, *_ = findings(STATUS | {"metrics": {"error": "TCP port 9 is taken"}, "links": [], "isolated": True})
    assert first == (
        "metrics-not-served",
        "the metrics are not served over HTTP: TCP port 9 is taken; stop that, or set metrics.listen",
    )


def test_each_finding_has_a_word_in_a_stable_order():
    everything = {
        "metrics": {"error": "x"}, "receive_buffer": {"bytes": 1, "wanted": 2}, "scan_error": "x", "isolated": True,
        "dropins": [{"file": "f", "name": "n", "state": "failing", "why": "w"}], "hooks": {"refused": 1},
        "clones": ["n1"], "new_boots": {"count": 1, "address": "a"}, "received": {}, "outside": [OUTSIDE],
        "shared_addresses": [{"address": "10.0.0.7", "ids": ["a", "b"]}],
        "links": [LINK | {"last_error": "x"}], "rp_filter": {"dropped": 9, "links": [{"link": "eth0"}]},
        "send_errors": [{"link": "-", "target": "t", "error": "x"}],
    }  # fmt: skip
    assert [word for word, _ in findings(STATUS | everything)] == [
        "metrics-not-served", "small-receive-buffer", "interfaces-unreadable", "isolated", "service-not-announced",
        "hook-not-run", "clone", "cloned-memory", "shared-address", "nothing-heard", "sending-failed", "other-prefix",
        "rp-filter", "sending-failed",
    ]  # fmt: skip
    assert [word for word, _ in findings(STATUS | {"links": []})] == ["no-link"]
