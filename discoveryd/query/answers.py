"""What follows from the answers of others: the peer that is missing was asked, and others were asked about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from discoveryd.protocol.drops import DROP_REASONS
from discoveryd.protocol.link import UNECHOED
from discoveryd.protocol.table.peer import LIVE
from discoveryd.query.findings import LATELY, Finding

FRESH = 10.0
"""Seconds since a peer was heard by another node within which that says something of now."""
JUST = 10.0
"""Seconds in which an ICMP message is about what was asked."""
_PROHIBITED, _REFUSED = "firewall-rejects", "not-running"
_ICMP = {(False, 3, 3): _REFUSED, (True, 1, 4): _REFUSED} | dict.fromkeys(
    ((False, 3, 9), (False, 3, 10), (False, 3, 13), (True, 1, 1), (True, 1, 5), (True, 1, 6)), _PROHIBITED
)
"""Whether it is ICMPv6, type and code, and the finding that follows (RFC 1812, 5.2.7.1; RFC 4443, 3.1)."""
_ICMP_SAYS = {
    _REFUSED: "is there, and nothing listens at its UDP port {port}: discoveryd does not run there",
    _PROHIBITED: "is behind a firewall that rejects UDP port {port}",
}
SETTLED = 3
"""Intervals after the start, and HELLOs of the other node, after which those that arrive have arrived."""
HARMLESS = ("own-echo", "own-boot", "stale", "replayed", "unexpected", "unproven", "message-crowd", "malformed")
"""Reasons of drops that keep no peer from being listed."""
Answers = Sequence[Mapping[str, Any]]


def answer_findings(
    status: Mapping[str, Any], wanted: str, peers: Sequence[Mapping[str, Any]], answers: Answers
) -> Iterator[Finding]:
    """Yield why a peer is missing, as far as answers tell.

    Args:
        status: of this node.
        wanted: the peer, as a person named it.
        peers: its rows as ``show`` gives them.
        answers: of the peer itself, and (``about``) of others that were asked about it.
    """
    # the first HELLOs may be one interval away
    is_settled = status["uptime_s"] > SETTLED * status["hello"]["interval_s"]
    is_live = any(peer["state"] in LIVE for peer in peers)
    if not is_live and (finding := _of_icmp(status, wanted, peers)):
        yield finding
    is_missing = is_settled and not any(peer["state"] in LIVE for peer in peers)
    own = [one for one in answers if one["answered"] and not one["about"]]
    for one in own:
        yield from _of_itself(status, one, is_missing=is_missing)
    if is_missing and not own and (found := hearers(answers)):
        yield _heard_by_others(wanted, found)


def _of_icmp(status: Mapping[str, Any], wanted: str, peers: Sequence[Mapping[str, Any]]) -> Finding | None:
    """Return what ICMP says of datagrams that were just sent to a peer, None for nothing."""
    addresses = {address for peer in peers for address in peer["addresses"]} or {wanted}
    for one in status.get("icmp", ()):
        kind = _ICMP.get((":" in one["target"], one["type"], one["code"]))
        if kind is None or one["target"] not in addresses or one["last_s"] > JUST:
            continue
        sender = "" if one["sender"] == one["target"] else f" (says {one['sender']})"
        text = f"{one['target']} {_ICMP_SAYS[kind]}{sender}"
        return Finding(kind, text.format(port=status["hello"]["port"]), one, (), one["target"])
    return None


def hearers(answers: Answers) -> list[Mapping[str, Any]]:
    """Return the answers of nodes that hear the peer they were asked about."""
    thirds = [(one, one["third"]) for one in answers if one["about"] and one["answered"]]
    return [one for one, third in thirds if third and third["state"] in LIVE and third["last_heard_s"] <= FRESH]


def named(answers: Answers) -> str:
    """Return the nodes that answered, for a sentence."""
    return " and ".join(f"{one['name']} ({one['address']})" for one in answers)


def _of_itself(status: Mapping[str, Any], one: Mapping[str, Any], *, is_missing: bool) -> Iterator[Finding]:
    """Yield what a peer that answered says of its side."""
    peer = f"{one['name']} ({one['address']})" if one["name"] else one["address"]
    ttl = status["hello"]["ttl_s"]
    hears_us = one["hears_us_s"] is not None and one["hears_us_s"] <= ttl
    dropped = [drop for drop in one["drops"] if drop["reason"] not in HARMLESS and drop["last_s"] <= LATELY]
    if dropped and not hears_us:
        drop = dropped[0]
        text = (
            f"{peer} drops what this node sends ({drop['count']} so far, the last {drop['last_s']} s ago): "
            f"{drop['reason']}. {DROP_REASONS.get(drop['reason'], '')}"
        )
        yield Finding("dropped-there", text, drop, (), one["address"])
        return
    here = [link for link in status["links"] if link.get("broadcast") == one["broadcast"]]
    if one["broadcast"] and not here:
        ours = " and ".join(f"{link['address']}/{link['prefix']}" for link in status["links"])
        text = (
            f"{peer} has {one['network']} there, so its HELLOs go to {one['broadcast']}; this node has {ours}: give "
            "both one prefix"
        )
        yield Finding("other-prefix", text, {"network": one["network"], "ours": ours}, (), one["address"])
    elif is_missing and one["sent"] >= UNECHOED and not one["echoed"]:
        text = (
            f"{peer} answers, and its own broadcasts do not come back to it: a firewall of that machine drops "
            "broadcasts, or what it sends to all"
        )
        seen = {"sent": one["sent"], "echoed": one["echoed"], "peers": [one["address"]]}
        yield Finding("peer-firewall-in", text, seen, (), one["address"])
    elif is_missing and one["sent"] > SETTLED:
        way = "its HELLOs do not arrive here" if hears_us else "no HELLO of either arrives at the other"
        heard = f", and heard this node {one['hears_us_s']:.1f} s ago" if hears_us else ""
        text = f"{peer} answers by unicast{heard}; {way}: a switch or an access point between drops broadcasts"
        seen = {"rtt_ms": one["rtt_ms"], "hears_us_s": one["hears_us_s"], "its_sent": one["sent"]}
        yield Finding("broadcasts-lost", text, seen, (f"hello.seeds: [{one['address']}]",), one["address"])


def _heard_by_others(wanted: str, found: Answers) -> Finding:
    third = found[0]["third"]
    address = third["address"]
    meant = wanted if wanted == address else f"{wanted} ({address})"
    verb = "hears" if len(found) == 1 else "hear"
    text = (
        f"{named(found)} {verb} {meant}, the last time {third['last_heard_s']:.1f} s ago, and this node does not: the "
        "way between these two is broken, not that machine"
    )
    seen = {"heard_by": [one["address"] for one in found], "last_heard_s": third["last_heard_s"]}
    remedy = () if wanted == address else (f"discoveryctl doctor {address}",)
    return Finding("heard-by-others", text, seen, remedy, address)
