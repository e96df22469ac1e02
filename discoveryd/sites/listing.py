"""Peers of other sites as JSON: the keys of a peer (schema 1), and ``site``, ``via``, ``vouched_s``.

The text is what the C half of `json` would make of the object; written directly it takes a fourth of the time, which
counts where tens of thousands are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from discoveryd.query.json_text import dumps
from discoveryd.sites.changes import Shown
from discoveryd.sites.row import open_row, read_row, read_service

UNMEASURED: Mapping[str, Any] = {
    "link": "", "interval_s": None, "rtt_ms": None, "loss": None, "two_way": None, "restarts": 0,
    "hellos_arrive": True, "shares_address": False,
}  # fmt: skip
"""What is not measured between sites."""


class Voucher(NamedTuple):
    """How the peers of a site are known.

    Attributes:
        site: name of the site.
        via: id of the gateway that vouches for them, None for none.
        vouched: seconds since the moment of which its word is proved, None if it never was.
        ttl: seconds for which its word holds.
    """

    site: str
    via: str | None
    vouched: float | None
    ttl: float

    def fields(self, seen: float) -> dict[str, Any]:
        """Return what is the same of all its peers, but for when they were first listed, seconds ago."""
        age = None if self.vouched is None else round(self.vouched, 3)
        heard = seen if age is None else age
        return {
            **UNMEASURED, "last_heard_s": round(heard, 3), "expires_s": round(self.ttl - heard, 3),
            "ttl_s": round(self.ttl, 3), "site": self.site, "via": self.via, "vouched_s": age,
        }  # fmt: skip


def render(key: str, text: str, state: str, voucher: Voucher, seen: float, *, why: str = "") -> dict[str, Any]:
    """Return a peer as JSON.

    Args:
        key: of the peer.
        text: of the peer.
        state: that is true now.
        voucher: how it is known.
        seen: seconds since it was first listed.
        why: reason of its goodbye, where it left.
    """
    goodbye = why if state == "left" and why else None
    lasting = {**read_row(key, text), "state": state, "goodbye_reason": goodbye}
    return {**lasting, "first_seen_s": round(seen, 3), **voucher.fields(seen)}


_TEXT = (
    '{"id":%s,"name":%s,"kind":"%s","address":%s,"addresses":[%s],"boot":%s,"services":[%s],"tags":{%s},'
    '"clone":%s,"key":%s,"state":"%s","goodbye_reason":%s,"first_seen_s":%s,%s'
)


class TextWriter:
    """Writes the peers of one voucher as the text of their JSON.

    Args:
        voucher: how they are known.
    """

    def __init__(self, voucher: Voucher) -> None:
        self._voucher = voucher
        self._tail = "" if voucher.vouched is None else dumps(voucher.fields(0.0))[1:]

    def write(self, key: str, shown: Shown, seen: float) -> str:
        """Return the text of the JSON that `render` would return."""
        state, text, why = shown
        id, _, boot = key.partition(" ")
        name, addresses, tags, services, sealed, clone = open_row(text)
        quotes = [quoted(one) for one in addresses]
        tail = self._tail or dumps(self._voucher.fields(seen))[1:]
        return _TEXT % (
            quoted(id), "null" if name is None else quoted(name), "node" if boot else "bare",
            quotes[0] if quotes else '""', ",".join(quotes), quoted(boot),
            ",".join([dumps(read_service(*one)) for one in services]) if services else "",
            ",".join([f"{quoted(tag)}:{quoted(value)}" for tag, value in tags.items()]), "true" if clone else "false",
            quoted(sealed) if sealed else "null", state, quoted(why) if state == "left" and why else "null",
            round(seen, 3), tail,
        )  # fmt: skip
