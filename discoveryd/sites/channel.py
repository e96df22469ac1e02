"""What leaves for the broker and comes from it: sealed, numbered, opened, each message once and of a live sender.

A sender (a run) is heard once a message of it has echoed a young nonce of our site: then it is no recording. From then
on each of its counters is taken once. What it sealed before that moment is void.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from discoveryd.errors import WireError
from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.sealed.channel import Window
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.sealed.payload import PayloadSealer
from discoveryd.sites.nonces import Nonces
from discoveryd.sites.subjects import Subject, read_subject, subject
from discoveryd.sites.values import Publish
from discoveryd.sites.wire import Beat, Delta, SiteMessage, decode_message, encode_message

MAX_SENDERS = 4096
"""Runs whose counters are kept; past it the run that was silent longest has to prove anew that it lives."""


class Heard(NamedTuple):
    """A message that came.

    Attributes:
        message: what it says.
        site: that the subject names.
        id: of the node that sent it.
        run: of its sender.
        age: seconds since it was made, at most; None where it echoes no young nonce of ours.
        is_proved: whether its sender is known to live.
        is_sealed: whether it came sealed.
    """

    message: SiteMessage
    site: str
    id: str
    run: str
    age: float | None
    is_proved: bool
    is_sealed: bool


class SiteChannel:
    """The messages of one node.

    Args:
        keyring: seals and opens.
        nonces: of our site.
        site: of this node.
        realm: of this node.
        id: of this node.
        run: drawn for this channel.
        process: as of `PayloadSealer`.

    Attributes:
        run: of this channel.
        sent: messages published, by kind.
        received: messages taken, by kind.
        bytes_sent: of all payloads.
        bytes_received: of all payloads.
    """

    def __init__(
        self, keyring: Keyring, nonces: Nonces, *, site: str, realm: str, id: str, run: str, process: Callable[[], int]
    ) -> None:
        self._sealer = PayloadSealer(keyring, realm=realm, id=id, run=run, process=process)
        self._nonces, self._site, self._realm = nonces, site, realm
        self._windows: dict[str, tuple[str, str, Window]] = {}
        self.run = run
        self.set_keyring = self._sealer.set_keyring
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.bytes_sent = self.bytes_received = 0

    def publish(self, kind: str, message: SiteMessage, to: str = "") -> Publish:
        """Return a message as it is to be published."""
        topic = subject(self._realm, self._site, kind, to)
        payload = self._sealer.seal(encode_message(message), topic)
        self.sent[kind] += 1
        self.bytes_sent += len(payload)
        return Publish(topic, payload)

    def open(self, topic: str, payload: bytes, now: float) -> tuple[Subject, Heard] | None:
        """Return a message that came, None where it is our own.

        Raises:
            WireError: with a reason of `discoveryd.sites.drops`.
        """
        place = read_subject(topic, self._realm)
        if place.site == self._site and place.kind != "beat":
            return None
        opened = self._sealer.open(payload, topic)
        if opened.run == self.run:
            return None
        is_known = opened.run in self._windows
        if not is_known and place.kind in ("delta", "full"):
            raise WireError("unproven", f"{place.kind} of {opened.id}")
        message = decode_message(place.kind, opened.body, self._site)
        age = None if isinstance(message, Delta) else self._nonces.age(message.echo.get(self._site, ()), now)
        if is_known:
            self._take(place.site, opened.id, opened.run, opened.counter)
        elif age is not None:
            window = place.site, opened.id, Window(opened.counter)
            put_last(self._windows, opened.run, window, MAX_SENDERS)
        elif not isinstance(message, Beat) and place.kind != "answer":
            raise WireError("unproven", f"{place.kind} of {opened.id}")
        self.received[place.kind] += 1
        self.bytes_received += len(payload)
        is_proved = is_known or age is not None
        return place, Heard(message, place.site, opened.id, opened.run, age, is_proved, opened.key != "")

    def _take(self, site: str, id: str, run: str, counter: int) -> None:
        known = self._windows[run]
        if known[:2] != (site, id):
            raise WireError("wrong-site", f"{id} of {known[0]} speaks for {site}")
        if not known[2].take(counter):
            raise WireError("replayed", f"{counter} of {id}")
        put_last(self._windows, run, known, MAX_SENDERS)
