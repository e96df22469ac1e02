"""The texts of ``show`` and ``status``: the facts, why they are believed, and what to do about faults."""

from collections.abc import Iterator
from typing import Any

from discoveryd.protocol import DROP_REASONS
from discoveryd.query.findings import findings
from discoveryd.query.formats import printable
from discoveryd.query.formats.table import Screen, age, farewell, folded, name_of, service_of, table, width_of

ROUTED = "a routed path"
SENTENCE = 30
"""Columns that make a sentence readable."""


def peer_text(peer: dict[str, Any], screen: Screen, past: str = "") -> str:
    """Return the description of a peer: its state and why, in a sentence; then the facts, line by line.

    Args:
        peer: as ``show`` gives it.
        screen: where the text goes.
        past: what the history says of it, in a clause.
    """
    state = screen.paint(peer["state"], peer["state"])
    name = peer["address"] if peer["kind"] == "bare" else name_of(peer)
    first, *lines = folded(f"{printable(name)} is {printable(peer['state'])}: ", _why(peer), screen.width, 2)
    lines.insert(0, first.replace(f" is {peer['state']}:", f" is {state}:", 1))
    for label, values in _facts(peer, past):
        for number, value in enumerate(values):
            lines += folded(f"  {'' if number else label:<12}", printable(value), screen.width, 14)
    return "\n".join(lines)


def status_text(status: dict[str, Any], screen: Screen) -> str:
    """Return the description of a daemon: itself, its links, what it hears, sends and drops, and its faults."""
    node, hello, query, rows = status["node"], status["hello"], status["query"], status["table"]
    beat = f"each {hello['interval_s']:g}s, valid {hello['ttl_s']:g}s"
    facts = [
        ("node", f"{node['name']} (id {node['id']}, boot {node['boot']}), realm {node['realm']}"),
        ("services", ", ".join(map(service_of, node["services"]))),
        ("tags", _pairs(node["tags"])),
        ("hello", f"UDP port {hello['port']}, {beat}"),
        ("peers", f"{_counts(status['peers'])} ({rows['rows']} of at most {rows['limit']} rows)"),
        ("routed", _routed(status.get("routed", {}))),
        ("sent", _counts(status["sent"])),
        ("received", _counts(status["received"])),
        ("security", _security(status.get("security"))),
        ("query", _query(query)),
        ("sites", _sites(status.get("sites"))),
        ("web", _web(status.get("web", {}))),
        ("names", _names(status.get("dns", {}))),
    ]
    parts = [f"discoveryd {printable(status['version'])}, up {age(status['uptime_s'])}"]
    for label, text in facts:
        parts += folded(f"  {label:<10}", printable(text), screen.width, 12) if text else []
    if status["links"]:
        parts += ["", _links_table(status["links"], screen)]
    if unlinked := status.get("unlinked"):
        parts += ["", _unlinked_table(unlinked, screen)]
    if seeds := status.get("seeds"):
        parts += ["", _seeds_table(seeds, screen)]
    if status["drops"]:
        parts += ["", _drops_table(status["drops"], screen)]
    texts = (printable(finding.text) for finding in findings(status))
    faults = [line for text in texts for line in folded("! ", text, screen.width, 2)]
    return "\n".join([*parts, "", *faults] if faults else parts)


# --- a peer -----------------------------------------------------------------------------------------


def _is_remote(peer: dict[str, Any]) -> bool:
    """Return whether a peer is known by the word of a gateway of its site alone."""
    return bool(peer.get("site")) and (bool(peer.get("via")) or peer.get("vouched_s") is not None)


def _why_remote(peer: dict[str, Any]) -> str:
    site, vouched = printable(peer["site"]), peer["vouched_s"]
    when = "" if vouched is None else f", whose word is proved as of {age(vouched)} ago"
    says = f"a gateway of site {site} says so{when}"
    if peer["state"] == "unknown":
        last = "" if vouched is None else f" since {age(vouched)} ago"
        return f"no gateway of site {site} has vouched for it{last}: it may well be up"
    return f"{farewell(peer)}; {says}" if peer["state"] == "left" else says


def _why(peer: dict[str, Any]) -> str:
    if _is_remote(peer):
        return _why_remote(peer)
    on, left = f"on {printable(peer['link'] or ROUTED)} from {printable(peer['address'])}", age(peer["expires_s"])
    heard = f"{age(peer['last_heard_s'])} ago {on}"
    return {
        "up": f"last heard {heard}, valid {left} more",
        "suspect": f"overdue, last heard {heard}; counts as down in {left}",
        "down": f"last heard {heard}; since then nothing of it arrives here: it is gone, or the way from it to us is "
        "broken (whether it hears us cannot be told)",
        "left": f"{farewell(peer)} {heard}",
    }.get(peer["state"], f"last heard {heard}")


def _facts(peer: dict[str, Any], past: str) -> Iterator[tuple[str, list[str]]]:
    bare = peer["kind"] == "bare"
    if not bare:
        yield "id", [peer["id"]]
        restarts = {0: "no restart", 1: "1 restart"}.get(peer["restarts"], f"{peer['restarts']} restarts")
        yield "boot", [f"{peer['boot']}, {restarts} since first seen"]
    if peer.get("site"):
        yield "site", [peer["site"] + (f", by gateway {peer['via']}" if peer.get("via") else "")]
    if _is_remote(peer):
        yield "address", [", ".join(peer["addresses"]) or "none"]
        yield "services", [*map(_service, peer["services"])] or ["none"]
        yield "tags", [_pairs(peer["tags"]) or "none"]
        yield "key", [peer["key"] or "none, its HELLOs are not sealed"]
        return
    yield "kind", ["bare: it sends plain HELLO| only, so its address is all there is" if bare else "node"]
    yield "first seen", [past or f"{age(peer['first_seen_s'])} ago"]
    if peer["interval_s"] is not None:
        yield "announces", [f"a HELLO each {peer['interval_s']:g}s, valid {peer['ttl_s']:g}s"]
    yield "paths", [_path(path) for path in peer.get("paths", ())] or ["none within its ttl"]
    if not bare:
        if not peer.get("hellos_arrive", True):
            yield "HELLOs", [
                "do not arrive; it is up because it answers PINGs, which are sent all the time.",
                "Its broadcasts are filtered: by a firewall here, an access point or a switch between (UDP port 3400).",
                "Where that has to stay so, name this machine under hello.seeds there: it then sends them by unicast.",
            ]
        yield "two-way", [_two_way(peer)]
        yield "round trip", ["not measured" if peer["rtt_ms"] is None else f"{peer['rtt_ms']:.2f} ms"]
        yield "loss", ["not measured" if peer["loss"] is None else f"{peer['loss']:.0%} of its HELLOs"]
        yield "services", [*map(_service, peer["services"])] or ["none"]
        yield "tags", [_pairs(peer["tags"]) or "none"]
        yield "key", [peer["key"] or "none, its HELLOs are not sealed"]
    if peer.get("shares_address_with"):
        others = ", ".join(peer["shares_address_with"])
        yield "address", [f"also of {others}: give each its own, or find what rewrites the source of their HELLOs"]
    if peer["clone"]:
        yield "clone", [f"another running node has the id {peer['id']}: give one of them its own: discoveryd reset-id"]


def _path(path: dict[str, Any]) -> str:
    valid = f"valid {age(path['expires_s'])} more" if path["expires_s"] > 0 else "expired"
    by = " by IPv6" if path.get("family") == "ipv6" else ""
    parts = [f"{path['address']} on {path['link'] or ROUTED}{by}: heard {age(path['last_heard_s'])} ago, {valid}"]
    if path.get("rtt_ms") is not None:
        parts.append(f"{path['rtt_ms']:.2f} ms")
    if path.get("loss"):
        parts.append(f"{path['loss']:.0%} loss")
    if path.get("two_way") is False:
        parts.append("one-way")
    return ", ".join(parts)


def _two_way(peer: dict[str, Any]) -> str:
    if peer["two_way"] is None:
        asked = max((path.get("unanswered", 0) for path in peer.get("paths", ())), default=0)
        hint = f"discoveryctl ping {peer['name'] or peer['id']}"
        return f"not known yet: asked {asked} times, no answer yet ({hint})" if asked else f"not known yet ({hint})"
    if peer["two_way"]:
        return "yes, it hears us too"
    return (
        "no: we hear it, but it does not hear us: does a firewall there drop UDP from us? Where discoveryctl ping "
        "is answered, it drops broadcasts alone"
    )


def _service(service: dict[str, Any]) -> str:
    return service_of(service) + (f" ({_pairs(service['tags'])})" if service["tags"] else "")


# --- the daemon -------------------------------------------------------------------------------------


def _links_table(links: list[dict[str, Any]], screen: Screen) -> str:
    heads = ("LINK", "ADDRESS", "BROADCAST", "UP", "SENT", "RECEIVED", "HEARD", "LAST ERROR")
    rows = [
        (
            f"{link['name']} (ipv6)" if link.get("family") == "ipv6" else link["name"],
            f"{link['address']}/{link['prefix']}",
            "255.255.255.255" if link.get("limited") else link["broadcast"],
            age(link["up_s"]),
            str(link["sent"]),
            str(link["received"]),
            "never" if link["last_heard_s"] is None else age(link["last_heard_s"]),
            link["last_error"] or "",
        )
        for link in links
    ]
    spare = ("LAST ERROR", "BROADCAST", "UP", "SENT", "RECEIVED")  # a finding repeats the error
    return table(heads, rows, screen, flexible=("LAST ERROR",), spare=spare)


def _unlinked_table(unlinked: list[dict[str, Any]], screen: Screen) -> str:
    texts = {
        "no-broadcast": "the interface cannot broadcast",
        "no-broadcast-address": "its network has no broadcast address",
        "duplicate": "another machine has this address",
    }
    rows = [
        (one["name"], f"{one['address']}/{one['prefix']}", printable(texts.get(one["reason"], one["reason"])))
        for one in unlinked
    ]
    return table(("SEEDS ONLY", "ADDRESS", "WHY"), rows, screen, flexible=("WHY",))


def _seeds_table(seeds: list[dict[str, Any]], screen: Screen) -> str:
    rows = [
        (
            printable(seed["seed"]), seed["state"], ", ".join(one["address"] for one in seed["addresses"]),
            _latest([one["heard_s"] for one in seed["addresses"] if one["heard_s"] is not None]),
            printable(seed["error"] or ""),
        )
        for seed in seeds
    ]  # fmt: skip
    return table(("SEED", "STATE", "ADDRESSES", "HEARD", "ERROR"), rows, screen, flexible=("ERROR", "ADDRESSES"))


def _latest(ages: list[float]) -> str:
    return age(min(ages)) if ages else ""


def _drops_table(drops: list[dict[str, Any]], screen: Screen) -> str:
    ordered = sorted(drops, key=lambda drop: -drop["count"])
    rows = [(drop["reason"], drop["link"], str(drop["count"])) for drop in ordered]
    head, *lines = table(("DROPPED", "LINK", "COUNT"), rows, screen).splitlines()
    column = max(map(width_of, (head, *lines))) + 2
    # beside the counts where there is room for sentences, else below them
    indent = column if screen.width is None or screen.width - column >= SENTENCE else 4
    shown = [f"{head:<{column}}MEANING"]
    for line, drop in zip(lines, ordered, strict=True):
        meaning = DROP_REASONS.get(drop["reason"], "-")
        head = line + " " * (column - width_of(line))
        if indent < column:
            shown.append(line)
            head = " " * indent
        shown += folded(head, meaning, screen.width, indent)
    return "\n".join(line.rstrip(" ") for line in shown if line.strip())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _names(dns: dict[str, Any]) -> str:
    """Return where names are served by DNS, empty where they are not."""
    if not dns.get("on") or dns["error"]:
        return ""  # why not is a finding
    asked = sum(dns.get("questions", {}).values())
    works = dns["resolver"]["works"]
    told = "" if works is None else f"; the resolver of this machine {'finds them' if works else 'does not find them'}"
    return f"{dns.get('names', 0)} below {dns['zone']} at {dns['listen']}, {asked} questions{told}"


def _security(security: dict[str, Any] | None) -> str:
    """Return how many peers are heard with which key; empty without keys."""
    if not security or not security["keys"]:
        return ""
    sends = f"sends with {security['send_with']}" if security["mode"] != "off" else "sends plain"
    keys = ", ".join(f"{key['peers']} peers with {key['id']}" for key in security["keys"])
    return f"{security['mode']}, {sends}; {keys}, {security['plain_peers']} plain"


def _routed(routed: dict[str, int]) -> str:
    """Return what there is beyond the links; empty where there is nothing."""
    told = (("peers", "peers"), ("former", "former ones"), ("candidates", "candidates that did not answer"))
    counts = [f"{routed[key]} {text}" for key, text in told if routed.get(key)]
    return ", ".join(counts) and f"{', '.join(counts)} ({routed['named']} named by peers, {routed['met']} met)"


def _sites(sites: dict[str, Any] | None) -> str:
    """Return the part of this node among the sites; empty without a site."""
    if not sites:
        return ""
    server = sites["connection"]["server"] or "no NATS server"
    reached = sum(one["state"] == "reachable" for one in sites["sites"])
    counts = f"{reached} of {len(sites['sites'])} other sites reachable, {sites['rows']} of at most {sites['limit']}"
    return f"{sites['site']}, {sites['role']}, by {server}; {counts} rows"


def _web(web: dict[str, Any]) -> str:
    """Return where HTTP is served, and to how many; empty where it is not."""
    if not web.get("listen"):
        return ""
    scheme, guard = "https" if web["tls"] else "http", ", with a token" if web["token"] else ""
    counts = f"{web['connections']} connections, {web['streams']} streams, {web['refused']} refused"
    return f"{scheme}://{web['listen']}/{guard}, {counts}{', does not listen' if web['error'] else ''}"


def _query(query: dict[str, int]) -> str:
    counts = f"{query['watchers']} watching, {query['refused']} refused"
    control = (("denied", "denied"), ("registrations", "services registered"))  # by the control token; mostly none
    counts += "".join(f", {query[key]} {text}" for key, text in control if query.get(key))
    return f"{query['connections']} of at most {query['limit']} connections, {counts}"


def _pairs(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items())
