"""YAML text to a tree in which each node knows its place, or the one fault that makes it unreadable.

YAML is used for its shape only: every value stays the text as written, so ``name: on`` is the text
``on`` and ``version: 1.10`` stays ``1.10``. What a configuration does not need is refused: aliases
(a few lines of them can stand for gigabytes), tags, depth, several documents.

Any text gives a tree or a `Fault`, in time linear in its length; nothing here recurses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from yaml.reader import Reader

from discoveryd.config.values import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 16
"""Collections within each other; the deepest key of a configuration needs 5."""

_NOTHING = frozenset(("", "~", "null", "Null", "NULL"))


class Place(NamedTuple):
    """Where something stands; sorts as a person reads: the file from top to bottom, then the variables."""

    rank: int
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing after the colon, ``~`` or ``null``."""

    place: Place


@dataclass(frozen=True, slots=True)
class Text:
    """A value as written, without its quotes."""

    place: Place
    value: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: list[Node]


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping, in the order as written, duplicate keys too."""

    place: Place
    entries: list[tuple[Node, Node]]


Node = Nothing | Text | Items | Entries


class Fault(Exception):
    """The text cannot be read: where, and what to do."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(problem)
        self.place = place
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Origin:
    """The file or the variable that a text came from.

    Attributes:
        label: what it is called in front of a fault.
        lines: how many lines the file has, None for a variable, whose lines mean nothing to anybody.
    """

    label: str
    lines: int | None

    def at(self, line: int, column: int | None = None) -> Place:
        """Give the place of a line and column counted from 0; past the end counts to the last line."""
        if self.lines is None:
            return Place(1, 0, self.label)
        number = max(1, min(line + 1, self.lines))
        shown_column = f":{column + 1}" if column is not None and number == line + 1 else ""
        return Place(0, number, f"{self.label}:{number}{shown_column}")


def parse(text: str, origin: Origin) -> Node:
    """Read YAML.

    Raises:
        Fault: what cannot be read, or is refused, first.
    """
    odd = Reader.NON_PRINTABLE.search(text)
    if odd:
        before = text[: odd.start()].splitlines(keepends=True)
        line = len(before) - (1 if before and not before[-1].endswith(("\n", "\r")) else 0)
        raise Fault(origin.at(line), f"the character {odd.group()!a} is not allowed; remove it")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C where it was built: 15 times faster
    try:
        return _tree(yaml.parse(text, loader), origin)
    except yaml.MarkedYAMLError as error:
        mark, problem = _in_plain_words(error, text)
        raise Fault(origin.at(mark.line, mark.column), problem) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a few escapes and directives have no mark
        raise Fault(origin.at(0), f"cannot be read as YAML: {shown(str(error))}") from None


def _tree(events: Iterable[Any], origin: Origin) -> Node:
    opened: list[Place] = []
    nodes: list[list[Node]] = [[]]  # of each open collection, those read so far
    for event in events:
        place = origin.at(event.start_mark.line)
        problem = _refusal(event)
        if len(opened) > MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels"
        if isinstance(event, yaml.DocumentStartEvent) and nodes[0]:
            problem = "a second document begins here; a configuration is one"
        if problem:
            raise Fault(place, problem)
        if isinstance(event, yaml.ScalarEvent):
            is_nothing = event.implicit[0] and event.value in _NOTHING
            nodes[-1].append(Nothing(place) if is_nothing else Text(place, event.value))
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append(place)
            nodes.append([])
        elif isinstance(event, yaml.SequenceEndEvent):
            items = Items(opened.pop(), nodes.pop())
            nodes[-1].append(items)
        elif isinstance(event, yaml.MappingEndEvent):
            both = nodes.pop()
            nodes[-1].append(Entries(opened.pop(), list(zip(both[::2], both[1::2], strict=True))))
    return nodes[0][0] if nodes[0] else Nothing(origin.at(0))


def _refusal(event: Any) -> str:
    """Say why an event is refused. A text that begins with ``*``, ``&`` or ``!`` is the usual cause."""
    anchor = getattr(event, "anchor", None)
    tag = getattr(event, "tag", None)
    if isinstance(event, yaml.AliasEvent):
        what, text = "aliases", f"*{anchor}"
    elif anchor:
        what, text = "anchors", f"&{anchor}"
    elif tag:
        what, text = "tags", tag.replace("tag:yaml.org,2002:", "!!")
    else:
        return ""
    return f'YAML {what} are not allowed; if the text {shown(text)} is meant, quote it: "{shown(text)}"'


def _in_plain_words(error: yaml.MarkedYAMLError, text: str) -> tuple[Any, str]:
    """Say what a parser's complaint usually means, and where to look. Its C and Python forms differ."""
    context: Any = error.context_mark
    mark: Any = error.problem_mark or context
    said = str(error.problem)
    end = len(text.rstrip())
    if mark.index >= end and re.search("quoted|flow", str(error.context)):
        where = context if context and context.index < end else mark
        return where, "a quote or bracket is opened and never closed"
    if "cannot start any token" in said:
        begins = text[mark.index : mark.index + 1]
        if begins == "\t":
            return mark, "a tab; indent with spaces"
        return mark, f"a value cannot begin with {shown(begins)}; put it in quotes"
    if "alphabetic or numeric" in said:
        return context or mark, 'a value that begins with * or & must stand in quotes, such as "*"'
    if "mapping values" in said:
        return mark, "no `:` can stand here; check the indentation, and quote a text that has `: ` in it"
    if re.search("block end|indicator|expected key", said):
        return mark, "does not fit the lines above; check the indentation, quotes and brackets"
    return mark, f"not YAML: {shown(said)}"
