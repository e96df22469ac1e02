"""The rules of this machine's firewall that drop the HELLOs, as root may read them, and what lets these through."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PATIENCE = 2.0
"""Seconds for reading the rules."""
DEEPEST = 16
"""Jumps from chain to chain that are followed, as many as the kernel follows."""
ENDS = ("drop", "reject")
_INTERFACES = frozenset(("iif", "iifname", "oif", "oifname"))
"""Conditions of a jump that some interface of this machine meets: its chain is followed."""


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
        rules = _Ruleset([one for one in json.loads(done.stdout)["nftables"] if isinstance(one, dict)], port)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return [], []
    words, commands = [], []
    for chain in rules.base_chains("output" if is_out else "input", "ip6" if is_ipv6 else "ip"):
        place = f"{chain['family']} {chain['table']} {chain['name']}"
        if why := rules.why_dropped(chain):
            words.append(f"chain {chain['name']} of table {chain['family']} {chain['table']}: {why}")
            commands.append(f"nft insert rule {place} udp dport {port} accept")
    return words, commands


class _End(NamedTuple):
    """What becomes of a datagram in a chain: it is let through where `why` is empty."""

    why: str


class _Ruleset:
    """The rules, as far as they decide about UDP to a port.

    A rule with a condition that is not understood is taken to be about something else: only what is sure is told.

    Args:
        entries: of ``nft -j list ruleset``.
        port: the port.
    """

    def __init__(self, entries: list[dict[str, Any]], port: int) -> None:
        self._entries = entries
        self._port = port

    def base_chains(self, hook: str, family: str) -> Iterator[Mapping[str, Any]]:
        """Yield the chains that the kernel begins with."""
        for one in self._entries:
            chain = one.get("chain", {})
            if chain.get("hook") == hook and chain.get("family") in (family, "inet"):
                yield chain

    def why_dropped(self, chain: Mapping[str, Any]) -> str:
        """Return why a base chain drops the datagram; empty if it lets it through, as far as can be told."""
        if end := self._end(chain, chain["name"], DEEPEST):
            return end.why
        return "its policy is drop, and no rule accepts it" if chain.get("policy") == "drop" else ""

    def _end(self, place: Mapping[str, Any], name: str, depth: int) -> _End | None:
        """Return what becomes of the datagram in a chain; None where it goes on behind the chain."""
        for one in self._entries:
            rule = one.get("rule", {})
            if rule.get("chain") == name and all(rule.get(key) == place[key] for key in ("family", "table")):
                found, is_last = self._end_by(place, rule, depth)
                if found or is_last:
                    return found
        return None

    def _end_by(self, place: Mapping[str, Any], rule: Mapping[str, Any], depth: int) -> tuple[_End | None, bool]:
        """Return what a rule makes of the datagram, and whether nothing behind it in its chain is looked at."""
        expressions = [self._chosen(place, one) for one in rule.get("expr", [])]
        ports = [one["match"] for one in expressions if _is_port(one)]
        others = [one["match"] for one in expressions if "match" in one and not _is_port(one) and not _is_udp(one)]
        if not all(self._holds(place, match.get("right")) != (match.get("op") == "!=") for match in ports):
            return None, False
        for one in expressions:
            target, is_last = one.get("jump") or one.get("goto"), "goto" in one
            if target and depth and all(_is_interface(match) for match in others):
                found = self._end(place, target["target"], depth - 1)
                return found, is_last and not others
            if "return" in one and not others:
                return None, True
            if "accept" in one and not others:
                return _End(""), True
        end = next((word for word in ENDS for one in expressions if word in one), "")
        if end and (ports or not others):  # about the port, on some link or from some source: that is it
            where = "" if depth == DEEPEST else f" of chain {rule.get('chain')}"
            return _End(f"rule {rule.get('handle')}{where} has {end} for UDP port {self._port}"), True
        return None, False

    def _chosen(self, place: Mapping[str, Any], expression: dict[str, Any]) -> dict[str, Any]:
        """Return what a verdict map has for the port; any other expression as it is."""
        verdicts = expression.get("vmap", {})
        if not _is_port({"match": {"left": verdicts.get("key")}}) or not isinstance(verdicts.get("data"), dict):
            return expression
        found: list[dict[str, Any]] = [end for key, end in verdicts["data"].get("set", ()) if self._holds(place, key)]
        return found[0] if found else {}

    def _holds(self, place: Mapping[str, Any], right: Any) -> bool:
        """Return whether the port is that, in that range, or one of that set, which may have a name."""
        if isinstance(right, dict) and "range" in right:
            first, last = right["range"]
            return bool(first <= self._port <= last)
        if isinstance(right, dict) and "set" in right:
            return any(self._holds(place, one) for one in right["set"])
        if isinstance(right, dict) and "elem" in right:
            return self._holds(place, right["elem"].get("val"))
        if isinstance(right, str) and right.startswith("@"):
            sets = [one.get("set", {}) for one in self._entries]
            return any(
                self._holds(place, element)
                for one in sets
                if one.get("name") == right[1:] and all(one.get(key) == place[key] for key in ("family", "table"))
                for element in one.get("elem", [])
            )
        return bool(right == self._port)


def _is_port(expression: Mapping[str, Any]) -> bool:
    left = expression.get("match", {}).get("left", {})
    payload = left.get("payload", {}) if isinstance(left, dict) else {}
    return payload.get("field") == "dport" and payload.get("protocol") in ("udp", "th")


def _is_udp(expression: Mapping[str, Any]) -> bool:
    return bool(expression.get("match", {}).get("right") == "udp")


def _is_interface(match: Mapping[str, Any]) -> bool:
    left = match.get("left", {})
    return isinstance(left, dict) and left.get("meta", {}).get("key") in _INTERFACES
