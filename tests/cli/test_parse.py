"""The parser, on a table that is made up here."""

import pytest

from discoveryd.cli.parse import Command, Option, Program, UsageError, Value, parse

GO = Command(
    "go",
    "go somewhere",
    Value("PLACE", missing="where?"),
    Value("COLOUR", choices=("red", "blue")),
    Option("by", "the means", Value("MEANS"), default="foot"),
    Option("with-friends", "in company"),
    Option("via", "a stop on the way", Value("STOP"), is_repeated=True),
    Option("pace", "steps", Value("N", int)),
    Option("kind", "what for", Value("KIND", choices=("a", "b", "c"))),
    rest="[-- WORDS ...]",
)
STAY = Command("stay", "stay here", Option("days", "how long", Value("N", int), missing="how long? Give --days N"), filters=[Option("cheap", "at a low price")])
PROGRAM = Program("trip", "Travel.", [GO, STAY])


def test_values_have_the_names_of_their_rows():
    found = parse(PROGRAM, ["go", "--via", "x", "home", "--via=y", "--with-friends", "--pace", "3"])
    assert vars(found) == {
        "command": "go", "place": "home", "colour": "", "by": "foot", "with_friends": True, "via": ("x", "y"),
        "pace": 3, "kind": None, "help": False, "version": False, "rest": [],
    }  # fmt: skip


def test_an_option_may_be_shortened():
    assert parse(PROGRAM, ["go", "home", "--with", "--pac=2", "--by", "--"]).by == "--"


def test_a_single_dash_is_an_operand():
    assert parse(PROGRAM, ["go", "-"]).place == "-"


def test_words_after_two_dashes_are_the_rest_or_operands():
    found = parse(PROGRAM, ["go", "home", "--", "--by", "x"])
    assert (found.place, found.rest, found.by) == ("home", ["--by", "x"], "foot")
    with pytest.raises(UsageError, match="stay does not take '--x'"):
        parse(PROGRAM, ["stay", "--days", "1", "--", "--x"])


@pytest.mark.parametrize(
    ("words", "command", "wants_help"),
    [(["help"], "", True), (["help", "go"], "go", True), (["go", "--help"], "go", True), (["-h", "odd"], "", True),
     (["--version"], "", False), (["stay", "--version"], "stay", False)],
)  # fmt: skip
def test_help_and_version_need_nothing_else(words, command, wants_help):
    found = parse(PROGRAM, words)
    assert (found.command, found.help, found.version) == (command, wants_help, not wants_help)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "which command? One of go, stay, help"),
        (["fly"], "no command 'fly': there are go, stay, help"),
        (["help", "fly", "away"], "no command 'fly away'"),
        (["go"], "go where?"),
        (["go", ""], "go where?"),
        (["go", "home", "green"], "go: COLOUR must be red or blue, not 'green'"),
        (["go", "home", "red", "x"], "go does not take 'x' (a command to run comes after --)"),
        (["go", "home", "--"], "nothing follows --"),
        (["go", "home", "--kind", "d"], "--kind must be one of a, b, c, not 'd'"),
        (["go", "home", "--fast"], "option --fast not recognized"),
        (["go", "home", "-by"], "option -by not recognized"),
        (["go", "home", "--by"], "option --by requires argument"),
        (["go", "home", "--with-friends=yes"], "option --with-friends must not have an argument"),
        (["go", "home", "--pa"], "option --pace requires argument"),
        (["go", "home", "--p"], "option --pace requires argument"),
        (["go", "home", "--v"], "option --v not a unique prefix"),
        (["stay"], "stay how long? Give --days N"),
        (["stay", "here"], "stay does not take 'here' (filters are options, such as --name)"),
        (["stay", "--days", "1", "--by", "x"], "stay does not take --by (it takes --cheap, --days, --help, --version)"),
    ],
)
def test_a_wrong_command_line_says_what_is_right(words, told):
    with pytest.raises(UsageError) as caught:
        parse(PROGRAM, words)
    assert told in str(caught.value)
