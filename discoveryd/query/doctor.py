"""The report of a doctor: what was examined, what is wrong, and one verdict. Pure, as the findings are.

About the node itself a report follows from its status. About a peer it begins with what is wrong here, for that
explains most of what is missing, then says what is known of the peer: its row, or what was dropped of what came from
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from discoveryd.protocol.drops import DROP_REASONS
from discoveryd.protocol.link import UNECHOED
from discoveryd.protocol.table.peer import LIVE, SCHEMA
from discoveryd.query.address import is_address
from discoveryd.query.answers import Answers, answer_findings, hearers
from discoveryd.query.finding_kind import AREAS, MISSING, Area
from discoveryd.query.findings import Finding, findings, peer_findings
from discoveryd.query.formats.table import farewell

HEALTHY = "healthy"
"""The verdict without a fault."""
ROUTED = "a routed path"


def report(
    status: Mapping[str, Any], wanted: str = "", peers: Sequence[Mapping[str, Any]] = (), answers: Answers = ()
) -> dict[str, Any]:
    """Return a report as JSON.

    Args:
        status: of the node.
        wanted: the peer that it is about, as a person named it; empty for the node itself.
        peers: its rows as ``show`` gives them, none if it was never heard.
        answers: of that peer, and of others that were asked about it, as `answer_findings` has them.
    """
    if wanted and not peers and _is_this_node(status, wanted):
        wanted, answers = "", ()
    ours = found = findings(status)
    if wanted:  # what is wrong here explains whatever is missing
        found = [finding for finding in ours if finding.kind.severity == "high"]
        theirs = _without_consequences(
            [*answer_findings(status, wanted, peers, answers), *_about(status, wanted, peers)]
        )
        found += [finding for finding in theirs if not (found and finding.code in MISSING)]
    first = next((finding for finding in found if finding.is_fault), None)
    return {
        "ok": True,
        "schema": SCHEMA,
        "verdict": first.code if first else HEALTHY,
        "certainty": first.kind.certainty if first else None,
        "findings": [finding.to_json() for finding in found],
        "checks": [_check(area, status, ours) for area in AREAS if area != "sites" or status.get("sites")],
        "peer": wanted or None,
        "peers": list(peers),
        "asked": list(answers),
    }


def _is_this_node(status: Mapping[str, Any], wanted: str) -> bool:
    node = status["node"]
    return wanted in (node["id"], node["name"], node["boot"], *(link["address"] for link in status["links"]))


def address_of(found: Mapping[str, Any]) -> str:
    """Return the address that a report is about, if a machine there may be probed; else an empty text."""
    if found["verdict"] not in (*MISSING, "heard-by-others"):
        return ""  # it is known why, or nothing can be found out through what is wrong here
    if found["peers"]:
        return str(found["peers"][0]["address"])
    if others := hearers(found.get("asked", ())):
        return str(others[0]["third"]["address"])
    return str(found["peer"]) if is_address(str(found["peer"])) else ""


def with_more(found: Mapping[str, Any], more: Finding) -> dict[str, Any]:
    """Return a report with another finding, which may explain others in it."""
    kept = [one for one in found["findings"] if one["code"] not in more.kind.hides]
    listed = [*kept, more.to_json()]
    first = next((one for one in listed if one["severity"] != "low"), None)
    verdict, certainty = (first["code"], first["certainty"]) if first else (HEALTHY, None)
    return {**found, "verdict": verdict, "certainty": certainty, "findings": listed}


def _without_consequences(found: Sequence[Finding]) -> list[Finding]:
    hidden = {code for finding in found for code in finding.kind.hides}
    return [finding for finding in found if finding.code not in hidden]


def _about(status: Mapping[str, Any], wanted: str, peers: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what is wrong with a peer, or with what came from an address."""
    addresses = {address for peer in peers for address in peer["addresses"]} or {wanted}
    if not any(peer["state"] in LIVE for peer in peers):
        yield from _dropped(status, addresses)
    for one in status.get("outside", ()):
        if one["address"] in addresses:
            text = f"{one['address']} has another prefix than ours on {one['link']} ({one['ours']}): give both one"
            yield Finding("other-prefix", text, one, (), one["address"])
    ids = {peer["id"] for peer in peers if peer["state"] in LIVE}
    said = {"impaired": [peer for peer in status.get("impaired", ()) if peer["id"] in ids]}
    yield from peer_findings({**status, **said})
    for peer in peers:
        yield from _of_peer(peer)
    if not peers:
        yield Finding("peer-unknown", f"nothing was ever heard of {wanted}", {}, (), wanted)


def _dropped(status: Mapping[str, Any], addresses: set[str]) -> Iterator[Finding]:
    for one in status.get("drop_sources", ()):
        if one["address"] in addresses:
            says = f" ({one['detail']})" if one["detail"] else ""
            meaning = DROP_REASONS.get(one["reason"], "")
            text = f"what {one['address']} sends is dropped ({one['count']} so far): {one['reason']}{says}. {meaning}"
            yield Finding("dropped", text, {key: one[key] for key in ("reason", "count", "last_s")}, (), one["address"])


def _of_peer(peer: Mapping[str, Any]) -> Iterator[Finding]:
    name = f"{peer['name'] or peer['id']} ({peer['address']})"
    on, last = peer["link"] or ROUTED, f"{peer['last_heard_s']:.1f} s ago"
    seen = {key: peer[key] for key in ("last_heard_s", "two_way", "loss")}
    if peer["state"] == "down":
        text = f"{name} fell silent: last heard {last} on {on}; it is gone, or the way from it to here is broken"
        yield Finding("peer-down", text, seen, (), peer["id"])
    elif peer["state"] == "left":
        left = {**seen, "goodbye_reason": peer.get("goodbye_reason")}
        yield Finding("peer-left", f"{name} {farewell(peer)} {last}", left, (), peer["id"])
    if peer["clone"]:
        text = f"another running node has the id {peer['id']}: on one of them run discoveryd reset-id, then restart it"
        yield Finding("clone", text, {}, ("discoveryd reset-id",), peer["id"])


# --- what was examined ------------------------------------------------------------------------------


def _check(area: Area, status: Mapping[str, Any], found: Sequence[Finding]) -> dict[str, str]:
    """Return an area, whether something is wrong there, and what was seen."""
    here = [finding for finding in found if finding.kind.area == area]
    is_unknown = area == "hearing" and not all(link["echoed"] or link["sent"] >= UNECHOED for link in status["links"])
    if any(finding.is_fault for finding in here):
        result = "fault"
    elif here:
        result = "note"
    else:
        result = "unknown" if is_unknown else "ok"
    return {"name": area, "result": result, "text": _SEEN[area](status)}


def _links(status: Mapping[str, Any]) -> str:
    return ", ".join(f"{link['name']} {link['address']}/{link['prefix']}" for link in status["links"]) or "none in use"


def _sent(status: Mapping[str, Any]) -> str:
    return f"{status['sent']['hello']} HELLOs sent"


def _heard(status: Mapping[str, Any]) -> str:
    links = [f"{link['echoed']} of {link['sent']} came back on {link['name']}" for link in status["links"]]
    return ", ".join([*links, f"{status['received'].get('hello', 0)} of others heard"])


def _group(status: Mapping[str, Any]) -> str:
    security = status["security"]
    key = f", sends with key {security['send_with']}" if security["send_with"] else ""
    return f"realm {status['node']['realm']}, security {security['mode']}{key}"


def _counts(status: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {state}" for state, count in status["peers"].items())


def _identity(status: Mapping[str, Any]) -> str:
    return f"id {status['node']['id']}, {len(status['clones'])} clones"


def _resources(status: Mapping[str, Any]) -> str:
    table, buffer = status["table"], status["receive_buffer"]
    return f"{table['rows']} of {table['limit']} rows, receive buffer {buffer['bytes'] / 2**20:.1f} MiB"


def _sites(status: Mapping[str, Any]) -> str:
    sites, server = status["sites"], status["sites"]["connection"]["server"]
    reached = sum(one["state"] == "reachable" for one in sites["sites"])
    connected = f"connected to {server}" if server else "no server connected"
    return f"{sites['site']} ({sites['role']}), {connected}, {reached} of {len(sites['sites'])} others reachable"


_SEEN = {
    "interfaces": _links, "sending": _sent, "hearing": _heard, "groups": _group, "peers": _counts,
    "identity": _identity, "machine": _resources, "sites": _sites,
}  # fmt: skip
