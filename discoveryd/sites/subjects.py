"""The subjects of NATS. The site that publishes is the third token, so one permission binds a gateway to its site.

::

    discoveryd.<realm>.<site>.beat           a gateway says that it lives, and what its set is
    discoveryd.<realm>.<site>.delta          changes of the set
    discoveryd.<realm>.<site>.full           the whole set in parts, when a site asked for it
    discoveryd.<realm>.<site>.want.<other>   asks a gateway of another site for its whole set
    discoveryd.<realm>.<site>.ask.<other>    a question to another site
    discoveryd.<realm>.<site>.answer.<other> an answer to it

A gateway of Berlin may publish ``discoveryd.*.berlin.>`` and subscribe to ``discoveryd.*.*.beat``, ``….delta``,
``….full``, and to ``discoveryd.*.*.want.berlin``, ``….ask.berlin``, ``….answer.berlin``.
"""

from __future__ import annotations

from typing import NamedTuple

from discoveryd.errors import WireError
from discoveryd.sites.settings import is_site

ROOT = "discoveryd"
TO_ALL = ("beat", "delta", "full")
TO_SITE = ("want", "ask", "answer")
"""Kinds of messages: for all that follow the site, and for one other site."""
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Subject(NamedTuple):
    """A subject, taken apart.

    Attributes:
        site: that publishes.
        kind: of the message.
        to: the site that it is for, empty for all.
    """

    site: str
    kind: str
    to: str


def realm_token(realm: str) -> str:
    """Return a realm as a token: a dot would be two tokens."""
    return "".join(letter if letter in _PLAIN else f"%{ord(letter):02x}" for letter in realm)


def subject(realm: str, site: str, kind: str, to: str = "") -> str:
    """Return the subject of a message, or with ``*`` in the place of a site that of a subscription."""
    return f"{ROOT}.{realm_token(realm)}.{site}.{kind}{'.' if to else ''}{to}"


def read_subject(text: str, realm: str) -> Subject:
    """Take a subject apart.

    Raises:
        WireError: ``malformed``, ``other-realm``.
    """
    tokens = text.split(".")
    if tokens[0] != ROOT or len(tokens) not in (4, 5) or not is_site(tokens[2]):
        raise WireError("malformed", f"subject {text:.60}")
    if tokens[1] != realm_token(realm):
        raise WireError("other-realm", tokens[1][:40])
    to = tokens[4] if len(tokens) == 5 else ""
    if (tokens[3] not in TO_SITE or not is_site(to)) if to else tokens[3] not in TO_ALL:
        raise WireError("malformed", f"subject {text:.60}")
    return Subject(tokens[2], tokens[3], to)
