"""JSON by the C half of `json` alone: its other half imports regular expressions, which take half as long as Python.

What is read and written is the same. An interpreter with no such C half, or with another one, uses `json`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Halves = tuple[Callable[[str], Any], Callable[[Any], str]]

_BLANK = " \t\n\r"


class _Context:
    """What the scanner asks for: what `json.loads` does unless told otherwise."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def c_half() -> Halves:
    """Return what reads and writes JSON.

    Raises:
        ImportError, AttributeError, TypeError, ValueError: this interpreter has no such C half.
    """
    import _json  # noqa: PLC0415 - CPython alone has it

    scanner: Any = _json.make_scanner
    scan = scanner(_Context)
    encode = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, True)

    def read(text: str) -> Any:
        try:
            value, end = scan(text, len(text) - len(text.lstrip(_BLANK)))
        except StopIteration as error:
            raise ValueError(f"no JSON value at character {error.value}") from None
        if text[end:].strip(_BLANK):
            raise ValueError(f"more than one JSON value: the second at character {end}")
        return value

    def write(value: Any) -> str:
        return "".join(encode(value, 0))

    if read(write({"a": [1, None]})) != {"a": [1, None]}:
        raise ValueError("another C half than this was written for")
    return read, write


def _refuse(value: object) -> Any:
    raise TypeError(f"an object of type {type(value).__name__} cannot be written as JSON")


def whole() -> Halves:
    """Return the same, made of `json`."""
    import json  # noqa: PLC0415 - see above

    return json.loads, json.JSONEncoder(separators=(",", ":")).encode


try:
    _read, _write = c_half()
except (ImportError, AttributeError, TypeError, ValueError):
    _read, _write = whole()


def loads(line: bytes) -> Any:
    """Return the value of JSON in UTF-8.

    Raises:
        ValueError: it is none.
        RecursionError: it is too deep.
    """
    return _read(line.decode("utf-8"))


def dumps(value: Any) -> str:
    """Return a value as JSON in ASCII, on one line, without blanks.

    Raises:
        TypeError: something in it cannot be written.
    """
    return _write(value)
