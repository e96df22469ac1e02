"""The section `grace`: a list of rules, each with its faults at their place."""

import pytest

from discoveryd.config import Config, load
from discoveryd.errors import ConfigError
from discoveryd.protocol.table.grace import MOST_RULES, GraceRule


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return load(str(path), {})

    return read


def test_rules_are_read_in_their_order_and_written_back(read, tmp_path):
    config = read('grace:\n  - {tag: {role: phone}, for: 20m}\n  - name: "lap*"\n    for: 1h\n')
    assert config.grace.rules == (GraceRule(tags={"role": "phone"}, seconds=1200.0), GraceRule(name="lap*", seconds=3600.0))
    assert read(config.to_yaml()) == config
    assert '  - {tag: {"role": "phone"}, for: 20m}\n  - {name: "lap*", for: 1h}\n' in config.to_yaml()


@pytest.mark.parametrize("text", ["grace: []\n", "grace:\n", "node: {}\n"])
def test_no_rule_is_the_default(read, text):
    assert read(text).grace == Config().grace
    assert "grace: []\n" in Config().to_yaml()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("grace: {for: 5m}\n", "1: grace: must be a list of rules such as [{tag: {role: phone}, for: 20m}], not a mapping"),
        ("grace:\n  - phone\n", "2: grace: must be a rule such as {tag: {role: phone}, for: 20m}, not 'phone'"),
        ("grace:\n  - {name: a, for: 5m}\n  - {name: a}\n", "3: grace: a rule says for how long: for, as in {tag: {role: phone}, for: 20m}"),
        ("grace: [{for: 5m}]\n", "1: grace: a rule says which peers it is for: tag, name, or both"),
        ("grace:\n  - name: a\n    for: 0s\n", "3: grace.for: must be 1s to 168h, not 0s"),
        ("grace: [{name: a, for: 5}]\n", "1: grace.for: 5 needs a unit: 5ms, 5s, 5m or 5h"),
        ("grace: [{name: a, for: 5m, zzz: b}]\n", "1: unknown key grace.zzz; known here are tag, name, for"),
        ("grace: [{name: '', for: 5m}]\n", "1: grace.name: a pattern must have 1 to 128 characters, not 0"),
        (f"grace: [{', '.join(['{name: a, for: 5m}'] * (MOST_RULES + 1))}]\n", f"1: grace: {MOST_RULES + 1} rules, at most {MOST_RULES}: use patterns such as phone-*"),
    ],
)
def test_a_wrong_rule_is_refused_with_place_and_remedy(read, text, problem):
    with pytest.raises(ConfigError) as told:
        read(text)
    [found] = told.value.problems
    assert found.partition("c.yaml:")[2] == problem
