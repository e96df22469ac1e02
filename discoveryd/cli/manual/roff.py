"""Convert text to roff, with the macros of man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from textwrap import wrap

_WIDTH = 78
"""Columns of a source line: for a person who reads the source; a formatter does not care."""

_ESCAPES = str.maketrans({
    "\\": r"\e",
    # a formatter may print a plain "-" as a hyphen, U+2010: a copied option or path could not be typed then
    "-": r"\-",
    "'": r"\(aq",
    '"': r"\(dq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
})

_EMPHASIZED = re.compile(r"(?<![\w-])--[a-z][a-z-]*|\$[A-Z][A-Z_]+|[a-z_.]+(?=\([1-8]\))")
"""Options, variables and other pages within a sentence."""


def escaped(text: str) -> str:
    """Escape text so that it stands for itself anywhere but at the beginning of a line."""
    plain = text.translate(_ESCAPES)
    return "".join(one if one.isascii() else f"\\[u{ord(one):04X}]" for one in plain)


def bold(text: str) -> str:
    """Return text that is typed as it is."""
    return rf"\fB{escaped(text)}\fR" if text else ""


def italic(text: str) -> str:
    """Return text that stands for something else."""
    return rf"\fI{escaped(text)}\fR" if text else ""


def prose(text: str) -> list[str]:
    """Return sentences as filled lines; options, variables and other pages in them are bold."""
    parts, end = [], 0
    for found in _EMPHASIZED.finditer(text):
        parts += [escaped(text[end : found.start()]), bold(found[0])]
        end = found.end()
    parts.append(escaped(text[end:]))
    lines = wrap("".join(parts), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [_guarded(line) for line in lines]


def paragraph(text: str) -> list[str]:
    """Return a paragraph; nothing for an empty text."""
    return [".PP", *prose(text)] if text else []


def entry(term: str, *body: Iterable[str]) -> list[str]:
    """Return an entry of a list: a term in roff, and its explanation."""
    return [".TP", _guarded(term), *(line for part in body for line in part)]


def indented(lines: Iterable[str]) -> list[str]:
    """Indent lines, as a list within an entry."""
    return [".RS", *lines, ".RE"]


def example(lines: Iterable[str]) -> list[str]:
    """Return lines that are printed as they are."""
    return [".PP", ".RS 4", ".EX", *(_guarded(escaped(line)) for line in lines), ".EE", ".RE"]


def _guarded(line: str) -> str:
    r"""Keep a line that begins with a dot from being a request; a quote is ``\(aq`` by now."""
    return rf"\&{line}" if line.startswith(".") else line
