"""What tests of the engine share: a node driven from deadline to deadline, and what peers say to it."""

from random import Random

from discoveryd.protocol.node import Node
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping, Pong, mark
from tests.protocol.samples import ETH0, WEB, boot, hello, row_of, source

HERE = source()


def run(node, start, end):
    """Poll whenever something is due; give (time, send) of all that was sent."""
    sent = []
    now = max(start, node.next_deadline())
    while now < end:
        sent += [(now, send) for send in node.poll(now).sends]
        assert node.next_deadline() > now
        now = node.next_deadline()
    return sent


def fresh(*links, parameters=None, record=None):
    node = Node(parameters, record or WEB, node_id="me", random=Random(1))
    node.set_links(links, now=0.0)
    return node


def hellos(sends):
    return [decode(send.datagram) for send in sends if send.datagram.startswith(b"HELLO")]


def drops(node):
    return dict(node.drops)


def crowd(node, count, now=0.0):
    for number in range(1, count + 1):
        said = hello(number, f"n{number}", interval=10, ttl=100)
        node.table.heard(said, source(f"10.9.{number >> 8}.{number & 255}"), now, proved=True)


def ping_from(number=7, **changed):
    return Ping(realm="default", id="web1", boot=boot(number), nonce="b" * 16, **changed)


def pinged(node, now=1.0):
    """Return a node that pinged web1, and the nonce."""
    node.receive(hello().encode(), HERE, now)
    nonce, outcome = node.ping(row_of(node.table, 1), now)
    [send] = outcome.sends
    ping = decode(send.datagram)
    assert (send.to, send.link, ping.nonce, ping.to, ping.boot) == ("10.0.0.7", ETH0, nonce, mark("web1", boot(1)), node.boot)
    return nonce


def pong(nonce, heard_ms=100, number=1, **more):
    return Pong(realm="default", boot=boot(number), nonce=nonce, heard_ms=heard_ms, **more).encode()
