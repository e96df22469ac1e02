"""The texts of ``--help`` and ``--version``, made from the table of the program."""

from __future__ import annotations

from functools import partial
from textwrap import wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from discoveryd.cli.parse import Arguments, Option, Program

_wrapped = partial(wrap, width=100, break_long_words=False, break_on_hyphens=False)
_TERM = 19
"""Columns of a term; a longer term has a line of its own."""


def answer(program: Program, arguments: Arguments) -> str:
    """Return what ``--version`` or ``--help`` prints, whichever was given; both give the version."""
    if arguments.version:
        from discoveryd.files.commit import version  # noqa: PLC0415 - may ask git

        return f"{program.name} {version()}\n"
    parts = _command_help(program, arguments.command) if arguments.command else _program_help(program)
    return "\n\n".join(filter(None, parts)) + "\n"


def _program_help(program: Program) -> list[str]:
    commands = [(" ".join((command.name, *command.needed)), command.brief) for command in program.commands.values()]
    return [
        f"usage: {program.name} COMMAND [OPTIONS]",
        program.summary,
        _section("commands", _rows(commands)),
        _section("filters", _options(program.filters)),
        _section("options", _options(program.options)),
        *_notes(program),
        _section("examples", (f"  {line}" for line in program.examples)),
    ]


def _command_help(program: Program, name: str) -> list[str]:
    command = program.commands[name]
    has_json = name != "help" and any(option.name == "json" for option in program.options)
    synopsis = [program.name, name, *command.synopsis, *(["[--json]"] if has_json else []), command.rest]
    return [
        "\n".join(_wrapped(f"usage: {' '.join(filter(None, synopsis))}", subsequent_indent=" " * 7)),
        "\n".join(_wrapped(command.text)),
        "\n".join(_options(command.options)),
        _section("filters", _options(command.filters)),
        _section("options", _options(program.options)),
        *_notes(program),
    ]


def _notes(program: Program) -> list[str]:
    width = max(len(str(code)) for code, _ in program.exit_codes)
    codes = (f"  {code:<{width}}  {text}" for code, text in program.exit_codes)
    return ["\n".join(_wrapped(program.note)), _section("exit codes", codes)]


def _section(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{title}:\n{text}" if text else ""


def _options(options: Iterable[Option]) -> list[str]:
    return _rows((option.form, option.text) for option in options)


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    for term, text in rows:
        is_long = len(term) >= _TERM
        lines += [f"  {term}"] if is_long else []
        head = f"  {'' if is_long else term:{_TERM}}"
        lines += _wrapped(text, initial_indent=head, subsequent_indent=" " * len(head))
    return lines
