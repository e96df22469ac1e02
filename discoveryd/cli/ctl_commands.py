"""The command line of ``discoveryctl``: its commands, and what is asked for, completed from the environment."""

from __future__ import annotations

from discoveryd.cli.parse import Arguments, Command, Option, Program, UsageError, Value
from discoveryd.cli.parse import parse as parse_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from discoveryd.net.query_client import QueryClient

STATES = ("up", "suspect", "down", "left")
COLUMNS = ("name", "id", "address", "link", "service", "tag")
PORT = 3400
ADDRESS_VARIABLE = "DISCOVERYCTL_ADDRESS"
TOKEN_VARIABLE = "DISCOVERYCTL_TOKEN_FILE"  # noqa: S105 - a name
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_COLUMNS_IN_WORDS = f"{', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}"


def address(text: str) -> tuple[str, int]:
    """Read ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT``, or ``PORT`` on this machine, also as ``:PORT``."""
    host, colon, port = text.rpartition(":")
    if not host and _is_number(port):
        host = "127.0.0.1"
    elif not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, str(PORT)  # no port, or an IPv6 address alone
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (_is_number(port) and 1 <= int(port[:6]) <= 65535):
        raise ValueError(f"must be HOST:PORT such as 127.0.0.1:3400, not {text!r}")
    return host, int(port)


def _text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _tag(text: str) -> tuple[str, str]:
    key, equals, wanted = text.partition("=")
    if not (key and equals):
        raise ValueError(f"must be KEY=VALUE such as role=gpu, not {text!r}")
    return key, wanted


def _whole(text: str, least: int, most: int, wanted: str) -> int:
    if _is_number(text) and len(text) <= 9 and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"must be {wanted}, not {text!r}")


def _duration(text: str) -> float:
    digits = text.rstrip("hms")
    seconds = _UNITS.get(text[len(digits) :] or "s")
    plain = digits.replace(".", "", 1)
    if seconds is None or not _is_number(plain) or len(plain) > 12:
        raise ValueError(f"must be seconds, or such as 500ms, 4s, 1m, not {text!r}")
    return float(digits) * seconds


def _quorum(text: str) -> tuple[int, str]:
    """Read a number of peers, or a share of them."""
    unit = "%" if text.endswith("%") else ""
    most, wanted = (100, "1% to 100%") if unit else (1_000_000, "a number of peers, or a share such as 90%")
    return _whole(text.removesuffix("%"), 1, most, wanted), unit


def _message(text: str) -> str:
    if not 1 <= len(text) <= 32 or text.strip("abcdefghijklmnopqrstuvwxyz0123456789-"):
        raise ValueError(f"must be 1 to 32 of a-z 0-9 -, not {text!r}")
    return text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


_TAG = Value("KEY=VALUE", _tag, column="tag")
_TIME = Value("S", _duration)
_COUNT = Value("N", lambda text: _whole(text, 1, 1_000_000, "a number from 1"))
_STATE = Value("STATE", choices=STATES)
_COLUMN = Value("COLUMN", choices=COLUMNS)
_PEER = Value("PEER", column="name", missing="which peer? Give its name, id, address or boot")
_MESSAGE = Value("MESSAGE", _message, missing="which message? Give its name, then what to tell, and to whom")

_RECORD = (
    Option("name", "whose name matches, such as 'web-*'", Value("GLOB", _text, column="name")),
    Option("tag", "with this tag; may be repeated, all must match", _TAG, is_repeated=True),
    Option("service", "that offer this service", Value("SERVICE", _text, column="service")),
    Option("link", "heard on this interface", Value("IF", _text, column="link")),
)
_FILTERS = (
    Option("state", "that are up, suspect, down or left; may be repeated", _STATE, is_repeated=True),
    *_RECORD,
    Option("all", "also those that are down or left"),
)
_RECEIVERS = (
    Value("PAYLOAD"),
    Option("to", "this peer; may be repeated, up to 64", Value("PEER", _text, column="name"), is_repeated=True),
    Option("everyone", "every peer that is up"),
    Option("quorum", "how many of them suffice, such as 90% or 3; all unless given", Value("N", _quorum)),
    Option("timeout", "time for all of it, 5s unless given", _TIME, default=5.0),
)

PROGRAM = Program(
    "discoveryctl",
    "Ask the discoveryd of this machine which other machines are up right now, where, offering what.",
    [
        Command(
            "ctl.ask:list_",
            "the peers that are up",
            Option("wide", "show id and boot too (shown anyway where names alone would be ambiguous)"),
            Option("only", f"one value per line, each once: {_COLUMNS_IN_WORDS}", _COLUMN),
            filters=_FILTERS,
            text="List the peers that are up or suspect, or those that the filters choose.",
        ),
        Command(
            "ctl.ask:show",
            "all that is known of a peer (name, id or its beginning, address, boot), and why",
            _PEER,
            text="Tell all that is known of PEER, and why it is believed to be up, suspect, down or left. PEER is a "
            "name, an id or the beginning of one, an address or a boot.",
        ),
        Command(
            "ctl.ask:status",
            "the daemon itself: links, counters, what it dropped, what looks wrong",
            text="Tell how the daemon itself is: node, links with their last error, peers by state, counters, what was "
            "dropped and why, and what looks wrong.",
        ),
        Command(
            "ctl.ask:metrics",
            "its counters as Prometheus reads them",
            text="Print the counters of the daemon in the text format of Prometheus (docs/metrics.md). Where "
            "metrics.listen is set, the daemon serves the same over HTTP.",
        ),
        Command(
            "ctl.follow:watch",
            "the peers, then each change as it happens",
            Option("timeout", "how long to try for a daemon that is not up yet; not at all unless given", _TIME),
            Option("messages", "in place of peers, the messages of other nodes that come to this one"),
            Option("message", "only messages of this name; may be repeated", _MESSAGE, is_repeated=True),
            filters=_FILTERS,
            text="List the peers, then show each change as it happens, until interrupted. Marks: + came, ~ changed, "
            "? overdue, - went, ! clone. When the daemon restarts, connects again and lists anew. With --messages "
            "or --message: show each message as it comes; what nothing else takes is acknowledged for this.",
        ),
        Command(
            "ctl.ask:ping",
            "probe a peer: round-trip time, and whether it hears us",
            _PEER,
            Option("count", "PINGs to send, 1 unless given", _COUNT),
            Option("timeout", "time to wait for each answer, 1s unless given", _TIME),
            text="Let the daemon probe a peer by unicast: round-trip time, and whether the peer hears our HELLOs.",
        ),
        Command(
            "ctl.doctor:doctor",
            "what is wrong here, or why a peer is missing, and what helps",
            Value("PEER", column="name"),
            Option("watch", "again each 2 s, until interrupted"),
            Option("bundle", "write what a bug report needs to this archive (tar.gz), no keys", Value("FILE", _text)),
            text="Tell what is wrong with this node, how sure that is, and what helps. With PEER (a name, an id, or an "
            "address that may never have been heard): why it is missing, or not heard well. Run by root it reads the "
            "rules of the firewall too. Exit code 1 for a fault; without a daemon it tells what can be seen here.",
        ),
        Command(
            "ctl.follow:wait",
            "wait until N matching peers are up",
            Option("count", "how many", _COUNT, missing="for how many peers? Give --count N"),
            Option(
                "timeout",
                "give up after this time, with exit code 1; for ever unless given. With it, a daemon that is not "
                "up yet is waited for as well (exit code 3 if none comes)",
                _TIME,
            ),
            Option("only", f"then one value per line, each once: {_COLUMNS_IN_WORDS}", _COLUMN),
            filters=_FILTERS,
            text="Wait until at least N peers that match the filters are up (or in the states given), then list them.",
        ),
        Command(
            "ctl.send:send",
            "a message to other nodes, each of which acknowledges",
            _MESSAGE,
            *_RECEIVERS,
            Option("wait-handled", "a receiver counts once its handler has ended well"),
            filters=_RECORD,
            text="Send a message to the peers that --to names, that the filters choose, or to --everyone, and tell who "
            "did not acknowledge it. PAYLOAD is a text; - stands for standard input; none is an empty one. This node "
            "is never among the receivers. All are waited for, also where fewer suffice.",
        ),
        Command(
            "ctl.send:ask",
            "a question to other nodes, and the answer of each",
            _MESSAGE,
            *_RECEIVERS,
            filters=_RECORD,
            text="Ask the peers that --to names, that the filters choose, or --everyone, and print each answer as it "
            "comes, behind the name and address of its peer. Every node answers echo, upper and info by itself. "
            "PAYLOAD is a text; - stands for standard input; none is an empty one.",
        ),
        Command(
            "ctl.ask:reload",
            "let the daemon read its configuration again",
            text="Let the daemon read its configuration again; the table of peers stays. Tells which changes need a "
            "restart. If anything is wrong in it, all of that is told, and the former one stays in force.",
        ),
        Command(
            "ctl.register:register",
            "announce a service as long as this runs",
            Value("NAME", missing="which service? Give its name, then --port P"),
            Option(
                "port",
                "where it is offered; 0 where a port means nothing",
                Value("P", lambda text: _whole(text, 0, 65535, "0 to 65535")),
                missing="at which port? Give --port P (0 where a port means nothing)",
            ),
            Option("proto", "tcp (unless given) or udp", Value("PROTO", choices=("tcp", "udp")), default="tcp"),
            Option("tag", "says more about it; may be repeated", _TAG, is_repeated=True),
            Option(
                "timeout",
                "without COMMAND, how long to try for a daemon that is not up yet; not at all unless given",
                _TIME,
            ),
            Option(
                "user",
                "the user that COMMAND runs as, with its groups and HOME; for root, which may read the token",
                Value("USER", _text),
            ),
            rest="[-- COMMAND ...]",
            text="Let this node offer a service, exactly as long as this runs. With COMMAND: run it, offer the service "
            "as long as it runs, and end with its exit code (126 or 127 if it cannot be run). SIGTERM and Ctrl-C end "
            "this, and are passed on to COMMAND. When the daemon restarts, registers again. COMMAND is started also "
            "while no daemon is up.",
        ),
    ],
    options=[
        Option("json", "the daemon's reply as one line of JSON (watch: one object per line)"),
        Option(
            "address",
            "where the daemon listens; else $DISCOVERYCTL_ADDRESS, else 127.0.0.1:3400",
            Value("HOST:PORT", address),
        ),
        Option(
            "token-file",
            "the control token of the daemon, which shows that you may: for reload, register and messages, and for all "
            "where it listens outside 127.0.0.0/8; else $DISCOVERYCTL_TOKEN_FILE, else /run/discoveryd/control.token, "
            "or without root $XDG_RUNTIME_DIR/discoveryd/control.token",
            Value("FILE", _text),
        ),
    ],
    note="Times are seconds, or such as 500ms, 4s, 1m. Colour is for terminals, and not if NO_COLOR is set.",
    exit_codes=(
        (0, "fine"),
        (1, "no match, no answer, a timeout, too few peers did what was asked, or a fault was found"),
        (2, "the command line is wrong, or the daemon refused the request"),
        (3, "no daemon to be asked, or it ended before all was told"),
        (130, "interrupted"),
    ),
    examples=(
        "discoveryctl list --tag role=gpu --service ssh",
        "discoveryctl list --only address --tag role=worker",
        "discoveryctl list --json | jq -r '.peers[].address'",
        "discoveryctl wait --count 4 --tag role=worker --timeout 1m && ./start-job",
        'discoveryctl watch --json | while read -r line; do echo "$line"; done',
        "discoveryctl send deploy v2 --tag role=worker --quorum 90%",
        "discoveryctl ask info --everyone",
        "discoveryctl register render --port 9000 --tag gpu=2 -- ./render-server",
    ),
)


# --- what is asked for ------------------------------------------------------------------------------


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
            from discoveryd.files.token import default_path, vet  # noqa: PLC0415 - seldom wanted

            vet(self.token_file or default_path(), self.address, owner)

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
