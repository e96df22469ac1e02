"""Which rules drop the HELLOs, as ``nft -j list ruleset`` has them."""

import json
import subprocess

import pytest

from discoveryd.ctl import firewall

UDP = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "udp"}}
SOURCE = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.0.0.9"}}


def to_port(right):
    return {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": right}}


def chain(hook="input", policy="accept", **more):
    return {"chain": {"family": "inet", "table": "filter", "name": "c", "hook": hook, "policy": policy, **more}}


def rule(*expressions, **more):
    return {"rule": {"family": "inet", "table": "filter", "chain": "c", "handle": 5, "expr": list(expressions), **more}}


def to_tcp(right):
    return {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}}


def on_link(name):
    return {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": name}}


def to(word, name):
    return {word: {"target": name}}


def named_set(*elements, name="open"):
    return {"set": {"family": "inet", "table": "filter", "name": name, "elem": list(elements)}}


def verdicts(*pairs):
    return {"vmap": {"key": {"payload": {"protocol": "udp", "field": "dport"}}, "data": {"set": list(pairs)}}}


@pytest.fixture
def rules(monkeypatch):
    """Give a function that sets the rules of the machine."""

    def put(*entries):
        text = json.dumps({"nftables": [{"metainfo": {}}, *entries]})
        monkeypatch.setattr("subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, 0, text, ""))

    return put


DROP, ACCEPT, REJECT = {"drop": None}, {"accept": None}, {"reject": {"type": "icmp", "expr": "admin-prohibited"}}
OPENS = ["nft insert rule inet filter c udp dport 3400 accept"]


@pytest.mark.parametrize(
    "expressions",
    [
        [to_port(3400), DROP], [UDP, to_port(3400), REJECT], [to_port({"range": [3000, 4000]}), DROP], [DROP], [UDP, DROP],
        [to_port({"set": [53, {"range": [3400, 3401]}]}), DROP], [on_link("eth0"), to_port(3400), DROP],
        [verdicts([53, ACCEPT], [3400, DROP])],
    ],
)  # fmt: skip
def test_a_rule_that_drops_the_port_is_named(rules, expressions):
    rules(chain(), rule(*expressions))
    words, commands = firewall.openings(3400)
    assert commands == OPENS
    assert words[0].startswith("chain c of table inet filter: rule 5 has ")


@pytest.mark.parametrize(
    "entries",
    [
        [chain()], [chain(), rule(to_port(53), DROP)], [chain(), rule(SOURCE, DROP)],
        [chain(), rule(to_port(3400), ACCEPT), rule(DROP)], [chain(policy="drop"), rule(to_port(3400), ACCEPT)],
        [chain(hook="forward", policy="drop")], [chain(family="ip6", policy="drop")],
        [chain(), rule(DROP, chain="other")], [chain(), rule(DROP, table="nat")],
        [chain(), rule(to("jump", "own")), rule(DROP), rule(to_port(3400), ACCEPT, chain="own")],
        [chain(), rule(on_link("eth0"), to("goto", "own")), rule(DROP), rule(ACCEPT, chain="own")],
        [chain(policy="drop"), rule(to_port("@open"), ACCEPT), named_set(53, {"elem": {"val": 3400}})],
        [chain(), rule(to("jump", "own")), rule({"return": None}, chain="own"), rule(DROP, chain="own")],
        [chain(), rule(ACCEPT), rule(DROP)], [chain(), rule(SOURCE, to("jump", "own")), rule(DROP, chain="own")],
        [chain(policy="drop"), rule(verdicts([3400, ACCEPT]))], [chain(), rule(verdicts([53, DROP]))],
        [chain(), rule(to_tcp(3400), DROP)],
    ],
)  # fmt: skip
def test_what_lets_the_port_through_is_not_named(rules, entries):
    rules(*entries)
    assert firewall.openings(3400) == ([], [])


def test_a_rule_of_a_chain_further_down_is_named(rules):
    """The command puts its rule into the chain where the datagram begins."""
    rules(
        chain(), rule(to("jump", "zones")), rule(on_link("eth0"), to("goto", "public"), chain="zones", handle=6),
        rule(to_port("@open"), ACCEPT, chain="public", handle=7), rule(REJECT, chain="public", handle=8), named_set(22),
    )  # fmt: skip
    words, commands = firewall.openings(3400)
    assert words == ["chain c of table inet filter: rule 8 of chain public has reject for UDP port 3400"]
    assert commands == OPENS


def test_a_rule_for_all_ports_but_one_is_read(rules):
    other = {"match": {**to_port(22)["match"], "op": "!="}}
    rules(chain(), rule(other, DROP))
    assert firewall.openings(3400)[1] == OPENS
    assert firewall.openings(22) == ([], [])


def test_chains_that_jump_to_each_other_end(rules):
    rules(chain(policy="drop"), rule(to("jump", "own")), rule(to("jump", "own"), chain="own"))
    assert firewall.openings(3400)[1] == OPENS


def test_a_policy_that_drops_is_named(rules):
    rules(chain(policy="drop"), rule(SOURCE, to_port(3400), ACCEPT))
    words, commands = firewall.openings(3400)
    assert words == ["chain c of table inet filter: its policy is drop, and no rule accepts it"]
    assert commands == OPENS


def test_what_goes_out_has_chains_of_its_own(rules):
    rules(chain(hook="output"), rule(DROP))
    assert firewall.openings(3400) == ([], [])
    assert firewall.openings(3400, is_out=True)[1] == OPENS


@pytest.mark.parametrize("failure", [FileNotFoundError(), subprocess.CalledProcessError(1, "nft"), subprocess.TimeoutExpired("nft", 2)])
def test_rules_that_cannot_be_read_are_no_failure(monkeypatch, failure):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("subprocess.run", fail)
    assert firewall.openings(3400) == ([], [])


@pytest.mark.parametrize("text", ["", "{}", '{"nftables": [1, {}]}'])
def test_an_answer_of_another_shape_is_no_failure(monkeypatch, text):
    monkeypatch.setattr("subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, 0, text, ""))
    assert firewall.openings(3400) == ([], [])


def test_rules_of_the_other_family_are_passed_over(rules):
    rules(*(chain(family=family, policy="drop") for family in ("ip", "ip6")))
    for is_ipv6, family in ((False, "ip"), (True, "ip6")):
        _, [command] = firewall.openings(3400, is_ipv6=is_ipv6)
        assert command == f"nft insert rule {family} filter c udp dport 3400 accept"
