"""Who is answered: requests for this machine, not of another site, and with the token where there is one."""

import pytest

from discoveryd.web.gate import Rules
from tests.web.conftest import ask

OPEN = Rules(hosts=frozenset({"nas.example.com"}))
SECRET = Rules(token="0123456789abcdef", free=("/",))


def refusal(rules=OPEN, method="GET", path="/api/v1/peers", scheme="http", **headers):
    found = {"host": "127.0.0.1:3480", **{name.replace("_", "-"): value for name, value in headers.items()}}
    refused = rules.refusal(scheme, method, path, found)
    return None if refused is None else refused.status


@pytest.mark.parametrize("host", ["127.0.0.1:3480", "localhost", "[::1]:80", "NAS.example.com", ""])
def test_a_host_that_is_ours_is_answered(host):
    assert refusal(host=host) is None


def test_a_name_of_another_domain_is_misdirected():
    assert refusal(host="rebound.example:3480") == 421
    assert refusal(host="rebound.example", method="POST", path="/api/v1/doctor") == 421


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "LIST"])
def test_other_methods_are_refused(method):
    assert refusal(method=method) == 405


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8000", "http://127.0.0.1:3480.evil.example"])
def test_a_page_of_another_origin_is_refused(method, origin):
    assert refusal(method=method, origin=origin) == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:3480", "https://127.0.0.1:3480"])  # the latter by a proxy with TLS
def test_our_own_page_is_answered(origin):
    assert refusal(method="POST", origin=origin, sec_fetch_site="same-origin") is None


def test_a_page_of_plain_http_is_another_origin_under_tls():
    assert refusal(scheme="https", origin="http://127.0.0.1:3480") == 403
    assert refusal(scheme="https", origin="https://127.0.0.1:3480") is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_fetches_is_refused(site):
    assert refusal(sec_fetch_site=site, sec_fetch_mode="no-cors", sec_fetch_dest="script") == 403
    assert refusal(sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="iframe") == 403
    assert refusal(method="POST", sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document") == 403


def test_a_link_from_elsewhere_may_be_followed():
    assert refusal(sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document") is None
    assert refusal(sec_fetch_site="none", sec_fetch_mode="navigate", sec_fetch_dest="document") is None


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef", "Bearer \xe9"]
)
def test_without_the_token_nothing_is_told(authorization):
    assert refusal(SECRET, authorization=authorization) == 401
    assert refusal(SECRET, path="/metrics", authorization=authorization) == 401


def test_with_the_token_all_is_told_and_the_page_without():
    assert refusal(SECRET, authorization="Bearer 0123456789abcdef") is None
    assert refusal(SECRET, authorization="bearer 0123456789abcdef") is None
    assert refusal(SECRET, path="/") is None
    assert "0123456789abcdef" not in repr(SECRET)


async def app(scope, receive, send):
    if scope["path"] == "/fails":
        raise ValueError("broken")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Cache-Control", b"max-age=5")]})
    await send({"type": "http.response.body", "body": b"fine"})


def test_each_answer_has_headers_that_trust_nobody(serve):
    door = serve(app)
    for path, host in (("/", "127.0.0.1"), ("/", "rebound.example")):
        _, headers, _ = ask(door, path, Host=host)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert "set-cookie" not in headers
        assert "server" not in headers
    assert ask(door, "/")[1]["cache-control"] == "max-age=5"
    assert ask(door, "/", Host="rebound.example")[1]["cache-control"] == "no-store"


def test_refusals_are_counted_and_say_what_to_do(serve):
    door = serve(app, SECRET)
    status, headers, _ = ask(door, "/x")
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="discoveryd"')
    assert ask(door, "/x", Authorization="Bearer 0123456789abcdef")[2] == b"fine"
    assert ask(door, "/x", Host="rebound.example")[0] == 421
    status, _, text = ask(door, "/x", "PUT")
    assert status == 405
    assert b'"code":"bad_request"' in text
    counts = door.status()
    assert (counts["requests"], counts["refused"], counts["denied"]) == (1, 2, 1)


def test_a_failing_request_is_told_and_no_other_suffers(serve, capfd):
    told = []
    door = serve(app, failed=told.append)
    status, _, text = ask(door, "/fails")
    assert status == 500
    assert b"the log says why" in text
    assert [repr(error) for error in told] == ["ValueError('broken')"]
    assert ask(door, "/")[2] == b"fine"
    assert capfd.readouterr() == ("", "")
