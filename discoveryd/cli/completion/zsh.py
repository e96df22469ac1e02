"""Completion for zsh, by its own ``_arguments``."""

from __future__ import annotations

from collections.abc import Iterable

from discoveryd.cli.table import Command, Option, Program, Value

FRAME = r"""#compdef NAME
# zsh completion for NAME, made by: discoveryd completion zsh

_NAME_ask() {  # ask the daemon, for a second at most; without a daemon print nothing
    local address=$DISCOVERYCTL_ADDRESS MATCH MBEGIN MEND
    local -a match mbegin mend found
    [[ $BUFFER =~ '[[:space:]]--address[=[:space:]]+([^[:space:]]+)' ]] && address=$match[1]
    found=(${(f)"$(DISCOVERYCTL_ADDRESS=$address timeout 1 discoveryctl list --all --only $1 2>/dev/null </dev/null)"})
    found=(${found:#-*})
    (( $#found )) && compadd -a found  # it quotes them: names come from the network
}

_NAME() {
    local curcontext=$curcontext state line
    local -A opt_args
    local -a commands
    commands=(
@COMMANDS@
    )
    _arguments -C \
@OWN@
        '1: :->command' '*:: :->rest' && return
    case $state in
        command) _describe -t commands command commands ;;
        rest)
            case $words[1] in
@CASES@
            esac ;;
    esac
}

if [[ $funcstack[1] == _NAME ]]; then
    _NAME "$@"
else
    compdef _NAME NAME  # read by source, not found in fpath
fi
"""


def parts(program: Program) -> dict[str, str]:
    """Return what takes the place of each ``@MARK@`` of the frame."""
    commands = program.commands.values()
    briefs = (_quoted(f"{_escaped(command.name)}:{command.brief}") for command in commands)
    return {
        "COMMANDS": "\n".join(f"        {brief}" for brief in briefs),
        "OWN": "\n".join(f"        {one} \\" for one in _options(program.name, program.options)),
        "CASES": "\n".join(_case(program, command) for command in commands),
    }


def _case(program: Program, command: Command) -> str:
    specs = _options(program.name, program.options_of(command))
    for index, operand in enumerate(command.operands, 1):
        specs.append(_quoted(f"{index}{'' if operand.missing else ':'}:{_value(program.name, operand)}"))
    if command.rest:
        specs.append("'*:: :_normal'")
    lines = " \\\n".join(f"                    {one}" for one in specs)
    return f"                {command.name})\n                    _arguments \\\n{lines} ;;"


def _options(name: str, options: Iterable[Option]) -> list[str]:
    """Return options as ``_arguments`` wants them, one word of zsh each."""
    specs = []
    for option in options:
        text = f"[{_escaped(option.text)}]"
        spec = f"={text}:{_value(name, option.value)}" if option.value else text
        others = "*" if option.is_repeated else f"({' '.join(option.flags)})"
        specs += [_quoted(f"{others}{flag}{spec}") for flag in option.flags]
    return specs


def _value(name: str, value: Value) -> str:
    """Return the name of a value, and the action that offers it."""
    if value.choices:
        action = f"({' '.join(value.choices)})"
    elif value.column:
        action = f" _{name}_ask {value.column}"
    else:
        action = "_files" if value.metavar == "FILE" else " "
    return f"{_escaped(value.metavar)}:{action}"


def _escaped(text: str) -> str:
    for one in "\\[]:":
        text = text.replace(one, f"\\{one}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"
