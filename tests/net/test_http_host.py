"""Which Host of an HTTP request is this machine."""

import pytest

from discoveryd.net import http_host


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    (tmp_path / "resolv.conf").write_text("# a comment\n\nnameserver 192.0.2.1\nsearch example.net. corp.example\n")
    monkeypatch.setattr(http_host, "RESOLV_CONF", tmp_path / "resolv.conf")
    monkeypatch.setattr(http_host.socket, "gethostname", lambda: "DB1")


@pytest.mark.parametrize(
    "host",
    [
        "", "127.0.0.1", "192.0.2.7:9341", "[::1]", "[2001:db8::1]:9341", "localhost:9341", "LOCALHOST", "db1", "other", "db1.",
        "db1.local", "x.localhost", "db1.example.net", "db1.corp.example:9341", "DB1.Example.Net.",
    ],
)  # fmt: skip
def test_ours(host):
    assert http_host.is_ours(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "db1.evil.example:9341", "localhost.evil.example", "127.0.0.1.evil.example", "db2.example.net",
        "db1.example.net,evil.example", "[::1", "[::1]x", "[evil.example]", "::1", "1.2.3", "a.b:c", "db1.local.evil.example",
    ],
)  # fmt: skip
def test_of_others(host):
    assert not http_host.is_ours(host)


def test_a_full_host_name_is_ours_where_nothing_is_searched(monkeypatch, tmp_path):
    monkeypatch.setattr(http_host, "RESOLV_CONF", tmp_path / "none")
    monkeypatch.setattr(http_host.socket, "gethostname", lambda: "db1.example.org")
    assert http_host.is_ours("db1.example.org")
    assert not http_host.is_ours("db1.example.net")


def test_a_configured_name_is_ours():
    assert http_host.is_ours("NAS.example.com:80", {"nas.example.com"})
    assert not http_host.is_ours("nas.example.com.evil.example", {"nas.example.com"})
