"""Seeds that are of no use are named: names that do not resolve, and addresses where nobody is heard."""

from discoveryd.query.findings import findings
from tests.query.samples import STATUS

NO_NAME = "EAI_NONAME: Name or service not known"


def seed(text, state="answers", *addresses, error=None):
    heard = 0.4 if state == "answers" else None
    return {
        "seed": text, "state": state, "addresses": [{"address": one, "heard_s": heard} for one in addresses],
        "error": error, "next_try_s": None,
    }  # fmt: skip


def found(*seeds, uptime=60.0):
    return [finding.to_json() for finding in findings(STATUS | {"seeds": list(seeds), "uptime_s": uptime})]


def test_seeds_that_answer_are_no_fault():
    assert found(seed("10.1.0.5", "answers", "10.1.0.5"), seed("hub", "here", "10.0.0.1")) == []
    assert found(seed("hub", "resolving")) == []


def test_a_name_that_does_not_resolve_is_named():
    [finding] = found(seed("hub.example.org:3401", "unresolved", error=NO_NAME))
    assert (finding["code"], finding["subject"]) == ("seed-unresolved", "hub.example.org:3401")
    assert finding["text"] == f"seed hub.example.org:3401: the name does not resolve ({NO_NAME}): nobody is greeted there"
    assert finding["remedy"] == ["getent ahosts hub.example.org"]
    [finding] = found(seed("hub", "answers", "10.1.0.5", error=NO_NAME))
    assert finding["text"].endswith("the addresses it had stay in use: 10.1.0.5")


def test_of_many_names_that_do_not_resolve_a_few_are_named():
    told = found(*(seed(f"hub{number}", "unresolved", error=NO_NAME) for number in range(500)))
    assert len(told) == 8
    assert told[-1]["text"].endswith("and 492 more do not")


def test_seeds_that_do_not_answer_are_named_together():
    silent = [seed("hub", "silent", "10.1.0.5"), seed("10.1.0.6", "silent", "10.1.0.6"), seed("x", "answers", "10.1.0.7")]
    [finding] = found(*silent)
    assert (finding["code"], finding["severity"]) == ("seeds-silent", "low")
    assert finding["text"].startswith("nobody is heard at 2 of 3 seeds: hub (10.1.0.5), 10.1.0.6; is discoveryd running")
    assert found(*silent, uptime=3.0) == []
    [finding] = found(*(seed(f"10.1.0.{number}", "silent", f"10.1.0.{number}") for number in range(100)))
    assert "10.1.0.7 and 92 more;" in finding["text"]
