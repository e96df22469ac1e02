"""What befalls a network, one thing at a time."""

import pytest

from tests.simulation.machine import Lan
from tests.simulation.medium import Segment


def populate(lan, count, *segments):
    """Start machines within a second, and check that each lists all others after five seconds."""
    machines = lan.populate(count, *segments, settled=5.0)
    lan.check_truth()
    return machines


def kinds_of(machines):
    """Give the kinds of events seen so far, `updated` apart."""
    return {kind for machine in machines for kind in machine.kinds} - {"updated"}


# --- beginnings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 10, 60])
def test_each_node_lists_all_a_second_after_the_last_start(medium, count):
    lan = Lan(medium)
    segment = Segment(medium)
    for _ in range(count):
        machine = lan.add(segment)
        medium.after(medium.random.uniform(0, 1), machine.start)
    medium.run(2.0)
    lan.check_truth()


@pytest.mark.parametrize("count", [5, 60])
def test_a_newcomer_need_not_wait_for_the_next_beat(medium, count):
    lan = Lan(medium)
    segment = Segment(medium)
    populate(lan, count, segment)
    newcomer = lan.add(segment)
    newcomer.start()
    medium.run(medium.now + 0.1)
    lan.check_truth()


def test_a_node_starts_before_its_network_is_there(medium):
    lan = Lan(medium)
    segment = Segment(medium)
    populate(lan, 5, segment)
    early = lan.add()
    early.start()
    medium.run(60.0)
    assert early.node.peers(medium.now) == ()
    early.set_links({segment: segment.link(6)})
    medium.run(60.1)
    lan.check_truth()


# --- a bad network ----------------------------------------------------------------------------------


def test_a_partition_heals(medium):
    lan = Lan(medium)
    segment = Segment(medium)
    machines = populate(lan, 12, segment)
    left, right = machines[:5], machines[5:]
    segment.part([machine.links[segment].address for machine in left])
    lan.watch(medium.now + 4.1)
    for half in (left, right):
        names = {machine.name for machine in half}
        for machine in half:
            assert {peer.id for peer in machine.node.peers(medium.now)} == names - {machine.name}
    lan.watch(60.0)
    segment.heal()
    lan.watch(61.0)  # the beat, at most 10 % late
    lan.check_truth()
    assert kinds_of(machines) == {"joined", "suspect", "down", "recovered"}


def test_duplicates_and_reordering_change_nothing(medium):
    lan = Lan(medium)
    machines = populate(lan, 10, Segment(medium, delay=(0.0, 0.5), scattered=True, duplicated=0.3))
    lan.watch(120.0)
    lan.check_truth()
    assert kinds_of(machines) == {"joined"}


def test_a_hello_that_a_goodbye_overtook_revives_no_peer(medium):
    lan = Lan(medium)
    machines = populate(lan, 10, Segment(medium, delay=(0.0, 0.5), scattered=True, duplicated=0.3))
    for machine in machines[:8]:
        lan.watch(medium.now + 2.0)
        machine.leave()
    lan.watch(medium.now + 10.0)
    lan.check_truth()
    assert kinds_of(machines[8:]) == {"joined", "left"}


def test_a_restart_amid_reordering_is_no_clone(medium):
    lan = Lan(medium)
    restless, *others = populate(lan, 6, Segment(medium, delay=(0.0, 0.3), scattered=True, duplicated=0.3))
    for _ in range(20):
        restless.crash()
        medium.run(medium.now + 0.15)  # some of what the former boot said is still under way
        restless.start()
        lan.watch(medium.now + 6.0, every=1.0)
    lan.check_truth()
    assert kinds_of(others) == {"joined", "restarted"}


def test_late_timers_make_no_ghosts(medium):
    # every timer up to 3 s late: the list is checked against the deliveries all the same
    lan = Lan(medium, late=3.0)
    segment = Segment(medium, loss=0.3)
    machines = [lan.add(segment) for _ in range(12)]
    for machine in machines:
        machine.start()
    for machine in machines[:8]:
        lan.watch(medium.now + 5.0)
        machine.crash()
    lan.watch(medium.now + 10.0)  # ttl, pause, grace
    for machine in lan.up():
        assert {row.boot for row in machine.node.table.rows(medium.now)} <= lan.running


def test_after_a_suspend_no_peer_is_listed_until_heard_again(medium):
    lan = Lan(medium)
    machines = populate(lan, 5, Segment(medium))
    sleeper, *others = machines
    sleeper.sleep()
    medium.run(3600.0)
    assert sleeper.node.peers(medium.now) == ()
    assert all(len(machine.node.peers(medium.now)) == 3 for machine in others)
    sleeper.wake()
    medium.run(3601.0)
    lan.check()
    lan.check_truth()


# --- comings and goings -----------------------------------------------------------------------------


def test_a_goodbye_shows_at_once_and_a_crash_within_the_ttl(medium):
    lan = Lan(medium)
    machines = populate(lan, 6, Segment(medium))
    machines[0].leave()
    medium.run(medium.now + 0.01)
    lan.check_truth()
    machines[1].crash()
    lan.watch(medium.now + 4.0)
    lan.check_truth()


def test_a_storm_of_restarts(medium):
    lan = Lan(medium)
    machines = populate(lan, 8, Segment(medium))
    restless, *others = machines
    for _ in range(200):
        restless.crash()
        medium.run(medium.now + 0.05)  # what is under way arrives
        restless.start()
        lan.watch(medium.now + 0.3, every=0.2)
        assert all(len(machine.node.table) < 8 + 4.0 / 0.3 + 2 for machine in others)
    lan.watch(medium.now + 5.0)
    lan.check_truth()
    assert kinds_of(others) == {"joined", "restarted"}
    lan.watch(medium.now + 10.0)
    for machine in others:
        [peer] = [peer for peer in machine.node.peers(medium.now) if peer.id == restless.name]
        assert (peer.restarts, peer.clone) == (200, False)
        # ten at once, then one in five seconds; and in the end those who follow the events know its boot
        assert machine.kinds.count("restarted") <= 10 + medium.now / 5
        assert restless.node.boot in machine.mirror


def test_both_clones_are_listed_until_one_leaves(medium):
    lan = Lan(medium)
    segment = Segment(medium)
    observer, one, two = lan.add(segment), lan.add(segment, name="twin"), lan.add(segment, name="twin")
    for machine in (observer, one, two):
        machine.start()
        medium.run(medium.now + 1.5)
    twins = [peer for peer in observer.node.peers(medium.now) if peer.id == "twin"]
    assert [(peer.boot, peer.clone) for peer in twins] == [(one.node.boot, True), (two.node.boot, True)]
    medium.run(600.0)
    assert observer.kinds.count("clone") == 2  # both flagged, once
    assert set(observer.mirror) == {one.node.boot, two.node.boot}
    one.leave()
    medium.run(600.1)
    assert [(peer.boot, peer.clone) for peer in observer.node.peers(medium.now)] == [(two.node.boot, False)]


def test_machines_cloned_with_memory_become_two_peers(medium):
    lan = Lan(medium)
    segment = Segment(medium)
    observer, one, two = lan.add(segment), lan.add(segment, name="twin"), lan.add(segment, name="twin")
    two.number = one.number  # the same random numbers, and so the same boot and the same beats
    for machine in (observer, one, two):
        machine.start()
    assert one.node.boot == two.node.boot
    medium.run(8.0)
    for machine, others in ((observer, (one, two)), (one, (observer, two)), (two, (observer, one))):
        found = {peer.boot: (peer.clone, peer.restarts) for peer in machine.node.peers(medium.now)}
        assert found == {other.node.boot: (other is not observer, 0) for other in others}
    medium.run(60.0)
    assert observer.kinds.count("clone") == 2


def test_a_new_record_is_known_to_all_within_half_a_second(medium):
    lan = Lan(medium)
    machines = populate(lan, 20, Segment(medium))
    machines[3].set_tag("2")
    medium.run(medium.now + 0.5)
    lan.check_truth()


# --- several addresses ------------------------------------------------------------------------------


def test_a_cut_of_one_of_two_segments_ends_no_peer(medium):
    lan = Lan(medium)
    first, second = Segment(medium, "eth0"), Segment(medium, "eth1")
    machines = populate(lan, 6, first, second)
    first.loss = 1.0
    lan.watch(medium.now + 2.0)
    for machine in machines:  # the address that is fresh comes first after two missed HELLOs ...
        assert {peer.link for peer in machine.node.peers(medium.now)} == {"eth1"}
    lan.watch(medium.now + 2.1)
    for machine in machines:  # ... and stands alone when the ttl of the other ran out
        assert {len(peer.addresses) for peer in machine.node.peers(medium.now)} == {1}
    lan.watch(60.0)
    first.loss = 0.0
    lan.watch(61.0)
    lan.check_truth()
    assert kinds_of(machines) == {"joined"}


def test_a_machine_on_two_segments_is_cut_off_one(medium):
    lan = Lan(medium)
    first, second = Segment(medium, "eth0"), Segment(medium, "eth1")
    here, there, both = lan.add(first), lan.add(second), lan.add(first, second)
    for machine in (here, there, both):
        machine.start()
    lan.watch(5.0)
    assert [len(machine.node.peers(medium.now)) for machine in (here, there, both)] == [1, 1, 2]
    both.set_links({second: both.links[second]})
    lan.watch(9.1)
    assert [len(machine.node.peers(medium.now)) for machine in (here, there, both)] == [0, 1, 1]


def test_a_changed_address_is_seen_within_two_seconds(medium):
    lan = Lan(medium)
    segment = Segment(medium)
    machines = populate(lan, 10, segment)
    mover, *others = machines
    seen = [list(machine.kinds) for machine in others]
    mover.set_links({segment: segment.link(4000)})
    address = mover.links[segment].address
    lan.watch(medium.now + 2.0)
    for machine in others:
        [peer] = [peer for peer in machine.node.peers(medium.now) if peer.id == mover.name]
        assert peer.address == address
    lan.watch(medium.now + 3.0)
    lan.check_truth()
    assert kinds_of(machines) == {"joined"}
    for machine, before in zip(others, seen, strict=True):
        assert set(machine.kinds[len(before) :]) == {"updated"}
