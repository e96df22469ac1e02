"""The manual pages, made when they are asked for, so that they describe this very program.

Commands and options come from the command tables (`discoveryd.cli.parse`), keys from the schema of the configuration
and the comments of its sample, and only what these cannot know from `discoveryd.cli.manual_texts`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import NamedTuple

from discoveryd import __version__
from discoveryd.cli import ctl_commands, daemon_commands, manual_texts, topics
from discoveryd.cli.daemon_commands import PAGES
from discoveryd.cli.parse import Arguments, Command, Option, Program
from discoveryd.config import DEFAULT_PATH
from discoveryd.config.sections import LISTS, SCHEMA
from discoveryd.daemon import FAILED, OK, say
from discoveryd.files.directories import shipped

_KINDS = {
    "str": "text",
    "int": "whole number",
    "float": "duration",
    "Mapping[str, str]": "map of texts",
    "tuple[str, ...]": "list of texts",
    "tuple[Service, ...]": "list of services",
    "tuple[AllowRule, ...]": "list of rules",
    "tuple[ExportRule, ...]": "list of files",
    "tuple[GraceRule, ...]": "list of rules",
    "tuple[FollowRule, ...]": "list of rules",
    "tuple[SiteAllowRule, ...]": "list of rules",
    "bool": "on or off",
}
"""The types of keys in plain words."""

_REMARK = re.compile("[A-Z][a-z]+: |- ")
"""The beginning of a remark in a comment, ``Lower: ...``, ``Example: ...`` or ``- key: ...``: it has its own line."""

_SAMPLE_KEY = re.compile(r"^((?: *#.*\n)*)(  )?([a-z_]+):(?: +(.*))?$", re.MULTILINE)
"""A section, or an indented key of one, with the comment above it and the default."""

_FLAG_OR_METAVAR = re.compile(r"(--?[a-z-]+)|([A-Z][A-Z:=]*)")

_WIDTH = 78
"""Columns of a source line: for readers of the source; a formatter does not care."""

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

_EMPHASIZED = re.compile(r"((?<![\w-])--[a-z][a-z-]*|\$[A-Z][A-Z_]+|[a-z_.]+(?=\([1-8]\)))")
"""Options, variables and other pages within a sentence."""


def manual(arguments: Arguments) -> int:
    """Print a page: as roff, on a terminal through man(1); that of a topic as Markdown, on a terminal with a pager."""
    name = arguments.page or "discoveryd"
    try:
        if name not in PAGES:
            import pydoc  # noqa: PLC0415 - its pager is that of Python's own help

            pydoc.pager(topics.page(name))
            return OK
        page = pages()[f"man{PAGES[name]}/{name}.{PAGES[name]}"]
    except FileNotFoundError as error:
        say(str(error))
        return FAILED
    if not (sys.stdout.isatty() and _is_shown(page)):
        sys.stdout.write(page)
    return OK


def pages() -> dict[str, str]:
    """Return the pages by their path below ``share/man``, such as ``man8/discoveryd.8``.

    Raises:
        FileNotFoundError: the sample configuration is not in its place.
    """
    made = {
        "discoveryd": _program_page(daemon_commands.PROGRAM),
        "discoveryctl": _program_page(ctl_commands.PROGRAM),
        "discoveryd.yaml": _configuration_page(),
    }
    return {
        f"man{section}/{name}.{section}": "\n".join([_title(name, section), *made[name], ""])
        for name, section in PAGES.items()
    }


def _is_shown(page: str) -> bool:
    """Show a page with ``man``; return whether that worked."""
    import subprocess  # noqa: PLC0415 - on a terminal only

    try:
        return subprocess.run(["man", "--local-file", "-"], input=page, text=True, check=False).returncode == 0  # noqa: S607
    except OSError:
        return False


def _title(name: str, section: int) -> str:
    volume = {1: "User commands", 5: "File formats", 8: "System administration"}[section]
    # no date: the same program gives the same page. No hyphens in words: what stands here is copied
    title = f'.TH {escaped(name.upper())} {section} "" "discoveryd {escaped(__version__)}" "{volume}"'
    return f"{title}\n.nr HY 0\n.nh\n.ad l"


def _program_page(program: Program) -> list[str]:
    commands = program.commands.values()
    synopsis = [line for command in commands for line in _synopsis(program, command)]
    hooks = [paragraph(manual_texts.HOOKS), *map(_row, manual_texts.HOOK_VARIABLES)]
    own = [
        *_section("COMMANDS", map(_command, commands)),
        *_section("FILTERS", [paragraph("Only the peers"), *map(_option, program.filters)] if program.filters else []),
        *_section("OPTIONS", map(_option, program.options)),
        *_section("EXIT STATUS", map(_row, program.exit_codes)),
        *_section("HOOKS", hooks if program.name == "discoveryd" else []),
    ]
    return _page(program.name, program.summary, synopsis, [program.note], own)


def _configuration_page() -> list[str]:
    with open(shipped("config/discoveryd.yaml"), encoding="utf-8") as file:
        head, entries = read_sample(file.read(), SCHEMA)
    own = _section("KEYS", map(_sample_entry, entries))
    return _page("discoveryd.yaml", "The configuration of discoveryd", [bold(DEFAULT_PATH)], head[1:], own)


def _page(name: str, summary: str, synopsis: list[str], notes: list[str], own: list[str]) -> list[str]:
    """Return a page but for its title: `notes` follow the description, and then its `own` sections."""
    return [
        ".SH NAME",
        rf"{escaped(name)} \- {escaped(summary[0].lower() + summary[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        *synopsis,
        *_section("DESCRIPTION", map(paragraph, (*manual_texts.DESCRIPTIONS[name].split("\n\n"), *notes))),
        *own,
        *_section("ENVIRONMENT", map(_row, manual_texts.ENVIRONMENT.get(name, ()))),
        *_section("FILES", map(_row, manual_texts.FILES.get(name, ()))),
        *_section("SIGNALS", map(_row, manual_texts.SIGNALS.get(name, ()))),
        *_section("EXAMPLES", ((*paragraph(text), *example(lines)) for text, lines in manual_texts.EXAMPLES[name])),
        ".SH SEE ALSO",
        *prose(manual_texts.SEE_ALSO[name]),
    ]


def _section(title: str, parts: Iterable[Iterable[str]]) -> list[str]:
    """Return a section; nothing if there is nothing in it."""
    lines = [line for part in parts for line in part]
    if not lines:
        return []
    return [f".SH {title}", *(lines[1:] if lines[0] == ".PP" else lines)]


def _synopsis(program: Program, command: Command) -> list[str]:
    """Return the form of a command line; a formatter breaks it between two of its parts only."""
    parts = [*map(_styled, command.synopsis), *([_styled("[OPTIONS]")] if program.filters else [])]
    parts += [escaped(command.rest)] if command.rest else []
    return [f'.SY "{escaped(program.name)} {escaped(command.name)}"', *parts, ".YS"]


def _command(command: Command) -> list[str]:
    term = " ".join((bold(command.name), *(_styled(operand.form) for operand in command.operands)))
    options = [line for option in command.options for line in _option(option)]
    return [*entry(term, prose(command.text)), *([".RS", *options, ".RE"] if options else [])]


def _option(option: Option) -> list[str]:
    return entry(_styled(option.form), prose(option.text))


def _styled(form: str) -> str:
    """Return the form of an option or operand in roff: bold is typed as it is, italic stands for something else."""
    return _FLAG_OR_METAVAR.sub(lambda found: bold(found[1]) if found[1] else italic(found[2]), form)


def _row(row: tuple[object, str]) -> list[str]:
    term, text = row
    return entry(bold(str(term)), prose(text))


def _sample_entry(found: SampleEntry) -> list[str]:
    section, key, default, comment = found
    if not key:
        return [f".SS {escaped(section)}", *prose(" ".join(comment))]
    kind = SCHEMA[section][key]
    name = section if section in LISTS else f"{section}.{key}"
    term = f"{bold(name)} ({_KINDS.get(kind, kind)}, default {bold(default) or 'none'})"
    remarks: list[list[str]] = [[]]
    for line in comment:
        if _REMARK.match(line) and remarks[-1]:
            remarks.append([])
        remarks[-1].append(line)
    first, *more = [prose(" ".join(remark)) for remark in remarks]
    return entry(term, first, *([".br", *remark] for remark in more))


# --- roff, with the macros of man(7) ----------------------------------------------------------------


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
    parts = [escaped(part) if number % 2 == 0 else bold(part) for number, part in enumerate(_EMPHASIZED.split(text))]
    lines = wrap("".join(parts), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [_guarded(line) for line in lines]


def paragraph(text: str) -> list[str]:
    """Return a paragraph; nothing for an empty text."""
    return [".PP", *prose(text)] if text else []


def entry(term: str, *body: Iterable[str]) -> list[str]:
    """Return an entry of a list: a term in roff, and its explanation."""
    return [".TP", _guarded(term), *(line for part in body for line in part)]


def example(lines: Iterable[str]) -> list[str]:
    """Return lines that are printed as they are."""
    return [".PP", ".RS 4", ".EX", *(_guarded(escaped(line)) for line in lines), ".EE", ".RE"]


def _guarded(line: str) -> str:
    r"""Keep a line that begins with a dot from being a request; a quote is ``\(aq`` by now."""
    return rf"\&{line}" if line.startswith(".") else line


# --- the sample configuration -----------------------------------------------------------------------


class SampleEntry(NamedTuple):
    """A section, or a key of one: its default as written, and the lines of the comment above it."""

    section: str
    key: str
    default: str
    comment: list[str]


def read_sample(text: str, schema: Mapping[str, Mapping[str, str]]) -> tuple[list[str], list[SampleEntry]]:
    """Read the sample configuration; the comment above a key explains the key.

    Returns:
        the paragraphs at the head, and the sections, each with its keys after it.

    Raises:
        ValueError: a key of the schema is missing or has no comment, or a key is not in the schema.
    """
    head, _, rest = text.partition("\n\n")
    entries: list[SampleEntry] = []
    for comment, indent, name, default in _SAMPLE_KEY.findall(rest):
        section, key = (entries[-1].section, name) if indent else (name, "")
        if section in LISTS:
            entries.append(SampleEntry(section, "", "", []))
            key = LISTS[section]
        entries.append(SampleEntry(section, key, default, _uncommented(comment)))
    explained = {f"{section}.{key}" for section, key, _, comment in entries if key and comment}
    known = {f"{section}.{key}" for section, keys in schema.items() for key in keys}
    problems = [f"{key} has no comment there" for key in sorted(known - explained)]
    problems += [f"{key} is there and does not exist" for key in sorted(explained - known)]
    if problems:
        raise ValueError(f"the sample configuration does not fit the program: {'; '.join(problems)}")
    return "\n".join(_uncommented(head)).split("\n\n"), entries


def _uncommented(comment: str) -> list[str]:
    return re.sub("^ *# ?", "", comment, flags=re.MULTILINE).splitlines()
