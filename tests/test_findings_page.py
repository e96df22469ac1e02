"""docs/findings.md has each kind of finding, as the code has it, with a test that provokes it."""

import ast
from pathlib import Path

import pytest

from discoveryd.query.finding_kinds import FINDING_KINDS
from tests.findings_page import TESTS, page

ROOT = Path(__file__).parent.parent


def test_the_page_is_that_of_the_code():
    text = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    assert text == page(), "run: python -m tests.findings_page > docs/findings.md"


@pytest.mark.parametrize("code", FINDING_KINDS)
def test_each_kind_is_provoked_by_a_test_that_there_is(code):
    path, _, name = TESTS[code].partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert name in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert code in source
