"""Freshness: which nonces prove what, and which nonces of others are to be echoed.

A message that echoes a nonce was made after that nonce. So its age is at most that of the nonce, by our own clock: when
it arrived, and what any wall clock said, does not matter. A nonce proves for all nodes of its site:

- the node that drew it knows when that was;
- another node of the site hears it in a beat of the gateway, and a broker may have held that back. But the beat names
  the seq of the last HELLO of the gateway, and that HELLO was heard first-hand: the nonce is not older.

So a thousand nodes of a site tell fresh from stale by the beats of two gateways, and publish nothing for it.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterable

from discoveryd.protocol.bounded import drop_first, put_last
from discoveryd.sites.values import Speaker
from discoveryd.sites.wire import MAX_ECHOES

MAX_NONCES = 1024
"""Nonces of a site that are remembered: of 8 gateways 4 minutes at the shortest interval."""
HEARD_HELLOS = 64
"""HELLOs of a speaker by which the age of its nonces is told, one of each survey: there is one before each beat."""
MAX_SPEAKERS = 64
LONGEST_LAG = 15.0
MAX_ECHOED = 256
"""Sites whose nonces are kept for an echo."""


class Nonces:
    """The nonces of our own site.

    Args:
        random_bytes: draws bytes that nobody can guess.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._made: dict[str, tuple[float, float]] = {}  # when it was made at the earliest, and until when it is kept
        self._hellos: dict[tuple[str, str], deque[tuple[int, float]]] = {}
        self._gap = 0.0

    def draw(self) -> str:
        """Return a nonce that proves nothing."""
        return urlsafe_b64encode(self._random_bytes(6)).decode("ascii")

    def own(self, now: float, ttl: float) -> str:
        """Return a fresh nonce, made now."""
        nonce = self.draw()
        self._keep(nonce, now, now, ttl)
        return nonce

    def survey(self, speakers: Iterable[Speaker]) -> None:
        """Note which HELLOs of the speakers of our site were heard, and when."""
        self._gap = 0.0
        for speaker in speakers:
            self._gap = max(self._gap, speaker.gap)
            sender = speaker.id, speaker.boot
            heard = self._hellos.get(sender)
            if heard is None:
                heard = deque(maxlen=HEARD_HELLOS)
                put_last(self._hellos, sender, heard, MAX_SPEAKERS)
            if not heard or heard[-1][0] < speaker.seq:
                heard.append((speaker.seq, speaker.heard))

    def made_after(self, id: str, boot: str, hello: int) -> float | None:
        """Return a moment before which a gateway of our site cannot have made what names this HELLO of its own."""
        heard = self._hellos.get((id, boot), ())
        return max((at for seq, at in heard if seq <= hello), default=None)

    def hello_gap(self) -> float:
        """Return the seconds between two HELLOs of a speaker: by so much a nonce may be younger than is known."""
        return min(LONGEST_LAG, self._gap)

    def learn(self, nonce: str, made: float, now: float, ttl: float) -> None:
        """Note a nonce of another gateway of our site."""
        if nonce not in self._made:
            self._keep(nonce, made, now, ttl)

    def age(self, nonces: Iterable[str], now: float) -> float | None:
        """Return how old what echoes these can be at most; None if that proves nothing."""
        made = [self._made[nonce][0] for nonce in nonces if nonce in self._made and now < self._made[nonce][1]]
        return now - max(made) if made else None

    def _keep(self, nonce: str, made: float, now: float, ttl: float) -> None:
        drop_first(self._made, lambda one: now >= one[1])
        put_last(self._made, nonce, (made, now + ttl), MAX_NONCES)


class Echoes:
    """The last nonces heard from other sites: two of each, so that a recording takes no place of a live one."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[tuple[str, float], tuple[str, float]]] = {}  # site -> proved, unproved
        self._place = 0

    def hear(self, site: str, nonce: str, now: float, *, is_proved: bool) -> None:
        """Note the nonce of a beat."""
        proved, other = self._heard.get(site, (("", 0.0), ("", 0.0)))
        pair = ((nonce, now), other) if is_proved else (proved, (nonce, now))
        put_last(self._heard, site, pair, MAX_ECHOED)

    def of(self, site: str) -> dict[str, tuple[str, ...]]:
        """Return the echo for one site."""
        found = tuple([nonce for nonce, _ in self._heard.get(site, ()) if nonce])
        return {site: found} if found else {}

    def next(self, since: float) -> dict[str, tuple[str, ...]]:
        """Return the echo of a beat: of the sites heard since a moment; where there are many, of some in turn."""
        fresh = {
            site: tuple([nonce for nonce, at in pair if nonce and at >= since]) for site, pair in self._heard.items()
        }
        sites = sorted(site for site, nonces in fresh.items() if nonces)
        if len(sites) > MAX_ECHOES:
            place = self._place % len(sites)
            self._place = place + MAX_ECHOES
            sites = (sites + sites)[place : place + MAX_ECHOES]
        return {site: fresh[site] for site in sites}
