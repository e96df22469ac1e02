"""Text to roff, as the macros of man(7) want it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from textwrap import wrap

_WIDTH = 78
"""Columns of a line of source. It means nothing to a formatter; a person may have to read it."""

_ESCAPES = str.maketrans({
    "\\": r"\e",
    # a plain one may become a hyphen, U+2010: whoever copies an option or a path wants what can be typed
    "-": r"\-",
    "'": r"\(aq",
    '"': r"\(dq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
})

_LOUD = re.compile(r"(?<![\w-])--[a-z][a-z-]*|\$[A-Z][A-Z_]+|[a-z_.]+(?=\([1-8]\))")
"""Options, variables and other pages within a sentence."""


def escaped(text: str) -> str:
    """Make text stand for itself, wherever in a line but at its beginning."""
    plain = text.translate(_ESCAPES)
    return "".join(one if one.isascii() else f"\\[u{ord(one):04X}]" for one in plain)


def bold(text: str) -> str:
    """Give text that is to be typed as it is."""
    return rf"\fB{escaped(text)}\fR" if text else ""


def italic(text: str) -> str:
    """Give text that stands for something else."""
    return rf"\fI{escaped(text)}\fR" if text else ""


def prose(text: str) -> list[str]:
    """Give sentences, filled; options, variables and other pages in them are bold."""
    parts, end = [], 0
    for found in _LOUD.finditer(text):
        parts += [escaped(text[end : found.start()]), bold(found[0])]
        end = found.end()
    parts.append(escaped(text[end:]))
    lines = wrap("".join(parts), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [_guarded(line) for line in lines]


def paragraph(text: str) -> list[str]:
    """Give a paragraph, nothing of no text."""
    return [".PP", *prose(text)] if text else []


def entry(term: str, *body: Iterable[str]) -> list[str]:
    """Give an entry of a list: a term, which is roff, and what is said of it."""
    return [".TP", _guarded(term), *(line for part in body for line in part)]


def indented(lines: Iterable[str]) -> list[str]:
    """Set lines further in, as a list within an entry."""
    return [".RS", *lines, ".RE"]


def example(lines: Iterable[str]) -> list[str]:
    """Give lines as they are."""
    return [".PP", ".RS 4", ".EX", *(_guarded(escaped(line)) for line in lines), ".EE", ".RE"]


def _guarded(line: str) -> str:
    r"""Keep a line that begins with a control character from being a request; ``\(aq`` is none any more."""
    return rf"\&{line}" if line.startswith(".") else line
