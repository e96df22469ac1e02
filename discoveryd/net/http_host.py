"""Which ``Host`` of an HTTP request means this machine."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from contextlib import suppress

from discoveryd.net.owner import read_lines

RESOLV_CONF = "/etc/resolv.conf"

_LOCAL = (".local", ".localhost", ".internal", ".home.arpa")
"""Ends of names that cannot be registered."""


def is_ours(host: str, names: Collection[str] = ()) -> bool:
    """Return whether the value of a ``Host`` header means this machine; an empty value is from no browser.

    So do addresses, names without a dot, names in domains that cannot be registered, and this machine's own name, alone
    or in a domain that resolv.conf searches. A web page may give a name of its own domain the address of this machine,
    and then read what is served there as if it were its own (DNS rebinding): the browser still sends that name.

    Args:
        host: the value.
        names: further names of this machine, in lower case.
    """
    found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", host)
    if found is None:
        return False
    name = found[1].lower().removesuffix(".")
    if "." not in name and not name.startswith("["):
        return True
    return _is_address(name) or name.endswith(_LOCAL) or name in names or name in _own_names()


def _is_address(name: str) -> bool:
    family = socket.AF_INET6 if name.startswith("[") else socket.AF_INET
    with suppress(OSError):
        socket.inet_pton(family, name.strip("[]").partition("%")[0])
        return True
    return False


def _own_names() -> set[str]:
    """Return the name of this machine, also as the resolver completes it."""
    own = socket.gethostname().lower()
    names = {own}
    for line in read_lines(RESOLV_CONF):
        keyword, *domains = line.split() or [""]
        if keyword in ("search", "domain"):
            names.update(f"{own.partition('.')[0]}.{domain.lower().strip('.')}" for domain in domains)
    return names
