"""Completion for fish, which quotes by itself what it puts into a command line."""

from __future__ import annotations

from collections.abc import Iterator

from discoveryd.cli.programs import Option, Program, Word

_FRAME = r"""# fish completion for NAME, made by: discoveryd completion fish

function __NAME_told --description 'What the daemon knows: it has a second; if there is none, nothing is said'
    set -l address $DISCOVERYCTL_ADDRESS
    set -l asked (commandline -p | string match -rg -- '\s--address[=\s]+(\S+)')
    test -n "$asked"; and set address $asked
    DISCOVERYCTL_ADDRESS="$address" timeout 1 discoveryctl list --all --only $argv[1] 2>/dev/null </dev/null |
        string match -v -- '-*'
end

function __NAME_at --description 'Whether the command is $argv[1], with $argv[2] operands after it if given'
    set -l words (commandline -opc)
    set -l found
    set -l is_value 0
    for word in $words[2..]
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case --
                return 1
            case @VALUED@
                set is_value 1
            case '-*'
            case '*'
                set -a found $word
        end
    end
    test "$found[1]" = "$argv[1]"; or return 1
    test -z "$argv[2]"; or test (count $found) -eq (math $argv[2] + 1)
end

complete -c NAME -f
@COMPLETIONS@
"""


def script(program: Program) -> str:
    """Write the script."""
    parts = {
        "NAME": program.name,
        "@VALUED@": " ".join(program.values()) or "''",
        "@COMPLETIONS@": "\n".join(f"complete -c {program.name} {one}" for one in _completions(program)),
    }
    text = _FRAME
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _completions(program: Program) -> Iterator[str]:
    name = program.name
    nowhere = f"-n '__{name}_at \"\"'"
    for command in program.commands:
        yield f"{nowhere} -a {command.name} -d {_quoted(command.brief)}"
    for option in program.own_options:
        yield f"{nowhere} {_option(name, option)}"
    for command in program.commands:
        for index, word in enumerate(command.operands):
            offered = _value(name, word)
            if offered:
                yield f"-n '__{name}_at {command.name} {index}' {offered}"
        for option in program.options_of(command):
            yield f"-n '__{name}_at {command.name}' {_option(name, option)}"


def _option(name: str, option: Option) -> str:
    flags = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    value = ["-r", _value(name, option.value) or "-f"] if option.value else []
    return " ".join([*flags, *value, "-d", _quoted(option.text)])


def _value(name: str, word: Word) -> str:
    """Write what offers a word, empty if nothing does."""
    if word.choices:
        return f"-f -a {_quoted(' '.join(word.choices))}"
    if word.asked:
        return f"-f -a '(__{name}_told {word.asked})'"
    return "-F" if word.metavar == "FILE" else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", r"\'") + "'"
