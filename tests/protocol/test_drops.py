"""What is counted by interface, while containers come and go."""

from copy import deepcopy

from discoveryd.protocol.drops import MAX_NAMES, OTHERS, Drops
from discoveryd.protocol.link import Link
from tests.protocol.samples import ETH0, make_node, source


def names(tally):
    return {name for _, name in tally}


def test_too_many_interfaces_are_counted_as_others():
    tally = Drops()
    for number in range(10 * MAX_NAMES):
        tally.count("excluded", f"veth{number}")
        tally.count("malformed", f"veth{number}")
    assert len(names(tally)) == MAX_NAMES + 1
    assert tally["excluded", OTHERS] == tally["malformed", OTHERS] == 9 * MAX_NAMES
    assert tally.total() == 20 * MAX_NAMES


def test_a_copied_counter_counts_alone():
    tally = Drops()
    tally.count("excluded", "eth0")
    copied = deepcopy(tally)
    copied.count("excluded", "eth0")
    assert (dict(tally), dict(copied)) == ({("excluded", "eth0"): 1}, {("excluded", "eth0"): 2})


def test_interfaces_that_are_gone_make_room_and_keep_the_sum():
    tally = Drops()
    for number in range(MAX_NAMES):
        tally.count("excluded", f"veth{number}")
    tally.count("excluded", "eth1")
    assert ("excluded", "eth1") not in tally
    tally.changed(lambda: ["veth3", "eth1"])
    tally.count("excluded", "eth1")
    assert dict(tally) == {("excluded", "veth3"): 1, ("excluded", "eth1"): 1, ("excluded", OTHERS): MAX_NAMES}


def test_present_interfaces_are_asked_for_once_a_change():
    tally, asked = Drops(), []

    def present():
        asked.append(1)
        return [f"veth{number}" for number in range(MAX_NAMES)]

    for number in range(MAX_NAMES):
        tally.count("excluded", f"veth{number}")
    tally.changed(present)
    for _ in range(100):
        tally.count("excluded", "veth999")
    assert (asked, tally["excluded", OTHERS]) == ([1], 100)


def test_the_drop_counters_of_a_node_stay_bounded():
    node = make_node()
    for number in range(3 * MAX_NAMES):
        link = Link(f"tun{number}", 10 + number, f"10.1.{number}.1", 24, f"10.1.{number}.255")
        node.set_links([ETH0, link], float(number))
        node.receive(b"nonsense", source(f"10.1.{number}.9", link), number + 0.1)
    assert len(node.drops) <= MAX_NAMES + 1
    assert node.drops.total() == 3 * MAX_NAMES
    node.receive(b"nonsense", source("10.0.0.9", ETH0), 1000.0)
    assert node.drops["malformed", "eth0"] == 1
