"""The sample configuration as a reference: the comment above each key is what is said of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SECTION = re.compile(r"([a-z_]+):")
_KEY = re.compile(r"  ([a-z_]+):(?: +(.*))?")
_COMMENT = re.compile(r" *# ?(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key: its default as written, and the lines of its comment."""

    name: str
    default: str
    comment: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section: the lines of its comment, and its keys in their order."""

    name: str
    comment: tuple[str, ...]
    keys: tuple[Key, ...]


def read(text: str, schema: Mapping[str, Mapping[str, str]]) -> tuple[list[list[str]], list[Section]]:
    """Read the sample.

    Returns:
        the paragraphs at its head, each a list of lines, and its sections.

    Raises:
        ValueError: a key of the schema is missing or has no comment, or one is there that does not exist.
    """
    head: list[list[str]] | None = None
    pending: list[str] = []
    comments: dict[str, tuple[str, ...]] = {}
    found: dict[str, list[Key]] = {}
    for line in text.splitlines():
        if comment := _COMMENT.fullmatch(line):
            pending.append(comment[1])
            continue
        if not line and head is None:
            head = _paragraphs(pending)
        elif section := _SECTION.fullmatch(line):
            comments[section[1]] = tuple(pending)
            found[section[1]] = []
        elif (key := _KEY.fullmatch(line)) and found:
            one = Key(name=key[1], default=key[2] or "", comment=tuple(pending))
            found[next(reversed(found))].append(one)
        pending = []
    _check(found, schema)
    sections = [Section(name=name, comment=comments[name], keys=tuple(keys)) for name, keys in found.items()]
    return head or [], sections


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Split a comment at its empty lines."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line:
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return paragraphs


def _check(found: Mapping[str, list[Key]], schema: Mapping[str, Mapping[str, str]]) -> None:
    explained = {f"{section}.{key.name}" for section, keys in found.items() for key in keys if key.comment}
    known = {f"{section}.{key}" for section, keys in schema.items() for key in keys}
    problems = [f"{key} has no comment there" for key in sorted(known - explained)]
    problems += [f"{key} is there and does not exist" for key in sorted(explained - known)]
    if problems:
        raise ValueError(f"the sample configuration does not fit the program: {'; '.join(problems)}")
