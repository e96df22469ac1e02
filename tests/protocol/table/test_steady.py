"""The expectation of the next steady HELLO: when there is one, and what ends it."""

import pytest

from tests.protocol.samples import ETH1, ProvedTable, hello, row_of, source

HERE = source()
THERE = source("10.0.0.8")

def expected(table):
    """Give what is expected by the rules: the text before the seq, and the address."""
    return [(head, source.address) for (head, source), path in table.steady.items() if path.stamp == path.row.stamp]


def before_seq(said):
    return said.encode().rpartition(b"|")[0]


def test_a_steady_peer_is_expected_by_all_but_its_seq():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    assert expected(table) == [(before_seq(hello(full=False)), HERE.address)]


def test_nothing_is_expected_while_the_record_is_unknown():
    table = ProvedTable()
    table.heard(hello(full=False), HERE, now=0.0)
    assert expected(table) == []


def test_a_path_has_one_expectation_with_its_source_of_now():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    again = source()
    for seq in (2, 3):
        table.heard(hello(seq=seq), again, now=seq / 10)
        assert [key[1] for key in table.steady] == [again]


def test_a_new_path_ends_what_is_expected_on_others():
    """One of them may be stale, and only was the best because it was the only one."""
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(seq=4), source("10.1.0.7", ETH1), now=2.0)
    assert table.peers(2.0)[0].address == "10.1.0.7"
    assert [address for _, address in expected(table)] == ["10.1.0.7"]


def test_another_ttl_ends_what_is_expected_on_all_paths():
    table = ProvedTable()
    for where in (HERE, THERE, HERE):
        table.heard(hello(), where, now=0.0)
    assert len(expected(table)) == 2
    table.heard(hello(seq=2, ttl=5.0), HERE, now=0.1)
    assert expected(table) == [(before_seq(hello(ttl=5.0, full=False)), HERE.address)]
    table.heard(hello(seq=1), THERE, now=0.2)  # overtaken: not to be taken for granted
    assert len(expected(table)) == 1


@pytest.mark.parametrize("end", ["goodbye", "expiry", "restart", "ranks", "refused", "link"])
def test_an_end_of_the_expectation(end):
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    if end == "goodbye":
        table.heard(hello(goodbye=True), HERE, now=1.0)
    elif end == "expiry":
        table.expire(4.0)
    elif end == "restart":
        table.heard(hello(2, full=False), HERE, now=1.0)
    elif end == "ranks":
        table.set_ranks({"": 0})
    elif end == "refused":
        table.refused(row_of(table), "port unreachable", now=1.0)
    else:
        table.set_links((ETH1,))
    assert expected(table) == ([(before_seq(hello(2, full=False)), HERE.address)] if end == "restart" else [])


def test_a_link_that_is_gone_ends_expectations_but_no_path():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.heard(hello(), source("10.1.0.7", ETH1), now=0.0)
    table.set_links((ETH1,))
    assert table.peers(0.1)[0].addresses == ("10.0.0.7", "10.1.0.7")  # what was heard holds


def test_a_measurement_ends_no_expectation():
    table = ProvedTable()
    table.heard(hello(), HERE, now=0.0)
    table.answered(row_of(table), HERE, 0.001, 0.1, two_way=True, now=0.1)
    assert len(expected(table)) == 1
    assert table.peers(0.2)[0].rtt_ms == 1.0
