"""The ``Host`` of an HTTP request: whether it means this machine.

A web page may give a name of its own domain the address of this machine, and then read what is served there as if it
were its own (DNS rebinding). The browser still sends that name as ``Host``.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress

RESOLV_CONF = "/etc/resolv.conf"

_LOCAL = (".local", ".localhost", ".internal", ".home.arpa")
"""Ends of names that cannot be registered."""


def is_ours(host: str) -> bool:
    """Return whether the value of a ``Host`` header can be trusted to be ours; an empty one is from no browser.

    These are addresses, names without a dot, names in domains that nobody can register, and this machine's own name,
    alone or in a domain that resolv.conf searches.
    """
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", host)
    if found is None:
        return False
    name = found[1].lower().removesuffix(".")
    if "." not in name and not name.startswith("["):
        return True
    return _is_address(name) or name.endswith(_LOCAL) or name in _own_names()


def _is_address(name: str) -> bool:
    family = socket.AF_INET6 if name.startswith("[") else socket.AF_INET
    with suppress(OSError):
        socket.inet_pton(family, name.strip("[]").partition("%")[0])
        return True
    return False


def _own_names() -> set[str]:
    own = socket.gethostname().lower()
    return {own, *(f"{own.partition('.')[0]}.{domain}" for domain in _searched())}


def _searched() -> list[str]:
    """Return the domains in which the resolver completes a name."""
    found: list[str] = []
    with suppress(OSError), open(RESOLV_CONF, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            keyword, *domains = line.split() or [""]
            if keyword in ("search", "domain"):
                found.extend(domain.lower().strip(".") for domain in domains)
    return found
