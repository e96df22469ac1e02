"""The reader of a command line, by the table of its program."""

from __future__ import annotations

from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from discoveryd.cli.table import Command, Option, Program, Value


class UsageError(Exception):
    """The command line is wrong; the message says what is allowed."""


class Arguments(SimpleNamespace):
    """What a command line says: each operand and option of the command by its name, ``-`` as ``_``.

    Attributes:
        command: the name of the command; empty where ``--help`` or ``--version`` stands without one.
        rest: the words after ``--``.
    """


def run_command(program: Program, arguments: Arguments) -> int:
    """Run the command, or print help or version; return the exit code."""
    if arguments.help or arguments.version:
        from discoveryd.cli.help import answer  # noqa: PLC0415 - for a person only

        print(answer(program, arguments), end="")  # noqa: T201 - what was asked for
        return 0
    return program.commands[arguments.command].load()(arguments)


def parse(program: Program, words: Sequence[str]) -> Arguments:
    """Read the words of a command line.

    Raises:
        UsageError: they are wrong.
    """
    values, operands, rest = _split(program, words)
    if operands[:1] == ["help"]:  # ``help [COMMAND]`` is ``[COMMAND] --help``
        name = _command(program, " ".join(operands[1:])).name if operands[1:] else ""
        return Arguments(command=name, help=True, version=False)
    if "help" in values or "version" in values:
        name = operands[0] if operands and operands[0] in program.commands else ""
        return Arguments(command=name, **{"help": False, "version": False, **values})
    if not operands:
        raise UsageError(f"which command? One of {', '.join(program.commands)}")
    command = _command(program, operands.pop(0))
    if not command.rest:
        operands += rest or []
    elif rest == []:
        raise UsageError("nothing follows --: name the command to run, or leave -- out")
    words_of = _operands(program, command, operands)
    _check_options(program, command, values)
    defaults = {option.name: option.default for option in program.options_of(command)}
    named = {name.replace("-", "_"): value for name, value in (defaults | values | words_of).items()}
    return Arguments(command=command.name, rest=rest or [], **named)


def _split(program: Program, words: Sequence[str]) -> tuple[dict[str, Any], list[str], list[str] | None]:
    """Return the values of the options that are given, the words between them, and the words after ``--``.

    getopt would do this, but its import takes longer than all other modules of this folder together.
    """
    known = program.every_option()
    values: dict[str, Any] = {}
    operands: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return values, operands, left
        if word == "-" or not word.startswith("-"):
            operands.append(word)
            continue
        flag, equals, text = word.partition("=")
        option = _option("--help" if flag == "-h" else flag, known)
        if equals and not option.value:
            raise UsageError(f"option --{option.name} must not have an argument")
        if option.value and not equals:
            if not left:
                raise UsageError(f"option --{option.name} requires argument")
            text = left.pop(0)
        value = _accepted(option.value, f"--{option.name}", text) if option.value else True
        values[option.name] = (*values.get(option.name, ()), value) if option.is_repeated else value
    return values, operands, None


def _accepted(value: Value, name: str, text: str) -> Any:
    if value.choices and text not in value.choices:
        allowed = " or ".join(value.choices) if len(value.choices) == 2 else f"one of {', '.join(value.choices)}"
        raise UsageError(f"{name} must be {allowed}, not {text!r}")
    try:
        return value.read(text)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None


def _option(flag: str, known: dict[str, Option]) -> Option:
    """Return the option of a flag, which may be shortened as long as it fits one option only."""
    name = flag.removeprefix("--")
    names = [name] if name in known else [one for one in known if one.startswith(name)]
    if not names or not flag.startswith("--"):
        raise UsageError(f"option {flag} not recognized")
    if len(names) > 1:
        raise UsageError(f"option {flag} not a unique prefix")
    return known[names[0]]


def _command(program: Program, name: str) -> Command:
    if name not in program.commands:
        raise UsageError(f"no command {name!r}: there are {', '.join(program.commands)}")
    return program.commands[name]


def _operands(program: Program, command: Command, words: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for operand in command.operands:
        text = words.pop(0) if words else ""
        if operand.missing and not text:
            raise UsageError(f"{command.name} {operand.missing}")
        found = _accepted(operand, f"{command.name}: {operand.metavar}", text) if text else ""
        values[operand.metavar.lower()] = found
    if words:
        hint = "a command to run comes after --" if command.rest else "filters are options, such as --name"
        hint = f" ({hint})" if command.rest or program.filters else ""
        raise UsageError(f"{command.name} does not take {words[0]!r}{hint}")
    return values


def _check_options(program: Program, command: Command, values: dict[str, Any]) -> None:
    allowed = {option.name for option in program.options_of(command)}
    for name in values:
        if name not in allowed:
            fit = ", ".join(f"--{one}" for one in sorted(allowed))
            raise UsageError(f"{command.name} does not take --{name} (it takes {fit})")
    for option in command.options:
        if option.missing and option.name not in values:
            raise UsageError(f"{command.name} {option.missing}")
