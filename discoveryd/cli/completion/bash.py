"""Completion for bash, without the help of the package bash-completion."""

from __future__ import annotations

from collections.abc import Iterable

from discoveryd.cli.table import Option, Program, Value

FRAME = r"""# bash completion for NAME, made by: discoveryd completion bash

_NAME_ask() {  # ask the daemon, for a second at most; without a daemon print nothing
    local address=${DISCOVERYCTL_ADDRESS-}
    [[ $COMP_LINE =~ [[:space:]]--address[=[:space:]]+([^[:space:]]+) ]] && address=${BASH_REMATCH[1]}
    DISCOVERYCTL_ADDRESS=$address timeout 1 discoveryctl list --all --only "$1" 2>/dev/null </dev/null |
        grep -v ^-
}

_NAME_offer() {  # the lines of the input that fit, quoted: names come from the network
    local one
    while IFS= read -r one; do
        [[ $one == "$current"* ]] || continue
        printf -v one %q "${one#"$lead"}"
        COMPREPLY+=("$one")
    done
}

_NAME() {
    local IFS=$' \t\n' i current lead own wanted command operands=0
    local -a words
    COMPREPLY=()
    # readline also splits at = and :, so the words are read off the line
    read -a words <<<"${COMP_LINE:0:COMP_POINT}x"
    current=${words[-1]%x}
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        wanted=
        case ${words[i]} in
            --) compopt -o default 2>/dev/null; return ;;
            @VALUED@) wanted=${words[i++]} ;;
            -*) ;;
            *) if [[ $command ]]; then ((operands++)); else command=${words[i]}; fi ;;
        esac
    done
    ((i == ${#words[@]})) || wanted=  # the value was there
    if [[ $current == --*=* ]]; then
        wanted=${current%%=*} current=${current#*=}
    fi
    own=${COMP_WORDS[COMP_CWORD]//\\/}
    [[ $own == [=:] ]] && own=
    [[ $current == *"$own" ]] && lead=${current%"$own"}  # what stays, and must not be offered again
    if [[ $wanted ]]; then
        case $wanted in
@VALUES@
        esac
        return
    fi
    if [[ $current != -* ]]; then
        case $command:$operands in
@OPERANDS@
        esac
    fi
    case $command in
@OPTIONS@
    esac
}

complete -F _NAME NAME
"""


def parts(program: Program) -> dict[str, str]:
    """Return what takes the place of each ``@MARK@`` of the frame."""
    name = program.name
    values = {flag: one.value for one in program.every_option().values() if one.value for flag in one.flags}
    operands = [f":0) {_offered(name, program.commands)}"]
    options = [f"'') {_offered(name, _flags(program.options))}"]
    for command in program.commands.values():
        found = enumerate(command.operands)
        operands += [f"{command.name}:{index}) {_value(name, operand)}" for index, operand in found]
        options.append(f"{command.name}) {_offered(name, _flags(program.options_of(command)))}")
    return {
        "VALUES": "\n".join(f"            {flag}) {_value(name, value)} ;;" for flag, value in values.items()),
        "VALUED": " | ".join(values),
        "OPERANDS": "\n".join(f"            {one}; return ;;" for one in operands),
        "OPTIONS": "\n".join(f"        {one} ;;" for one in options),
    }


def _flags(options: Iterable[Option]) -> list[str]:
    return [option.flags[-1] for option in options]


def _value(name: str, value: Value) -> str:
    """Return the command that offers values; ``:`` offers nothing."""
    if value.choices:
        return _offered(name, value.choices)
    if value.column:
        return f"_{name}_offer < <(_{name}_ask {value.column})"
    return "compopt -o default 2>/dev/null" if value.metavar == "FILE" else ":"


def _offered(name: str, words: Iterable[str]) -> str:
    lines = "\\n".join(words)
    return f"_{name}_offer <<<$'{lines}'"
