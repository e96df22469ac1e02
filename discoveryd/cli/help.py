"""The texts of ``--help`` and ``--version``, made from the table of the program."""

from __future__ import annotations

from textwrap import wrap

from discoveryd import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from discoveryd.cli.parse import Arguments
    from discoveryd.cli.table import Option, Program

_WIDTH = 100
_TERM = 19
"""Columns of a term; a longer term has a line of its own."""


def answer(program: Program, arguments: Arguments) -> str:
    """Return what ``--version`` or ``--help`` prints, whichever was given; both give the version."""
    if arguments.version:
        return f"{program.name} {__version__}\n"
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
        "\n".join(_wrapped(f"usage: {' '.join(filter(None, synopsis))}", indent=7)),
        "\n".join(_wrapped(command.text)),
        "\n".join(_options(command.options)),
        _section("filters", _options(program.filters if command.takes_filters else ())),
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
        first, *more = _wrapped(text, width=_WIDTH - _TERM - 2)
        if len(term) >= _TERM:
            lines += [f"  {term}", f"  {'':{_TERM}}{first}"]
        else:
            lines.append(f"  {term:{_TERM}}{first}")
        lines += [f"  {'':{_TERM}}{line}" for line in more]
    return lines


def _wrapped(text: str, *, width: int = _WIDTH, indent: int = 0) -> list[str]:
    return wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
