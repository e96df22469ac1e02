"""Templates: a line for each peer, or for each of its services."""

import re

import pytest

from discoveryd.query.formats import columns
from discoveryd.query.formats.template import MAX_TEMPLATE, Template
from tests.query.samples import BARE, peer

TWO = peer(
    services=[
        {"name": "http", "port": 80, "proto": "tcp", "tags": {}}, {"name": "dns", "port": 53, "proto": "udp", "tags": {}},
        {"name": "backup", "port": 0, "proto": "tcp", "tags": {}},
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("{name} {address}", ["alpha 10.0.0.2"]),
        ("{name} {address}:{port}", ["alpha 10.0.0.2:80", "alpha 10.0.0.2:53"]),
        ("{service}/{proto} {endpoint}", ["http/tcp 10.0.0.2:80", "dns/udp 10.0.0.2:53"]),
        (r"{tag.role}\t{tag.none}|{{{name}}}\\n", ["gpu\t|{alpha}\\n"]),
        ("{id}{state}{kind}{key}{two_way}{rtt_ms}{clone}{self}", ["9f3aupnodefalsefalse"]),
        ("{addresses} {tags} {services}", ["10.0.0.2 role=gpu http,dns,backup"]),
    ],
)
def test_a_template_is_filled(text, lines):
    assert list(Template(text).lines(TWO)) == lines


def test_a_template_of_one_service_and_of_ipv6():
    made = Template("{endpoint} {two_way} {loss}")
    assert list(made.lines(TWO | {"address": "fd00::1", "two_way": True, "loss": 0.5}, "dns")) == ["[fd00::1]:53 true 0.5"]
    assert list(made.lines(BARE)) == []
    assert list(Template("{name}").lines(BARE)) == ["10.0.0.9"]


def test_a_value_is_no_field_and_no_line():
    (line,) = Template("{name}|{tag.role}").lines(peer(name="{id}\n{port}", tags={"role": "\\n\x1b[2J"}))
    assert line == "{id}\\n{port}|\\n\\x1b[2J"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name", "has no field"), ("{nmae}", "has no field 'nmae': there are name, id"), ("{name", "a { without }"),
        ("name}", "a } without {"), ("{}", "has no field ''"), ("{name.__class__}", "has no field"), ("{tag.}", "no field"),
        ("", "1 to"), ("{name}" * MAX_TEMPLATE, "1 to"),
    ],
)  # fmt: skip
def test_a_wrong_template_says_what_is_allowed(text, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        Template(text)


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (["endpoint"], ["10.0.0.2:53", "10.0.0.2:80"]),
        (["name", "address"], ["10.0.0.9\t10.0.0.9", "alpha\t10.0.0.2"]),
        (["name", "endpoint"], ["10.0.0.9\t-", "alpha\t10.0.0.2:53", "alpha\t10.0.0.2:80"]),
        (["service", "tag"], ["-\t-", "backup\trole=gpu", "dns\trole=gpu", "http\trole=gpu"]),
    ],
)
def test_columns_are_sorted_and_each_line_is_there_once(names, lines):
    assert columns([TWO, BARE, TWO], names).split("\n") == lines


def test_a_peer_beyond_the_links_has_a_dash_for_a_link():
    assert columns([peer(link="")], ["name", "link"]) == "alpha\t-"
