"""From YAML text to a tree in which each node knows its place, or to the first fault.

YAML is used for its shape only: every value stays the text as written, so ``name: on`` is the text
``on`` and ``version: 1.10`` stays ``1.10``. What a configuration does not need is refused: aliases
(a few lines of them can stand for gigabytes), tags, depth, several documents.

Any text gives a tree or a `Fault`, in time linear in its length; nothing here recurses.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import yaml
from yaml.reader import Reader

from discoveryd.config.durations import shown
from discoveryd.config.tree import Fault, Place, TextSource, YamlNode, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 16
"""Collections within each other; the deepest key of a configuration needs 5."""

_UNMARKED = (yaml.YAMLError, ValueError, OverflowError)
"""Errors of the library: those of a few escapes and directives have no mark."""
_STARS = ("*", "&")
_AT_FAULT = {
    "\t": "a tab; indent with spaces",
    ":": "no `:` can stand here; check the indentation, and quote a text that has `: ` in it",
}


def parse_yaml(text: str, origin: TextSource) -> YamlNode:
    """Read YAML.

    Raises:
        Fault: the first that was found.
    """
    odd = Reader.NON_PRINTABLE.search(text)
    if odd:
        line = len(f"{text[: odd.start()]}x".splitlines()) - 1
        raise Fault(origin.at(line), f"the character {odd.group()!a} is not allowed; remove it")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C where it was built: 15 times faster
    try:
        return _tree(yaml.parse(text, loader), origin)
    except yaml.MarkedYAMLError as error:
        mark, problem = _in_plain_words(error, text)
        with suppress(*_UNMARKED):  # parsers look ahead, and have limits of their own: what is too deep comes first
            _tree(yaml.parse(text[: mark.index], loader), origin)
        raise Fault(origin.at(mark.line, mark.column), problem) from None
    except _UNMARKED:
        problem = "cannot be read as YAML; check its escapes such as \\x or \\U, and lines that begin with %"
        raise Fault(origin.at(0), problem) from None


def _tree(events: Iterable[Any], origin: TextSource) -> YamlNode:
    opened: list[Place] = []
    nodes: list[list[YamlNode]] = [[]]  # of each open collection, those read so far
    for event in events:
        place = origin.at(event.start_mark.line)
        problem = _refusal(event)
        if len(opened) > MAX_DEPTH:
            raise Fault(place, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.DocumentStartEvent) and nodes[0]:
            problem = "a second document begins here; a configuration is one"
        if problem:
            raise Fault(place, problem)
        if isinstance(event, yaml.ScalarEvent):
            nodes[-1].append(YamlNode(place, plain(event.value) if event.implicit[0] else event.value))
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append(place)
            nodes.append([])
        elif isinstance(event, yaml.SequenceEndEvent):
            items = nodes.pop()
            nodes[-1].append(YamlNode(opened.pop(), items))
        elif isinstance(event, yaml.MappingEndEvent):
            both = nodes.pop()
            nodes[-1].append(YamlNode(opened.pop(), tuple(zip(both[::2], both[1::2], strict=True))))
    return nodes[0][0] if nodes[0] else YamlNode(origin.at(0), None)


def _refusal(event: Any) -> str:
    """Return why an event is refused, empty if not. A text that begins with ``*``, ``&`` or ``!`` is mostly why."""
    anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
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
    """Return what usually is wrong at the place of a fault.

    The text and the place decide, never the words of the library: they differ between its C and Python
    versions, and from release to release.
    """
    context: Any = error.context_mark
    mark: Any = error.problem_mark or context
    began = text[context.index : context.index + 1] if context else ""
    here = text[mark.index : mark.index + 1]
    end = len(text.rstrip())
    if mark.index >= end and (not context or context.index >= end or began in "'\"[{"):
        where = context if context and context.index < end else mark
        return where, "a quote or bracket is opened and never closed"
    if began in _STARS:
        return context, 'a value that begins with * or & must stand in quotes, such as "*"'
    if began == '"' and "\\" in text[max(0, mark.index - 2) : mark.index + 1]:
        return mark, "no escape that YAML knows; put the text in single quotes"
    if here == "%" and mark.column == 0:
        return mark, "a directive; remove the line, or quote the text"
    if here and here in "@`%|>":
        return mark, f"a value cannot begin with {shown(here)}; put it in quotes"
    return mark, _AT_FAULT.get(here, "does not fit the lines above; check the indentation, quotes and brackets")
