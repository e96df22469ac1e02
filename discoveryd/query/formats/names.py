"""Names and addresses of peers for files of other programs: safe in each, and each name once.

A name is chosen by the machine that has it. What stands in a file of another program is a name that means nothing else
there: no option, no pattern, no address, no word that the program keeps for itself.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DOMAIN = "peers.internal"
"""The domain below which names stand where other names are as well: `.internal` is reserved for private networks."""
MAX_DOMAIN = 128
"""Characters of a domain: with the longest name before it, it stays below the 253 of a host name."""

_PART = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_PART}(?:\.{_PART})*")
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)")
_RESERVED = re.compile(
    r"(?:.*\.)?localhost(?:[46]|\..*)?|ip6-.*|all|ungrouped|broadcasthost|discoveryd.*", re.IGNORECASE
)
"""Words with a meaning of their own to a resolver, to ssh or to Ansible; ``discoveryd`` begins the names of groups."""
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
_IPV6 = re.compile(r"(?=.*:)[0-9A-Fa-f:]{2,39}")
_ID = re.compile("[A-Za-z0-9._-]+")
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,32}")
_LINK_LOCAL = re.compile(r"fe[89ab]", re.IGNORECASE)


class Listed(NamedTuple):
    """A peer, or this node, as files of other programs list it.

    Attributes:
        name: safe everywhere, and of no other of the list in any case of its letters; without a domain.
        address: one that it was heard from, usable by any program; empty for none.
        nearby: the same, else a link-local one with its zone, for programs that know zones.
        peer: what is known of it, as in JSON.
        is_self: whether it is this node.
    """

    name: str
    address: str
    nearby: str
    peer: Mapping[str, Any]
    is_self: bool = False


def listed(peers: Sequence[Mapping[str, Any]], own: Mapping[str, Any] | None = None) -> list[Listed]:
    """Return peers, and this node if it is given, with their names, in an order that does not depend on time.

    Of several with one name this node has it, else one that seals, else the one first seen; it is ``name-<boot4>`` of
    the others.
    """
    taken: set[str] = set()
    found = [] if own is None else [_listed(own, taken, is_self=True)]
    found += [_listed(peer, taken) for peer in sorted(peers, key=_precedence)]
    return sorted(found, key=lambda one: (str(one.peer["id"]), str(one.peer["boot"]), one.name))


def is_domain(text: str) -> bool:
    """Return whether a text is a domain, below which names may stand."""
    return len(text) <= MAX_DOMAIN and _NAME.fullmatch(text) is not None and not _ends_in_number(text)


def word(text: str) -> str:
    """Return text with an underscore in place of each character but ASCII letters and digits."""
    return re.sub("[^A-Za-z0-9_]", "_", text)


def _precedence(peer: Mapping[str, Any]) -> tuple[Any, ...]:
    return not peer["key"], -peer["first_seen_s"], str(peer["id"]), str(peer["boot"])


def _listed(peer: Mapping[str, Any], taken: set[str], *, is_self: bool = False) -> Listed:
    name = next(one for one in candidates(peer) if one.lower() not in taken)
    taken.add(name.lower())
    far = next(iter(far_addresses(peer)), "")
    near = next((one for one in _addresses(peer) if "%" in one), "")
    return Listed(name, far, far or near, peer, is_self)


def far_addresses(peer: Mapping[str, Any]) -> list[str]:
    """Return the addresses that a peer was heard from and that any program can use, the best first."""
    return [one for one in _addresses(peer) if not _LINK_LOCAL.match(one)]


def _addresses(peer: Mapping[str, Any]) -> list[str]:
    return [one for one in dict.fromkeys((peer["address"], *peer["addresses"])) if usable(one)]


def alias(peer: Mapping[str, Any]) -> str:
    """Return the name under which ssh keeps the host key of a peer: it is that of the id."""
    return f"discoveryd-{peer['id'] if _ID.fullmatch(str(peer['id'])) else _in_name(peer['id'])}"


def usable(address: str) -> str:
    """Return an address if it can be nothing else in a file of another program, else an empty text."""
    host, percent, zone = str(address).partition("%")
    if percent and not (_ZONE.fullmatch(zone) and _LINK_LOCAL.match(host)):
        return ""
    return address if _IPV6.fullmatch(host) or (_IPV4.fullmatch(host) and not percent) else ""


def candidates(peer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that a peer may have, the best first, then such as no other has, without end."""
    if peer["kind"] == "bare":
        name = f"bare-{_in_name(peer['address'])}"
    else:
        name = next((one for one in (peer["name"], peer["id"]) if _is_name(one)), f"peer-{_in_name(peer['id'])}")
    yield name
    boot = re.sub("[^A-Za-z0-9]", "", str(peer["boot"]))
    for suffix in (boot[:4], boot[:16]):
        if suffix:
            yield f"{name[: 62 - len(suffix)].rstrip('._-')}-{suffix}"
    for number in count(2):
        yield f"{name[:50].rstrip('._-')}-{number}"


def _is_name(text: Any) -> bool:
    """Return whether a name may stand in a file of another program: it is neither an address nor a reserved word."""
    if not isinstance(text, str) or not _NAME.fullmatch(text) or _RESERVED.fullmatch(text):
        return False
    return not _ends_in_number(text)


def _ends_in_number(text: str) -> bool:
    """Return whether a name could be read as an address: resolvers take ``127.1`` and ``0x7f000001`` for some."""
    return _NUMBER.fullmatch(text.rsplit(".", 1)[-1]) is not None


def _in_name(text: str) -> str:
    return re.sub("[^A-Za-z0-9]+", "-", str(text)[:50]).strip("-") or "unnamed"
