"""The parts of the daemon: their order, and what the error of one leaves to the others."""

import errno
import os

import pytest

from discoveryd.config import Config
from discoveryd.daemon.parts import Part, Parts
from discoveryd.runtime.notices import Notice

ISOLATED = Notice(level="warning", text="isolated")


class Lamp(Part):
    """A part that can be lit once its socket has power: a fake that behaves as a real part does."""

    def __init__(self, name, log):
        self.name = self.section = name
        self.has_power = True
        self.is_lit = False
        self._log = log

    def open(self):
        if not self.has_power:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.is_lit = True
        self._log.append(f"{self.name} opens")

    def start(self):
        self._log.append(f"{self.name} starts")

    def look(self):
        if not self.is_lit:
            self.open()

    def reload(self, config):
        self._log.append(f"{self.name} takes {config.node.name}")

    def hear(self, message):
        self._log.append(f"{self.name} hears {message.text}")

    def status(self):
        return {"lit": True} if self.is_lit else None

    def stop(self):
        self.is_lit = False
        self._log.append(f"{self.name} stops")


class House:
    """Two parts, and what the daemon sees of them."""

    def __init__(self):
        self.log = []
        self.notices = []
        self.sections = {}
        self.lamps = [Lamp("hall", self.log), Lamp("attic", self.log)]
        self.parts = Parts(self.lamps, notify=self.notices.append, report=self.sections.__setitem__)

    def logged(self):
        found, self.log[:] = list(self.log), []
        return found

    def status(self):
        return {section: status() for section, status in self.sections.items()}


@pytest.fixture
def house():
    return House()


def test_parts_open_and_start_in_order_and_stop_in_reverse(house):
    house.parts.open()
    house.parts.start()
    assert house.logged() == ["hall opens", "attic opens", "hall starts", "attic starts"]
    house.parts.stop()
    assert house.logged() == ["attic stops", "hall stops"]


def test_each_part_takes_the_configuration_and_hears_notices(house):
    house.parts.open()
    house.logged()
    house.parts.reload(Config())
    house.parts.hear(ISOLATED)
    assert house.logged() == ["hall takes ", "attic takes ", "hall hears isolated", "attic hears isolated"]


def test_each_part_has_its_section_in_status(house):
    house.parts.open()
    assert house.status() == {"hall": {"lit": True}, "attic": {"lit": True}}


def test_a_part_that_cannot_open_is_told_once(house):
    house.lamps[0].has_power = False
    house.parts.open()
    house.parts.start()
    house.parts.look()
    house.parts.look()
    assert house.logged() == ["attic opens", "hall starts", "attic starts"]
    [notice] = house.notices
    fields = {"what": "hall", "why": "Too many open files"}
    assert (notice.level, notice.text, notice.fields) == ("warning", "cannot be opened now", fields)
    assert house.status() == {"attic": {"lit": True}}


def test_a_part_may_open_later_and_a_new_fault_is_told(house):
    hall = house.lamps[0]
    hall.has_power = False
    house.parts.open()
    hall.has_power = True
    house.parts.look()
    assert house.status() == {"attic": {"lit": True}, "hall": {"lit": True}}
    hall.has_power = hall.is_lit = False
    house.parts.look()
    assert [notice.text for notice in house.notices] == ["cannot be opened now", "cannot be looked at now"]


def test_a_part_that_fails_to_stop_keeps_no_other_from_it(house):
    def stick():
        raise RuntimeError("did not end")

    house.lamps[1].stop = stick
    with pytest.raises(RuntimeError, match="did not end"):
        house.parts.stop()
    assert house.logged() == ["hall stops"]


def test_a_part_need_not_have_every_method():
    part = Part()
    part.name = "none"
    parts = Parts([part], notify=pytest.fail, report=pytest.fail)
    parts.open()
    parts.start()
    parts.look()
    parts.reload(Config())
    parts.hear(ISOLATED)
    parts.stop()
