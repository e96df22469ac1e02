"""Read the sample configuration as a reference: the comment above a key explains the key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SECTION = re.compile(r"([a-z_]+):")
_KEY = re.compile(r"  ([a-z_]+):(?: +(.*))?")
_COMMENT = re.compile(r" *# ?(.*)")


@dataclass(frozen=True, slots=True)
class SampleKey:
    """A key: its default as written, and the lines of its comment."""

    name: str
    default: str
    comment: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleSection:
    """A section: the lines of its comment, and its keys in their order."""

    name: str
    comment: tuple[str, ...]
    keys: list[SampleKey]


def read(text: str, schema: Mapping[str, Mapping[str, str]]) -> tuple[list[list[str]], list[SampleSection]]:
    """Read the sample.

    Returns:
        the paragraphs at the head, each a list of lines, and the sections.

    Raises:
        ValueError: a key of the schema is missing or has no comment, or a key is not in the schema.
    """
    head: list[list[str]] | None = None
    pending: list[str] = []
    sections: list[SampleSection] = []
    for line in text.splitlines():
        if comment := _COMMENT.fullmatch(line):
            pending.append(comment[1])
            continue
        if not line and head is None:
            head = _paragraphs(pending)
        elif section := _SECTION.fullmatch(line):
            sections.append(SampleSection(section[1], tuple(pending), []))
        elif (key := _KEY.fullmatch(line)) and sections:
            sections[-1].keys.append(SampleKey(key[1], key[2] or "", tuple(pending)))
        pending = []
    _check(sections, schema)
    return head or [], sections


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Split a comment at its empty lines."""
    return [paragraph.splitlines() for paragraph in "\n".join(lines).split("\n\n")]


def _check(sections: list[SampleSection], schema: Mapping[str, Mapping[str, str]]) -> None:
    explained = {f"{section.name}.{key.name}" for section in sections for key in section.keys if key.comment}
    known = {f"{section}.{key}" for section, keys in schema.items() for key in keys}
    problems = [f"{key} has no comment there" for key in sorted(known - explained)]
    problems += [f"{key} is there and does not exist" for key in sorted(explained - known)]
    if problems:
        raise ValueError(f"the sample configuration does not fit the program: {'; '.join(problems)}")
