"""Drafts of messages to other sites."""

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.messages.handed import HANDED, MAX_HANDED
from discoveryd.query.messages import MAX_FAR_TIMEOUT, Draft
from discoveryd.query.request import parse_request

FAR = {"to": "bert", "site": "berlin"}


@pytest.mark.parametrize(("given", "says"), [
    ({"where": {"to": ["a", "b"], "site": "berlin"}}, "for one peer, which is named: not for 2"),
    ({"where": {"everyone": True, "site": "berlin"}}, "for one peer, which is named: not for a filter"),
    ({"where": {"tags": {"a": "b"}, "site": "berlin"}}, "for one peer"),
    ({"where": {"to": "bert", "site": "all"}}, "for a peer of one site: name it, not 'all'"),
    ({"where": FAR, "timeout": MAX_FAR_TIMEOUT + 1}, "at most 60 s"),
    ({"where": FAR, "payload": b"x" * (MAX_HANDED + 1)}, "from site to site at most 64512"),
    ({"where": {"to": "bert"}, "name": HANDED}, "is kept for what gateways hand over"),
])  # fmt: skip
def test_a_message_to_a_site_is_for_one_peer_and_bounded(given, says):
    with pytest.raises(QueryError, match=says):
        Draft(**{"name": "disk", **given})
    assert Draft(name="disk", where=FAR, timeout=MAX_FAR_TIMEOUT, payload=b"x" * MAX_HANDED).site == "berlin"


def test_a_request_with_a_site_takes_the_token():
    draft = Draft(name="info", where=FAR, is_question=True)
    assert draft.request()["site"] == "berlin"
    near = parse_request(b'{"op":"ask","message":"info","peers":["bert"]}')
    far = parse_request(b'{"op":"ask","message":"info","peers":["bert"],"site":"berlin"}')
    assert (near.needs_proof, near.is_about_sites, near.draft.site) == (False, False, "")
    assert (far.needs_proof, far.is_about_sites, far.draft.site) == (True, True, "berlin")
