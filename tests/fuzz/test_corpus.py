"""Odd bytes, each in a file of its own under the word it must lead to; what fuzzing finds is added here.

``corpus/datagrams/REASON/NAME`` is dropped for REASON (``ok``: received), ``corpus/lines/CODE/NAME`` is
refused with CODE (``ok``: answered), ``corpus/configs/refused/NAME`` is refused (``ok``: read), and
``corpus/sealed/REASON/NAME`` is dropped for REASON (``ok``: opened), ``corpus/questions/CODE/NAME`` is answered with CODE.
"""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def files(kind, least=40):
    found = sorted(path for path in (CORPUS / kind).rglob("*") if path.is_file())
    assert len(found) > least
    return [pytest.param(path.parent.name, path.read_bytes(), id=f"{path.parent.name}/{path.name}") for path in found]


@pytest.mark.parametrize(("reason", "datagram"), files("datagrams"))
def test_datagram_of_the_corpus(reason, datagram):
    node = TARGETS["datagrams"](datagram)
    if reason == "ok":
        assert sum(node.received.values()) == 2
        assert not node.drops
    else:
        assert sum(node.received.values()) == 0
        assert dict(node.drops) == {(reason, "eth0"): 2}
        assert len(node.table) == 0


@pytest.mark.parametrize(("code", "line"), files("lines"))
def test_line_of_the_corpus(code, line):
    assert TARGETS["lines"](line) == code


@pytest.mark.parametrize(("outcome", "text"), files("configs", 20))
def test_config_of_the_corpus(outcome, text):
    assert (TARGETS["configs"](text) is not None) is (outcome == "ok")


@pytest.mark.parametrize(("reason", "envelope"), files("sealed", 5))
def test_envelope_of_the_corpus(reason, envelope):
    assert TARGETS["sealed"](envelope) == reason


@pytest.mark.parametrize(("code", "question"), files("questions", 10))
def test_question_of_the_corpus(code, question):
    assert TARGETS["questions"](question) == code
