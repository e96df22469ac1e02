"""README, docs/ and the other pages: each link leads somewhere, lines fit, and README is short and leads to all."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
CODE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
LINKS = [
    pytest.param(page, target, id=f"{page}-{target}")
    for page, text in sorted(PAGES.items())
    for target in sorted(set(re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))))
    if not target.startswith(("http:", "https:"))
]


def anchors(text):
    """Give the anchors of a page, as GitHub makes them of its titles."""
    titles = re.findall(r"^#+ +(.*)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def test_readme_is_short_and_leads_to_every_page():
    readme = PAGES["README.md"]
    assert readme.count("\n") <= 150
    named = set(re.findall(r"\]\(([^)#\s]+)", readme))
    assert {page for page in PAGES if page != "README.md"} - named == set()


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"CHANGELOG.md"}))
def test_lines_fit(page):
    """But for tables and what is shown."""
    lines = CODE.sub("", PAGES[page]).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_leads_somewhere(page, target):
    name, _, anchor = target.partition("#")
    path = (ROOT / page).parent / name if name else ROOT / page
    assert path.exists()
    if anchor:
        assert anchor in anchors(path.read_text(encoding="utf-8"))
