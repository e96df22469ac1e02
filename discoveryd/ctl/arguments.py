"""The command line as a value.

``getopt`` reads it: ``argparse`` would take half as long as Python itself to start, for a handful of options.
"""

from __future__ import annotations

import getopt

from discoveryd.ctl.commands import COLUMNS, COMMANDS, EVERYWHERE, METAVARS, PROTOS, STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from discoveryd.net.query_client import QueryClient

ADDRESS_VARIABLE = "DISCOVERYCTL_ADDRESS"
TOKEN_VARIABLE = "DISCOVERYCTL_TOKEN_FILE"  # noqa: S105 - a name
PORT = 3400

_LONG = [f"{name}=" if metavar else name for name, metavar in METAVARS.items()]
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class UsageError(Exception):
    """The command line is wrong; the message says what is allowed."""


class Options:
    """What was asked for. A field that was not given holds its default."""

    def __init__(self) -> None:
        self.command = ""
        self.peer = ""
        self.help = False
        self.version = False
        self.json = False
        self.wide = False
        self.only = ""
        self.address = ("127.0.0.1", PORT)
        self.states: list[str] = []
        self.name: str | None = None
        self.tags: dict[str, str] = {}
        self.service: str | None = None
        self.link: str | None = None
        self.all = False
        self.count: int | None = None
        self.timeout: float | None = None
        self.offer = ""
        self.port: int | None = None
        self.proto = "tcp"
        self.run: list[str] = []
        self.user = ""
        self.token_file: str | None = None

    def token(self) -> str:
        """Give the control token.

        Raises:
            QueryError: ``denied``; it cannot be read.
        """
        from discoveryd.files.token import default_path, read  # noqa: PLC0415 - seldom wanted

        return read(self.token_file or default_path())

    def client(self, waiting: Callable[[int, float | None], None] | None = None) -> QueryClient:
        """Return a client of the daemon that is meant, not connected yet."""
        from discoveryd.net.query_client import QueryClient  # noqa: PLC0415 - not for `--help`

        def vet(owner: str) -> None:
            from discoveryd.files.token import default_path, vetting  # noqa: PLC0415 - seldom wanted

            vetting(self.token_file or default_path(), self.address)(owner)

        return QueryClient(self.address, token=self.token, waiting=waiting, vet=vet)

    def filters(self) -> dict[str, Any]:
        """Give the filters as the fields of a request, only those that were given."""
        return {
            key: value
            for key, value in (
                ("state", self.states), ("name", self.name), ("tags", self.tags),
                ("service", self.service), ("link", self.link), ("all", self.all),
            )
            if value
        }  # fmt: skip


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read a command line.

    Raises:
        UsageError: it is wrong.
    """
    try:
        given, words = getopt.gnu_getopt(list(arguments), "h", _LONG)
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None
    options = Options()
    if environ.get(ADDRESS_VARIABLE):
        options.address = _address(environ[ADDRESS_VARIABLE], ADDRESS_VARIABLE)
    options.token_file = environ.get(TOKEN_VARIABLE) or None
    if "--" in arguments:
        options.run = list(arguments[arguments.index("--") + 1 :])
        if not options.run:
            raise UsageError("nothing follows --: name the command to run, or leave -- out")
    if words and words[0] == "help":
        return _helped(options, words[1:])
    names = [{"-h": "help"}.get(option, option[2:]) for option, _ in given]
    for name, (_, value) in zip(names, given, strict=True):
        _take(options, name, value)
    if options.help or options.version:
        options.command = words[0] if words and words[0] in COMMANDS else ""
        return options
    _take_words(options, words)
    _check(options, names)
    return options


def _helped(options: Options, words: list[str]) -> Options:
    """Take ``help [COMMAND]``, which is ``[COMMAND] --help``."""
    options.help = True
    options.command = words[0] if words else ""
    if words[1:] or (words and words[0] not in COMMANDS):
        raise UsageError(f"no command {' '.join(words)!r}: there are {', '.join(COMMANDS)}")
    return options


def _take(options: Options, name: str, value: str) -> None:  # noqa: C901, PLR0912  one case per option
    match name:
        case "help" | "version" | "json" | "all" | "wide":
            setattr(options, name, True)
        case "name" | "service" | "link" | "user":
            if not value:
                raise UsageError(f"--{name} must not be empty")
            setattr(options, name, value)
        case "address":
            options.address = _address(value, "--address")
        case "state":
            if value not in STATES:
                raise UsageError(f"--state must be one of {', '.join(STATES)}, not {value!r}")
            options.states.append(value)
        case "only":
            if value not in COLUMNS:
                raise UsageError(f"--only must be one of {', '.join(COLUMNS)}, not {value!r}")
            options.only = value
        case "tag":
            key, equals, wanted = value.partition("=")
            if not (key and equals):
                raise UsageError(f"--tag must be KEY=VALUE such as role=gpu, not {value!r}")
            if options.tags.get(key, wanted) != wanted:
                raise UsageError(f"--tag {key} is given twice, and it has one value: nothing could match")
            options.tags[key] = wanted
        case "count":
            options.count = _count(value)
        case "timeout":
            options.timeout = _duration(value)
        case "port":
            options.port = _port(value)
        case "proto":
            if value not in PROTOS:
                raise UsageError(f"--proto must be {' or '.join(PROTOS)}, not {value!r}")
            options.proto = value
        case "token-file":
            if not value:
                raise UsageError("--token-file must not be empty")
            options.token_file = value


def _take_words(options: Options, words: list[str]) -> None:
    if not words:
        raise UsageError(f"which command? One of {', '.join(COMMANDS)}")
    options.command, *rest = words
    if options.command not in COMMANDS:
        raise UsageError(f"no command {options.command!r}: there are {', '.join(COMMANDS)}")
    if options.command in ("show", "ping"):
        if not rest or not rest[0]:
            raise UsageError(f"{options.command} which peer? Give its name, id, address or boot")
        options.peer, *rest = rest
    if options.command == "register":
        rest = rest[: len(rest) - len(options.run)]  # what follows -- is the command to run
        if not rest or not rest[0]:
            raise UsageError("register which service? Give its name, then --port P")
        options.offer, *rest = rest
        if rest:
            raise UsageError(f"register does not take {rest[0]!r} (a command to run comes after --)")
    if rest:
        raise UsageError(f"{options.command} does not take {rest[0]!r} (filters are options, such as --name)")


def _check(options: Options, names: list[str]) -> None:
    allowed = {*COMMANDS[options.command].options, *EVERYWHERE}
    for name in names:
        if name not in allowed:
            fit = ", ".join(f"--{one}" for one in sorted(allowed))
            raise UsageError(f"{options.command} does not take --{name} (it takes {fit})")
    if options.command == "wait" and options.count is None:
        raise UsageError("wait for how many peers? Give --count N")
    if options.command == "register" and options.port is None:
        raise UsageError("register at which port? Give --port P (0 where a port means nothing)")
    if options.user and not options.run:
        raise UsageError("--user is for a command: give that after --")
    if options.only and (options.json or options.wide):
        raise UsageError(f"--only is one value per line: leave out --{'json' if options.json else 'wide'}")
    if options.command == "ping" and options.timeout == 0:
        raise UsageError("--timeout must be more than 0: no answer comes at once")


def _address(text: str, where: str) -> tuple[str, int]:
    """Read ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT``, or ``PORT`` on this machine, also as ``:PORT``."""
    host, colon, port = text.rpartition(":")
    if not host and port.isascii() and port.isdecimal():
        host = "127.0.0.1"
    elif not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, str(PORT)  # no port, or an IPv6 address alone
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise UsageError(f"{where} must be HOST:PORT such as 127.0.0.1:3400, not {text!r}")
    return host, int(port)


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 1_000_000 and len(text) <= 9:
        return int(text)
    raise UsageError(f"--count must be a number from 1, not {text!r}")


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    raise UsageError(f"--port must be 0 to 65535, not {text!r}")


def _duration(text: str) -> float:
    digits = text.rstrip("hms")
    seconds = _UNITS.get(text[len(digits) :] or "s")
    plain = digits.replace(".", "", 1)
    if seconds is None or not (plain.isascii() and plain.isdecimal()) or len(plain) > 12:
        raise UsageError(f"--timeout must be seconds, or such as 500ms, 4s, 1m, not {text!r}")
    return float(digits) * seconds
