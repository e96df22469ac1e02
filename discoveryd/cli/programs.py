"""The command lines of both programs in one shape, of which manual pages and completions are made.

Nothing is written down here: ``discoveryd`` is read off its argument parser, ``discoveryctl`` off its table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from discoveryd.ctl import commands, usage
from discoveryd.daemon import arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A value of an option, or an operand of a command.

    Attributes:
        metavar: what it is called.
        choices: the values there are, empty where they cannot be told.
        asked: the column of ``discoveryctl list --only`` that has its values.
        is_optional: whether an operand may be left out.
    """

    metavar: str
    choices: tuple[str, ...] = ()
    asked: str = ""
    is_optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option.

    Attributes:
        flags: what it is written as, ``-h`` and ``--help``.
        text: what it means.
        value: what comes after it, None for nothing.
        is_needed: whether it must be given.
        is_repeated: whether it may be given more than once.
    """

    flags: tuple[str, ...]
    text: str
    value: Word | None = None
    is_needed: bool = False
    is_repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of a program.

    Attributes:
        options: its own, without those of all commands.
        takes_filters: whether it also takes the program's filters.
        rest: what may stand after all else, as in a synopsis.
    """

    name: str
    brief: str
    text: str
    operands: tuple[Word, ...] = ()
    options: tuple[Option, ...] = ()
    takes_filters: bool = False
    rest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program.

    Attributes:
        options: those of all commands.
        own_options: those that stand before any command, or without one.
        filters: options that several commands share.
    """

    name: str
    summary: str
    commands: tuple[Command, ...]
    options: tuple[Option, ...] = ()
    own_options: tuple[Option, ...] = ()
    filters: tuple[Option, ...] = ()

    def options_of(self, command: Command) -> tuple[Option, ...]:
        """Give every option that a command takes."""
        return (*command.options, *(self.filters if command.takes_filters else ()), *self.options)

    def values(self) -> dict[str, Word]:
        """Give the flags that take a value, with it: it is the same whatever the command.

        Raises:
            ValueError: it is not.
        """
        found: dict[str, Word] = {}
        every = [self.own_options, *map(self.options_of, self.commands)]
        valued = ((flag, one.value) for options in every for one in options for flag in one.flags)
        for flag, value in valued:
            if value and found.setdefault(flag, value) != value:
                raise ValueError(f"{flag} has two kinds of values in {self.name}")
        return found


def discoveryctl() -> Program:
    """Read the table of ``discoveryctl``."""
    everywhere = tuple(_tabled(commands.EVERYWHERE))
    return Program(
        name="discoveryctl",
        summary=usage.SUMMARY,
        commands=tuple(_tabled_command(name, one) for name, one in commands.COMMANDS.items()),
        options=everywhere,
        own_options=everywhere,
        filters=tuple(_tabled(commands.FILTERS)),
    )


def discoveryd() -> Program:
    """Read the argument parser of ``discoveryd``."""
    parser = arguments.parser()
    (subparsers,) = (action for action in _actions(parser) if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    briefs = {action.dest: action.help or "" for action in subparsers._get_subactions()}  # noqa: SLF001
    everywhere = tuple(one for one in _parsed(parser) if "--help" in one.flags)  # all that every parser has
    return Program(
        name=parser.prog,
        summary=parser.description or "",
        commands=tuple(_parsed_command(name, briefs[name], one) for name, one in subparsers.choices.items()),
        options=everywhere,
        own_options=tuple(_parsed(parser)),
    )


def _tabled_command(name: str, command: commands.Command) -> Command:
    shared = commands.FILTERS if usage.takes_filters(name) else {}
    own = {option: text for option, text in command.options.items() if option not in shared}
    return Command(
        name=name,
        brief=command.brief,
        text=command.text,
        operands=tuple(_word(metavar) for metavar in command.operands),
        options=tuple(_tabled(own, command.needs)),
        takes_filters=bool(shared),
        rest=command.rest,
    )


def _tabled(texts: Mapping[str, str], needs: Sequence[str] = ()) -> Iterator[Option]:
    for name, text in texts.items():
        metavar = commands.METAVARS[name]
        yield Option(
            flags=("-h", "--help") if name == "help" else (f"--{name}",),
            text=text,
            value=_word(metavar) if metavar else None,
            is_needed=name in needs,
            is_repeated=name in commands.REPEATED,
        )


def _word(metavar: str) -> Word:
    name = metavar.strip("[]")
    choices = tuple(commands.CHOICES.get(name, ()))
    return Word(metavar=name, choices=choices, asked=commands.ASKED.get(name, ""), is_optional=name != metavar)


def _parsed_command(name: str, brief: str, parser: argparse.ArgumentParser) -> Command:
    return Command(
        name=name,
        brief=brief,
        text=parser.description or "",
        operands=tuple(_operand(action) for action in _actions(parser) if not action.option_strings),
        options=tuple(one for one in _parsed(parser) if "--help" not in one.flags),
    )


def _parsed(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in _actions(parser):
        if action.option_strings and action.help is not argparse.SUPPRESS:
            yield Option(
                flags=tuple(action.option_strings),
                text=(action.help or "") % {"prog": parser.prog},
                value=_operand(action) if action.nargs != 0 else None,
                is_needed=action.required,
            )


def _operand(action: argparse.Action) -> Word:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return Word(metavar=metavar, choices=tuple(action.choices or ()), is_optional=action.nargs in ("?", "*"))


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no other way to be asked, and this one since 2.7
