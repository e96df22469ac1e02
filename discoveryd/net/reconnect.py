"""Watch a daemon across its restarts.

`discoveryd.runtime.client`, ``discoveryctl watch`` and ``wait`` follow a daemon by `watch_across_restarts`;
``discoveryctl register``, which waits for more than a daemon, takes its pauses from `Retry`.
"""

from __future__ import annotations

from discoveryd.errors import QueryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any

    from discoveryd.net.query_client import QueryClient

FIRST_PAUSE = 0.1


class Retry:
    """The pauses between attempts to connect: each is twice the one before, in seconds.

    Args:
        longest: bound of a pause.

    Attributes:
        pause: before the next attempt.
        trouble: the code of the last failure; empty after a success.
    """

    def __init__(self, longest: float = 2.0) -> None:
        self._longest = longest
        self.pause, self.trouble = 0.0, ""

    def failed(self, error: QueryError) -> bool:
        """Count a failure; return whether it is of another kind than the one before, so that a person should know."""
        self.pause = min(self.pause * 2 or FIRST_PAUSE, self._longest)
        former, self.trouble = self.trouble, error.code
        return former != self.trouble

    def succeeded(self) -> None:
        """Begin with the first pause again."""
        self.pause, self.trouble = 0.0, ""


def watch_across_restarts(
    connect: Callable[[], QueryClient],
    again: Callable[[QueryError], bool],
    listen: Callable[[QueryClient], Iterable[dict[str, Any]]],
) -> Generator[tuple[bytes, dict[str, Any]], None, None]:
    """Yield each line that a daemon tells without end, raw and parsed.

    Args:
        connect: returns a client that is not connected yet.
        again: is told why a connection ended or did not come about. It waits, and returns whether to try once more; or
            it raises.
        listen: asks, and returns the lines, such as `QueryClient.watch`.
    """
    while True:
        try:
            with connect() as client:
                for event in listen(client):
                    yield client.line, event
        except QueryError as error:
            failure = error
        if not again(failure):
            return
