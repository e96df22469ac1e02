"""The page of a node that belongs to a site, in a real Chromium: peers of the other sites, and one that falls silent."""

from tests.consumers.browser import Browser
from tests.netns.sites import Fleet, until

PAGE = "http://127.0.0.1:3480/"
NAMES = "#peers th button"


def test_the_page_shows_the_peers_of_a_site(lab, tool, environment):
    fleet = Fleet(lab, tool("nats-server", "nats-server"), hosts=2)
    here = fleet.nodes["berlin1"]
    with (here.directory / "discoveryd.yaml").open("a") as config:
        config.write('web: {listen: "127.0.0.1:3480"}\n')
    fleet.start("berlin1", "berlin2", "paris1")
    until(lambda: fleet.lists("berlin1", "berlin2", "paris1"), 30.0, "paris is known")
    with Browser(here.host, environment("browser") / "python", tool("chromium", "chromium")) as page:
        page.open(PAGE)
        page.until("!document.querySelector('#site').hidden")
        page.until("[...document.querySelectorAll('#site option')].some(one => one.textContent === 'paris: reachable')")
        assert page.texts(NAMES) == ["berlin2"]
        page.call("select_option", "#site", "paris")
        page.until("[...document.querySelectorAll('#peers th button')].map(one => one.textContent).join() === 'paris1'")
        assert page.call("evaluate", "[...document.querySelector('#peers tr').cells].slice(1, 4).map(one => one.innerText)") == ["\u25cfup", "10.2.0.1", "paris"]
        page.call("click", NAMES)
        page.until("document.querySelector('.more')")  # the table is drawn a few times a second
        assert "paris, by the word of" in page.texts(".more")[0]
        assert "Ask the doctor" not in page.texts(".more")[0]
        page.call("select_option", "#site", "all")
        page.until("document.querySelectorAll('#peers th button').length === 2")
        page.call("fill", "#filter", "paris")
        page.until("document.querySelectorAll('#peers th button').length === 1")
        fleet.cut("paris")
        page.until("document.querySelector('#peers').innerText.includes('its site is silent')")
        page.until("[...document.querySelectorAll('#site option')].some(one => one.textContent === 'paris: unreachable')")
        fleet.cut("paris", up=True)
        page.call("fill", "#filter", "state:up")
        page.until("document.querySelectorAll('#peers th button').length === 2")
        page.call("select_option", "#site", "")
        page.until("document.querySelectorAll('#peers th button').length === 1")
        assert page.texts(NAMES) == ["berlin2"]
        assert page.call("console") == []
    fleet.close()
