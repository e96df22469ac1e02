"""What the answers of others say of a peer that is missing, and that nothing is a guess."""

import pytest

from discoveryd.query.answers import answer_findings, hearers
from discoveryd.query.doctor import address_of, report
from tests.query.samples import STATUS, peer

THIRD = {"state": "up", "address": "10.0.0.7", "last_heard_s": 0.4}


def answer(**changed):
    """Return the answer of a node that was never heard here, and never heard this one."""
    return {
        "address": "10.0.0.7", "name": None, "about": None, "asked": 1, "answered": True, "rtt_ms": 0.5, "hears_us_s": None,
        "release": "0.1.0", "network": "10.0.0.7/24", "broadcast": "10.0.0.255", "sent": 40, "echoed": 40, "drops": [],
        "third": None,
    } | changed  # fmt: skip


def witness(third=THIRD, **changed):
    return answer(address="10.0.0.3", name="cleo", about="bert", third=third, **changed)


def found(answers, peers=(), status=STATUS):
    return [*answer_findings(status, "bert", peers, answers)]


def codes(answers, peers=(), status=STATUS):
    return [finding.code for finding in found(answers, peers, status)]


def test_a_node_that_answers_and_is_not_heard_has_no_broadcasts():
    [finding] = found([answer()])
    assert (finding.code, finding.remedy) == ("broadcasts-lost", ("hello.seeds: [10.0.0.7]",))
    assert "10.0.0.7 answers by unicast; no HELLO of either arrives at the other" in finding.text
    [finding] = found([answer(hears_us_s=0.3)])
    assert "10.0.0.7 answers by unicast, and heard this node 0.3 s ago; its HELLOs do not arrive here" in finding.text


def test_the_prefix_of_the_other_side_is_proven():
    [finding] = found([answer(network="10.0.0.7/30", broadcast="10.0.0.7")])
    assert finding.code == "other-prefix"
    assert "10.0.0.7 has 10.0.0.7/30 there, so its HELLOs go to 10.0.0.7; this node has 10.0.0.1/24" in finding.text


def test_a_routed_node_has_no_prefix_to_compare():
    assert codes([answer(network=None, broadcast=None)]) == ["broadcasts-lost"]


def test_a_node_that_hears_itself_no_more_has_a_firewall():
    assert codes([answer(echoed=0)]) == ["peer-firewall-in"]
    assert codes([answer(echoed=0, sent=4)]) == ["broadcasts-lost"]  # too few to tell


def test_what_the_other_side_drops_is_the_reason():
    drops = [{"reason": "replayed", "count": 9, "last_s": 1}, {"reason": "unbound", "count": 12, "last_s": 3}]
    [finding] = found([answer(name="bert", drops=drops)])
    assert (finding.code, finding.evidence["count"]) == ("dropped-there", 12)
    assert finding.text.startswith("bert (10.0.0.7) drops what this node sends (12 so far, the last 3 s ago): unbound. Sealed by")


@pytest.mark.parametrize(
    "changed", [{"hears_us_s": 0.2}, {"drops": [{"reason": "unbound", "count": 12, "last_s": 61}]}], ids=["heard", "old"]
)
def test_drops_that_do_no_harm_are_no_reason(changed):
    drops = [{"reason": "unbound", "count": 12, "last_s": 3}]
    assert "dropped-there" not in codes([answer(**{"drops": drops, **changed})])


def test_a_peer_that_is_listed_and_answers_is_well():
    assert codes([answer(name="bert", hears_us_s=0.2)], [peer()]) == []


@pytest.mark.parametrize(
    ("answers", "status"),
    [([answer(sent=2)], STATUS), ([answer()], STATUS | {"uptime_s": 1.0}), ([witness()], STATUS | {"uptime_s": 1.0})],
    ids=["it has just begun", "we have just begun", "heard while we begin"],
)
def test_nothing_is_said_before_the_first_hellos_had_time(answers, status):
    assert codes(answers, (), status) == []


def test_a_witness_that_hears_it_is_told():
    [finding] = found([witness()])
    assert (finding.code, finding.subject, finding.remedy) == ("heard-by-others", "10.0.0.7", ("discoveryctl doctor 10.0.0.7",))
    assert finding.text.startswith("cleo (10.0.0.3) hears bert (10.0.0.7), the last time 0.4 s ago, and this node does not")
    [finding] = found([witness(), witness() | {"name": "dora", "address": "10.0.0.4"}])
    assert finding.text.startswith("cleo (10.0.0.3) and dora (10.0.0.4) hear bert")


@pytest.mark.parametrize(
    "other", [{"third": None}, {"third": THIRD | {"state": "down"}}, {"third": THIRD | {"last_heard_s": 11.0}}, {"answered": False}]
)
def test_a_witness_that_does_not_hear_it_now_proves_nothing(other):
    assert codes([witness() | other]) == []
    assert hearers([witness() | other]) == []


def test_its_own_answer_says_more_than_that_of_a_witness():
    assert codes([answer(), witness()]) == ["broadcasts-lost"]


def test_the_report_has_the_answers_and_what_follows_from_them():
    told = report(STATUS, "bert", (), [witness()])
    assert (told["verdict"], told["certainty"], told["asked"]) == ("heard-by-others", "proven", [witness()])
    assert [finding["code"] for finding in told["findings"]] == ["heard-by-others"]
    assert address_of(told) == "10.0.0.7"


def test_a_report_about_this_node_by_name_is_one_about_this_node():
    for name in ("one", "n1", "10.0.0.1"):
        told = report(STATUS, name)
        assert (told["peer"], told["verdict"], told["asked"]) == (None, "healthy", [])


def icmp(type, code, **changed):
    return {"target": "10.0.0.7", "sender": "10.0.0.7", "type": type, "code": code, "count": 4, "last_s": 0.3} | changed


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (icmp(3, 3), "not-running", "10.0.0.7 is there, and nothing listens at its UDP port 3400: discoveryd does not run there"),
        (icmp(3, 13), "firewall-rejects", "10.0.0.7 is behind a firewall that rejects UDP port 3400"),
        (icmp(3, 10, sender="10.0.0.254"), "firewall-rejects", "10.0.0.7 is behind a firewall that rejects UDP port 3400 (says 10.0.0.254)"),
    ],
)
def test_what_icmp_says_is_proven(said, code, text):
    told = report(STATUS | {"icmp": [said]}, "10.0.0.7")
    assert [(finding["code"], finding["certainty"], finding["text"]) for finding in told["findings"]] == [(code, "proven", text)]
    assert address_of(told) == ""


@pytest.mark.parametrize(
    "said", [icmp(3, 1), icmp(3, 3, last_s=11.0), icmp(3, 3, target="10.0.0.8"), icmp(11, 0)], ids=["host", "old", "another", "ttl"]
)
def test_what_icmp_said_of_something_else_is_no_reason(said):
    assert [one["code"] for one in report(STATUS | {"icmp": [said]}, "10.0.0.7")["findings"]] == ["peer-unknown"]


def test_icmpv6_has_other_numbers():
    told = report(STATUS | {"icmp": [icmp(1, 4, target="fd00::7", sender="fd00::7")]}, "fd00::7")
    assert told["verdict"] == "not-running"


def test_what_icmp_says_of_a_live_peer_is_no_fault():
    assert report(STATUS | {"icmp": [icmp(3, 13, target="10.0.0.2")]}, "alpha", [peer()])["verdict"] == "healthy"
