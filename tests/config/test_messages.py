"""The section ``messages``: what it takes, what it refuses, and what of it reaches the engine."""

import pytest

from discoveryd.config import Config, load
from discoveryd.config.sections import MAX_RULES
from discoveryd.protocol.messages.values import AllowRule
from discoveryd.protocol.parameters import MessageLimits
from tests.config.faults import problems

GIVEN = """\
messages:
  builtins: off
  budget: 100
  rate: 5
  allow:
    - {name: deploy, from: "ctl-*"}
    - name: "*"
      from: 0f3a
"""
RULES = (AllowRule(name="deploy", sender="ctl-*"), AllowRule(name="*", sender="0f3a"))


def test_what_is_set_reaches_the_engine_and_reads_back(read):
    config = read(GIVEN)
    assert (config.messages.builtins, config.messages.allow) == (False, RULES)
    assert config.parameters.messages == MessageLimits(budget=100, rate=5)
    assert read(config.to_yaml()) == config


def test_without_it_the_engine_has_its_defaults():
    assert Config().messages.limits() == Config().parameters.messages == MessageLimits()
    assert Config().messages.builtins
    assert Config().messages.allow == ()


@pytest.mark.parametrize("text", ["on", "yes", "true", "True", "ON"])
def test_on_has_several_words(read, text):
    assert read(f"messages: {{builtins: {text}}}").messages.builtins
    assert not read("messages: {builtins: false}").messages.builtins


@pytest.mark.usefixtures("no_default")
def test_variables_set_it_too():
    variables = {"DISCOVERYD_MESSAGES__ALLOW": '[{name: deploy, from: "ctl-*"}]', "DISCOVERYD_MESSAGES__BUILTINS": "off"}
    assert load(environ=variables).messages.allow == RULES[:1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("builtins: maybe", "2: messages.builtins: must be on or off, not 'maybe'"),
        ("builtins: [on]", "2: messages.builtins: must be on or off, not a list"),
        ("budget: 9", "2: messages.budget: must be at least 10, not 9"),
        ("rate: 0", "2: messages.rate: must be at least 1, not 0"),
        ("allow: deploy", "2: messages.allow: must be a list of rules such as [{name: deploy, from: \"ctl-*\"}], not 'deploy'"),
        ("allow: [deploy]", "2: messages.allow: must be a rule such as {name: deploy, from: \"ctl-*\"}, not 'deploy'"),
        ("allow: [{name: deploy}]", "2: messages.allow: a rule needs from"),
        ("allow: [{}]", "2: messages.allow: a rule needs name and from"),
        ("allow: [{name: a, form: b}]", "2: unknown key messages.allow.form; did you mean messages.allow.from?"),
        ("allow: [{name: a, from: [b]}]", "2: messages.allow.from: must be a text, not a list"),
        ("allow: [{name: a, from: ''}]", "2: messages.allow: a pattern must have 1 to 128 characters, not 0"),
        (f"allow: [{{name: a, from: {'b' * 129}}}]", "2: messages.allow: a pattern must have 1 to 128 characters, not 129"),
        (f"allow: [{', '.join(['{name: a, from: b}'] * (MAX_RULES + 1))}]", "2: messages.allow: 65 rules, at most 64: use patterns such as web-*"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_place_and_remedy(read, content, problem):
    assert f"c.yaml:{problem}" in problems(read, f"messages:\n  {content}")
