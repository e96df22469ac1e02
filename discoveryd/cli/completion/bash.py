"""Completion for bash, without the help of the package bash-completion."""

from __future__ import annotations

from collections.abc import Iterable

from discoveryd.cli.programs import Option, Program, Word

_FRAME = r"""# bash completion for NAME, made by: discoveryd completion bash

_NAME_told() {  # what the daemon knows; it has a second, and if there is none, nothing is said
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

_NAME_value() {  # what may stand after an option
    case $1 in
@VALUES@
    esac
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
        _NAME_value "$wanted"
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


def script(program: Program) -> str:
    """Write the script."""
    name, values = program.name, program.values()
    operands = [("", 0, _offered(name, (one.name for one in program.commands)))]
    options = [("''", _offered(name, _flags(program.own_options)))]
    for command in program.commands:
        operands += [(command.name, index, _value(name, word)) for index, word in enumerate(command.operands)]
        options.append((command.name, _offered(name, _flags(program.options_of(command)))))
    parts = {
        "NAME": name,
        "@VALUES@": "\n".join(f"        {flag}) {_value(name, word)} ;;" for flag, word in values.items()),
        "@VALUED@": " | ".join(values) or "''",
        "@OPERANDS@": "\n".join(f"            {one}:{index}) {action}; return ;;" for one, index, action in operands),
        "@OPTIONS@": "\n".join(f"        {one}) {action} ;;" for one, action in options),
    }
    text = _FRAME
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _flags(options: Iterable[Option]) -> list[str]:
    return [flag for option in options for flag in option.flags if flag.startswith("--")]


def _value(name: str, word: Word) -> str:
    """Offer what a word may be; ``:`` is nothing."""
    if word.choices:
        return _offered(name, word.choices)
    if word.asked:
        return f"_{name}_offer < <(_{name}_told {word.asked})"
    return "compopt -o default 2>/dev/null" if word.metavar == "FILE" else ":"


def _offered(name: str, words: Iterable[str]) -> str:
    lines = "\\n".join(words)
    return f"_{name}_offer <<<$'{lines}'"
