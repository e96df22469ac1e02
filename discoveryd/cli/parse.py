"""Command lines: the rows that describe one (values, options, commands, programs), and its reader.

`discoveryd.cli.daemon_commands` and `discoveryd.cli.ctl_commands` are the two tables. The reader, ``--help``, the
manual pages and the shell completions all come from them.

argparse with shtab 1.13 and argparse-manpage was weighed against this, and left out. The import of argparse takes half
as long as Python takes to start, before each ``discoveryctl list``. shtab puts the words of a completer into the
command line unquoted (its ready-made completer even lets bash expand them), and peers choose their own names; it does
not complete ``--tag role=``. argparse-manpage knows neither shared filters nor the page of the configuration.

The rows are plain classes: dataclasses would take half as long as Python takes to start.
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
        is_list: whether several of the choices may be given, with commas between them; the value is a tuple then.
        column: the column of ``discoveryctl list --only`` that has such values, for completion.
        missing: what a command says without this operand; empty for an operand that may be left out.
    """

    def __init__(
        self,
        metavar: str,
        read: Callable[[str], Any] = str,
        *,
        choices: Sequence[str] = (),
        is_list: bool = False,
        column: str = "",
        missing: str = "",
    ) -> None:
        self.metavar = metavar
        self.read = read
        self.choices = choices
        self.is_list = is_list
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
        name: that of the function, without an underscore at its end and with dashes for others.
        brief: what it does, in half a line.
        text: what it does, in full; else the sentence of `brief`.
        operands: the words after its name, of the `parts`.
        options: its own options, of the `parts`.
        filters: options that choose peers, shared with other commands.
        rest: what may follow all else after ``--``, as in a synopsis.
    """

    def __init__(
        self,
        run: str,
        brief: str,
        *parts: Value | Option,
        text: str = "",
        filters: Sequence[Option] = (),
        rest: str = "",
    ) -> None:
        self.run = run
        self.name = run.rpartition(":")[2].rstrip("_").replace("_", "-")
        self.brief = brief
        self.text = text or f"{brief[0].upper()}{brief[1:]}."
        self.operands = [one for one in parts if isinstance(one, Value)]
        self.options = [one for one in parts if isinstance(one, Option)]
        self.filters = filters
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
        return [*self.needed, *(["[FILTERS]"] if self.filters else []), *optional]


HELP = Option("help", "this text; after a command, that of the command")
VERSION = Option("version", "the version of this program")


class Program:
    """A program: its commands, with ``help`` as the last, and what they share.

    Attributes:
        options: those of all commands.
        filters: those of any command that choose peers.
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
        note: str = "",
        exit_codes: Sequence[tuple[int, str]] = (),
        examples: Sequence[str] = (),
    ) -> None:
        names = (*(command.name for command in commands), "help")
        explain = Command(
            "help",
            "explain the commands, or one of them",
            Value("COMMAND", choices=names),
            text="Explain the commands, or COMMAND alone. The same as --help.",
        )
        self.name = name
        self.summary = summary
        self.commands = {command.name: command for command in (*commands, explain)}
        self.options = (*options, HELP, VERSION)
        self.filters = tuple(dict.fromkeys(one for command in commands for one in command.filters))
        self.note = note
        self.exit_codes = exit_codes
        self.examples = examples

    def options_of(self, command: Command) -> tuple[Option, ...]:
        """Return every option that a command takes."""
        return (*command.options, *command.filters, *self.options)

    def every_option(self) -> dict[str, Option]:
        """Return an option of each name: its value is of the same kind in all commands."""
        return {one.name: one for command in self.commands.values() for one in self.options_of(command)}


# --- the reader -------------------------------------------------------------------------------------


class UsageError(Exception):
    """The command line is wrong; the message says what is allowed."""


class Arguments:
    """What a command line says: each operand and option of the command by its name, ``-`` as ``_``.

    Attributes:
        command: the name of the command; empty where ``--help`` or ``--version`` stands without one.
        rest: the words after ``--``.
    """

    def __init__(self, /, **values: Any) -> None:  # an option may be called `self`
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name} is neither an operand nor an option of this command")


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
    if value.is_list and "," in text:
        return tuple(one for part in text.split(",") for one in _accepted(value, name, part))
    if value.choices and text not in value.choices:
        allowed = " or ".join(value.choices) if len(value.choices) == 2 else f"one of {', '.join(value.choices)}"
        raise UsageError(f"{name} must be {allowed}, not {text!r}")
    try:
        read = value.read(text)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None
    return (read,) if value.is_list else read


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
