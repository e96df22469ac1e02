"""Findings: what looks wrong in a status, why, and what to do about it.

Pure: a ``status`` reply goes in, findings come out, the most basic fault first. Each is a stable word for programs,
such as ``no-link``, and a sentence for people, which may quote names of a stranger's choice: escape it for a terminal.
The daemon may be of an earlier version: what its status lacks gives no finding.
"""

from collections.abc import Iterator, Mapping
from typing import Any

FEW_FILTERED = 3
FILTERED_GAP = 20.0
"""Datagrams dropped by rp_filter that are worth a word, and the seconds for one: a node that is not heard sends a full
HELLO each 8 s."""


def findings(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the word and the sentence of each finding."""
    yield from _machine(status)
    if status["isolated"] and status["links"]:  # without a link that has been said
        yield "isolated", "isolated: most peers fell silent together, the fault is probably here (cable, switch, Wi-Fi)"
    for found in status.get("dropins", ()):
        if found["state"] in ("refused", "failing"):
            name, state = found["name"], found["state"]
            what = f"service {name} is not announced ({state})" if name else "service file is refused"
            yield "service-not-announced", f"{what}: {found['why']} ({found['file']})"
    if refused := status.get("hooks", {}).get("refused", 0):
        hooks = f"{refused} hook{'s are' if refused > 1 else ' is'}"
        yield "hook-not-run", f"{hooks} not run: the log says why, look for 'hook not run'"
    yield from _identities(status)
    port, received = status["hello"]["port"], status["received"]
    # the first HELLOs of others may be one interval away
    is_settled = status["uptime_s"] > 2 * status["hello"]["interval_s"]
    if status["links"] and is_settled and not (received.get("hello") or received.get("bare")):
        yield "nothing-heard", (
            "no HELLO was ever heard: is another node running on these networks, and does the firewall "
            f"let UDP port {port} in? See what arrives with: tcpdump -ni any udp port {port}"
        )
    for link in status["links"]:
        if link["last_error"]:
            yield "sending-failed", f"{link['name']}: sending failed: {link['last_error']}"
    yield from _prefixes(status)
    for one in status.get("send_errors", ()):
        if one["link"] == "-":
            yield "sending-failed", f"seed {one['target']}: sending failed: {one['error']}"


def _machine(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the machine denies to the daemon."""
    if error := status.get("metrics", {}).get("error"):
        yield "metrics-not-served", f"the metrics are not served over HTTP: {error}; stop that, or set metrics.listen"
    buffer = status.get("receive_buffer", {"bytes": 0})
    if 0 < buffer["bytes"] < (wanted := buffer.get("wanted", 0)):
        yield "small-receive-buffer", (
            f"the receive buffer has {buffer['bytes']} of {wanted} bytes: HELLOs are lost where hundreds of nodes "
            f"speak at once; as root: sysctl -w net.core.rmem_max={wanted}, then restart discoveryd "
            "(discoveryd install does so for each boot)"
        )
    yield from _witness(status)
    if error := status.get("scan_error"):
        yield "interfaces-unreadable", f"the interfaces cannot be read ({error}): the links are those that there were"
    elif not status["links"]:
        yield "no-link", (
            "no usable link: no interface that hello.interfaces allows is up, has an IPv4 address and can "
            "broadcast; one that appears is used at once"
        )


def _witness(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield whether nobody is left to send the last will."""
    if status.get("last_will", {}).get("witness") == "dead":
        yield "no-witness", (
            "the witness was killed: should this daemon die, the others miss its HELLOs first; to have another witness "
            "restart discoveryd"
        )


def _identities(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which machines cannot be told apart."""
    for id in status.get("clones", ()):
        ours = "this node and another" if id == status["node"]["id"] else "two running nodes"
        yield "clone", (
            f"clone: {ours} have the id {id}, perhaps of one disk image: on one of them run discoveryd reset-id, "
            "then restart it"
        )
    new_boots = status.get("new_boots", {})
    if new_boots.get("count"):
        yield "cloned-memory", (
            f"{new_boots['address']} ran under the same boot, and this node drew a new one: the machine "
            "was cloned with its memory; give one of them its own id: discoveryd reset-id"
        )
    for shared in status.get("shared_addresses", ()):
        where = f"{shared['address']}{' on ' + shared['link'] if shared.get('link') else ''}"
        yield "shared-address", (
            f"{' and '.join(shared['ids'])} have the address {where} at the same time: give each its own, or find "
            "what rewrites the source of their HELLOs (a relay, NAT)"
        )


def _prefixes(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which neighbours have another prefix, and whether the kernel drops what such neighbours send."""
    for one in status.get("outside", ()):
        address, link, ours = one["address"], one["link"], one["ours"]
        outside = f"{address} broadcasts on {link} but is outside of our {ours} there"
        if one.get("in_our_network"):
            text = (f"{address} on {link} is within our {ours} but has another broadcast address, so another prefix: "
                    "they are reached by 255.255.255.255; give both one prefix")  # fmt: skip
        elif one.get("listed") and one.get("two_way") is not False:
            text = f"{outside}: the two reach each other by 255.255.255.255 and without a gateway; give both one prefix"
        else:
            text = (f"{outside}, and does not hear us: give both one prefix, or see that no rp_filter there drops what "
                    "we send")  # fmt: skip
        yield "other-prefix", text
    filtered = status.get("rp_filter", {"dropped": 0, "links": []})
    names = ", ".join(link["link"] for link in filtered["links"])
    if names and filtered["dropped"] >= max(FEW_FILTERED, status["uptime_s"] / FILTERED_GAP):
        yield "rp-filter", (
            f"the kernel's rp_filter ({names}) dropped {filtered['dropped']} datagrams of any program, because no "
            "route leads to where they came from: a neighbour with another prefix is not heard then; give all one "
            "prefix, or a route to its network by that link, or set sysctl net.ipv4.conf.*.rp_filter=0"
        )
