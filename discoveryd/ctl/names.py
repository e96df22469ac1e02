"""Whether programs of this machine find the names of peers, asked as those programs ask: through its resolver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from discoveryd.dns.delegation import written
from discoveryd.net.resolve import failure, resolve
from discoveryd.query.findings import Finding
from discoveryd.query.part_findings import names_not_found

OFF = "dns.listen is off; set it, or run discoveryd uninstall --dns"


def of_names(
    status: Mapping[str, Any], find: Callable[[str], object] = lambda name: resolve(name, ("ipv4", "ipv6")),
    find_delegation: Callable[[], str] = written,
) -> Finding | None:  # fmt: skip
    """Return that the name of the server is not found, though a file lets the resolver ask for it; else None.

    Args:
        status: of the daemon; an earlier one may have no names.
        find: returns the addresses of a name, or raises OSError.
        find_delegation: returns the file, empty without any.
    """
    dns = status.get("dns", {})
    path = find_delegation() if "on" in dns and not dns.get("error") else ""
    if not path:
        return None
    if not dns["on"]:
        return Finding(*names_not_found("peers.internal", path, OFF))
    try:
        find(f"discoveryd.{dns['zone']}")
    except OSError as error:
        return Finding(*names_not_found(dns["zone"], path, failure(error)))
    return None
