"""The doctor asks the resolver of the machine for the server of names, where a file lets it ask."""

import pytest

from discoveryd.ctl.names import of_names

DNS = {"on": True, "zone": "x.example", "error": None, "resolver": {"delegation": "/etc/x", "works": True, "error": None}}


def fails(_):
    raise OSError(-2, "Name or service not known")


def test_a_name_that_is_not_found_is_named():
    finding = of_names({"dns": DNS}, fails)
    assert (finding.code, finding.subject, finding.remedy) == ("names-not-found", "/etc/x", ("getent hosts discoveryd.x.example",))
    assert "Name or service not known" in finding.text
    asked = []
    assert of_names({"dns": DNS}, asked.append) is None
    assert asked == ["discoveryd.x.example"]


@pytest.mark.parametrize("status", [
    {}, {"dns": {"on": False}}, {"dns": {**DNS, "error": "taken"}}, {"dns": {**DNS, "resolver": {"delegation": None}}},
])  # fmt: skip
def test_nobody_is_asked_where_no_file_lets_the_resolver_ask(status):
    assert of_names(status, fails) is None
