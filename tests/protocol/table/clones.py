"""Two running nodes with one id."""

from tests.protocol.samples import hello, source


def two_clones(table):
    table.heard(hello(1), source(), now=0.0)
    table.heard(hello(2), source("10.0.0.8"), now=0.1)
    table.heard(hello(1, seq=2), source(), now=0.8)
    return table.heard(hello(1, seq=3), source(), now=1.6)
