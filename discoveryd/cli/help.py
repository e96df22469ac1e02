"""The texts of ``--help`` and ``--version``, made from the table of the program."""

from __future__ import annotations

from textwrap import wrap

from discoveryd import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    rows = [(" ".join((command.name, *command.needed)), command.brief) for command in program.commands.values()]
    return [
        f"usage: {program.name} COMMAND [OPTIONS]",
        program.summary,
        f"commands:\n{_rows(rows)}",
        _titled("filters", program.filters),
        _titled("options", program.options),
        *_notes(program),
        _lines("examples", program.examples),
    ]


def _command_help(program: Program, name: str) -> list[str]:
    command = program.commands[name]
    has_json = name != "help" and any(option.name == "json" for option in program.options)
    synopsis = [program.name, name, *command.synopsis, *(["[--json]"] if has_json else []), command.rest]
    return [
        "\n".join(_wrapped(f"usage: {' '.join(filter(None, synopsis))}", indent=7)),
        "\n".join(_wrapped(command.text)),
        _rows((option.form, option.text) for option in command.options),
        _titled("filters", program.filters if command.takes_filters else ()),
        _titled("options", program.options),
        *_notes(program),
    ]


def _notes(program: Program) -> list[str]:
    width = max(len(str(code)) for code, _ in program.exit_codes)
    codes = [f"{code:<{width}}  {text}" for code, text in program.exit_codes]
    return ["\n".join(_wrapped(program.note)), _lines("exit codes", codes)]


def _titled(title: str, options: Sequence[Option]) -> str:
    return f"{title}:\n{_rows((option.form, option.text) for option in options)}" if options else ""


def _lines(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)]) if lines else ""


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    lines = []
    for term, text in rows:
        first, *more = _wrapped(text, width=_WIDTH - _TERM - 2)
        if len(term) >= _TERM:
            lines += [f"  {term}", f"  {'':{_TERM}}{first}"]
        else:
            lines.append(f"  {term:{_TERM}}{first}")
        lines += [f"  {'':{_TERM}}{line}" for line in more]
    return "\n".join(lines)


def _wrapped(text: str, *, width: int = _WIDTH, indent: int = 0) -> list[str]:
    return wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
