"""Whether programs of this machine find the names of peers, asked as those programs ask: through its resolver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from discoveryd.net.resolve import failure, resolve
from discoveryd.query.findings import Finding
from discoveryd.query.part_findings import names_not_found


def of_names(
    status: Mapping[str, Any], find: Callable[[str], object] = lambda name: resolve(name, ("ipv4", "ipv6"))
) -> Finding | None:
    """Return that the name of the server is not found, though a file lets the resolver ask for it; else None."""
    dns = status.get("dns", {})
    path = dns.get("resolver", {}).get("delegation")
    if not path or dns.get("error"):
        return None
    try:
        find(f"discoveryd.{dns['zone']}")
    except OSError as error:
        return Finding(*names_not_found(dns["zone"], path, failure(error)))
    return None
