"""The trial of the resolver: only where a file lets it ask, one at a time, and never waited for."""

import threading

import pytest

from discoveryd.dns import trial
from discoveryd.dns.trial import Trial
from tests.runtime.waiting import until


class Resolver:
    """A resolver that the test answers for."""

    def __init__(self):
        self.asked = []
        self.error = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, name):
        self.asked.append(name)
        self.may_answer.wait(20)
        if self.error:
            raise OSError(-2, self.error)
        return ("127.0.0.1",)


@pytest.fixture
def resolver():
    made = Resolver()
    yield made
    made.may_answer.set()


@pytest.fixture
def make(resolver, monkeypatch):
    monkeypatch.setattr(trial, "AGAIN", 0.0)

    def make(path="/etc/x"):
        return Trial("x.example", find_delegation=lambda: path, failed=lambda *what: pytest.fail(str(what)), find=resolver)

    return make


def test_without_a_file_nobody_is_asked(make, resolver):
    made = make("")
    made.look()
    assert made.status() == {"delegation": None, "works": None, "error": None}
    assert resolver.asked == []


def test_the_server_is_asked_for_and_the_error_told(make, resolver):
    made, resolver.error = make(), "Name or service not known"
    made.look()
    until(lambda: made.status()["works"] is False)
    assert made.status()["delegation"] == "/etc/x"
    assert "Name or service not known" in made.status()["error"]
    resolver.error = None
    until(lambda: made.look() or made.status() == {"delegation": "/etc/x", "works": True, "error": None})
    assert set(resolver.asked) == {"discoveryd.x.example"}


def test_a_resolver_that_hangs_is_asked_once_and_fails(make, resolver, monkeypatch):
    made = make()
    resolver.may_answer.clear()
    made.look()
    until(lambda: resolver.asked)
    made.look()
    assert made.status()["works"] is None
    monkeypatch.setattr(trial, "PATIENCE", 0.0)
    made.look()
    assert (made.status()["works"], len(resolver.asked)) == (False, 1)
    resolver.may_answer.set()
    until(lambda: made.status()["works"])
