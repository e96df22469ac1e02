"""What a program asks the daemon of its machine once in a while: over a connection of its own for each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Unpack

from discoveryd.net.query_client import QueryClient
from discoveryd.protocol.messages.values import Delivery, IncomingMessage
from discoveryd.query.address import check_address
from discoveryd.query.messages import BUILTIN, Draft, MessageResult, Where, delivery_of, message_of
from discoveryd.runtime.arguments import check_functions
from discoveryd.runtime.worker import Birthplace


class DaemonCalls:
    """Messages and the past, by way of the daemon.

    Args:
        address: of the query socket.
        token: returns the control token.

    Raises:
        ConfigError: an argument is not what it must be.
    """

    def __init__(self, address: tuple[str, int], token: Callable[[], str] | None) -> None:
        check_address("address", address)
        check_functions(token=token)
        self.address = address
        self._token = token
        self._birthplace: Birthplace | None = None  # where it was started

    def connection(self) -> QueryClient:
        """Return a client of the daemon that is not connected yet."""
        return QueryClient(self.address, token=self._token)

    # --- the past -------------------------------------------------------------------------------

    def history(self, peer: str = "", *, since: float | None = None) -> dict[str, Any]:
        """Return what happened to the peers, or to one: the reply to ``history`` (docs/query.md).

        Args:
            peer: its name, id (or the first digits), boot or address; also of one that is long gone.
            since: seconds to go back, None for as far as it is remembered.

        Raises:
            QueryError: ``not_found``; ``off``, the daemon keeps no history; ``failed``, it cannot be read now.
        """
        return self._past("history", peer=peer or None, since_s=since)

    def availability(
        self, peer: str = "", *, since: float | None = None, name: str | None = None,
        tags: Mapping[str, str] | None = None, service: str | None = None, link: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return how much of the time the peers were up, or those that a filter chooses: the reply to ``availability``.

        Arguments and errors are those of `history`, and the filters of ``list``.
        """
        where = {"name": name, "tags": tags and dict(tags), "service": service, "link": link}
        return self._past("availability", peer=peer or None, since_s=since, **where)

    def _past(self, op: str, **fields: Any) -> dict[str, Any]:
        self._here()
        with self.connection() as query:
            return query.request(op, **{key: value for key, value in fields.items() if value is not None})

    # --- messages -------------------------------------------------------------------------------

    def send(
        self, message: str, payload: bytes | str = b"", *, timeout: float = 5.0, wait_handled: bool = False,
        told: Callable[[Delivery], None] | None = None, **where: Unpack[Where],
    ) -> MessageResult:  # fmt: skip
        """Have the daemon send a message, as `Discovery.send`; but for the built-in names it wants its control token.

        Raises:
            QueryError: as there, and as `QueryClient.stream`. The message ends with the connection.
        """
        draft = Draft(name=message, payload=payload, where=where, wants_handled=wait_handled, timeout=timeout)
        return self._talk("send", draft, told)

    def ask(
        self, message: str, payload: bytes | str = b"", *, timeout: float = 5.0,
        told: Callable[[Delivery], None] | None = None, **where: Unpack[Where],
    ) -> MessageResult:  # fmt: skip
        """Have the daemon ask a question, as `Discovery.ask`; the rest as `send`."""
        return self._talk("ask", Draft(name=message, payload=payload, where=where, timeout=timeout), told)

    def messages(self, *names: str) -> Iterator[IncomingMessage]:
        """Yield the messages of other nodes that come from now on, of these names, or of all; it wants the token.

        It has a connection of its own, which ends with the generator. What comes while the daemon is gone is lost.

        Raises:
            QueryError: ``denied``, ``lagged`` (this reader was too slow), ``busy``; the daemon is gone.
        """
        self._here()
        with self.connection() as query:
            yield from messages_of(query, names, self._secret())

    def _talk(self, op: str, draft: Draft, told: Callable[[Delivery], None] | None) -> MessageResult:
        self._here()
        token = "" if draft.name in BUILTIN and not draft.site else self._secret()
        finals, number = [], 0
        with self.connection() as query:
            for line in query.stream(op, timeout=draft.timeout + query.timeout, token=token, **draft.request()):
                number = line.get("sending", {}).get("number", number)
                if "delivery" in line:
                    delivery = delivery_of(line["delivery"], number)
                    finals += [delivery] if delivery.is_final else []
                    if told is not None:
                        told(delivery)
        return MessageResult(deliveries=tuple(finals))

    def _secret(self) -> str:
        return self._token() if self._token is not None else ""

    def _here(self) -> None:
        if self._birthplace is not None:
            self._birthplace.check()


def messages_of(query: QueryClient, names: Iterable[str], token: str) -> Iterator[IncomingMessage]:
    """Yield the messages that come over a connection, until it ends."""
    for line in query.stream("messages", timeout=None, names=list(names), token=token):
        if "message" in line:
            yield message_of(line["message"])
