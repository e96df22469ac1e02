"""Gateways without an election: each node computes the same, and a gap is filled."""

from discoveryd.sites.roles import PATIENCE, Roles, rank

IDS = [f"node{number}" for number in range(20)]
RANKED = sorted(IDS, key=lambda id: rank("berlin", id))


def roles(own, others=IDS, now=0.0, heard=()):
    found = Roles("berlin", own)
    found.candidates([id for id in others if id != own], with_self=True)
    found.speakers(2, 2.0, now)
    for id in heard:
        found.hear(id, now)
    return found


def test_all_nodes_choose_the_same():
    assert {tuple(roles(id).speakers(2, 2.0, 1.0)) for id in IDS} == {tuple(RANKED[:2])}


def test_one_that_comes_or_goes_changes_the_place_of_no_other():
    without = [id for id in IDS if id != RANKED[0]]
    assert roles(RANKED[5], without).speakers(2, 2.0, 1.0) == RANKED[1:3]
    assert sorted([*IDS, "newcomer"], key=lambda id: rank("berlin", id)) != RANKED
    assert [id for id in sorted([*IDS, "newcomer"], key=lambda id: rank("berlin", id)) if id != "newcomer"] == RANKED
    assert sorted(IDS, key=lambda id: rank("paris", id)) != RANKED


def test_a_candidate_that_is_not_heard_is_passed_over():
    later = PATIENCE * 2.0 + 0.1
    third = roles(RANKED[2], heard=RANKED[:2])
    third.hear(RANKED[1], later)
    assert third.speakers(2, 2.0, later) == RANKED[1:3]
    third.hear(RANKED[0], later + 1)
    assert third.speakers(2, 2.0, later + 1) == RANKED[:2]


def test_others_follow_one_after_another_and_not_all_at_once():
    last = roles(RANKED[19])
    later = PATIENCE * 2.0 + 0.1
    assert last.speakers(2, 2.0, later) == RANKED[2:4]
    assert last.speakers(2, 2.0, 2 * later) == RANKED[4:6]


def test_after_a_reconnection_each_has_time_to_be_heard():
    third = roles(RANKED[2])
    third.restart(100.0)
    assert third.speakers(2, 2.0, 100.1) == RANKED[:2]


def test_a_node_that_cannot_speak_takes_no_place():
    reader = Roles("berlin", RANKED[0])
    reader.candidates(RANKED[1:], with_self=False)
    assert reader.speakers(2, 2.0, 0.0) == RANKED[1:3]
    assert not Roles("berlin", "alone").speakers(2, 2.0, 0.0)
