r"""Inquiries: why is a node not heard? It is asked itself, and others are asked what they hear of it.

============  ==============================================================================
field         form
============  ==============================================================================
*about*       0 to 64 of ``A-Z a-z 0-9 . : % _ -``: id, name or address of a third node
*release*     0 to 32 of ``A-Z a-z 0-9 . + _ -``: of the program
*network*     0 to 64 of ``0-9 a-f . : /``: address and prefix of the answering node there
*broadcast*   0 to 64 of ``0-9 a-f . :``: where its steady HELLOs go there
*sent*        decimal, 0 to 4294967295: its HELLOs there
*echoed*      decimal, 0 to 4294967295: those of them that came back to it
*drops*       0 to 160 of ``A-Z a-z 0-9 : , _ -``: why datagrams of the asking node were dropped
*state*       0 to 8 of ``a-z``: of the third node
*address*     0 to 64 of ``0-9 a-f . :``: of the third node
*last*        decimal milliseconds, 0 to 9999999, or ``-`` for never
============  ==============================================================================

WHY and SAY
===========

::

    WHY|2|<realm>|<id>|<boot>|<nonce>|<about>|
    SAY|2|<realm>|<boot>|<nonce>|<heard>|<release>|<network>|<broadcast>|<sent>|<echoed>|<drops>|<state>|<address>|<last>|

A WHY goes by unicast to an address, listed or not, and any node there answers. One more field of zeros fills it up to
512 bytes, the length of the longest SAY; a shorter one is dropped, reason ``malformed``. *heard* says how long ago the
answering node last heard a HELLO of the asking node. *network*, *broadcast*, *sent* and *echoed* are those of the link
that the WHY came by, empty and 0 beyond the links. *drops* has for the address of the asking node a reason, how many
datagrams were dropped for it, and the seconds since the last one, as often as it fits. *state*, *address* and *last*
tell of the third node, as the answering node lists it, first-hand; empty and ``-`` where it does not. A WHY, and the
answer of a node that hears the HELLOs of ``web1``, drops others, and lists ``db1`` (``0..0`` stands for what fills it
up)::

    WHY|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|db1|0..0|
    SAY|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|312|0.1.0|10.0.0.2/24|10.0.0.255|45|45|rate:2:17|up|10.0.0.3|650|

Sealed
======

::

    Q|<nonce>|<about>
    S|<nonce>|<heard>|<release>|<network>|<broadcast>|<sent>|<echoed>|<drops>|<state>|<address>|<last>

A sealed SAY has at most 724 bytes, and a WHY 724 or more. To a node whose boot is not known a WHY is sealed as for all
on the link. A boot that has not proved to live is answered once for each counter, and nothing else follows from it. A
SAY counts if it repeats a nonce of ours, from the address that was asked.

- **Bounds.** A WHY is answered as a PING is (on a link, to a seed, to what seals), and to a routed peer that is
  listed; once a second for each source, three at once, 20 a second in all. Nothing is listed, refreshed or judged by a
  WHY or a SAY. A node sends one only when a program asks for it: once a second to one address, three at once, and 20
  a second in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import TokenBuckets, drop_first, put_last
from discoveryd.protocol.link import Source
from discoveryd.protocol.outcome import Handlers, Incoming, Outcome, Said
from discoveryd.protocol.table.row import Row
from discoveryd.protocol.wire.fields import MOST
from discoveryd.protocol.wire.why import MAX_ABOUT, MAX_RELEASE, MAX_SAY, DropSaid, Say, Why, write_drops

if TYPE_CHECKING:
    from discoveryd.protocol.reception import Reception

PER_SOURCE, AT_ONCE, PER_SECOND = 1.0, 3.0, 20.0
"""Questions a second of one source, at once, and of all sources."""
LIFE = 5.0
MAX_ASKED = 256
"""Seconds in which an answer counts, and questions that wait for one; past it the first is given up."""


class Inquirer:
    """Asks, answers, and hears answers.

    Args:
        rooms: of the engine.
        release: of the program, which answers tell.
    """

    def __init__(self, rooms: Reception, release: str) -> None:
        self._rooms = rooms
        self._release = release[:MAX_RELEASE]
        self._asked: dict[str, tuple[str, float]] = {}  # address and time, by nonce
        self._given = TokenBuckets(PER_SOURCE, PER_SECOND, burst=AT_ONCE)
        self._sent = TokenBuckets(PER_SOURCE, PER_SECOND, burst=AT_ONCE)

    def handlers(self) -> Handlers:
        """Return what hears each kind of message."""
        return {Why: self.hear_why, Say: self.hear_say}

    def ask(self, source: Source, about: str, now: float, boot: str = "") -> tuple[str, Outcome] | None:
        """Ask whatever node is at an address, or one boot there; None where too much was asked.

        Returns:
            the nonce that the answer will carry (`Said`), and what to send.
        """
        if not self._sent.allows(source.address, now):
            return None
        outbox = self._rooms.outbox
        nonce = outbox.nonce()
        drop_first(self._asked, lambda asked: now >= asked[1] + LIFE)
        put_last(self._asked, nonce, (source.address, now), MAX_ASKED)
        why = Why(
            realm=outbox.parameters.realm, id=outbox.id, boot=outbox.boot, nonce=nonce, about=readable(about)
        )  # fmt: skip
        return nonce, Outcome(sends=outbox.count((outbox.unicast(why.encode(), source, boot, kind="why"),)))

    def hear_why(self, why: Why, incoming: Incoming, now: float) -> Outcome:
        """Answer a question.

        Raises:
            WireError: as `RateLimits.check_sender`; ``replayed``; ``malformed``: its answer could be longer;
                ``off-link`` or ``rate``.
        """
        source, rooms = incoming.source, self._rooms
        rooms.rate_limits.check_sender(why.realm, why.boot, source, now, why.id)
        if incoming.size < MAX_SAY:
            raise WireError("malformed", f"a question of {incoming.size} bytes, at least {MAX_SAY}")
        if not incoming.is_known and incoming.opened is not None and rooms.outbox.sealing is not None:
            rooms.outbox.sealing.windows.take_question(incoming.opened)
        row = rooms.table.get(why.id, why.boot)
        if row is None or not row.proved or row.paths.of(source) is None:
            refusal = rooms.rate_limits.refusal(source, now)
            if refusal is not None:
                raise refusal
        if not self._given.allows(source.boot or source.address, now):
            raise WireError("rate", f"more than {PER_SOURCE:g} questions a second")
        rooms.understood["why"] += 1
        say = self._answer(why, row, source, now)
        return Outcome(sends=(rooms.outbox.unicast(say.encode(), source, kind="say"),))

    def hear_say(self, say: Say, incoming: Incoming, now: float) -> Outcome:
        """Hand on an answer to a question of ours.

        Raises:
            WireError: as `RateLimits.check_sender`; ``unexpected``: it answers no question of ours.
        """
        source, rooms = incoming.source, self._rooms
        rooms.rate_limits.check_sender(say.realm, say.boot, source, now)
        address, asked = self._asked.get(say.nonce, ("", -LIFE))
        if now >= asked + LIFE or source.address != address:
            raise WireError("unexpected", "an answer to no question of ours")
        del self._asked[say.nonce]
        rooms.outbox.credit.prove(source.address, now)
        rooms.understood["say"] += 1
        return Outcome(said=(Said(say=say, address=address, rtt=max(0.0, now - asked)),))

    def _answer(self, why: Why, row: Row | None, source: Source, now: float) -> Say:
        rooms, link = self._rooms, source.link
        state = rooms.outbox.link_state(source) if link else None
        third = self._third(why) if why.about else None
        drops = [
            DropSaid(reason, one.count, round(max(0.0, now - one.last)))
            for reason, one in rooms.rate_limits.drop_sources.latest()
            if one.address == source.address
        ]
        return Say(
            realm=rooms.outbox.parameters.realm,
            boot=rooms.outbox.boot,
            nonce=why.nonce,
            heard_ms=None if row is None else _age(now - row.last_hello),
            release=self._release,
            network=f"{link.address}/{link.prefix}" if link else "",
            broadcast=link.broadcast if link else "",
            sent=state.sent if state else 0,
            echoed=state.echoed if state else 0,
            drops=write_drops(drops),
            state=third.state_at(now) if third else "",
            address=third.paths.best(now).address if third else "",
            last_ms=_age(now - third.last_heard) if third else None,
        )

    def _third(self, why: Why) -> Row | None:
        """Return the row that a question is about, of several the one that was heard last."""
        rows = (row for row in self._rooms.table.by_key.values() if _is_meant(row, why.about))
        return max(rows, key=lambda row: row.last_heard, default=None)


def readable(about: str) -> str:
    """Return what a person calls a node, if a question can name it so, else an empty text."""
    allowed = about.isascii() and all(char.isalnum() or char in ".:%_-" for char in about)
    return about if allowed and len(about) <= MAX_ABOUT else ""


def _is_meant(row: Row, about: str) -> bool:
    if about in (row.id, row.record.name if row.record else ""):
        return True
    return any(path.address == about for path in row.paths)


def _age(seconds: float) -> int:
    return min(round(max(0.0, seconds) * 1000), MOST)
