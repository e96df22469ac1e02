"""The short way from a steady HELLO to its row.

Steady HELLOs repeat to the letter but for their seq: what stands before it, and where it came from, lead
straight to the way it refreshes. An entry lives as long as hearing it again can change nothing else.
"""

from __future__ import annotations

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.table.row import Row, Way
from discoveryd.protocol.wire.hello import Hello


class Shortcuts(dict[tuple[bytes, Source], Way]):
    """Ways by all of their steady HELLO but its seq, and the source they have now; one entry per way."""

    def add(self, way: Way, hello: Hello) -> None:
        """Take the next steady HELLO of this sender by the short way."""
        head = steady_head(hello)
        if way.steady != head:
            self.drop(way)
            way.steady = head
            self[head, way.source] = way

    def drop(self, way: Way) -> None:
        """Look closer at what comes next by this way."""
        if way.steady is not None:
            del self[way.steady, way.source]
            way.steady = None

    def drop_row(self, row: Row) -> None:
        """Look closer at whatever comes next of a peer."""
        for way in row.ways.values():
            self.drop(way)

    def drop_link(self, link: Link) -> None:
        """Let go of the sources on a link that is gone."""
        for way in [way for way in self.values() if way.source.link == link]:
            self.drop(way)


def steady_head(hello: Hello) -> bytes:
    """Give all but the seq of the steady HELLO that a sender of `hello` sends next."""
    return (
        f"HELLO|2|{hello.realm}|{hello.id}|{hello.boot}|{hello.interval_ms}|{hello.ttl_ms}|{hello.lasting}|{hello.digest}"
    ).encode("ascii")
