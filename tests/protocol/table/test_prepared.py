"""What is prepared of a row for its readers: made once somebody asks, right at any time, dropped soon; and a row's bytes."""

import gc
import json
import tracemalloc

from discoveryd.protocol.table.path import ENOUGH, WINDOW
from discoveryd.protocol.wire.record import Record, Service
from tests.protocol.samples import ProvedTable, hello, make_node, row_of, source

HERE = source()
SIZE = 200
LONG = WINDOW + 3 * ENOUGH


def test_a_hello_lets_the_text_and_the_value_stand():
    table = ProvedTable()
    table.heard(hello(seq=1), HERE, now=0.0)
    row = row_of(table)
    text, view = row.text(0.1), row.lasting(0.1)
    table.heard(hello(seq=2, full=False), HERE, now=0.8)
    table.heard(hello(seq=3, full=False), HERE, now=1.6)
    assert row.kept_text(2.0) == ""  # it might be another by the time alone
    assert row.text(2.0) is row.kept_text(2.0) is text
    assert row.lasting(2.0) is view


def test_a_measurement_is_told():
    table = ProvedTable()
    table.heard(hello(seq=1), HERE, now=0.0)
    row = row_of(table)
    former = row.text(0.1), row.lasting(0.1)
    table.answered(row, HERE, 0.0025, 0.1, two_way=True, now=0.2)
    assert row.kept_text(0.2) == ""
    assert (row.lasting(0.2).rtt_ms, json.loads(row.text(0.2) + "}")["rtt_ms"]) == (2.5, 2.5)
    assert (former[1].rtt_ms, json.loads(former[0] + "}")["rtt_ms"]) == (None, None)


def test_silence_is_told_without_an_event():
    table = ProvedTable()
    table.heard(hello(seq=1), HERE, now=0.0)
    row = row_of(table)
    told = [(row.lasting(now).state, json.loads(row.text(now) + "}")["state"]) for now in (1.9, 2.1, 3.9, 4.0)]
    assert told == [("up",) * 2, ("suspect",) * 2, ("suspect",) * 2, ("down",) * 2]


def test_another_ttl_of_a_bare_peer_is_told():
    table = ProvedTable()
    table.heard_bare(HERE, ttl=4.0, now=0.0)
    [row] = table.by_key.values()
    former = row.lasting(0.0)
    table.heard_bare(HERE, ttl=8.0, now=0.8)
    assert (former.ttl_s, row.lasting(0.8).ttl_s, json.loads(row.text(0.8) + "}")["ttl_s"]) == (4.0, 8.0, 8.0)


def test_a_row_takes_3_kb_and_its_text_not_for_long():
    """Bytes of a peer with two tags and two services that was heard for a while, and of its source."""
    node = make_node(newcomers=SIZE, proved=True)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    def taken():
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / SIZE

    def go_on(first, last):
        for seq in range(first, last):
            for head, place in list(node.table.steady):
                node.receive(head + b"|%d" % seq, place, seq * 0.8)

    for number in range(SIZE):
        tags = {"role": "web", "rack": f"r{number % 40}"}
        record = Record(name=f"node{number:05}", tags=tags, services=(Service(name="ssh", port=22), Service(name="http", port=80)))
        node.table.heard(hello(number, f"{number:016}", 0, record), source(f"10.0.0.{number + 2}"), now=0.0)
    go_on(1, LONG)
    heard = taken()
    for row in node.table.rows(LONG * 0.8):
        row.text(LONG * 0.8)
    listed = taken()
    go_on(LONG, LONG + ENOUGH)
    dropped = taken()
    tracemalloc.stop()
    assert len(node.table.steady) == SIZE
    assert heard < 3000
    assert heard + 500 < listed
    assert dropped < heard + 50
