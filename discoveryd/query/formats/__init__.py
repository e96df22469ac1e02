"""Output formats: each writes peers as text, for both programs and for programs that embed them.

A format is a module beside this one with a writer, see `Format`. Another format is another module; what chooses among
them (``discoveryctl`` by its options) is the only other place that knows it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    class Format(Protocol):
        """Writes peers. It does no I/O and remembers nothing: one writer serves many calls, in any thread."""

        def write(self, peers: Sequence[Mapping[str, Any]]) -> str:
            """Return the text, without the last line end.

            Nothing in it moves a cursor or changes a colour unless the writer put it there: names, tags and services
            are of a stranger's choice, and are escaped (`printable`, or as JSON in ASCII).

            Args:
                peers: as a reply holds them (JSON of schema 1); keys that this version does not know may be there.
            """


def printable(text: str) -> str:
    """Escape what could move the cursor, change colours or lie about order."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
