"""Faults in the log: each when it appears and when it is over, and no more often than that."""

import pytest

from discoveryd.daemon.findings import PERIOD, QUIET, TOLD_OTHERWISE, FindingsPart
from discoveryd.query.finding_kinds import FINDING_KINDS

SHUT = {
    "code": "own-firewall-in", "severity": "high", "subject": "eth0", "title": "a firewall drops", "text": "nothing came back",
    "remedy": ["ufw allow 3400/udp"],
}  # fmt: skip
PEER = SHUT | {"code": "peer-deaf", "severity": "medium", "subject": "", "remedy": []}


class Watched:
    """A part, its findings, its clock and its notices."""

    def __init__(self):
        self.now, self.findings, self.looks, self.notices, self.takes = 0.0, [], 0, [], 0.0
        self.hooked = []
        self.part = FindingsPart(self.status, self.notices.append, self.find, lambda: self.now)

    def find(self, kind, finding):
        self.hooked.append((kind, finding["code"], finding["text"]))

    def status(self):
        self.looks += 1
        self.now += self.takes
        return {"findings": self.findings}

    def look(self, *findings, times=1):
        self.findings = list(findings)
        for _ in range(times):
            self.now += PERIOD
            self.part.look()
        told, self.notices[:] = [(one.level, one.text, dict(one.fields)) for one in self.notices], []
        return told


def test_a_fault_is_told_once_it_lasts_with_what_helps():
    watched = Watched()
    assert watched.look(SHUT) == []
    fields = {"code": "own-firewall-in", "subject": "eth0", "why": "nothing came back", "remedy": "ufw allow 3400/udp"}
    assert watched.look(SHUT) == [("warning", "fault: a firewall drops", fields)]
    assert watched.look(SHUT, times=5) == []


def test_its_end_is_told_once_it_lasts():
    watched = Watched()
    watched.look(SHUT, times=2)
    assert watched.look() == []
    assert watched.look() == [("info", "fault is over", {"code": "own-firewall-in", "subject": "eth0"})]
    assert watched.look(times=5) == []


def test_a_fault_that_comes_and_goes_is_told_once_an_hour():
    watched = Watched()
    assert len(watched.look(PEER, times=2)) == 1
    watched.look(times=2)
    assert watched.look(PEER, times=2) == []
    watched.look(times=2)
    watched.now += QUIET
    assert watched.look(PEER, times=2) == [("warning", "fault: a firewall drops", {"code": "peer-deaf", "why": "nothing came back"})]


@pytest.mark.parametrize("fault", [SHUT, PEER, SHUT | {"code": "isolated"}])
def test_hooks_are_told_each_time_of_each_fault_that_lasts(fault):
    watched = Watched()
    watched.look(fault, times=3)
    watched.look(times=3)
    watched.look(fault | {"text": "more"}, times=2)
    watched.look()
    code = fault["code"]
    assert watched.hooked == [
        ("finding", code, "nothing came back"), ("finding-gone", code, "nothing came back"), ("finding", code, "more"),
    ]  # fmt: skip


def test_hooks_are_not_told_of_what_is_good_to_know():
    watched = Watched()
    watched.look(SHUT | {"severity": "low"}, times=3)
    assert watched.hooked == []


@pytest.mark.parametrize("changed", [{"severity": "low"}, {"code": "isolated"}])
def test_what_is_no_fault_or_has_a_line_of_its_own_is_not_told(changed):
    assert Watched().look(SHUT | changed, times=3) == []


def test_a_look_that_takes_long_is_taken_seldom():
    watched = Watched()
    watched.takes = 0.5
    watched.look(SHUT, times=10)
    assert watched.looks == 1


def test_a_node_whose_thread_died_is_no_failure():
    watched = Watched()
    watched.status = None

    def dead():
        raise RuntimeError("a thread of this Discovery has died")

    part = FindingsPart(dead, watched.notices.append, watched.find, lambda: watched.now)
    watched.now += PERIOD
    part.look()
    assert watched.notices == []


def test_what_is_told_otherwise_is_a_kind():
    assert FINDING_KINDS.keys() >= TOLD_OTHERWISE
