import pytest

from discoveryd.query.doctor import report
from discoveryd.query.findings import findings
from tests.query.samples import STATUS
from tests.query.sites_status import with_sites


def codes(status):
    return [(finding.code, finding.subject) for finding in findings(status)]


def test_a_good_connection_is_no_finding_and_is_examined():
    status = with_sites(STATUS)
    assert codes(status) == []
    check = report(status)["checks"][-1]
    assert check == {
        "name": "sites", "result": "ok",
        "text": "berlin (gateway), connected to nats://127.0.0.1:4222, 1 of 1 others reachable",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["unreachable", "auth", "tls"])
def test_a_server_that_is_lost_is_named_and_hides_silent_sites(kind):
    trouble = {"server": "tls://a:4222", "kind": kind, "error": "no way"}
    status = with_sites(STATUS, connected=False, server=None, trouble=trouble, site={"state": "unreachable", "unknown": 5})
    assert codes(status) == [(f"nats-{kind}", "tls://a:4222")]
    assert findings(status)[0].text == "no NATS server is connected: tls://a:4222: no way"


def test_a_server_that_was_not_tried_yet_is_no_finding():
    assert codes(with_sites(STATUS, connected=False, server=None)) == []


def test_a_message_that_the_server_refuses_is_named():
    what = 'Permissions Violation for Publish to "discoveryd.default.paris.beat"'
    found = findings(with_sites(STATUS, denied=[{"what": what, "count": 3}]))
    assert [finding.code for finding in found] == ["nats-auth"]
    assert what in found[0].text


def test_a_silent_site_is_named_once():
    found = findings(with_sites(STATUS, site={"state": "unreachable", "unknown": 5, "vouched_s": 31.4}))
    assert [(finding.code, finding.text) for finding in found] == [
        ("site-unreachable", "site paris has been silent for 31 s: its 5 peers are unknown")
    ]
