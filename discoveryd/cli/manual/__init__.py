"""The manual pages, made when they are asked for, so that they describe this very program.

Commands and options come from the command tables (`discoveryd.cli.table`), keys from the schema of the configuration
and the comments of its sample, and only what these cannot know from `discoveryd.cli.manual.texts`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from discoveryd import __version__
from discoveryd.cli import ctl_commands, daemon_commands
from discoveryd.cli.daemon_commands import PAGES
from discoveryd.cli.manual import texts
from discoveryd.cli.manual.roff import bold, entry, escaped, example, indented, italic, paragraph, prose
from discoveryd.cli.parse import Arguments
from discoveryd.cli.table import Command, Option, Program
from discoveryd.config import DEFAULT_PATH, SCHEMA
from discoveryd.daemon import FAILED, OK, say
from discoveryd.files.shipped import path

_KINDS = {
    "str": "text",
    "int": "whole number",
    "float": "duration",
    "Mapping[str, str]": "map of texts",
    "tuple[str, ...]": "list of texts",
    "tuple[Service, ...]": "list of services",
}
"""The types of keys in plain words."""

_REMARK = re.compile("[A-Z][a-z]+: ")
"""The beginning of a remark in a comment, ``Lower: ...`` or ``Example: ...``, which has a line of its own."""

_SECTION = re.compile(r"([a-z_]+):")
_KEY = re.compile(r"  ([a-z_]+):(?: +(.*))?")
_COMMENT = re.compile(r" *# ?(.*)")
_FLAG_OR_METAVAR = re.compile(r"(--?[a-z-]+)|([A-Z][A-Z:=]*)")


def main(arguments: Arguments) -> int:
    """Print a page: as roff, on a terminal through man(1)."""
    name = arguments.page or "discoveryd"
    try:
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
    manual = {1: "User commands", 5: "File formats", 8: "System administration"}[section]
    # no date: the same program gives the same page. No hyphens in words: what stands here is copied
    title = f'.TH {escaped(name.upper())} {section} "" "discoveryd {escaped(__version__)}" "{manual}"'
    return f"{title}\n.nr HY 0\n.nh\n.ad l"


def _program_page(program: Program) -> list[str]:
    name, commands = program.name, program.commands.values()
    exits = ((str(code), text) for code, text in program.exit_codes)
    return [
        *_name(name, program.summary),
        ".SH SYNOPSIS",
        *(line for command in commands for line in _synopsis(program, command)),
        *_section("DESCRIPTION", map(paragraph, (*_paragraphs(name), program.note))),
        *_section("COMMANDS", map(_command, commands)),
        *_section("FILTERS", [paragraph("Only the peers"), *map(_option, program.filters)] if program.filters else []),
        *_section("OPTIONS", map(_option, program.options)),
        *_section("EXIT STATUS", map(_row, exits)),
        *_section("HOOKS", [paragraph(texts.HOOKS), *map(_row, texts.HOOK_VARIABLES)] if name == "discoveryd" else []),
        *_tail(name),
    ]


def _configuration_page() -> list[str]:
    name = "discoveryd.yaml"
    with open(path("config/discoveryd.yaml"), encoding="utf-8") as file:
        head, sections = read_sample(file.read(), SCHEMA)
    rules = [" ".join(lines) for lines in head[1:]]  # the first says what a sample is
    return [
        *_name(name, "The configuration of discoveryd"),
        ".SH SYNOPSIS",
        bold(DEFAULT_PATH),
        *_section("DESCRIPTION", map(paragraph, (*_paragraphs(name), *rules))),
        *_section("KEYS", map(_keys, sections)),
        *_tail(name),
    ]


def _tail(name: str) -> list[str]:
    """Return the sections that end every page."""
    return [
        *_section("ENVIRONMENT", map(_row, texts.ENVIRONMENT.get(name, ()))),
        *_section("FILES", map(_row, texts.FILES.get(name, ()))),
        *_section("SIGNALS", map(_row, texts.SIGNALS.get(name, ()))),
        *_section("EXAMPLES", ((*paragraph(text), *example(lines)) for text, lines in texts.EXAMPLES[name])),
        ".SH SEE ALSO",
        *prose(texts.SEE_ALSO[name]),
    ]


def _paragraphs(name: str) -> list[str]:
    return texts.DESCRIPTIONS[name].split("\n\n")


def _section(title: str, parts: Iterable[Iterable[str]]) -> list[str]:
    """Return a section; nothing if there is nothing in it."""
    lines = [line for part in parts for line in part]
    if not lines:
        return []
    return [f".SH {title}", *(lines[1:] if lines[0] == ".PP" else lines)]


def _name(name: str, summary: str) -> list[str]:
    return [".SH NAME", rf"{escaped(name)} \- {escaped(summary[0].lower() + summary[1:].rstrip('.'))}"]


def _synopsis(program: Program, command: Command) -> list[str]:
    """Return the form of a command line; a formatter breaks it between two of its parts only."""
    parts = [*map(_styled, command.synopsis), *([_styled("[OPTIONS]")] if program.filters else [])]
    parts += [escaped(command.rest)] if command.rest else []
    return [f'.SY "{escaped(program.name)} {escaped(command.name)}"', *parts, ".YS"]


def _command(command: Command) -> list[str]:
    term = " ".join((bold(command.name), *(_styled(operand.form) for operand in command.operands)))
    options = [line for option in command.options for line in _option(option)]
    return [*entry(term, prose(command.text)), *(indented(options) if options else [])]


def _option(option: Option) -> list[str]:
    return entry(_styled(option.form), prose(option.text))


def _styled(form: str) -> str:
    """Return the form of an option or operand in roff: bold is typed as it is, italic stands for something else."""
    return _FLAG_OR_METAVAR.sub(lambda found: bold(found[1]) if found[1] else italic(found[2]), form)


def _row(row: tuple[str, str]) -> list[str]:
    term, text = row
    return entry(bold(term), prose(text))


def _keys(section: SampleSection) -> list[str]:
    lines = [f".SS {escaped(section.name)}", *prose(" ".join(section.comment))]
    return lines + [line for key in section.keys for line in _key(section.name, key)]


def _key(section: str, key: SampleKey) -> list[str]:
    kind = SCHEMA[section][key.name]
    term = f"{bold(f'{section}.{key.name}')} ({_KINDS.get(kind, kind)}, default {bold(key.default) or 'none'})"
    remarks: list[list[str]] = [[]]
    for line in key.comment:
        if _REMARK.match(line) and remarks[-1]:
            remarks.append([])
        remarks[-1].append(line)
    first, *more = [prose(" ".join(remark)) for remark in remarks]
    return entry(term, first, *([".br", *remark] for remark in more))


# --- the sample configuration -----------------------------------------------------------------------


class SampleKey(NamedTuple):
    """A key: its default as written, and the lines of its comment."""

    name: str
    default: str
    comment: tuple[str, ...]


class SampleSection(NamedTuple):
    """A section: the lines of its comment, and its keys in their order."""

    name: str
    comment: tuple[str, ...]
    keys: list[SampleKey]


def read_sample(text: str, schema: Mapping[str, Mapping[str, str]]) -> tuple[list[list[str]], list[SampleSection]]:
    """Read the sample configuration; the comment above a key explains the key.

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
            head = [paragraph.splitlines() for paragraph in "\n".join(pending).split("\n\n")]
        elif section := _SECTION.fullmatch(line):
            sections.append(SampleSection(section[1], tuple(pending), []))
        elif (key := _KEY.fullmatch(line)) and sections:
            sections[-1].keys.append(SampleKey(key[1], key[2] or "", tuple(pending)))
        pending = []
    _check_sample(sections, schema)
    return head or [], sections


def _check_sample(sections: list[SampleSection], schema: Mapping[str, Mapping[str, str]]) -> None:
    explained = {f"{section.name}.{key.name}" for section in sections for key in section.keys if key.comment}
    known = {f"{section}.{key}" for section, keys in schema.items() for key in keys}
    problems = [f"{key} has no comment there" for key in sorted(known - explained)]
    problems += [f"{key} is there and does not exist" for key in sorted(explained - known)]
    if problems:
        raise ValueError(f"the sample configuration does not fit the program: {'; '.join(problems)}")
