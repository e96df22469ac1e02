"""Settings as a tree in which each node knows its place: a value, where it stands, and the first fault of a text."""

from __future__ import annotations

import re
from typing import NamedTuple

_NOTHING = frozenset(("", "~", "null", "Null", "NULL"))
_is_plain = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./-]*", re.ASCII).fullmatch


class Place(NamedTuple):
    """A place in the settings; sorts as a person reads: the file from top to bottom, then the variables."""

    rank: int
    line: int
    text: str


Pairs = tuple[tuple["YamlNode", "YamlNode"], ...]


class YamlNode(NamedTuple):
    """A value and its place.

    Attributes:
        value: None for nothing after the colon, ``~`` or ``null``; a scalar as written, without its quotes; a list;
            the pairs of a mapping in the order as written, with duplicate keys.
    """

    place: Place
    value: str | list[YamlNode] | Pairs | None


class Fault(Exception):
    """The text cannot be read; the arguments are the place, and what to do."""


class TextSource(NamedTuple):
    """The file or the variable that a text comes from.

    Attributes:
        label: its name in front of a fault.
        lines: how many lines the file has, None for a variable, whose lines mean nothing.
    """

    label: str
    lines: int | None

    def at(self, line: int, column: int | None = None) -> Place:
        """Return the place of a line and column counted from 0; past the end it is the last line."""
        if self.lines is None:
            return Place(1, 0, self.label)
        number = max(1, min(line + 1, self.lines))
        shown_column = f":{column + 1}" if column is not None and number == line + 1 else ""
        return Place(0, number, f"{self.label}:{number}{shown_column}")


def parse(text: str, origin: TextSource) -> YamlNode:
    """Read YAML.

    A plain word or number, what most variables hold, is the same in YAML; the library is loaded for all else.

    Raises:
        Fault: the first that was found.
    """
    if _is_plain(text):
        return YamlNode(origin.at(0), plain(text))
    from discoveryd.config.yaml_tree import parse_yaml  # noqa: PLC0415 - the library takes 15 ms

    return parse_yaml(text, origin)


def plain(text: str) -> str | None:
    """Return the value of a scalar without quotes: the text, or None where that stands for nothing."""
    return None if text in _NOTHING else text
