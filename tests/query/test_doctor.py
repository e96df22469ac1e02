"""A report: one verdict, the cause before what follows from it, and nothing that is a guess."""

import pytest

from discoveryd.query.doctor import HEALTHY, address_of, report, with_more
from discoveryd.query.finding_kind import AREAS
from discoveryd.query.findings import Finding
from tests.query.samples import LINK, STATUS, peer

SHUT = STATUS | {"links": [LINK | {"unechoed": 9, "echoed": 0, "misses_echo": True}]}


def codes(found):
    return [finding["code"] for finding in found["findings"]]


def results(found):
    return {check["name"]: check["result"] for check in found["checks"]}


def test_a_good_node_is_healthy_in_every_area():
    found = report(STATUS)
    assert (found["verdict"], found["certainty"], found["findings"]) == (HEALTHY, None, [])
    assert results(found) == dict.fromkeys([area for area in AREAS if area != "sites"], "ok")  # that has none
    assert {check["name"]: check["text"] for check in found["checks"]}["hearing"] == "10 of 10 came back on eth0, 7 of others heard"


def test_the_verdict_is_the_first_fault():
    found = report(SHUT | {"metrics": {"error": "taken"}})
    assert (found["verdict"], found["certainty"]) == ("own-firewall-in", "proven")
    assert codes(found) == ["own-firewall-in", "metrics-not-served"]
    assert (results(found)["hearing"], results(found)["machine"], results(found)["sending"]) == ("fault", "fault", "ok")


def test_what_is_only_good_to_know_is_no_fault():
    found = report(STATUS | {"receive_buffer": {"bytes": 1, "wanted": 2}})
    assert (found["verdict"], codes(found)) == (HEALTHY, ["small-receive-buffer"])
    assert results(found)["machine"] == "note"


def test_what_is_not_known_yet_is_said_so():
    young = STATUS | {"links": [LINK | {"sent": 3, "echoed": 0, "last_echo_s": None, "unechoed": 3}]}
    assert results(report(young))["hearing"] == "unknown"


def test_a_peer_that_is_up_has_no_fault():
    found = report(STATUS, "alpha", [peer()])
    assert (found["verdict"], found["peer"], codes(found)) == (HEALTHY, "alpha", [])


@pytest.mark.parametrize(
    ("changed", "verdict", "code"),
    [
        ({"state": "down"}, "peer-down", "peer-down"), ({"state": "left"}, HEALTHY, "peer-left"),
        ({"clone": True}, "clone", "clone"),
    ],
)  # fmt: skip
def test_the_state_of_a_peer_is_told(changed, verdict, code):
    found = report(STATUS, "alpha", [peer(**changed)])
    assert (found["verdict"], codes(found)) == (verdict, [code])


def test_a_peer_that_left_is_told_with_its_reason():
    (finding,) = report(STATUS, "alpha", [peer(state="left", goodbye_reason="reboot", last_heard_s=8.0)])["findings"]
    assert finding["text"] == "alpha (10.0.0.2) said goodbye (reboot) 8.0 s ago"
    assert finding["evidence"]["goodbye_reason"] == "reboot"


def test_what_a_peer_says_of_itself_is_told_of_it_alone():
    deaf = {
        "id": "9f3a", "name": "alpha", "address": "10.0.0.2", "link": "eth0", "two_way": False, "loss": None,
        "hellos_arrive": True, "hears_nobody": True, "hears_itself": False,
    }  # fmt: skip
    status = STATUS | {"impaired": [deaf, deaf | {"id": "other", "name": "beta"}]}
    found = report(status, "alpha", [peer(two_way=False)])
    assert (found["verdict"], codes(found)) == ("peer-firewall-in", ["peer-firewall-in"])
    assert "beta" not in found["findings"][0]["text"]


def test_what_is_wrong_here_explains_what_is_missing():
    found = report(SHUT, "10.0.0.7")
    assert codes(found) == ["own-firewall-in"]
    assert address_of(found) == ""


def test_what_was_dropped_of_an_address_is_the_reason():
    source = {"reason": "other-realm", "address": "10.0.0.7", "link": "eth0", "detail": "lab", "count": 1, "last_s": 99.0}
    found = report(STATUS | {"drop_sources": [source]}, "10.0.0.7")
    assert codes(found) == ["dropped", "peer-unknown"]
    assert found["findings"][0]["text"].startswith("what 10.0.0.7 sends is dropped (1 so far): other-realm (lab). Sent in another")


@pytest.mark.parametrize(
    ("wanted", "peers", "address"),
    [
        ("10.0.0.7", [], "10.0.0.7"), ("nobody", [], ""), ("1.2.3", [], ""), ("1.2.3.999", [], ""), (f"1.2.3.{'9' * 5000}", [], ""), ("1.2.3.x", [], ""),
        ("alpha", [peer(state="down")], "10.0.0.2"), ("alpha", [peer()], ""),
    ],
)  # fmt: skip
def test_a_missing_machine_may_be_asked(wanted, peers, address):
    assert address_of(report(STATUS, wanted, peers)) == address


def test_another_finding_explains_what_was_not_known():
    found = with_more(report(STATUS, "10.0.0.7"), Finding("not-running", "nothing listens there"))
    assert (found["verdict"], found["certainty"], codes(found)) == ("not-running", "proven", ["not-running"])
