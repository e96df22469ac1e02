"""The texts of ``--help``, made of the table of commands; and what only help and manual page tell."""

from __future__ import annotations

from textwrap import wrap

from discoveryd.ctl.commands import COMMANDS, EVERYWHERE, FILTERS, METAVARS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUMMARY = "Ask the discoveryd of this machine which other machines are up right now, where, offering what."
NOTE = "Times are seconds, or such as 500ms, 4s, 1m. Colour is for terminals, and not if NO_COLOR is set."

EXIT_CODES = (
    (0, "fine"),
    (1, "nothing matched, or it timed out, or nothing answered the PING"),
    (2, "the command line is wrong, or the daemon refused the request"),
    (3, "no daemon to be asked"),
    (130, "interrupted"),
)

EXAMPLES = (
    "discoveryctl list --tag role=gpu --service ssh",
    "discoveryctl list --only address --tag role=worker",
    "discoveryctl list --json | jq -r '.peers[].address'",
    "discoveryctl wait --count 4 --tag role=worker --timeout 1m && ./start-job",
    'discoveryctl watch --json | while read -r line; do echo "$line"; done',
    "discoveryctl register render --port 9000 --tag gpu=2 -- ./render-server",
)

_WIDTH = 100
_TERM = 19
"""Columns of a term; a longer one has a line of its own."""


def usage(command: str) -> str:
    """Give the help for a command, for the whole if there is none of that name."""
    if command not in COMMANDS:
        return _whole()
    chosen = COMMANDS[command]
    own = {name: text for name, text in chosen.options.items() if name not in FILTERS or text != FILTERS[name]}
    parts = [
        "\n".join(_wrapped(f"usage: {synopsis(command)}", indent=7)),
        "\n".join(_wrapped(chosen.text)),
        _options(own),
        f"filters:\n{_options(FILTERS)}" if takes_filters(command) else "",
        f"options:\n{_options(EVERYWHERE)}",
        NOTE,
        _exits(),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def synopsis(command: str) -> str:
    """Give the form of a command line, ``discoveryctl wait --count N [FILTERS] [--timeout S] [--json]``."""
    chosen = COMMANDS[command]
    filters = "[FILTERS]" if takes_filters(command) else ""
    told = {*chosen.needs, *(FILTERS if filters else ())}
    own = chosen.options if command == "help" else (*chosen.options, "json")
    others = [f"[{option(name)}]" for name in own if name not in told]
    return " ".join(filter(None, ("discoveryctl", command, chosen.form, filters, *others, chosen.rest)))


def option(name: str) -> str:
    """Write an option as in a synopsis, ``--count N``."""
    return f"--{name} {METAVARS[name]}".rstrip()


def takes_filters(command: str) -> bool:
    """Whether a command takes all the filters."""
    return FILTERS.items() <= COMMANDS[command].options.items()


def _whole() -> str:
    commands = _rows((f"{name} {one.form}".rstrip(), one.brief) for name, one in COMMANDS.items())
    parts = [
        "usage: discoveryctl COMMAND [OPTIONS]",
        SUMMARY,
        f"commands:\n{commands}",
        f"filters:\n{_options(FILTERS)}",
        f"options:\n{_options(EVERYWHERE)}",
        NOTE,
        _exits(),
        "examples:\n" + "\n".join(f"  {line}" for line in EXAMPLES),
    ]
    return "\n\n".join(parts) + "\n"


def _exits() -> str:
    return "exit codes:\n" + "\n".join(f"  {code:<3}  {text}" for code, text in EXIT_CODES)


def _options(options: Mapping[str, str]) -> str:
    return _rows((option(name), text) for name, text in options.items())


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    lines = []
    for term, text in rows:
        first, *more = _wrapped(text, width=_WIDTH - _TERM - 2)
        if len(term) >= _TERM:
            lines += [f"  {term}", f"  {'':{_TERM}}{first}"]
        else:
            lines.append(f"  {term:{_TERM}}{first}")
        lines += [f"  {'':{_TERM}}{line}" for line in more]
    return "\n".join(lines)


def _wrapped(text: str, *, width: int = _WIDTH, indent: int = 0) -> list[str]:
    return wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
