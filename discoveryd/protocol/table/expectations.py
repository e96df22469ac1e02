"""The short way from a steady HELLO to its row.

Steady HELLOs repeat to the letter but for their seq: what stands before it, and where it came from, lead
straight to the way it refreshes. An entry lives as long as hearing it again can change nothing else.
"""

from __future__ import annotations

from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.table.row import Path, Row
from discoveryd.protocol.wire.hello import Hello


class Expectations(dict[tuple[bytes, Source], Path]):
    """Ways by all of their steady HELLO but its seq, and the source they have now; one entry per way."""

    def add(self, path: Path, hello: Hello) -> None:
        """Take the next steady HELLO of this sender by the short way."""
        head = steady_head(hello)
        if path.steady != head:
            self.drop(path)
            path.steady = head
            self[head, path.source] = path

    def drop(self, path: Path) -> None:
        """Look closer at what comes next by this way."""
        if path.steady is not None:
            del self[path.steady, path.source]
            path.steady = None

    def drop_row(self, row: Row) -> None:
        """Look closer at whatever comes next of a peer."""
        for path in row.paths.values():
            self.drop(path)

    def drop_link(self, link: Link) -> None:
        """Let go of the sources on a link that is gone."""
        for path in [path for path in self.values() if path.source.link == link]:
            self.drop(path)


def steady_head(hello: Hello) -> bytes:
    """Give all but the seq of the steady HELLO that a sender of `hello` sends next."""
    return (
        f"HELLO|2|{hello.realm}|{hello.id}|{hello.boot}|{hello.interval_ms}|{hello.ttl_ms}|{hello.lasting}|{hello.digest}"
    ).encode("ascii")
