"""docs/limits.md is complete, and every test it names is there."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from discoveryd.config.sections import HistorySection
from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.parameters import Limits, MessageLimits

ROOT = Path(__file__).parent.parent
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/limits.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| bound")
]
KEYS = {"limits": Limits, "messages": MessageLimits, "history": HistorySection}


def test_each_limit_has_one_row():
    keys = [f"`{section}.{one.name}`" for section, kind in KEYS.items() for one in fields(kind) if one.name != "keep"]
    assert sorted(row[1] for row in ROWS if row[1] != "-") == sorted(keys)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_all_there_is_to_say(row):
    bound, _, default, policy, counter, test = row
    assert bound
    assert default
    assert policy
    for reason in re.findall(r"\*(.+?)\*", counter):
        assert reason in DROP_REASONS
    path, _, name = test.strip("`").partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", [row for row in ROWS if row[2].isdecimal() and row[1] != "-"], ids=lambda row: row[0])
def test_the_default_is_that_of_the_code(row):
    section, _, name = row[1].strip("`").partition(".")
    assert getattr(KEYS[section](), name) == int(row[2])
