"""A desk of the site paris, whose driver is played: it knows what a test says of the sites berlin and rome."""

from discoveryd.config.sites import SitesSection
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.sites import desk as module
from discoveryd.sites.access import Access
from discoveryd.sites.desk import SiteDesk
from discoveryd.sites.listing import Voucher, render
from discoveryd.sites.values import SiteEvent
from tests.sites.world import text_of

SERVER = "nats://127.0.0.1:4222"


def peer(name="bert", state="up", boot="b1", site="berlin", **tags):
    return render(f"{name} {boot}", text_of(name, **tags), state, Voucher(site, "gate", 1.0, 10.0), 5.0)


class PlayedDriver:
    """Knows the peers of other sites, and tells what a test says."""

    def __init__(self, engine, *_, told, **__):
        self.engine = engine
        self.told = told
        self.peers = [peer()]

    def rows(self, site):
        return [one for one in self.peers if site in (None, one["site"])]

    def status(self):
        return {"sites": [{"name": "berlin"}, {"name": "rome"}]}

    def wake(self):
        """Do nothing."""

    async def run(self):
        """Do nothing."""


class PlayedSites:
    """The desk, started.

    Attributes:
        desk: of the site paris.
        driver: knows bert of berlin, who is up.
    """

    def __init__(self, loop, discovery, monkeypatch):
        self._loop = loop
        monkeypatch.setattr(module, "SiteDriver", self._play)
        self.desk = SiteDesk(
            SitesSection(name="paris", servers=(SERVER,)), Access(servers=(SERVER,)), discovery, NO_KEYS, loop,
            notify=lambda _: None, hook=lambda *_: None, changed=(), process=lambda: 1,
        )  # fmt: skip
        self.desk.start()
        discovery.handlers.sites = self.desk.answer

    def tell(self, kind, found=None, *, site="berlin", former=""):
        """Let something happen to a peer, or to a site."""
        self._loop.call(self.driver.told, SiteEvent(kind, found["site"] if found else site, found, "because", former))

    @property
    def watchers(self):
        return self.desk.status()["watchers"]

    def _play(self, *args, **more):
        self.driver = PlayedDriver(*args, **more)
        return self.driver
