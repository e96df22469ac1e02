"""The section ``export``: a list of files, what is refused in it, and how it is written again."""

import pytest

from discoveryd.config import Config, load, parse
from discoveryd.config.export_rule import ExportRule
from discoveryd.config.exports import MAX_EXPORTS, ExportSection
from discoveryd.errors import ConfigError
from discoveryd.query.request import Filter
from tests.config.faults import problems

WHOLE = """\
export:
  - {format: prometheus, port: 9100, filter: {tags: {role: gpu}, state: up, name: "w*", service: node, link: eth0}}
  - {format: template, template: "{name}", path: /srv/peers, self: off, command: "systemctl reload x"}
  - {format: dnsmasq, domain: lan, filter: {state: [up, down], all: on}, command: [/bin/true, a b]}
  - {format: csv, filter: }
"""
RULES = (
    ExportRule(
        format="prometheus", port=9100,
        chosen=Filter(states=frozenset(["up"]), name="w*", tags={"role": "gpu"}, service="node", link="eth0"),
    ),
    ExportRule(
        format="template", template="{name}", path="/srv/peers", with_self=False,
        command=("/bin/sh", "-c", "systemctl reload x"),
    ),
    ExportRule(
        format="dnsmasq", domain="lan", chosen=Filter(states=frozenset(["up", "down"]), all=True), command=("/bin/true", "a b")
    ),
    ExportRule(format="csv"),
)  # fmt: skip


def test_a_list_of_files(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(WHOLE)
    config = load(str(file), {})
    assert config.export.files == RULES
    file.write_text(config.to_yaml())
    assert load(str(file), {}) == config


@pytest.mark.parametrize("text", ["", "export:\n", "export: []\n"])
def test_no_file_is_the_default(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    assert load(str(tmp_path / "c.yaml"), {}).export == Config().export == ExportSection()


def refused(text):
    return problems(parse, "c.yaml", text.encode(), {})


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{path: x}", "export: a file needs a format such as prometheus"),
        ("{format: promtheus}", "export.format: must be one of prometheus, ansible, hosts, dnsmasq, ssh, known-hosts, json, csv, zabbix, nagios, template, not 'promtheus'"),
        ("{format: csv, port: 65536}", "export.port: must be 0 to 65535, not 65536"),
        ("{format: csv, path: ../x}", "export.path: must be that of a file, without '..', not '../x'"),
        ("{format: csv, path: x/}", "export.path: must be that of a file, without '..', not 'x/'"),
        ("{format: hosts, domain: a b}", "export.domain: must be a domain such as peers.internal, not 'a b'"),
        ("{format: template}", "export.template: must have 1 to 1024 characters"),
        ("{format: csv, template: '{name}'}", "export.template: is for the format template, not for 'csv'"),
        ("{format: csv, filter: {state: gone}}", "export.filter.state: must be of up, suspect, down, left, not 'gone'"),
        ("{format: csv, filter: {nam: x}}", "unknown key export.filter.nam; did you mean export.filter.name?"),
        ("{format: csv, filter: up}", "export.filter: must be a filter such as {tags: {role: gpu}}, not 'up'"),
        ("{format: csv, formt: x}", "unknown key export.formt; did you mean export.format?"),
        ("{format: csv, command: {a: b}}", 'export.command: must be a text for the shell, or a list such as ["/usr/bin/pgrep", "sshd"], not a mapping'),
        ("{format: csv, self: maybe}", "export.self: must be on or off, not 'maybe'"),
        ("csv", "export: must be a file such as {format: prometheus}, not 'csv'"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused_with_its_line(entry, problem):
    assert refused(f"export:\n  - {{format: json}}\n  - {entry}\n") == [f"c.yaml:3: {problem}"]


def test_a_path_is_for_one_file_alone():
    found = refused("export:\n  - {format: csv}\n  - {format: json, path: peers.csv}\n")
    assert found == ["c.yaml:1: export: two entries write 'peers.csv': give each a path of its own"]
    assert refused("export: csv\n") == ["c.yaml:1: export: must be a list of files such as [{format: prometheus}], not 'csv'"]


def test_the_number_of_files_is_bounded():
    rules = tuple(ExportRule(format="csv", path=str(number)) for number in range(MAX_EXPORTS + 1))
    assert ExportSection(files=rules[1:])
    with pytest.raises(ConfigError, match="at most 32"):
        ExportSection(files=rules)


def test_the_place_of_a_file():
    assert ExportRule(format="dnsmasq").place("/run/discoveryd/export") == "/run/discoveryd/export/dnsmasq/peers"
    assert ExportRule(format="csv", path="x/y").place("/e") == "/e/x/y"
    assert ExportRule(format="csv", path="/srv/x").place("/e") == "/srv/x"
