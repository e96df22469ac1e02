"""The values and options that several commands of ``discoveryctl`` share, and how each is read."""

from __future__ import annotations

from discoveryd.cli.parse import Option, UsageError, Value
from discoveryd.query.formats import EXPORT_FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

STATES = ("up", "suspect", "down", "left", "unknown")
COLUMNS = ("name", "id", "address", "link", "service", "tag", "endpoint")
SORTS = ("name", "address", "link", "state", "heard", "since", "rtt", "loss")
EXPORTS = tuple(EXPORT_FILES)
PORT = 3400
ADDRESS_VARIABLE = "DISCOVERYCTL_ADDRESS"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
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


def address_of(environ: Mapping[str, str]) -> tuple[str, int]:
    """Return where the daemon listens unless the command line says so.

    Raises:
        UsageError: the variable for it is wrong.
    """
    text = environ.get(ADDRESS_VARIABLE)
    try:
        return address(text) if text else ("127.0.0.1", PORT)
    except ValueError as error:
        raise UsageError(f"{ADDRESS_VARIABLE} {error}") from None


def not_empty(text: str) -> str:
    """Read a text that has something in it."""
    if not text:
        raise ValueError("must not be empty")
    return text


def _tag(text: str) -> tuple[str, str]:
    key, equals, wanted = text.partition("=")
    if not (key and equals):
        raise ValueError(f"must be KEY=VALUE such as role=gpu, not {text!r}")
    return key, wanted


def whole(text: str, least: int, most: int, wanted: str) -> int:
    """Read a whole number within bounds; `wanted` is what the refusal of another says."""
    if _is_number(text) and len(text) <= 9 and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"must be {wanted}, not {text!r}")


def _duration(text: str) -> float:
    digits = text.rstrip("dhms")
    seconds = _UNITS.get(text[len(digits) :] or "s")
    plain = digits.replace(".", "", 1)
    if seconds is None or not _is_number(plain) or len(plain) > 12:
        raise ValueError(f"must be seconds, or such as 500ms, 4s, 1m, 2h, 7d, not {text!r}")
    return float(digits) * seconds


def _quorum(text: str) -> tuple[int, str]:
    """Read a number of peers, or a share of them."""
    unit = "%" if text.endswith("%") else ""
    most, wanted = (100, "1% to 100%") if unit else (1_000_000, "a number of peers, or a share such as 90%")
    return whole(text.removesuffix("%"), 1, most, wanted), unit


def _message(text: str) -> str:
    if not 1 <= len(text) <= 32 or text.strip("abcdefghijklmnopqrstuvwxyz0123456789-"):
        raise ValueError(f"must be 1 to 32 of a-z 0-9 -, not {text!r}")
    return text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


TAG = Value("KEY=VALUE", _tag, column="tag")
TIME = Value("S", _duration)
PORT_NUMBER = Value("P", lambda text: whole(text, 0, 65535, "0 to 65535"))
SORT = Value("KEY", choices=SORTS)
TEMPLATE = Value("TEMPLATE", not_empty)
DOMAIN = Value("DOMAIN", not_empty)
FILE = Value("FILE", not_empty)
COUNT = Value("N", lambda text: whole(text, 1, 1_000_000, "a number from 1"))
STATE = Value("STATE", choices=STATES)
_COLUMN = Value("COLUMN", choices=COLUMNS, is_list=True)
PEER = Value("PEER", column="name", missing="which peer? Give its name, id, address or boot")
SITE = Value("SITE", not_empty)
MESSAGE = Value("MESSAGE", _message, missing="which message? Give its name, then what to tell, and to whom")

ONLY = Option("only", f"one value per line, each once: {_COLUMNS_IN_WORDS}; several with commas, tabs between", _COLUMN)
FORMAT = Option("format", "a line for each, such as '{name} {address}:{port}'", TEMPLATE)
RECORD = (
    Option("name", "whose name matches, such as 'web-*'", Value("GLOB", not_empty, column="name")),
    Option("tag", "with this tag; may be repeated, all must match", TAG, is_repeated=True),
    Option("service", "that offer this service", Value("SERVICE", not_empty, column="service")),
    Option("link", "heard on this interface", Value("IF", not_empty, column="link")),
)
FILTERS = (
    Option("state", "that are up, suspect, down, left, or unknown (with --site); may be repeated", STATE,
           is_repeated=True),
    *RECORD,
    Option("all", "also those that are down or left"),
    Option("site", "of this site, or all, not of this network alone (docs/sites.md)", SITE),
)
RECEIVERS = (
    Value("PAYLOAD"),
    Option("to", "this peer; may be repeated, up to 64", Value("PEER", not_empty, column="name"), is_repeated=True),
    Option("everyone", "every peer that is up"),
    Option("site", "to one peer of this site, which --to names (docs/messages.md)", SITE),
    Option("quorum", "how many of them suffice, such as 90% or 3; all unless given", Value("N", _quorum)),
    Option("timeout", "time for all of it, 5s unless given", TIME, default=5.0),
)


def check_shape(given: Mapping[str, Any]) -> None:
    """Refuse options of a list, or of a report of the doctor, that ask for two shapes of it."""
    shapes = [name for name in _SHAPES if given.get(name)]
    others = [name for name in ("wide", "no_header", "sort", "self") if given.get(name)]
    clash = shapes[1:] or [name for name in others if shapes and name not in _SHAPES[shapes[0]]]
    if given["command"] in ("list", "wait") and clash:
        first, second = (f"--{name.replace('_', '-')}" for name in (shapes[0], clash[0]))
        raise UsageError(f"{first} is a shape of its own: leave out {second}")
    clash = [name for name in ("json", "watch") if given.get("bundle") and given.get(name)]
    if clash:
        raise UsageError(f"--bundle writes one archive, with the report as JSON in it: leave out --{clash[0]}")


_SHAPES: Mapping[str, Sequence[str]] = {
    "only": (), "format": ("sort",), "json": ("self",), "watch": ("wide", "no_header", "sort", "self")
}  # fmt: skip
"""Options that decide how a list looks, and those that go with each."""
