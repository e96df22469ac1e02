"""The command line of ``discoveryctl``, completed from the environment."""

from __future__ import annotations

from discoveryd.cli.ctl_commands import PORT, PROGRAM, address
from discoveryd.cli.parse import Arguments, UsageError
from discoveryd.cli.parse import parse as parse_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from discoveryd.net.query_client import QueryClient

ADDRESS_VARIABLE = "DISCOVERYCTL_ADDRESS"
TOKEN_VARIABLE = "DISCOVERYCTL_TOKEN_FILE"  # noqa: S105 - a name


class Options(Arguments):
    """What the command line asks for.

    Attributes:
        address: host and port of the query socket.
        tags: each key of ``--tag`` with its value.
        token_file: None for the file of the machine's daemon.
    """

    wide = False  # of `list` alone
    address: tuple[str, int]
    tags: dict[str, str]
    token_file: str | None

    def token(self) -> str:
        """Return the control token.

        Raises:
            QueryError: ``denied``; the token cannot be read.
        """
        from discoveryd.files.token import default_path, read  # noqa: PLC0415 - seldom wanted

        return read(self.token_file or default_path())

    def client(self, waiting: Callable[[int, float | None], None] | None = None) -> QueryClient:
        """Return a client of the daemon at `address`, not connected yet."""
        from discoveryd.net.query_client import QueryClient  # noqa: PLC0415 - not for `--help`

        def vet(owner: str) -> None:
            from discoveryd.files.token import default_path, vetting  # noqa: PLC0415 - seldom wanted

            vetting(self.token_file or default_path(), self.address)(owner)

        return QueryClient(self.address, token=self.token, waiting=waiting, vet=vet)

    def filters(self) -> dict[str, Any]:
        """Return the filters that were given, as the fields of a request."""
        names = ("state", "name", "tags", "service", "link", "all")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def parse(words: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the words of a command line.

    Raises:
        UsageError: they are wrong.
    """
    options = Options(**vars(parse_words(PROGRAM, words)))
    if options.help or options.version:
        return options
    given = vars(options)
    options.address = given["address"] or _address_of(environ)
    options.token_file = given["token_file"] or environ.get(TOKEN_VARIABLE) or None
    options.tags = dict(given.get("tag", ()))
    for key, value in given.get("tag", ()):
        if options.tags[key] != value:
            raise UsageError(f"--tag {key} is given twice, and it has one value: nothing could match")
    if given.get("user") and not options.rest:
        raise UsageError("--user is for a command: give that after --")
    if given.get("only") and (options.json or options.wide):
        raise UsageError(f"--only is one value per line: leave out --{'json' if options.json else 'wide'}")
    if options.command == "ping" and options.timeout == 0:
        raise UsageError("--timeout must be more than 0: no answer comes at once")
    return options


def _address_of(environ: Mapping[str, str]) -> tuple[str, int]:
    text = environ.get(ADDRESS_VARIABLE)
    try:
        return address(text) if text else ("127.0.0.1", PORT)
    except ValueError as error:
        raise UsageError(f"{ADDRESS_VARIABLE} {error}") from None
