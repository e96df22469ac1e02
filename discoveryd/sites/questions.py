"""Questions to one gateway of another site, and answers: opaque, sealed, bounded, each heard once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from discoveryd.errors import QueryError, WireError
from discoveryd.protocol.bounded import TokenBuckets, drop_first, put_last
from discoveryd.sites.channel import Heard, SiteChannel
from discoveryd.sites.nonces import Echoes
from discoveryd.sites.remote_site import RemoteSite
from discoveryd.sites.values import SiteAnswer, SiteOutput, SiteQuestion
from discoveryd.sites.wire import MAX_BODY, Talk

MAX_QUESTIONS = 256
"""Questions of ours that wait for an answer, and of others that wait for ours; past it the first is given up."""
ANSWERED_WITHIN = 65.0
"""Seconds: those of a message to another site, and for the way."""
QUESTIONS_OF_A_SITE, QUESTIONS = 20.0, 100.0
"""Questions a second of one site, and of all, that are taken."""


class Asked(NamedTuple):
    """A question that waits: the site on the other side, the run there, and when it came."""

    site: str
    run: str
    at: float


class Questions:
    """The questions of this node, and to it.

    Args:
        channel: seals.
        echoes: the nonces of other sites.
        draw: returns a fresh number.
    """

    def __init__(self, channel: SiteChannel, echoes: Echoes, draw: Callable[[], str]) -> None:
        self._channel, self._echoes, self._draw = channel, echoes, draw
        self._ours: dict[str, Asked] = {}
        self._theirs: dict[str, Asked] = {}
        self._rates = TokenBuckets(QUESTIONS_OF_A_SITE, QUESTIONS)

    def ask(self, site: RemoteSite | None, name: str, body: bytes, now: float) -> tuple[str, list[SiteOutput]]:
        """Put a question to the gateway of a site whose word was proved last; return its number, and what to publish.

        Raises:
            QueryError: ``not_found``, ``site_unreachable``, ``too_long``.
        """
        if site is None:
            raise QueryError("not_found", f"no site {name!r:.60} is known: discoveryctl sites lists those that are")
        if not site.is_reachable or not site.word:
            raise QueryError("site_unreachable", f"the site {name} is unreachable: no gateway of it is heard")
        if len(body) > MAX_BODY:
            raise QueryError("too_long", f"a question of {len(body)} bytes: at most {MAX_BODY}")
        number = self._draw()
        run = max(site.word, key=lambda view: view.proved).run
        self._keep(self._ours, number, Asked(site.name, run, now))
        talk = Talk(run=run, number=number, body=body, echo=self._echoes.of(site.name))
        return number, [self._channel.publish("ask", talk, site.name)]

    def take(self, heard: Heard, talk: Talk, now: float) -> list[SiteOutput]:
        """Take a question to this node.

        Raises:
            WireError: ``plain``, ``rate``.
        """
        if talk.run != self._channel.run:
            return []
        if not heard.is_sealed:
            raise WireError("plain", f"a question of {heard.site}")
        if not self._rates.allows(heard.site, now):
            raise WireError("rate", f"questions of {heard.site}")
        number = f"{heard.run}{talk.number}"
        self._keep(self._theirs, number, Asked(heard.site, heard.run, now))
        return [SiteQuestion(number, heard.site, heard.id, talk.body)]

    def answer(self, number: str, body: bytes, now: float) -> list[SiteOutput]:
        """Answer a question, once.

        Raises:
            QueryError: ``too_long``.
        """
        if len(body) > MAX_BODY:
            raise QueryError("too_long", f"an answer of {len(body)} bytes: at most {MAX_BODY}")
        asked = self._theirs.pop(number, None)
        if asked is None or now >= asked.at + ANSWERED_WITHIN:
            return []
        talk = Talk(run=asked.run, number=number[len(asked.run) :], body=body)
        return [self._channel.publish("answer", talk, asked.site)]

    def take_answer(self, heard: Heard, talk: Talk, now: float) -> list[SiteOutput]:
        """Take the answer to a question of this node.

        Raises:
            WireError: ``unexpected``.
        """
        if talk.run != self._channel.run:
            return []
        asked = self._ours.get(talk.number)
        if asked is None or (asked.site, asked.run) != (heard.site, heard.run) or now >= asked.at + ANSWERED_WITHIN:
            raise WireError("unexpected", f"an answer of {heard.site}")
        del self._ours[talk.number]
        return [SiteAnswer(talk.number, heard.site, talk.body)]

    def _keep(self, questions: dict[str, Asked], number: str, asked: Asked) -> None:
        drop_first(questions, lambda one: asked.at >= one.at + ANSWERED_WITHIN)
        put_last(questions, number, asked, MAX_QUESTIONS)
