"""The page: small, without markup out of texts, allowed by hash alone, and readable without its script."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from discoveryd.web.page import MOST_ROWS, SCRIPTS, WebPage
from tests.query.formats.contracts import HOSTILE
from tests.query.samples import BARE, STATUS, peer

SOURCES = files("discoveryd.web") / "document"
MOST_BYTES = 40_000
FINDING = {
    "code": "clone", "severity": "medium", "certainty": "proven", "title": "two <b>nodes</b>", "text": "one & one", "subject": "",
    "evidence": {}, "remedy": ["discoveryd reset-id"], "since_s": 4.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def page():
    return WebPage()


class Elements(HTMLParser):
    """The elements of a document with their attributes, its cells, and all its text."""

    def __init__(self, document):
        super().__init__()
        self.elements, self.cells, self.text, self._in_cell = [], [], "", False
        self.feed(document.decode())
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._in_cell = tag == "td"
        if self._in_cell:
            self.cells.append("")

    def handle_data(self, data):
        self.text += data
        if self._in_cell:
            self.cells[-1] += data

    def handle_endtag(self, tag):
        self._in_cell = False


def source(name):
    return SOURCES.joinpath(name).read_text(encoding="utf-8")


def with_findings(*findings):
    return {**STATUS, "findings": list(findings)}


def test_the_page_is_small(page):
    assert len(page.render()) <= MOST_BYTES


def test_every_file_of_the_script_is_in_the_page():
    assert {one.name for one in SOURCES.iterdir()} == {*SCRIPTS, "page.html", "page.css"}


@pytest.mark.parametrize("word", ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "DOMParser", "eval(", "Function(",
                                  "setHTML", "srcdoc", "EventSource", "WebSocket", "XMLHttpRequest", "cookie", ".style"])  # fmt: skip
def test_no_text_becomes_markup_or_code(word):
    assert not [name for name in SCRIPTS if word in source(name)]


def test_the_token_stays_in_its_tab_and_out_of_urls():
    script = "".join(map(source, SCRIPTS))
    assert re.findall(r"(\w+)\.(?:get|set)Item\('token'", script) == ["sessionStorage", "sessionStorage"]
    assert re.findall(r"\$\{token\}", script) == ["${token}"]
    assert "Authorization: `Bearer ${token}`" in script


def test_the_page_needs_nothing_from_elsewhere(page):
    document = page.render().decode()
    assert set(re.findall(r"https?://[\w.]+", document)) == {"http://www.w3.org"}  # names of the languages of the elements
    loading = [attributes for tag, attributes in Elements(page.render()).elements if {"src", "href", "action"} & attributes.keys()]
    assert sorted(one["href"][:5] for one in loading) == ["#filt", "data:"]
    assert not [one for _, attributes in Elements(page.render()).elements for one in attributes if one.startswith("on") or one == "style"]


def test_the_policy_has_the_hashes_of_what_is_in_the_page(page):
    document = page.render(with_findings(), [peer()]).decode()
    for kind in ("script", "style"):
        (text,) = re.findall(rf"<{kind}(?: type=\"module\")?>(.*?)</{kind}>", document, re.DOTALL)
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in page.policy
    assert page.policy.startswith("default-src 'none';")
    assert "unsafe" not in page.policy


def test_every_element_that_the_script_asks_for_is_there(page):
    asked = re.findall(r"(?:byId|on)\('([\w-]+)'", "".join(map(source, SCRIPTS)))
    ids = [attributes["id"] for _, attributes in Elements(page.render()).elements if "id" in attributes]
    assert set(asked) <= set(ids)
    assert len(ids) == len(set(ids))


def test_without_script_the_page_is_a_table(page):
    shown = Elements(page.render(with_findings(FINDING), [peer(rtt_ms=0.42, loss=0.1, two_way=True), BARE]))
    heads = [attributes for tag, attributes in shown.elements if tag == "th"]
    assert len(shown.cells) == 20
    assert shown.cells[10:] == ["alpha", "up", "10.0.0.2", "eth0", "0.42 ms", "10%", "yes", "http:80", "role=gpu", "0.4s ago"]
    assert "2 peers up, 1 left. 1 fault found." in shown.text
    assert "two <b>nodes</b>one & onediscoveryd reset-id" in shown.text
    assert heads


def test_without_script_and_token_the_page_says_what_to_do(page):
    shown = Elements(page.render())
    assert "discoveryctl list" in shown.text
    assert not shown.cells


@pytest.mark.parametrize("evil", [*HOSTILE, "<img src=x onerror=alert(1)>", "--></script><script>alert(1)</script>", "<!--peers-->", "&lt;b&gt;"])
def test_what_a_peer_says_of_itself_is_text(page, evil):
    service = {"name": evil, "port": 1, "proto": evil, "tags": {}}
    hostile = peer(name=evil, link=evil, address=evil, tags={evil: evil}, services=[service])
    status = {**with_findings({**FINDING, "text": evil, "title": evil, "remedy": [evil]}), "node": {**STATUS["node"], "name": evil}}
    harmless = peer(name="a", link="b", address="c", tags={"d": "e"}, services=[{**service, "name": "f", "proto": "g"}])
    shown, wanted = Elements(page.render(status, [hostile])), Elements(page.render(with_findings(FINDING), [harmless]))
    assert shown.elements == wanted.elements
    assert all(cell.isprintable() for cell in shown.cells)


def test_a_crowd_is_cut_and_said_to_be(page):
    shown = Elements(page.render(with_findings(), [peer(id=f"p{number}", boot=str(number)) for number in range(MOST_ROWS + 5)]))
    assert len(shown.cells) == 10 * MOST_ROWS + 1
    assert shown.cells[-1] == "and 5 more"
