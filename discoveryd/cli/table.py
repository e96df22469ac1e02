"""The rows that describe a command line: values, options, commands and programs.

`discoveryd.cli.daemon_commands` and `discoveryd.cli.ctl_commands` are the two tables. The parser, ``--help``, the
manual pages and the shell completions all come from them.

argparse with shtab 1.13 and argparse-manpage was weighed against this, and left out. The import of argparse takes half
as long as Python takes to start, before each ``discoveryctl list``. shtab puts the words of a completer into the
command line unquoted (its ready-made completer even lets bash expand them), and peers choose their own names; it does
not complete ``--tag role=``. argparse-manpage knows neither shared filters nor the page of the configuration.

The classes are plain ones: dataclasses would take half as long as Python takes to start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Value:
    """The value of an option, or an operand of a command.

    Attributes:
        metavar: the word that stands for it in a synopsis.
        read: makes the value of the text; raises ValueError with what is allowed.
        choices: the texts that are allowed; empty for any.
        column: the column of ``discoveryctl list --only`` that has such values, for completion.
        missing: what a command says without this operand; empty for an operand that may be left out.
    """

    def __init__(
        self,
        metavar: str,
        read: Callable[[str], Any] = str,
        *,
        choices: Sequence[str] = (),
        column: str = "",
        missing: str = "",
    ) -> None:
        self.metavar = metavar
        self.read = read
        self.choices = choices
        self.column = column
        self.missing = missing

    @property
    def form(self) -> str:
        """The operand as in a synopsis."""
        return self.metavar if self.missing else f"[{self.metavar}]"


class Option:
    """An option of a command, ``--name`` or ``--name VALUE``.

    Attributes:
        text: what it means, for people.
        value: None for an option without a value.
        default: the value where the option is not given.
        is_repeated: whether it may be given several times; the value is a tuple then.
        missing: what a command says that needs this option and did not get it; empty where it may be left out.
    """

    def __init__(
        self,
        name: str,
        text: str,
        value: Value | None = None,
        *,
        default: Any = None,
        is_repeated: bool = False,
        missing: str = "",
    ) -> None:
        self.name = name
        self.text = text
        self.value = value
        self.default = () if is_repeated else default if value else False
        self.is_repeated = is_repeated
        self.missing = missing

    @property
    def flags(self) -> tuple[str, ...]:
        """The option as it is typed, the long form last."""
        return ("-h", "--help") if self.name == "help" else (f"--{self.name}",)

    @property
    def form(self) -> str:
        """The option as in a list of options, ``--count N``."""
        return f"{', '.join(self.flags)}{f' {self.value.metavar}' if self.value else ''}"


class Command:
    """A command of a program.

    Attributes:
        run: the function to import and call, ``package.module:function`` below ``discoveryd``.
        brief: what it does, in half a line.
        text: what it does, in full; else the sentence of `brief`.
        operands: the words after its name, of the `parts`.
        options: its own options, of the `parts`.
        takes_filters: whether it also takes the filters of its program.
        rest: what may follow all else after ``--``, as in a synopsis.
    """

    def __init__(
        self,
        name: str,
        run: str,
        brief: str,
        *parts: Value | Option,
        text: str = "",
        takes_filters: bool = False,
        rest: str = "",
    ) -> None:
        self.name = name
        self.run = run
        self.brief = brief
        self.text = text or f"{brief[0].upper()}{brief[1:]}."
        self.operands = [one for one in parts if isinstance(one, Value)]
        self.options = [one for one in parts if isinstance(one, Option)]
        self.takes_filters = takes_filters
        self.rest = rest

    def load(self) -> Callable[[Any], int]:
        """Import and return the function of the command; importlib would cost as much as all of this module."""
        module, _, name = self.run.partition(":")
        function: Callable[[Any], int] = getattr(__import__(f"discoveryd.{module}", fromlist=[name]), name)
        return function

    @property
    def needed(self) -> list[str]:
        """The parts of the synopsis that cannot be left out, and the operands."""
        return [*(one.form for one in self.operands), *(one.form for one in self.options if one.missing)]

    @property
    def synopsis(self) -> list[str]:
        """The parts of the synopsis after the name of the command, but for `rest` and the options of the program."""
        optional = [f"[{one.form}]" for one in self.options if not one.missing]
        return [*self.needed, *(["[FILTERS]"] if self.takes_filters else []), *optional]


HELP = Option("help", "this text; after a command, that of the command")
VERSION = Option("version", "the version of this program")


class Program:
    """A program: its commands, with ``help`` as the last, and what they share.

    Attributes:
        options: those of all commands.
        filters: options that several commands share.
        note: sentences that help and manual page tell below the options.
        exit_codes: each code with its meaning.
        examples: command lines.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        commands: Sequence[Command],
        *,
        options: Sequence[Option] = (),
        filters: Sequence[Option] = (),
        note: str = "",
        exit_codes: Sequence[tuple[int, str]] = (),
        examples: Sequence[str] = (),
    ) -> None:
        names = (*(command.name for command in commands), "help")
        explain = Command(
            "help",
            "",
            "explain the commands, or one of them",
            Value("COMMAND", choices=names),
            text="Explain the commands, or COMMAND alone. The same as --help.",
        )
        self.name = name
        self.summary = summary
        self.commands = {command.name: command for command in (*commands, explain)}
        self.options = (*options, HELP, VERSION)
        self.filters = filters
        self.note = note
        self.exit_codes = exit_codes
        self.examples = examples

    def options_of(self, command: Command) -> tuple[Option, ...]:
        """Return every option that a command takes."""
        return (*command.options, *(self.filters if command.takes_filters else ()), *self.options)

    def every_option(self) -> dict[str, Option]:
        """Return an option of each name: its value is of the same kind in all commands."""
        return {one.name: one for command in self.commands.values() for one in self.options_of(command)}
