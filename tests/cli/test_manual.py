"""The manual pages: whole, valid roff, and true."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from discoveryd.cli import ctl_commands, daemon_commands, manual, manual_texts
from discoveryd.cli.daemon_commands import PAGES
from discoveryd.cli.manual import escaped, prose, read_sample
from discoveryd.cli.parse import parse
from discoveryd.config import LISTS, SCHEMA, load
from discoveryd.daemon import main

ROOT = Path(__file__).resolve().parents[2]
DAEMON, CTL = daemon_commands.PROGRAM, ctl_commands.PROGRAM
REQUESTS = {
    ".TH", ".SH", ".SS", ".PP", ".TP", ".RS", ".RE", ".EX", ".EE", ".SY", ".YS", ".br", ".nh", ".ad", ".nr",
}  # fmt: skip
ORDER = [
    "NAME", "SYNOPSIS", "DESCRIPTION", "KEYS", "COMMANDS", "FILTERS", "OPTIONS", "EXIT STATUS", "HOOKS", "ENVIRONMENT",
    "FILES", "SIGNALS", "EXAMPLES", "SEE ALSO",
]  # fmt: skip


@pytest.fixture(scope="module")
def pages():
    return manual.pages()


def plain(page):
    """Return what a page says, without roff."""
    text = re.sub(r"\\f[BIR]", "", page)
    for escape, character in (("\\&", ""), ("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\(ti", "~"), ("\\(ha", "^")):
        text = text.replace(escape, character)
    return text.replace("\\e", "\\")


def section(page, title):
    return plain(page).partition(f"\n.SH {title}\n")[2].partition("\n.SH ")[0]


def filled(text):
    """Join lines, as a formatter does."""
    return " ".join(text.split())


# --- that it is roff --------------------------------------------------------------------------------


def test_each_name_has_a_page(pages):
    assert sorted(pages) == ["man1/discoveryctl.1", "man5/discoveryd.yaml.5", "man8/discoveryd.8"]
    assert set(manual_texts.SEE_ALSO) == set(manual_texts.EXAMPLES) == set(manual_texts.DESCRIPTIONS) == set(PAGES)


def test_pages_have_the_sections_of_a_manual_page(pages):
    for name, page in pages.items():
        lines = page.splitlines()
        title, number = Path(name).stem.upper(), name[-1]
        assert plain(lines[0]).startswith(f".TH {title} {number} ")
        found = [line[4:] for line in lines if line.startswith(".SH ")]
        assert found == [one for one in ORDER if one in found]
        assert {"NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "SEE ALSO"} <= set(found)
        assert lines[lines.index(".SH NAME") + 1].startswith(escaped(Path(name).stem) + r" \- ")
        assert page.isascii()
        assert page.endswith("\n")
        for opening, closing in ((".RS", ".RE"), (".EX", ".EE"), (".SY", ".YS")):
            assert sum(line.startswith(opening) for line in lines) == lines.count(closing)


def test_text_is_escaped_and_no_text_is_a_request(pages):
    for page in pages.values():
        for line in page.splitlines():
            assert line
            if line.startswith("."):
                assert line.split()[0] in REQUESTS
            assert not line.startswith("'")
            assert set(re.findall(r"\\(.)", line)) <= set("f-e&(")
            assert "-" not in line.replace("\\-", "")
        assert page.count("\\fR") == page.count("\\fB") + page.count("\\fI")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a-b", [r"a\-b"]),
        (r"C:\x", [r"C:\ex"]),
        (".hidden", [r"\&.hidden"]),
        ("'quoted'", [r"\(aqquoted\(aq"]),
        ("é", [r"\[u00E9]"]),
        ("use --all of $HOME, see man(1)", [r"use \fB\-\-all\fR of \fB$HOME\fR, see \fBman\fR(1)"]),
        ("x" * 72 + " and yet more ..", ["x" * 72 + " and", "yet more .."]),
        ("x" * 78 + " .d", ["x" * 78, r"\&.d"]),
    ],
)
def test_prose_becomes_filled_lines(text, lines):
    assert prose(text) == lines


@pytest.mark.parametrize(
    "check", [["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-Tutf8", "-ww", "-z"]], ids=lambda one: one[0]
)
def test_a_formatter_accepts_the_pages(pages, check):
    if not shutil.which(check[0]):
        pytest.skip(f"{check[0]} is not installed")
    for name, page in pages.items():
        done = subprocess.run(check, input=page, capture_output=True, text=True, timeout=20, check=False)
        faults = [line for line in (done.stdout + done.stderr).splitlines() if "missing date" not in line]
        assert faults == [], name  # no date: the same program gives the same page


# --- that it is whole, and true ---------------------------------------------------------------------


@pytest.mark.parametrize("program", [DAEMON, CTL], ids=lambda one: one.name)
def test_pages_have_all_commands_and_options(pages, program):
    page = pages[f"man{PAGES[program.name]}/{program.name}.{PAGES[program.name]}"]
    synopsis, told, options = section(page, "SYNOPSIS"), section(page, "COMMANDS"), section(page, "OPTIONS")
    for command in program.commands.values():
        assert f'.SY "{program.name} {command.name}"' in synopsis
        own = told.partition(f"\n.TP\n{command.name}")[2] if f"\n.TP\n{command.name}" in told else told
        assert filled(command.text) in filled(own)
        for option in command.options:
            assert f".TP\n{', '.join(option.flags)}" in own
            assert option.text in filled(own)
    for option in program.options:
        assert f".TP\n{', '.join(option.flags)}" in "\n" + options
    for option in program.filters:
        assert f".TP\n{option.flags[0]}" in section(page, "FILTERS")


def test_help_is_listed_as_a_command(pages):
    for name in ("man8/discoveryd.8", "man1/discoveryctl.1"):
        assert re.search(r"\.TP\nhelp \[COMMAND\]\nExplain the commands", section(pages[name], "COMMANDS"))
    assert "help" in DAEMON.commands


def test_pages_have_all_exit_codes(pages):
    for name, codes in (("man8/discoveryd.8", DAEMON.exit_codes), ("man1/discoveryctl.1", CTL.exit_codes)):
        told = re.findall(r"^\.TP\n(\d+)$", section(pages[name], "EXIT STATUS"), re.MULTILINE)
        assert [int(code) for code in told] == [code for code, _ in codes]


def test_each_key_has_a_type_and_a_default(pages):
    keys = section(pages["man5/discoveryd.yaml.5"], "KEYS")
    for name, section_keys in SCHEMA.items():
        assert f".SS {name}\n" in keys
        for key in section_keys:
            term = name if name in LISTS else rf"{name}\.{key}"
            assert re.search(rf"\.TP\n{term} \([a-z ]+, default \S.*\)\n\S", keys), key
    assert "hello.interval (duration, default 800ms)\nTime between two HELLOs" in keys


def variables(tree):
    """Return the environment variables that a module names: by our prefix, or where it reads one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and re.fullmatch("DISCOVERY(D|CTL)_[A-Z_]*[A-Z]", str(node.value)):
            yield node.value
        elif isinstance(node, ast.Call | ast.Subscript):
            asked, names = (node.func, node.args[:1]) if isinstance(node, ast.Call) else (node.value, [node.slice])
            if re.fullmatch(r"(os\.)?environ(\.get)?", ast.unparse(asked)):
                yield from (one.value for one in names if isinstance(one, ast.Constant))


def test_pages_have_all_environment_variables(pages):
    used = {
        name
        for path in (ROOT / "discoveryd").rglob("*.py")
        for name in variables(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {"DISCOVERYD_CONFIG", "DISCOVERYCTL_ADDRESS", "NO_COLOR", "NOTIFY_SOCKET", "COLUMNS"} <= used
    told = "\n".join(section(page, title) for title in ("ENVIRONMENT", "HOOKS") for page in pages.values())
    not_theirs = {"TERM", "JOURNAL_STREAM", "LISTEN_PID", "WATCHDOG_PID", "PATH", "LANG", "HOME"}
    not_theirs |= {"PATH_INFO", "REQUEST_METHOD", "HTTP_HOST"}
    assert {name for name in used - not_theirs if f".TP\n{name}\n" not in told} == set()


def test_pages_have_the_signals_of_the_daemon(pages):
    source = (ROOT / "discoveryd" / "daemon" / "run.py").read_text(encoding="utf-8")
    told = re.findall(r"^\.TP\n(SIG\w+)$", section(pages["man8/discoveryd.8"], "SIGNALS"), re.MULTILINE)
    assert set(told) == set(re.findall(r"signal\.(SIG[A-Z]+)", source))


def test_the_examples_can_be_run(tmp_path):
    for _, lines in manual_texts.EXAMPLES["discoveryctl"]:
        for line in lines:
            command = re.split(r" [|&]", line)[0]
            parse(CTL, shlex.split(command)[1:])
    for _, (line,) in manual_texts.EXAMPLES["discoveryd"]:
        words = shlex.split(line.removeprefix("source <(").removesuffix(")"))
        parse(DAEMON, words[words.index("discoveryd") + 1 :])
    for _, lines in manual_texts.EXAMPLES["discoveryd.yaml"]:
        file = tmp_path / "discoveryd.yaml"
        file.write_text("\n".join(lines))
        assert load(str(file), {}).parameters.seeds == ("10.1.0.5",)


def test_references_between_pages_exist(pages):
    ours = {f"{name}({number})" for name, number in PAGES.items()}
    for name, page in pages.items():
        found = set(re.findall(r"discovery[a-z.]+\(\d\)", plain(page)))
        assert found <= ours
        assert found >= ours - {f"{Path(name).stem}({name[-1]})"}


# --- the sample -------------------------------------------------------------------------------------

SAMPLE = """\
# a sample
#
# Durations need
# a unit.

# What it is.
one:
  # The first.
  # Example: [a, b]
  a: []
  # The second.
  b: "x # y"

two:
  # The third.
  c:
"""


def test_a_sample_configuration_is_read():
    head, entries = read_sample(SAMPLE, {"one": {"a": "", "b": ""}, "two": {"c": ""}})
    assert head == ["a sample", "Durations need\na unit."]
    assert entries == [
        ("one", "", "", ["What it is."]),
        ("one", "a", "[]", ["The first.", "Example: [a, b]"]),
        ("one", "b", '"x # y"', ["The second."]),
        ("two", "", "", []),
        ("two", "c", "", ["The third."]),
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("  # The second.\n", ""), "one.b has no comment there"),
        (('  # The second.\n  b: "x # y"\n', ""), "one.b has no comment there"),
        (("  c:", "  d:"), "two.c has no comment there; two.d is there and does not exist"),
    ],
)
def test_a_sample_that_does_not_fit_the_schema(change, told):
    with pytest.raises(ValueError, match=f"does not fit the program: {told}$"):
        read_sample(SAMPLE.replace(*change), {"one": {"a": "", "b": ""}, "two": {"c": ""}})


# --- the command ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_the_command_prints_a_page(pages, capsys, name):
    assert main(["manual", name]) == 0
    assert capsys.readouterr().out == pages[f"man{PAGES[name]}/{name}.{PAGES[name]}"]


def test_the_default_page_is_that_of_the_daemon(pages, capsys):
    assert main(["manual"]) == 0
    assert capsys.readouterr().out == pages["man8/discoveryd.8"]


@pytest.mark.parametrize("has_man", [True, False])
def test_man_shows_the_page_on_a_terminal(pages, capsys, monkeypatch, tmp_path, has_man):
    if has_man:
        (tmp_path / "man").write_text('#!/bin/sh\n[ "$*" = "--local-file -" ] && exec cat >"$0.read"\n')
        (tmp_path / "man").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if has_man else str(tmp_path))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["manual", "discoveryctl"]) == 0
    shown = (tmp_path / "man.read").read_text() if has_man else capsys.readouterr().out
    assert shown == pages["man1/discoveryctl.1"]


def test_a_missing_sample_is_an_error(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("discoveryd.files.directories.PACKAGE", str(tmp_path / "a/b/c/d"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert main(["manual", "discoveryd.yaml"]) == 1
    assert "discoveryd: config/discoveryd.yaml of discoveryd is missing" in capsys.readouterr().err
