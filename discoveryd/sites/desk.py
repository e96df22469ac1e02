"""What local programs ask about other sites, and what they are told: the side of the sites that faces the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from errno import EAGAIN
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from discoveryd.errors import DiscoveryError, QueryError
from discoveryd.net.stamps import boottime
from discoveryd.protocol.table.peer import SCHEMA, Event, EventKind, peer_from_json
from discoveryd.query import reply as query
from discoveryd.query.fields import EVERY_SITE
from discoveryd.query.json_text import loads
from discoveryd.query.request import Filter, Request
from discoveryd.query.sites import SiteWatch, chosen_rows, found_rows, is_chosen, is_every, is_listed, of_here, opening
from discoveryd.runtime.entropy import BufferedRandom
from discoveryd.runtime.notices import Notify, info, warning
from discoveryd.runtime.query_handlers import Answering, list_line
from discoveryd.sites.courier import Courier
from discoveryd.sites.driver import SiteDriver
from discoveryd.sites.engine import SiteEngine
from discoveryd.sites.link import NatsLink
from discoveryd.sites.listing import Voucher, render
from discoveryd.sites.settings import Follow, SiteSettings
from discoveryd.sites.survey import Surveyor
from discoveryd.sites.values import SiteAnswer, SiteEvent, SiteQuestion

if TYPE_CHECKING:
    from discoveryd.config.sites import SitesSection
    from discoveryd.protocol.sealed.keyring import Keyring
    from discoveryd.runtime.discovery import Discovery
    from discoveryd.runtime.loop import Loop
    from discoveryd.sites.access import Access

OF_SITES = ("site-unreachable", "site-back")
"""Events of a site as a whole."""
SHORTEST = 4
"""Characters of the beginning of an id that are enough to mean a peer."""


class SiteDesk:
    """The part of this node in the exchange between sites, and what it knows of them.

    Args:
        section: of the configuration.
        access: to the servers.
        discovery: the node.
        keyring: the keys of the fleet.
        loop: that all of it runs on.
        notify: told of faults, and of sites that fall silent or are back; in the thread of the loop.
        hook: told kind, site and reason of the latter.
        changed: each is called where a peer of another site changed; quick.
        process: tells one process from another.
    """

    def __init__(
        self, section: SitesSection, access: Access, discovery: Discovery, keyring: Keyring, loop: Loop, *,
        notify: Notify, hook: Callable[[str, str, str], None], changed: Sequence[Callable[[], None]],
        process: Callable[[], int],
    ) -> None:  # fmt: skip
        self.site = section.name
        self._discovery = discovery
        self._loop = loop
        self._notify = notify
        self._hook = hook
        self._changed = changed
        self._seq = 0
        self._watchers: set[_Watcher] = set()
        self._stop: Callable[[], object] = lambda: None
        self._ended = asyncio.Event()
        random, surveyor = BufferedRandom(), Surveyor(section.name)
        name, boot, self._realm = discovery.look(lambda node, _: (node.record.name, node.boot, node.parameters.realm))
        self._driver = SiteDriver(
            SiteEngine(
                settings_of(section, self._realm), node=discovery.id, name=name, boot=boot,
                random_bytes=random.randbytes, keyring=keyring, process=process,
            ),
            lambda hear, changed: NatsLink(
                access, name=f"discoveryd {section.name} {name}", hear=hear, changed=changed, notify=notify,
                random=random,
            ),
            survey=lambda: discovery.look(surveyor.survey), clock=boottime, told=self._on_site_event,
            talk=self._on_talk, notify=notify,
        )  # fmt: skip
        self._courier = Courier(section.allow, discovery, self._driver)

    # --- for the daemon, in its main thread -----------------------------------------------------

    def start(self) -> None:
        """Begin to take part."""
        self._stop = self._loop.spawn(self._driver.run, name="sites").cancel

    def stop(self) -> None:
        """Take part no longer; those that watch are told so."""
        self._stop()
        self._loop.call(self._ended.set)

    def renew(self, section: SitesSection, access: Access, keyring: Keyring) -> None:
        """Go on with another configuration; what is known of other sites stays."""
        self._courier.allow = section.allow
        self._loop.call(self._driver.renew, settings_of(section, self._realm), access, keyring)

    def hear(self, event: Event) -> None:
        """Take note of an event of this network."""
        self._loop.call(self._on_local_event, event)

    def wake(self) -> None:
        """Look at this network soon."""
        self._loop.call(self._driver.wake)

    def status(self) -> dict[str, Any]:
        """Return the section ``sites`` of the status. For any thread."""
        return {**self._driver.status(), "watchers": len(self._watchers), "messages": self._courier.status()}

    # --- for other parts, in the thread of the loop ---------------------------------------------

    def rows(self, site: str | None) -> list[dict[str, Any]]:
        """Return the peers of another site as JSON, None for all others, also those that are gone."""
        return self._driver.rows(site)

    def followed(self) -> list[str]:
        """Return the names of the other sites whose peers are kept."""
        return self._driver.engine.followed()

    def live(self, site: str) -> Mapping[str, str]:
        """Return key and text of the peers of a site that are up, while it is unreachable of those that were."""
        return self._driver.engine.live(site)

    def look(self, site: str, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Return some peers of a site as JSON, also those that this node hears itself."""
        return self._driver.engine.look(site, keys, boottime())

    def read(self, key: str, text: str) -> Mapping[str, Any]:
        """Return a peer of `live` as JSON, without what is known of it at this moment."""
        return render(key, text, "up", Voucher(self.site, None, None, 0.0), 0.0)

    # --- for threads that may wait --------------------------------------------------------------

    def listing(self, chosen: Filter, site: str) -> bytes:
        """Return the reply to a ``list`` of a site, or of all, with this node. Not for the thread of the loop.

        Raises:
            OSError: the site was never heard, or the loop is too busy.
        """
        try:
            self._check(site)
            return self._loop.run(self._list(Request(op="list", filter=chosen, site=site, wants_self=True)))
        except (QueryError, TimeoutError, RuntimeError) as error:
            raise OSError(EAGAIN, str(error) or "the event loop is too busy") from None

    # --- for local programs, in the thread of the query server ----------------------------------

    def answer(self, request: Request, reply: Callable[..., None]) -> Callable[[], object]:
        """Have a request about sites answered, soon.

        Args:
            request: ``sites``, or a ``list``, ``show``, ``watch``, ``send`` or ``ask`` with a site.
            reply: takes the lines, in any thread.

        Returns:
            a function that ends it.

        Raises:
            QueryError: ``not_found``: no such site was ever heard.
        """
        self._check(request.site)
        if request.draft is not None and request.site == self.site:
            here = replace(request.draft, where={**request.draft.where, "site": None})
            return self._discovery.messages.begin(here, Answering(reply))
        return self._loop.spawn(partial(self._answering, request, reply), name=f"{request.op} of sites").cancel

    def _check(self, site: str) -> None:
        known = [self.site, *(one["name"] for one in self._driver.status().get("sites", ()))]
        if site and site not in (EVERY_SITE, *known):
            raise QueryError("not_found", f"no site {site!r:.60} is known; known: {', '.join(known)}")

    async def _answering(self, request: Request, reply: Callable[..., None]) -> None:
        try:
            if request.op == "watch":
                await self._watching(request, reply)
            elif request.op == "list":
                reply(await self._list(request))
            elif request.op == "show":
                reply(query.encode(self._show(request)))
            elif request.draft is not None:
                rows = found_rows(self._others(request.site), request.draft.to[0], SHORTEST)
                await self._courier.send(request.draft, rows, reply)
            else:
                reply(query.encode({"ok": True, "schema": SCHEMA, **self._sites()}))
        except QueryError as error:
            reply(query.error_line(error.code, error.message, error.problems))
        except (DiscoveryError, OSError) as error:
            reply(query.error_line("failed", f"cannot be answered now: {error}"))

    def _sites(self) -> dict[str, Any]:
        status = self._driver.status()
        here = self._discovery.look(lambda node, now: sum(1 for _ in node.table.rows(now))) + 1
        return {**{key: status[key] for key in ("site", "role", "gateways", "sites")}, "peers": here,
                "connection": status["connection"]}  # fmt: skip

    def _others(self, site: str) -> list[dict[str, Any]]:
        return [] if site == self.site else self.rows(None if site == EVERY_SITE else site)

    def _has_local(self, site: str) -> bool:
        return site in (self.site, EVERY_SITE)

    async def _list(self, request: Request) -> bytes:
        chosen, site = request.filter, None if request.site == EVERY_SITE else request.site
        texts = iter(()) if site == self.site else self._driver.texts(site)

        def written() -> bytes:
            if is_every(chosen):
                others = [text for state, text in texts if is_listed(state, chosen)]
            else:
                others = [text for _, text in texts if is_chosen(peer_from_json(loads(text.encode("ascii"))), chosen)]
            if self._has_local(request.site):
                return list_line(
                    self._discovery, chosen, with_self=request.wants_self, site=self.site, others=others
                )  # fmt: skip
            return f'{{"ok":true,"schema":{SCHEMA},"peers":[{",".join(others)}]}}\n'.encode("ascii")

        return await asyncio.to_thread(written)

    def _show(self, request: Request) -> dict[str, Any]:
        peers: list[Mapping[str, Any]] = []
        if self._has_local(request.site):
            with suppress(QueryError):
                found = self._discovery.look(lambda node, now: query.show_answer(node, request.peer, now))
                peers += [{**peer, **of_here(self.site)} for peer in found["peers"]]
        peers += found_rows(self._others(request.site), request.peer, SHORTEST)
        if not peers:
            where = "any site" if request.site == EVERY_SITE else request.site
            raise QueryError("not_found", f"no peer of {where} has the name, id or address {request.peer!r:.80}")
        return {"ok": True, "schema": SCHEMA, "peers": peers}

    # --- watches --------------------------------------------------------------------------------

    async def _watching(self, request: Request, reply: Callable[..., None]) -> None:
        chosen, site, local, ours = request.filter, request.site, None, []
        if self._has_local(site):
            lines, local = self._discovery.look(lambda node, now: query.open_watch(node, chosen, now))
            ours = loads(lines.split(b"\n", 1)[0])["peers"]
        rows = chosen_rows(self._others(site), chosen)
        watch = SiteWatch(chosen, self._seq, rows, site=site, here=self.site, local=local)
        watcher = _Watcher(watch, reply)
        self._watchers.add(watcher)
        try:
            watcher.open(await asyncio.to_thread(opening, ours, rows, self.site, self._seq))
            await self._ended.wait()  # or until the connection ends
            reply(query.error_line("stopping", "this node belongs to no site any more, or to another: ask again"))
        finally:
            self._watchers.discard(watcher)

    def _on_local_event(self, event: Event) -> None:
        self._driver.wake()
        if self._watchers:
            self._seq += 1
            self._tell(watcher.watch.of_peer(event, None, self._seq) for watcher in self._watchers)

    def _on_site_event(self, told: SiteEvent) -> None:
        for changed in self._changed:
            changed()
        if told.kind == "gateway":
            self._notify(info(told.reason, site=self.site))
        elif told.kind in OF_SITES:
            is_lost = told.kind == "site-unreachable"
            notice = warning("site unreachable", site=told.site, why=told.reason)
            self._notify(notice if is_lost else info("site reachable", site=told.site, why=told.reason))
            self._hook(told.kind, told.site, told.reason)
            self._seq += 1
            lines = (one.watch.of_site(told.kind, told.site, told.reason, self._seq) for one in self._watchers)
            self._tell(lines)
        elif self._watchers and told.peer is not None:
            self._seq += 1
            kind, peer = cast("EventKind", told.kind), peer_from_json(told.peer)  # or `UNKNOWN`, of these alone
            event = Event(kind=kind, seq=self._seq, peer=peer, reason=told.reason, former=told.former)
            self._tell(watcher.watch.of_peer(event, told.peer, self._seq) for watcher in self._watchers)

    def _on_talk(self, heard: SiteQuestion | SiteAnswer) -> None:
        self._courier.hear(heard)

    def _tell(self, lines: Iterable[bytes | None]) -> None:
        most = 2 * (self._driver.engine.settings.rows + self._discovery.parameters.limits.peers)
        for watcher, line in zip(list(self._watchers), list(lines), strict=True):
            if line is not None:
                watcher.tell(line)
            if watcher.watch.shown > most:  # new boots without end
                self._watchers.discard(watcher)
                watcher.tell(query.error_line("lagged", "too many peers came and went; watch again"))


class _Watcher:
    """A watch, and where its lines go: those that come while the first ones are written wait for these."""

    def __init__(self, watch: SiteWatch, reply: Callable[..., None]) -> None:
        self.watch = watch
        self._reply = reply
        self._waiting: list[bytes] | None = []

    def open(self, line: bytes) -> None:
        waiting, self._waiting = self._waiting or [], None
        self._reply(line, is_last=False, opens=True)
        for one in waiting:
            self.tell(one)

    def tell(self, line: bytes) -> None:
        if self._waiting is not None:
            self._waiting.append(line)
        else:
            self._reply(line, is_last=False)


def settings_of(section: SitesSection, realm: str) -> SiteSettings:
    """Return what the engine makes of the configuration."""
    rules = tuple(
        Follow(site=rule.site, name=rule.name or "", tags=rule.tags, service=rule.service or "")
        for rule in section.follow
    )
    return SiteSettings(
        site=section.name, realm=realm, gateways=section.gateways, can_speak=section.speaks,
        follow=rules or (Follow(),), rows=section.rows,
    )  # fmt: skip
