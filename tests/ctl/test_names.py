"""The doctor asks the resolver of the machine for the server of names, where a file lets it ask."""

import pytest

from discoveryd.ctl.names import of_names

DNS = {"on": True, "zone": "x.example", "error": None}


def fails(_):
    raise OSError(-2, "Name or service not known")


def test_a_name_that_is_not_found_is_named():
    finding = of_names({"dns": DNS}, fails, lambda: "/etc/x")
    assert (finding.code, finding.subject, finding.remedy) == ("names-not-found", "/etc/x", ("getent hosts discoveryd.x.example",))
    assert "Name or service not known" in finding.text
    asked = []
    assert of_names({"dns": DNS}, asked.append, lambda: "/etc/x") is None
    assert asked == ["discoveryd.x.example"]


def test_a_file_that_leads_to_a_daemon_without_names_is_named():
    finding = of_names({"dns": {"on": False}}, fails, lambda: "/etc/x")
    assert "dns.listen is off; set it, or run discoveryd uninstall --dns" in finding.text


@pytest.mark.parametrize(("status", "path"), [
    ({}, "/etc/x"), ({"dns": {**DNS, "error": "taken"}}, "/etc/x"), ({"dns": DNS}, ""), ({"dns": {"on": False}}, ""),
])  # fmt: skip
def test_nobody_is_asked_where_no_file_lets_the_resolver_ask(status, path):
    assert of_names(status, fails, lambda: path) is None
