"""A small LAN of values: one link, peers that say what a test wants, nodes with a fixed seed."""

from dataclasses import replace
from random import Random

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.table.table import PeerTable
from discoveryd.protocol.wire.messages import Hello
from discoveryd.protocol.wire.record import Record, Service

ETH0 = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255")
ETH1 = Link("eth1", 3, "10.1.0.1", 24, "10.1.0.255")

WEB = Record(name="web1", tags={"rack": "b2"}, services=(Service(name="http", port=80),))


def boot(number):
    return f"{number:016x}"


def hello(number=1, id="web1", seq=1, record=WEB, *, full=True, interval=0.8, ttl=4.0, **flags):
    return Hello(
        realm="default",
        id=id,
        boot=boot(number),
        interval_ms=round(interval * 1000),
        ttl_ms=round(ttl * 1000),
        digest=record.digest,
        seq=seq,
        record=record.encoded if full else None,
        **flags,
    )


def source(address="10.0.0.7", link=ETH0, **more):
    return Source(address, link, **more)


class ProvedTable(PeerTable):
    """A table whose peers have all answered a PING before they say HELLO."""

    def enter(self, hello, source, now, *, proved=True):
        return super().enter(hello, source, now, proved=True)


def make_node(name="me", *links, now=0.0, parameters=None, proved=False, **limits):
    """Make a node that has sent its burst already, so that a test sees only what it causes.

    With `proved` whoever says HELLO has answered a PING before.
    """
    parameters = parameters or Parameters()
    if limits:
        parameters = replace(parameters, limits=replace(parameters.limits, **limits))
    node = Node(parameters, Record(name=name), node_id=name, random=Random(name))
    node.set_links(links or (ETH0,), now)
    for link_state in node.outlets:
        link_state.burst = []
        link_state.solicits = False
    if proved:
        node.table.__class__ = ProvedTable
    return node


def kinds(events):
    return [event.kind for event in events]


def row_of(table, number=1):
    """Return the row of a boot, whatever its id."""
    [row] = table.of_boot(boot(number)) or (None,)
    return row


def states(table, now):
    return {row.boot or row.id: row.state_at(now) for row in table.rows(now, gone=True)}
