"""Completion for fish, which quotes by itself what it puts into a command line."""

from __future__ import annotations

from collections.abc import Iterator

from discoveryd.cli.table import Option, Program, Value

FRAME = r"""# fish completion for NAME, made by: discoveryd completion fish

function __NAME_ask --description 'Ask the daemon, for a second at most; without a daemon print nothing'
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


def parts(program: Program) -> dict[str, str]:
    """Return what takes the place of each ``@MARK@`` of the frame."""
    valued = [flag for one in program.every_option().values() if one.value for flag in one.flags]
    return {
        "VALUED": " ".join(valued),
        "COMPLETIONS": "\n".join(f"complete -c {program.name} {one}" for one in _completions(program)),
    }


def _completions(program: Program) -> Iterator[str]:
    at = f"-n '__{program.name}_at"
    for command in program.commands.values():
        yield f"{at} \"\"' -a {command.name} -d {_quoted(command.brief)}"
    for option in program.options:
        yield f"{at} \"\"' {_option(program.name, option)}"
    for command in program.commands.values():
        for index, operand in enumerate(command.operands):
            if offered := _value(program.name, operand):
                yield f"{at} {command.name} {index}' {offered}"
        for option in program.options_of(command):
            yield f"{at} {command.name}' {_option(program.name, option)}"


def _option(name: str, option: Option) -> str:
    flags = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    value = ["-r", _value(name, option.value) or "-f"] if option.value else []
    return " ".join([*flags, *value, "-d", _quoted(option.text)])


def _value(name: str, value: Value) -> str:
    """Return the options of ``complete`` that offer values; empty if nothing does."""
    if value.choices:
        return f"-f -a {_quoted(' '.join(value.choices))}"
    if value.column:
        return f"-f -a '(__{name}_ask {value.column})'"
    return "-F" if value.metavar == "FILE" else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", r"\'") + "'"
