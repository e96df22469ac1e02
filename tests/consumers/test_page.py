"""The page in a real Chromium, of real daemons: what it shows, by mouse and by keyboard, here and from another host."""

import json
import time

import pytest

from tests.consumers.browser import Browser
from tests.consumers.conftest import need
from tests.netns.daemons import asking, events, heal, lose, until
from tests.netns.lab import Lab, why_not

HERE, THERE = "http://127.0.0.1:3480/", "http://10.77.0.2:3480/"
TOKEN = "0123456789abcdef0123456789abcdef"
EVIL = "<img src=x onerror=alert(1)>"
ADDRESSES = {"anna": "10.77.0.1", "bert": "10.77.0.2", "evil": "10.77.0.3", "cora": "10.77.0.4"}
ROWS = "#peers > tr:not(.more)"
NAMES = "#peers th button"
SEEN = """name => { window.seen = 0; new MutationObserver(() => {
    if (!window.seen && [...document.querySelectorAll('#peers th button')].some(one => one.textContent === name)) window.seen = Date.now();
}).observe(document.body, {subtree: true, childList: true, characterData: true}); }"""


class Network:
    """Three daemons, one of them hostile, one with a token; a browser on the host of the first; a fourth comes and goes."""

    def __init__(self, lab, browser):
        self.lab, self.browser, self.daemons = lab, browser, {}

    def start(self, name, **settings):
        """Start a daemon on its host."""
        found = {"NODE__NAME": name, "NODE__TAGS": '{role: db, site: "a b"}', **settings}
        self.daemons[name] = self.lab.hosts[name].discoveryd(env={f"DISCOVERYD_{key}": value for key, value in found.items()})
        return self.daemons[name]


@pytest.fixture(scope="module")
def network(tool, environment, tmp_path_factory):
    if reason := why_not():
        need(reason)
    chromium, python = tool("chromium", "chromium"), environment("browser") / "python"
    token = tmp_path_factory.mktemp("token") / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    with Lab() as lab:
        for name, address in ADDRESSES.items():
            lab.host(name, address=f"{address}/24")
        with Browser(lab.hosts["anna"], python, chromium) as browser:
            made = Network(lab, browser)
            made.start("anna", WEB__LISTEN="127.0.0.1:3480")
            made.start("bert", WEB__LISTEN="10.77.0.2:3480", WEB__TOKEN_FILE=str(token), NODE__SERVICES="[{name: http, port: 8080}]")
            hostile = [{"name": "http", "port": 80, "tags": {"path": "//evil.example/"}}, {"name": "javascript:alert(1)", "port": 443}]
            made.start("evil", NODE__NAME=EVIL, NODE__TAGS=json.dumps({"<b>": EVIL, "onclick": "alert(1)"}), NODE__SERVICES=json.dumps(hostile))
            with asking(lab.hosts["anna"]) as client:
                until(client, lambda peers: len(peers) == 2 and all(peer["two_way"] for peer in peers))
            yield made
        for host in lab.hosts.values():
            print(f"--- {host.name}\n{host.log()}")


@pytest.fixture
def page(network):
    """Give the browser with the page of anna open; nothing was complained of in the end."""
    assert network.browser.open(HERE) == 200
    network.browser.until(f"document.querySelectorAll('{ROWS}').length >= 2")
    yield network.browser
    assert network.browser.call("console") == []


def test_a_peer_that_joins_is_on_the_page_at_once(network, page):
    delays = []
    with asking(network.lab.hosts["anna"]) as client:
        stream = events(client)
        for _ in range(3):
            page.call("evaluate", SEEN, "cora")
            daemon = network.start("cora")
            while (line := next(stream))["event"] not in ("joined", "restarted") or line["peer"]["name"] != "cora":
                pass
            joined = time.time()
            page.until("window.seen")
            delays.append(page.call("evaluate", "window.seen") / 1000 - joined)
            daemon.terminate()
            page.until(f"![...document.querySelectorAll('{ROWS}:not(.gone) th button')].some(one => one.textContent === 'cora')")
            daemon.wait()
    assert min(delays) < 0.5, delays
    assert "cora" in page.texts("#feed strong")
    page.until("/cora left/.test(document.querySelector('#say').textContent)")


def test_words_choose_peers_and_heads_sort_them(page):
    page.call("keyboard.press", "/")
    assert page.call("evaluate", "document.activeElement.id") == "filter"
    for words, found in {"role=db state:up": ["bert"], "service:ht* state:up -no": [], "name:b* link:eth0": ["bert"], "8080": ["bert"], "<IMG": [EVIL]}.items():
        page.call("fill", "#filter", words)
        page.until(f"document.querySelectorAll('{ROWS}').length === {len(found)}")
        assert [text.strip() for text in page.texts(NAMES)] == found
    page.call("fill", "#filter", "state:up")
    for ways in ("ascending", "descending"):
        page.call("click", "#head-address button")
        assert page.call("get_attribute", "#head-address", "aria-sort") == ways
        page.until(f"document.querySelectorAll('{ROWS}').length === 2")
        addresses = page.texts(f"{ROWS} td.mono")
        page.until("wanted => [...document.querySelectorAll('#peers td.mono')].map(one => one.textContent).join() === wanted",
                   ",".join(sorted(addresses, reverse=ways == "descending")))  # fmt: skip
    assert page.call("get_attribute", "#head-state", "aria-sort") is None


def test_without_sites_there_is_no_choice_of_them(page):
    page.until("document.querySelector('#facts').textContent.includes('realm')")
    assert page.call("is_hidden", "#site")


def test_all_of_it_can_be_done_by_keyboard(page):
    page.call("keyboard.press", "Tab")
    page.call("keyboard.press", "Enter")  # skips to the filter
    assert page.call("evaluate", "document.activeElement.id") == "filter"
    page.call("keyboard.type", "state:up")
    page.until(f"document.querySelectorAll('{ROWS}').length === 2")
    page.call("focus", f"{ROWS} th button")
    first, second = page.texts(NAMES)
    for key, focused in {"ArrowDown": second, "ArrowUp": first, "End": second, "Home": first}.items():
        page.call("keyboard.press", key)
        assert page.call("evaluate", "document.activeElement.innerText") == focused
    page.call("keyboard.press", "Enter")
    page.until("document.querySelector('#peers .more')")
    assert page.call("evaluate", "document.activeElement.ariaExpanded") == "true"
    page.call("keyboard.press", "Escape")
    page.until("!document.querySelector('#peers .more')")
    page.call("focus", "#theme")
    for theme in ("light", "dark", "system"):
        page.call("keyboard.press", "Enter")
        assert page.call("evaluate", "document.documentElement.dataset.theme") == theme


def test_a_doctor_is_asked_and_not_too_often(page):
    page.call("click", "#doctor")
    page.until("/The doctor found/.test(document.querySelector('#report').textContent)")
    assert "eth0" in page.call("inner_text", "#report")
    page.call("click", "#doctor")
    page.until("/one report at a time.*Try again in [1-5] second/.test(document.querySelector('#report').textContent)")
    assert [line for line in page.call("console") if "429" in line]
    page.call("forgive")


def test_what_a_hostile_peer_says_is_harmless(page):
    page.call("fill", "#filter", "onclick=alert(1)")
    page.until(f"document.querySelectorAll('{ROWS}').length === 1")
    page.call("click", NAMES)
    assert page.texts(NAMES) == [EVIL]
    assert f"<b>={EVIL}" in page.call("inner_text", ROWS)
    assert page.call("eval_on_selector_all", "#peers a", "found => found.map(one => one.href)") == [
        "http://10.77.0.3/", "https://10.77.0.3/",
    ]  # fmt: skip
    assert page.call("evaluate", "document.querySelectorAll('img, b, [onclick], [onerror]').length") == 0


def test_from_another_host_the_page_asks_for_the_token(network):
    browser = network.browser
    assert browser.open(THERE) == 200
    browser.until("!document.querySelector('#entry').hidden")
    assert "bert" not in browser.call("content")
    assert browser.call("evaluate", "document.activeElement.id") == "token"
    browser.call("keyboard.type", "0" * 32)
    browser.call("keyboard.press", "Enter")
    browser.until("/does not accept/.test(document.querySelector('#entry').textContent)")
    browser.call("fill", "#token", TOKEN)
    browser.call("keyboard.press", "Enter")
    browser.until(f"document.querySelectorAll('{ROWS}').length >= 2")
    browser.until("document.querySelector('#name').textContent === 'bert'")
    assert browser.call("evaluate", "location.href + document.cookie") == THERE
    browser.call("click", NAMES)
    browser.call("click", ".more button")
    browser.until("/The doctor found/.test(document.querySelector('.more .report').textContent)")
    browser.call("reload")
    browser.until(f"document.querySelectorAll('{ROWS}').length >= 2")
    browser.call("click", "#leave")
    browser.until("!document.querySelector('#entry').hidden")
    assert all("401" in line for line in browser.call("console"))


def test_a_name_of_a_stranger_for_this_address_is_refused(network):
    assert network.browser.open("http://stranger.example:3480/") == 421
    assert "anna" not in network.browser.call("content")


@pytest.mark.parametrize("context", [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}], ids=str)
def test_axe_finds_nothing_amiss(network, context):
    browser = network.browser
    browser.open(HERE, bypass_csp=True, **context)
    browser.until(f"document.querySelectorAll('{ROWS}').length >= 2 && document.querySelector('#links td')")
    browser.call("click", NAMES)
    browser.until("document.querySelector('.more')")
    assert browser.call("accessibility") == []


def test_axe_finds_nothing_amiss_where_a_token_is_wanted(network):
    network.browser.open(THERE, bypass_csp=True)
    network.browser.until("!document.querySelector('#entry').hidden")
    assert network.browser.call("accessibility") == []


def test_nothing_is_wider_than_a_phone(network):
    network.browser.open(HERE, viewport={"width": 360, "height": 800})
    network.browser.until(f"document.querySelectorAll('{ROWS}').length >= 2 && document.querySelector('#links td')")
    assert network.browser.call("evaluate", "document.documentElement.scrollWidth") == 360


def test_without_javascript_there_is_a_table(network):
    network.browser.open(HERE, java_script_enabled=False)
    assert network.browser.call("inner_text", "#name") == "anna"
    assert "bert" in network.browser.call("inner_text", "#peers")
    assert not network.browser.texts(".script")


JOINS = "[...document.querySelectorAll('#feed li')].filter(one => /^[0-9:]+coraj/.test(one.textContent)).length"
HIDE = """value => { Object.defineProperty(document, 'hidden', {value, configurable: true});
    document.dispatchEvent(new Event('visibilitychange')); }"""
MARK = """() => { const mark = document.createElement('li'); mark.id = 'mark'; document.querySelector('#feed').append(mark); }"""


@pytest.mark.parametrize("has_proved", [True, False])
def test_a_tab_that_nobody_looks_at_holds_no_stream(network, page, has_proved):
    """What happened meanwhile is told once; also of a peer that answers no PING, which the history does not know."""
    host = network.lab.hosts["cora"]
    page.until("/bert/.test(document.querySelector('#feed').textContent)")  # the history has told of earlier joins, too
    before = page.call("evaluate", JOINS)
    with asking(network.lab.hosts["anna"]) as client:
        page.call("evaluate", HIDE, True)
        deadline = time.monotonic() + 15
        while client.request("status")["web"]["streams"]:
            assert time.monotonic() < deadline
            page.call("wait_for_timeout", 20)
        if not has_proved:
            lose(host)
        daemon = network.start("cora")
        until(client, lambda peers: any(peer["name"] == "cora" and (peer["two_way"] or not has_proved) for peer in peers))
    page.call("evaluate", MARK)
    page.call("evaluate", HIDE, False)
    page.until(f"[...document.querySelectorAll('{ROWS}:not(.gone) th button')].some(one => one.textContent === 'cora')")
    page.until("!document.querySelector('#mark')")  # the history was asked again
    page.until(f"{JOINS} === {before + 1}")
    daemon.terminate()
    daemon.wait()
    if not has_proved:
        heal(host)


def test_the_page_says_that_the_daemon_is_gone_and_comes_back(network, page):
    for _ in range(2):
        daemon = network.start("cora")
        with asking(network.lab.hosts["anna"]) as client:
            until(client, lambda peers: any(peer["name"] == "cora" and peer["two_way"] for peer in peers))
        daemon.terminate()
        daemon.wait()
    network.daemons["anna"].terminate()
    network.daemons["anna"].wait()
    page.until("/next try in/.test(document.querySelector('#link').textContent)")
    page.until("/No answer from the daemon: what follows is .*s old/.test(document.querySelector('#headline').textContent)")
    network.start("anna", WEB__LISTEN="127.0.0.1:3480")
    with asking(network.lab.hosts["anna"]):
        pass
    page.until("document.querySelector('#link').textContent === 'live' && /peers up/.test(document.querySelector('#headline').textContent)")
    page.until(f"document.querySelectorAll('{ROWS}:not(.gone)').length >= 2")
    page.until("/back with a new boot/.test(document.querySelector('#feed').textContent)")  # as the history tells it; before there was only cora's HELLO
    page.call("forgive")
