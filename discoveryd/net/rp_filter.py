"""The kernel's reverse path filter, which drops datagrams from addresses to which no route by that interface leads."""

from __future__ import annotations

from contextlib import suppress

SETTINGS = "/proc/sys/net/ipv4/conf"
COUNTERS = "/proc/net/netstat"


def mode_of(interface: str) -> int:
    """Return the mode in force for an interface: 0 no filter, 1 strict, 2 loose; 0 where it cannot be read."""
    return max(_setting("all"), _setting(interface))


def dropped() -> int:
    """Return how many datagrams the filter dropped since this network exists, of all programs; 0 where unknown."""
    with suppress(OSError, ValueError), open(COUNTERS, encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("TcpExt:")]
        names, values = lines[:2]
        return int(values[names.index("IPReversePathFilter")])
    return 0


def _setting(name: str) -> int:
    with suppress(OSError, ValueError), open(f"{SETTINGS}/{name}/rp_filter", encoding="ascii") as file:
        return int(file.read())
    return 0
