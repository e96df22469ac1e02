"""How each tool that manages a firewall lets UDP in and out, of one family or of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OPENINGS = {
    "ufw": ("ufw allow {port}/udp", "ufw allow out {port}/udp"),
    "firewalld": ("firewall-cmd --permanent --add-port={port}/udp && firewall-cmd --reload", ""),
    "nft": (
        "nft insert rule inet filter input udp dport {port} accept",
        "nft insert rule inet filter output udp dport {port} accept",
    ),
    "iptables": (
        "{iptables} -I INPUT -p udp --dport {port} -j ACCEPT", "{iptables} -I OUTPUT -p udp --dport {port} -j ACCEPT"
    ),
}  # fmt: skip
"""The names of tables and chains are those that distributions use."""


def opening(
    status: Mapping[str, Any], port: int, *, is_out: bool = False, is_ipv6: bool = False
) -> tuple[str, ...]:
    """Return what lets UDP through, by the tool that manages the firewall here."""
    tool = next(iter(status.get("firewalls", ())), "")
    iptables = "ip6tables" if is_ipv6 else "iptables"
    opening = _OPENINGS.get(tool, ("", ""))[is_out].format(port=port, iptables=iptables)
    return (opening,) if opening else ()
