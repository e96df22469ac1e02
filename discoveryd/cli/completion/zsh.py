"""Completion for zsh, by its own ``_arguments``."""

from __future__ import annotations

from collections.abc import Iterable

from discoveryd.cli.programs import Command, Option, Program, Word

_FRAME = r"""#compdef NAME
# zsh completion for NAME, made by: discoveryd completion zsh

_NAME_told() {  # what the daemon knows; it has a second, and if there is none, nothing is said
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


def script(program: Program) -> str:
    """Write the script."""
    parts = {
        "NAME": program.name,
        "@COMMANDS@": "\n".join(
            f"        {_quoted(f'{_escaped(one.name)}:{one.brief}')}" for one in program.commands
        ),
        "@OWN@": "\n".join(f"        {one} \\" for one in _options(program.name, program.own_options)),
        "@CASES@": "\n".join(_case(program, command) for command in program.commands),
    }
    text = _FRAME
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _case(program: Program, command: Command) -> str:
    specs = _options(program.name, program.options_of(command))
    for index, word in enumerate(command.operands, 1):
        specs.append(_quoted(f"{index}{':' if word.is_optional else ''}:{_value(program.name, word)}"))
    if command.rest:
        specs.append("'*:: :_normal'")
    lines = " \\\n".join(f"                    {one}" for one in specs)
    return f"                {command.name})\n                    _arguments \\\n{lines} ;;"


def _options(name: str, options: Iterable[Option]) -> list[str]:
    """Write options as ``_arguments`` wants them, one word of zsh each."""
    specs = []
    for option in options:
        told = f"[{_escaped(option.text)}]"
        value = f":{_value(name, option.value)}" if option.value else ""
        for flag in option.flags:
            others = "*" if option.is_repeated else f"({' '.join(option.flags)})"
            specs.append(_quoted(f"{others}{flag}{'=' if value else ''}{told}{value}"))
    return specs


def _value(name: str, word: Word) -> str:
    """Write what a value is called, and what offers it."""
    if word.choices:
        action = f"({' '.join(word.choices)})"
    elif word.asked:
        action = f" _{name}_told {word.asked}"
    else:
        action = "_files" if word.metavar == "FILE" else " "
    return f"{_escaped(word.metavar)}:{action}"


def _escaped(text: str) -> str:
    for one in "\\[]:":
        text = text.replace(one, f"\\{one}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"
