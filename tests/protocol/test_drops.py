"""What is counted by interface, while containers come and go."""

from copy import deepcopy
from dataclasses import replace

from discoveryd.protocol.drops import MAX_DETAIL, MAX_NAMES, OTHERS, SOURCES_BY_REASON, Drops, DropSources
from discoveryd.protocol.link import Link
from discoveryd.query.engine_status import engine_status
from tests.protocol.samples import ETH0, hello, make_node, source


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


def test_of_each_reason_the_latest_sources_are_known():
    sources = DropSources()
    for number in range(40):
        sources.note("malformed", f"10.0.0.{number}", "eth0", "x" * 200, 1.0 + number)
    sources.note("other-realm", "10.0.0.1", "eth0", "lab", 2.0)
    sources.note("other-realm", "10.0.0.1", "-", "lab2", 3.0)
    found = sources.latest()
    assert [reason for reason, _ in found] == ["malformed"] * SOURCES_BY_REASON + ["other-realm"]
    assert found[0][1].last == 40.0
    assert {one.address for reason, one in found if reason == "malformed"} == {f"10.0.0.{number}" for number in range(24, 40)}
    assert {len(one.detail) for reason, one in found if reason == "malformed"} == {MAX_DETAIL}
    last = found[-1][1]
    assert (last.address, last.link, last.detail, last.count, last.last) == ("10.0.0.1", "-", "lab2", 2, 3.0)


def test_what_was_dropped_is_told_with_its_source():
    node = make_node()
    node.receive(replace(hello(1), realm="lab").encode(), source(), 1.0)
    node.receive(b"HELLO|7|x", source("10.0.0.8"), 2.0)
    first, second = engine_status(node, 4.0)["drop_sources"]
    assert first == {"reason": "version", "address": "10.0.0.8", "link": "eth0", "detail": "b'7'", "count": 1, "last_s": 2.0}
    assert (second["reason"], second["detail"], second["last_s"]) == ("other-realm", "lab", 3.0)


def test_our_own_broadcast_that_comes_back_is_an_echo():
    node = make_node()
    [link] = node.links
    sent = [send for send in node.poll(1.0).sends if send.is_to_all]
    for send in sent:
        node.receive(send.datagram, source(link.address), 1.5)
    [told] = engine_status(node, 4.0)["links"]
    assert (told["sent"], told["echoed"], told["last_echo_s"]) == (len(sent), len(sent), 2.5)
    assert engine_status(node, 4.0)["drop_sources"] == []
