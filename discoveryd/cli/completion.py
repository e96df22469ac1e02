"""Completion for bash, zsh and fish, made from the command tables when it is asked for.

Values that come from peers cannot be trusted, and a shell runs what it is given: such values go into a command line
quoted, and never through anything that expands them.

Each shell has a frame beside this module, ``completion.bash`` and so on, and a function that returns what takes the
place of each ``@MARK@`` in it. That of bash does without the package bash-completion, that of zsh is for its
``_arguments``; fish quotes by itself what it puts into a command line.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from discoveryd.cli import ctl_commands, daemon_commands
from discoveryd.cli.parse import Arguments, Command, Option, Program, Value
from discoveryd.files import trusted


def completion(arguments: Arguments) -> int:
    """Print what a shell may read at its start."""
    sys.stdout.write("\n".join(text for name, text in scripts().items() if name.startswith(f"{arguments.shell}/")))
    return 0


def scripts() -> dict[str, str]:
    """Return the scripts by shell and the file name that it looks for, such as ``zsh/_discoveryctl``."""
    shells = {"bash/{}": _bash, "zsh/_{}": _zsh, "fish/{}.fish": _fish}
    found = {}
    for file, parts in shells.items():
        frame = trusted.read_text(os.path.join(os.path.dirname(__file__), f"completion.{file.partition('/')[0]}"))
        for program in (daemon_commands.PROGRAM, ctl_commands.PROGRAM):
            text = frame.replace("NAME", program.name)
            for mark, part in parts(program).items():
                text = text.replace(f"@{mark}@", part)
            found[file.format(program.name)] = text
    return found


def _options(program: Program) -> dict[str, Sequence[Option]]:
    """Return the options that fit after each command, and under ``""`` those that fit before it."""
    return {'""': program.options, **{name: program.options_of(one) for name, one in program.commands.items()}}


def _offer(value: Value, *, choices: str, column: str, file: str, nothing: str = "") -> str:
    """Return what offers the values of a kind in some shell: words of the table, a column of peers, or files."""
    if value.choices:
        return choices
    if value.column:
        return column
    return file if value.metavar == "FILE" else nothing


# --- bash -------------------------------------------------------------------------------------------

def _bash(program: Program) -> dict[str, str]:
    values = {f"--{name}": option.value for name, option in program.every_option().items() if option.value}
    operands = [f":0) {_words(program.commands)}"]
    for name, command in program.commands.items():
        operands += [f"{name}:{index}) {_bash_value(operand)}" for index, operand in enumerate(command.operands)]
    options = [f"{name}) {_words(f'--{one.name}' for one in fit)}" for name, fit in _options(program).items()]
    return {
        "VALUES": "\n".join(f"            {flag}) {_bash_value(value)} ;;" for flag, value in values.items()),
        "VALUED": " | ".join(values),
        "OPERANDS": "\n".join(f"            {one}; return ;;" for one in operands),
        "OPTIONS": "\n".join(f"        {one} ;;" for one in options),
    }


def _bash_value(value: Value) -> str:
    """Return the command that offers values; ``:`` offers nothing."""
    column = f"_discovery_offer < <(_discovery_ask {value.column})"
    file = "compopt -o default 2>/dev/null"
    return _offer(value, choices=_words(value.choices), column=column, file=file, nothing=":")


def _words(words: Iterable[str]) -> str:
    lines = "\\n".join(words)
    return f"_discovery_offer <<<$'{lines}'"


# --- zsh --------------------------------------------------------------------------------------------

def _zsh(program: Program) -> dict[str, str]:
    commands = program.commands.values()
    briefs = (_zsh_quoted(f"{_zsh_escaped(command.name)}:{command.brief}") for command in commands)
    return {
        "COMMANDS": "\n".join(f"        {brief}" for brief in briefs),
        "OWN": "\n".join(f"        {one} \\" for one in _zsh_options(program.options)),
        "CASES": "\n".join(_zsh_case(program, command) for command in commands),
    }


def _zsh_case(program: Program, command: Command) -> str:
    specs = _zsh_options(program.options_of(command))
    for index, operand in enumerate(command.operands, 1):
        specs.append(_zsh_quoted(f"{index}{'' if operand.missing else ':'}:{_zsh_value(operand)}"))
    if command.rest:
        specs.append("'*:: :_normal'")
    lines = " \\\n".join(f"                    {one}" for one in specs)
    return f"                {command.name})\n                    _arguments \\\n{lines} ;;"


def _zsh_options(options: Iterable[Option]) -> list[str]:
    """Return options as ``_arguments`` wants them, one word of zsh each."""
    specs = []
    for option in options:
        text = f"[{_zsh_escaped(option.text)}]"
        spec = f"={text}:{_zsh_value(option.value)}" if option.value else text
        others = "*" if option.is_repeated else f"({' '.join(option.flags)})"
        specs += [_zsh_quoted(f"{others}{flag}{spec}") for flag in option.flags]
    return specs


def _zsh_value(value: Value) -> str:
    """Return the name of a value, and the action that offers it."""
    choices, column = f"({' '.join(value.choices)})", f" _discovery_ask {value.column}"
    action = _offer(value, choices=choices, column=column, file="_files", nothing=" ")
    return f"{_zsh_escaped(value.metavar)}:{action}"


def _zsh_escaped(text: str) -> str:
    return re.sub(r"[\\\[\]:]", r"\\\g<0>", text)


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"


# --- fish -------------------------------------------------------------------------------------------

def _fish(program: Program) -> dict[str, str]:
    return {
        "VALUED": " ".join(f"--{name}" for name, option in program.every_option().items() if option.value),
        "COMPLETIONS": "\n".join(f"complete -c {program.name} {one}" for one in _fish_completions(program)),
    }


def _fish_completions(program: Program) -> Iterator[str]:
    at = f"-n '__{program.name}_at"
    for command in program.commands.values():
        yield f"{at} \"\"' -a {command.name} -d {_fish_quoted(command.brief)}"
        for index, operand in enumerate(command.operands):
            if offered := _fish_value(operand):
                yield f"{at} {command.name} {index}' {offered}"
    for name, fit in _options(program).items():
        yield from (f"{at} {name}' {_fish_option(option)}" for option in fit)


def _fish_option(option: Option) -> str:
    flags = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    value = ["-r", _fish_value(option.value) or "-f"] if option.value else []
    return " ".join([*flags, *value, "-d", _fish_quoted(option.text)])


def _fish_value(value: Value) -> str:
    """Return the options of ``complete`` that offer values; empty if nothing does."""
    choices, column = f"-f -a {_fish_quoted(' '.join(value.choices))}", f"-f -a '(__discovery_ask {value.column})'"
    return _offer(value, choices=choices, column=column, file="-F")


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", r"\'") + "'"
