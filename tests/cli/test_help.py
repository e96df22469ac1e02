"""``--help`` and ``--version`` of both programs."""

import re

import pytest

from discoveryd import ctl, daemon
from discoveryd.cli import ctl_commands, daemon_commands

PROGRAMS = [(daemon.main, daemon_commands.PROGRAM), (ctl.main, ctl_commands.PROGRAM)]
LINES = [
    (main, program, words)
    for main, program in PROGRAMS
    for words in (["--help"], ["-h"], *([name, "--help"] for name in program.commands))
]


@pytest.mark.parametrize(("main", "program", "words"), LINES, ids=lambda one: " ".join(one) if isinstance(one, list) else "")
def test_help_has_every_option_and_exit_code(capsys, main, program, words):
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "exit codes:\n  0 " in text
    assert max(map(len, text.splitlines())) <= 100
    command = program.commands.get(words[0])
    for option in program.options_of(command) if command else program.options:
        assert f"\n  {option.form} " in text or f"\n  {option.form}\n" in text
    if not command:
        for name in program.commands:
            assert f"\n  {name} " in text


def test_help_of_a_command_is_made_from_the_table(capsys):
    assert ctl.main(["wait", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    usage = "usage: discoveryctl wait --count N [FILTERS] [--timeout S] [--only COLUMN] [--format TEMPLATE]"
    assert lines[:2] == [usage, "       [--json]"]
    assert "  --count N          how many" in lines
    assert "  --service SERVICE  that offer this service" in lines


@pytest.mark.parametrize(("main", "words"), [(ctl.main, []), (ctl.main, ["wait"]), (daemon.main, []), (daemon.main, ["run"])])
def test_help_is_a_command_too(capsys, main, words):
    assert main(["help", *words]) == 0
    shown = capsys.readouterr().out
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out == shown
    assert main(["help", "me"]) == 2


@pytest.mark.parametrize(("main", "program"), PROGRAMS)
def test_version(capsys, main, program):
    assert main(["--version"]) == 0
    assert re.fullmatch(rf"{program.name} \d+\.\d+\.\S+( \([0-9a-f]+(-dirty)?\))?\n", capsys.readouterr().out)
