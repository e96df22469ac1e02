"""The rules of this machine's firewall that drop the HELLOs, as root may read them, and what lets these through."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

PATIENCE = 2.0
"""Seconds for reading the rules."""
ENDS = ("drop", "reject")


def openings(port: int, *, is_out: bool = False, is_ipv6: bool = False) -> tuple[list[str], list[str]]:
    """Return which rules drop UDP to a port, in words, and the commands that let it through before them.

    Both are empty where the rules cannot be read: without root, or without nft.

    Args:
        port: hello.port.
        is_out: whether what goes out is meant, not what comes in.
        is_ipv6: whether IPv6 is meant, not IPv4.
    """
    try:
        command = ["nft", "-j", "list", "ruleset"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)  # noqa: S603
        rules = [one for one in json.loads(done.stdout)["nftables"] if isinstance(one, dict)]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return [], []
    words, commands = [], []
    for chain in _chains(rules, "output" if is_out else "input", "ip6" if is_ipv6 else "ip"):
        place = f"{chain['family']} {chain['table']} {chain['name']}"
        why = _why(chain, rules, port)
        if why:
            words.append(f"chain {chain['name']} of table {chain['family']} {chain['table']}: {why}")
            commands.append(f"nft insert rule {place} udp dport {port} accept")
    return words, commands


def _chains(rules: list[dict[str, Any]], hook: str, family: str) -> Iterator[Mapping[str, Any]]:
    for one in rules:
        chain = one.get("chain", {})
        if chain.get("hook") == hook and chain.get("family") in (family, "inet"):
            yield chain


def _why(chain: Mapping[str, Any], rules: list[dict[str, Any]], port: int) -> str:
    """Return why a chain drops UDP to a port; empty if it lets it through, as far as its own rules say."""
    place = ("family", "table")
    for one in rules:
        rule = one.get("rule", {})
        if rule.get("chain") != chain["name"] or any(rule.get(key) != chain[key] for key in place):
            continue
        expressions = rule.get("expr", [])
        ports = [match["match"]["right"] for match in expressions if _is_port(match)]
        others = [one for one in expressions if "match" in one and not _is_port(one) and not _is_udp(one)]
        if any(not _holds(port, right) for right in ports):
            continue
        if any("accept" in one for one in expressions):
            if ports and not others:
                return ""
            continue
        end = next((word for word in ENDS for one in expressions if word in one), "")
        if end and (ports or not others):
            return f"rule {rule.get('handle')} has {end} for UDP port {port}"
    return "its policy is drop, and no rule accepts it" if chain.get("policy") == "drop" else ""


def _is_port(expression: Mapping[str, Any]) -> bool:
    left = expression.get("match", {}).get("left", {})
    return isinstance(left, dict) and left.get("payload", {}).get("field") == "dport"


def _is_udp(expression: Mapping[str, Any]) -> bool:
    return bool(expression.get("match", {}).get("right") == "udp")


def _holds(port: int, right: Any) -> bool:
    """Return whether a port is that, in that range, or one of that set."""
    if isinstance(right, dict) and "range" in right:
        first, last = right["range"]
        return bool(first <= port <= last)
    if isinstance(right, dict) and "set" in right:
        return any(_holds(port, one) for one in right["set"])
    return bool(right == port)
