"""What ``show`` and ``status`` say: not only what is so, but why it is believed and what to do about it."""

from __future__ import annotations

from discoveryd.ctl.tables import age, folded, name_of, printable, service_of, table, width_of
from discoveryd.protocol import DROP_REASONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from discoveryd.ctl.tables import Screen

ROUTED = "a routed path"
SENTENCE = 30
"""Columns in which a sentence can be read."""
FEW_FILTERED = 3
FILTERED_GAP = 20.0
"""Datagrams dropped by rp_filter that are worth a word, and the seconds for one: a node that is not heard sends a full
HELLO each 8 s."""


def peer_text(peer: dict[str, Any], screen: Screen) -> str:
    """Describe a peer: its state and why, in a sentence; then what is known of it, line by line."""
    state = screen.paint(peer["state"], peer["state"])
    who = peer["address"] if peer["kind"] == "bare" else name_of(peer)
    first, *lines = folded(f"{printable(who)} is {printable(peer['state'])}: ", _why(peer), screen.width, 2)
    lines.insert(0, first.replace(f" is {peer['state']}:", f" is {state}:", 1))
    for label, values in _facts(peer):
        for number, value in enumerate(values):
            lines += folded(f"  {'' if number else label:<12}", printable(value), screen.width, 14)
    return "\n".join(lines)


def status_text(status: dict[str, Any], screen: Screen) -> str:
    """Describe the daemon: itself, its links, what it hears, sends and drops, and what looks wrong."""
    node, hello, query, rows = status["node"], status["hello"], status["query"], status["table"]
    beat = f"each {hello['interval_s']:g}s, valid {hello['ttl_s']:g}s"
    facts = [
        ("node", f"{node['name']} (id {node['id']}, boot {node['boot']}), realm {node['realm']}"),
        ("services", ", ".join(service_of(one) for one in node["services"])),
        ("tags", _pairs(node["tags"])),
        ("hello", f"UDP port {hello['port']}, {beat}"),
        ("peers", f"{_counts(status['peers'])} ({rows['rows']} of at most {rows['limit']} rows)"),
        ("sent", _counts(status["sent"])),
        ("received", _counts(status["received"])),
        ("security", _security(status.get("security"))),
        ("query", f"{_query(query)}{_controlled(query)}"),
    ]
    parts = [f"discoveryd {printable(status['version'])}, up {age(status['uptime_s'])}"]
    for label, text in facts:
        parts += folded(f"  {label:<10}", printable(text), screen.width, 12) if text else []
    if status["links"]:
        parts += ["", _links_table(status["links"], screen)]
    if status["drops"]:
        parts += ["", _drops_table(status["drops"], screen)]
    hints = [line for hint in _hints(status) for line in folded("! ", hint, screen.width, 2)]
    return "\n".join([*parts, "", *hints] if hints else parts)


# --- a peer -----------------------------------------------------------------------------------------


def _why(peer: dict[str, Any]) -> str:
    heard = f"{age(peer['last_heard_s'])} ago"
    where = f"on {printable(peer['link'] or ROUTED)} from {printable(peer['address'])}"
    match peer["state"]:
        case "up":
            return f"last heard {heard} {where}, valid {age(peer['expires_s'])} more"
        case "suspect":
            return f"overdue, last heard {heard} {where}; counts as down in {age(peer['expires_s'])}"
        case "down":
            return (f"last heard {heard} {where}; since then nothing of it arrives here: it is gone, or the way "
                    "from it to us is broken (whether it hears us cannot be told)")  # fmt: skip
        case "left":
            return f"said goodbye {heard} {where}"
    return f"last heard {heard} {where}"


def _facts(peer: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    bare = peer["kind"] == "bare"
    if not bare:
        yield "id", [peer["id"]]
        yield "boot", [f"{peer['boot']}, {_times(peer['restarts'])} since first seen"]
    yield "kind", ["bare: it sends plain HELLO| only, so its address is all there is" if bare else "node"]
    yield "first seen", [f"{age(peer['first_seen_s'])} ago"]
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
        yield "services", [_service(one) for one in peer["services"]] or ["none"]
        yield "tags", [_pairs(peer["tags"]) or "none"]
        yield "key", [peer["key"] or "none, its HELLOs are not sealed"]
    if peer.get("shares_address_with"):
        others = ", ".join(peer["shares_address_with"])
        yield "address", [f"also of {others}: give each its own, or find what rewrites the source of their HELLOs"]
    if peer["clone"]:
        yield "clone", [f"another running node has the id {peer['id']}: give one of them its own: discoveryd reset-id"]


def _times(restarts: int) -> str:
    return "no restart" if not restarts else "1 restart" if restarts == 1 else f"{restarts} restarts"


def _path(path: dict[str, Any]) -> str:
    valid = f"valid {age(path['expires_s'])} more" if path["expires_s"] > 0 else "expired"
    parts = [f"{path['address']} on {path['link'] or ROUTED}: heard {age(path['last_heard_s'])} ago, {valid}"]
    if path.get("rtt_ms") is not None:
        parts.append(f"{path['rtt_ms']:.2f} ms")
    if path.get("loss"):
        parts.append(f"{path['loss']:.0%} loss")
    if path.get("two_way") is False:
        parts.append("one-way")
    return ", ".join(parts)


def _two_way(peer: dict[str, Any]) -> str:
    if peer["two_way"] is None:
        return f"not known yet (discoveryctl ping {peer['name'] or peer['id']})"
    if peer["two_way"]:
        return "yes, it hears us too"
    return (
        "no: we hear it, but it does not hear us: does a firewall there drop UDP from us? Where discoveryctl ping "
        "is answered, it drops broadcasts alone"
    )


def _service(service: dict[str, Any]) -> str:
    tags = _pairs(service["tags"])
    return f"{service_of(service)} ({tags})" if tags else service_of(service)


# --- the daemon -------------------------------------------------------------------------------------


def _links_table(links: list[dict[str, Any]], screen: Screen) -> str:
    heads = ("LINK", "ADDRESS", "BROADCAST", "UP", "SENT", "RECEIVED", "HEARD", "LAST ERROR")
    rows = [
        (
            link["name"],
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
    spare = ("LAST ERROR", "BROADCAST", "UP", "SENT", "RECEIVED")  # a hint repeats the error
    return table(heads, rows, screen, flexible=("LAST ERROR",), spare=spare)


def _drops_table(drops: list[dict[str, Any]], screen: Screen) -> str:
    ordered = sorted(drops, key=lambda drop: -drop["count"])
    rows = [(one["reason"], one["link"], str(one["count"])) for one in ordered]
    head, *lines = table(("DROPPED", "LINK", "COUNT"), rows, screen).splitlines()
    column = max(map(width_of, (head, *lines))) + 2
    # beside the counts where there is room for sentences, else below them
    indent = column if screen.width is None or screen.width - column >= SENTENCE else 4
    shown = [f"{head:<{column}}MEANING"]
    for line, drop in zip(lines, ordered, strict=True):
        meaning = DROP_REASONS.get(drop["reason"], "-")
        beside = line + " " * (column - width_of(line))
        if indent == column:
            shown += folded(beside, meaning, screen.width, indent)
        else:
            shown += [line, *folded(" " * indent, meaning, screen.width, indent)]
    return "\n".join(one.rstrip(" ") for one in shown if one.strip())


def _link_hints(status: dict[str, Any]) -> Iterator[str]:
    if error := status.get("metrics", {}).get("error"):
        yield f"the metrics are not served over HTTP: {error}; stop that, or set metrics.listen"
    buffer = status.get("receive_buffer", {"bytes": 0})
    if 0 < buffer["bytes"] < buffer.get("wanted", 0):
        wanted = buffer["wanted"]
        yield (f"the receive buffer has {buffer['bytes']} of {wanted} bytes: HELLOs are lost where hundreds of nodes "
               f"speak at once; as root: sysctl -w net.core.rmem_max={wanted}, then restart discoveryd "
               "(discoveryd install does so for each boot)")  # fmt: skip
    if status.get("scan_error"):
        yield f"the interfaces cannot be read ({status['scan_error']}): the links are those that there were"
    elif not status["links"]:
        yield ("no usable link: no interface that hello.interfaces allows is up, has an IPv4 address and can "
               "broadcast; one that appears is used at once")  # fmt: skip


def _clones(status: dict[str, Any]) -> Iterator[str]:
    """Say which machines were cloned, and what to do."""
    for id in status.get("clones", ()):
        ours = "this node and another" if id == status["node"]["id"] else "two running nodes"
        yield (f"clone: {ours} have the id {printable(id)}, perhaps of one disk image: on one of them run "
               "discoveryd reset-id, then restart it")  # fmt: skip
    new_boots = status.get("new_boots", {})
    if new_boots.get("count"):
        yield (f"{printable(new_boots['address'])} ran under the same boot, and this node drew a new one: the machine "
               "was cloned with its memory; give one of them its own id: discoveryd reset-id")  # fmt: skip


def _hints(status: dict[str, Any]) -> Iterator[str]:
    """Say what looks wrong, and what to do."""
    links, port = status["links"], status["hello"]["port"]
    yield from _link_hints(status)
    if status["isolated"] and status["links"]:  # without a link that has been said
        yield "isolated: most peers fell silent together, the fault is probably here (cable, switch, Wi-Fi)"
    for found in status.get("dropins", ()):
        if found["state"] in ("refused", "failing"):
            name, state = found["name"], found["state"]
            what = f"service {name} is not announced ({state})" if name else "service file is refused"
            yield printable(f"{what}: {found['why']} ({found['file']})")
    refused = status.get("hooks", {}).get("refused", 0)
    if refused:
        yield f"{refused} hook{'s are' if refused > 1 else ' is'} not run: the log says why, look for 'hook not run'"
    yield from _clones(status)
    for shared in status.get("shared_addresses", ()):
        where = f"{shared['address']}{' on ' + shared['link'] if shared.get('link') else ''}"
        who = f"{' and '.join(shared['ids'])} have the address {where} at the same time"
        yield printable(f"{who}: give each its own, or find what rewrites the source of their HELLOs (a relay, NAT)")
    # the first HELLOs of others may be one interval away
    settled = status["uptime_s"] > 2 * status["hello"]["interval_s"]
    if links and settled and not (status["received"].get("hello") or status["received"].get("bare")):
        yield (f"no HELLO was ever heard: is another node running on these networks, and does the firewall "
               f"let UDP port {port} in? See what arrives with: tcpdump -ni any udp port {port}")  # fmt: skip
    yield from _send_hints(status)


def _send_hints(status: dict[str, Any]) -> Iterator[str]:
    """Say where nothing can be sent; a daemon of a former version tells it of links alone."""
    for link in status["links"]:
        if link["last_error"]:
            yield f"{printable(link['name'])}: sending failed: {printable(link['last_error'])}"
    yield from _prefix_hints(status)
    for one in status.get("send_errors", ()):
        if one["link"] == "-":
            yield f"seed {printable(one['target'])}: sending failed: {printable(one['error'])}"


def _prefix_hints(status: dict[str, Any]) -> Iterator[str]:
    """Say who has another prefix; a daemon of a former version neither lists such a peer nor tells of the filter."""
    for one in status.get("outside", ()):
        address, link, ours = (printable(one[key]) for key in ("address", "link", "ours"))
        if one.get("in_our_network"):
            yield (f"{address} on {link} is within our {ours} but has another broadcast address, so another prefix: "
                   "they are reached by 255.255.255.255; give both one prefix")  # fmt: skip
        elif one.get("listed") and one.get("two_way") is not False:
            yield (f"{address} broadcasts on {link} but is outside of our {ours} there: the two reach each other by "
                   "255.255.255.255 and without a gateway; give both one prefix")  # fmt: skip
        else:
            yield (f"{address} broadcasts on {link} but is outside of our {ours} there, and does not hear us: give "
                   "both one prefix, or see that no rp_filter there drops what we send")  # fmt: skip
    filtered = status.get("rp_filter", {"dropped": 0, "links": []})
    names = ", ".join(printable(link["link"]) for link in filtered["links"])
    if names and filtered["dropped"] >= max(FEW_FILTERED, status["uptime_s"] / FILTERED_GAP):
        yield (f"the kernel's rp_filter ({names}) dropped {filtered['dropped']} datagrams of any program, because no "
               "route leads to where they came from: a neighbour with another prefix is not heard then; give all one "
               "prefix, or a route to its network by that link, or set sysctl net.ipv4.conf.*.rp_filter=0")  # fmt: skip


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _security(security: dict[str, Any] | None) -> str:
    """Say who is heard with which key; nothing where there are none."""
    if not security or not security["keys"]:
        return ""
    sends = f"sends with {security['send_with']}" if security["mode"] != "off" else "sends plain"
    keys = ", ".join(f"{key['peers']} peers with {key['id']}" for key in security["keys"])
    return f"{security['mode']}, {sends}; {keys}, {security['plain_peers']} plain"


def _query(query: dict[str, int]) -> str:
    places = f"{query['connections']} of at most {query['limit']} connections"
    return f"{places}, {query['watchers']} watching, {query['refused']} refused"


def _controlled(query: dict[str, int]) -> str:
    """Say what was done, or tried, with the control token; mostly nothing."""
    told = (("denied", "denied"), ("registrations", "services registered"))
    return "".join(f", {query[key]} {text}" for key, text in told if query.get(key))


def _pairs(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items())
