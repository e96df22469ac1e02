"""Findings: what looks wrong in a status, why, and what to do about it.

Pure: a ``status`` reply goes in, findings come out, the causes before what follows from them. What follows from
another finding is left out (`FindingKind.hides`), and what is not known is no finding. The texts may quote names of a
stranger's choice: escape them for a terminal. The daemon may be of an earlier version: what its status lacks gives no
finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from discoveryd.query.finding_kind import AREAS, FindingKind
from discoveryd.query.finding_kinds import FINDING_KINDS
from discoveryd.query.openings import opening
from discoveryd.query.part_findings import part_findings
from discoveryd.query.seed_findings import seed_findings
from discoveryd.query.site_findings import site_findings

FEW_FILTERED = 3
FILTERED_GAP = 20.0
"""Datagrams dropped by rp_filter that are worth a word, and the seconds for one: a node that is not heard sends a full
HELLO each 8 s."""
LATELY = 60.0
OFTEN = 3
"""Seconds in which a drop counts, and drops of one source that are no accident."""
FORBIDDEN = "EPERM"
_GROUPS = {
    "other-realm": "other-realm", "version": "other-version", "sealed": "no-keys", "unknown-key": "unknown-key",
    "bad-seal": "bad-seal", "plain": "plain-refused", "foreign-port": "port-translated",
}  # fmt: skip
"""Reasons of drops, and the findings they lead to."""

class Finding(NamedTuple):
    """Something that looks wrong.

    Attributes:
        code: its kind, one of `FINDING_KINDS`.
        text: a sentence for people.
        evidence: the numbers that it follows from.
        remedy: the commands or settings that help, none where words must do.
        subject: the link, address or node that it is about, where there may be several of a kind.
    """

    code: str
    text: str
    evidence: Mapping[str, Any] = {}
    remedy: tuple[str, ...] = ()
    subject: str = ""

    @property
    def kind(self) -> FindingKind:
        """What is said of all findings of its kind."""
        return FINDING_KINDS[self.code]

    @property
    def is_fault(self) -> bool:
        """Whether something does not work; else it is only good to know."""
        return self.kind.severity != "low"

    def to_json(self) -> dict[str, Any]:
        """Return it as replies show it; ``since_s`` is for the caller that saw it before."""
        kind = self.kind
        return {
            "code": self.code, "severity": kind.severity, "certainty": kind.certainty, "title": kind.title,
            "text": self.text, "subject": self.subject, "evidence": dict(self.evidence), "remedy": list(self.remedy),
            "since_s": None,
        }  # fmt: skip


def findings(status: Mapping[str, Any]) -> list[Finding]:
    """Return what looks wrong, the causes first."""
    found = [
        *_interfaces(status), *_sending(status), *_hearing(status), *_groups(status), *peer_findings(status),
        *_identities(status), *_machine(status), *(Finding(*one) for one in site_findings(status)),
    ]  # fmt: skip
    hidden = {code for finding in found for code in finding.kind.hides}
    return sorted(
        (finding for finding in found if finding.code not in hidden),
        key=lambda finding: AREAS.index(finding.kind.area),
    )


def _interfaces(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield why nothing can be spoken on."""
    if error := status.get("scan_error"):
        yield Finding(
            "interfaces-unreadable",
            f"the interfaces cannot be read ({error}): the links are those that there were",
            {"error": error},
        )
    if status["links"]:
        return
    excluded = {drop["link"]: drop["count"] for drop in status["drops"] if drop["reason"] == "excluded"}
    if excluded:
        names = ", ".join(sorted(excluded))
        yield Finding(
            "interface-excluded",
            f"no usable link, but HELLOs come in by {names}, which hello.interfaces excludes",
            {"excluded": excluded},
            (f"hello.interfaces: [{names}]",),
        )
    unlinked = [f"{one['name']} ({one['address']}/{one['prefix']})" for one in status.get("unlinked", ())
                if one["reason"] != "duplicate"]  # fmt: skip
    if unlinked and status["peers"].get("up") and status["received"].get("pong"):
        return  # seeds, or introductions, led to others, and they answer
    text = (
        "no usable link: no interface that hello.interfaces allows is up, has an address and can broadcast; one that "
        "appears is used at once"
    )
    if unlinked:
        text += f". {', '.join(unlinked)} cannot: name another node there under hello.seeds"
    yield Finding("no-link", text, {"unlinked": unlinked} if unlinked else {})


def _sending(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where nothing can be sent to."""
    port = status["hello"]["port"]
    for family in status.get("families", ()):
        if error := family["error"]:
            name = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(family["family"], family["family"])
            text = f"{name} is not spoken: {error}; it is tried again each 30 s"
            yield Finding("family-unspoken", text, {"error": error}, (), family["family"])
    for link in status["links"]:
        name, error = link["name"], link["last_error"]
        if error and error.startswith(FORBIDDEN):
            yield Finding(
                "own-firewall-out",
                f"{name}: a firewall of this machine forbids sending to UDP port {port} ({error})",
                {"error": error, "sent": link["sent"]},
                opening(status, port, is_out=True),
                name,
            )
        elif error:
            yield Finding("sending-failed", f"{name}: sending failed: {error}", {"error": error}, (), name)
    for one in status.get("send_errors", ()):
        if one["link"] == "-":
            text = f"seed {one['target']}: sending failed: {one['error']}"
            yield Finding("sending-failed", text, {"error": one["error"]}, (), one["target"])
    yield from (Finding(*found) for found in seed_findings(status))


def _hearing(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield why others may not be heard."""
    port, received = status["hello"]["port"], status["received"]
    for link in status["links"]:
        if link.get("misses_echo") and not link["last_error"]:
            by, is_ipv6 = (" by IPv6", True) if link.get("family") == "ipv6" else ("", False)
            yield Finding(
                "own-firewall-in",
                f"{link['name']}: the last {link['unechoed']} HELLOs that were sent{by} did not come back, as each to "
                f"all does: a firewall of this machine drops UDP port {port}{by}, so nobody is heard there{by}",
                {"sent": link["sent"], "echoed": link["echoed"], "unechoed": link["unechoed"]},
                opening(status, port, is_ipv6=is_ipv6),
                f"{link['name']}{by}",
            )
        if link.get("arp") is False and link["received"] and link.get("family", "ipv4") == "ipv4":
            text = f"{link['name']}: ARP is switched off, and others are heard there: nothing for one machine arrives"
            remedy = (f"ip link set {link['name']} arp on",)
            yield Finding("arp-off", text, {"received": link["received"]}, remedy, link["name"])
    if status["isolated"] and status["links"]:
        yield Finding(
            "isolated", "isolated: most peers fell silent together, the fault is probably here (cable, switch, Wi-Fi)"
        )
    # the first HELLOs of others may be one interval away
    is_settled = status["uptime_s"] > 2 * status["hello"]["interval_s"]
    if status["links"] and is_settled and not (received.get("hello") or received.get("bare")):
        yield Finding(
            "nothing-heard",
            "no HELLO was ever heard: is another node running on these networks, and does the firewall let UDP port "
            f"{port} in? See what arrives with: tcpdump -ni any udp port {port}",
            {"sent": sum(link["sent"] for link in status["links"])},
        )
    yield from _prefixes(status)


def _prefixes(status: Mapping[str, Any]) -> Iterator[Finding]:
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
        yield Finding("other-prefix", text, one, (), address)
    filtered = status.get("rp_filter", {"dropped": 0, "links": []})
    names = ", ".join(link["link"] for link in filtered["links"])
    if names and filtered["dropped"] >= max(FEW_FILTERED, status["uptime_s"] / FILTERED_GAP):
        yield Finding(
            "rp-filter",
            f"the kernel's rp_filter ({names}) dropped {filtered['dropped']} datagrams of any program, because no "
            "route leads to where they came from: a neighbour with another prefix is not heard then; give all one "
            "prefix, or a route to its network by that link, or set sysctl net.ipv4.conf.*.rp_filter=0",
            {"dropped": filtered["dropped"]},
            tuple(f"sysctl -w net.ipv4.conf.{link}.rp_filter=0" for link in ("all", *names.split(", "))),
        )


def _groups(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the nodes that are near and cannot be understood."""
    port = status["hello"]["port"]
    for one in status.get("drop_sources", ()):
        code = _GROUPS.get(one["reason"])
        if code is None or one["last_s"] > LATELY or one["count"] < OFTEN:
            continue
        says = f" ({one['detail']})" if one["detail"] else ""
        texts = {
            "other-realm": f"{one['address']} is in realm {one['detail']}, this node in {status['node']['realm']}",
            "other-version": f"{one['address']} speaks another version of the protocol{says}: update the older node",
            "no-keys": f"{one['address']} seals what it says, and this node has no keys: nothing of it can be read",
            "unknown-key": f"{one['address']} seals with a key that is not here{says}",
            "bad-seal": f"what {one['address']} seals does not open with the key of that name{says}",
            "plain-refused": f"{one['address']} does not seal what it says, and security.mode is require",
            "port-translated": f"{one['address']} sends HELLOs from another port than {port}: a NAT, or forged",
        }
        yield Finding(code, texts[code], {key: one[key] for key in ("count", "last_s", "link")}, (), one["address"])


def peer_findings(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield which peers are heard badly, or do not hear this node."""
    impaired = status.get("impaired", ())
    port = status["hello"]["port"]
    closed = [peer for peer in impaired if not peer.get("hears_itself", True) and peer["two_way"] is not True]
    if closed:
        yield Finding(
            "peer-firewall-in",
            f"{_named(closed)} {_verb(closed, 'says', 'say')} that broadcasts do not come back there: a firewall of "
            f"that machine drops UDP port {port}, so nobody is heard there",
            {"peers": [peer["address"] for peer in closed]},
        )
    unheard = [peer for peer in impaired if peer.get("hears_nobody") and peer["two_way"] is not True]
    lost = [peer for peer in unheard if peer not in closed]
    if lost:
        yield Finding(
            "peer-deaf",
            f"{_named(lost)} {_verb(lost, 'says', 'say')} that nobody is heard there: what is sent there is lost on "
            "the way",
            {"peers": [peer["address"] for peer in lost]},
        )
    deaf = [peer for peer in impaired if peer["two_way"] is False and peer not in (*closed, *lost)]
    if deaf:
        yield Finding(
            "peers-one-way",
            f"{_named(deaf)} {_verb(deaf, 'is', 'are')} heard and {_verb(deaf, 'does', 'do')} not hear this node: does "
            f"a firewall there drop UDP port {port}?",
            {"peers": [peer["address"] for peer in deaf]},
        )
    filtered = [peer for peer in impaired if not peer["hellos_arrive"]]
    if filtered:
        yield Finding(
            "hellos-filtered",
            f"{_named(filtered)} {_verb(filtered, 'answers', 'answer')} PINGs, but no HELLO arrives from there: "
            "broadcasts are dropped on the way",
            {"peers": [peer["address"] for peer in filtered]},
        )
    lossy = [peer for peer in impaired if peer["loss"] and peer["hellos_arrive"] and peer["two_way"] is not False]
    if lossy:
        losses = ", ".join(f"{_name(peer)} {peer['loss']:.0%}" for peer in lossy)
        yield Finding(
            "lossy-path", f"HELLOs are lost on the way: {losses}", {peer["address"]: peer["loss"] for peer in lossy}
        )


def _name(peer: Mapping[str, Any]) -> str:
    return f"{peer['name'] or peer['id']} ({peer['address']})"


def _named(peers: list[Mapping[str, Any]]) -> str:
    return ", ".join(map(_name, peers))


def _verb(peers: list[Mapping[str, Any]], of_one: str, of_many: str) -> str:
    return of_one if len(peers) == 1 else of_many


def _identities(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield which machines cannot be told apart."""
    for id in status.get("clones", ()):
        ours = "this node and another" if id == status["node"]["id"] else "two running nodes"
        text = (
            f"clone: {ours} have the id {id}, perhaps of one disk image: on one of them run discoveryd reset-id, "
            "then restart it"
        )
        yield Finding("clone", text, {}, ("discoveryd reset-id",), id)
    new_boots = status.get("new_boots", {})
    if new_boots.get("count"):
        text = (
            f"{new_boots['address']} ran under the same boot, and this node drew a new one: the machine "
            "was cloned with its memory; give one of them its own id: discoveryd reset-id"
        )
        yield Finding("cloned-memory", text, new_boots, ("discoveryd reset-id",), new_boots["address"])
    for shared in status.get("shared_addresses", ()):
        where = f"{shared['address']}{' on ' + shared['link'] if shared.get('link') else ''}"
        text = (
            f"{' and '.join(shared['ids'])} have the address {where} at the same time: give each its own, or find "
            "what rewrites the source of their HELLOs (a relay, NAT)"
        )
        yield Finding("shared-address", text, {"ids": shared["ids"]}, (), shared["address"])
    for one in status.get("unlinked", ()):
        if one["reason"] == "duplicate":
            address = one["address"]
            text = f"another machine on {one['name']} has our address {address}, so it is not used: give each its own"
            remedy = (f"ip -6 addr show dev {one['name']}",)
            yield Finding("shared-address", text, {"prefix": one["prefix"]}, remedy, address)


def _machine(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is too small, or what the machine denies to the daemon."""
    table = status["table"]
    full = sum(drop["count"] for drop in status["drops"] if drop["reason"] == "table-full")
    if full and table["rows"] >= table["limit"]:
        yield Finding("table-full", f"the table is full: limits.peers is {table['limit']}", {"refused": full})
    if status.get("flooded"):
        flood = sum(drop["count"] for drop in status["drops"] if drop["reason"] == "flood")
        yield Finding("flood", "a flood of datagrams: only known peers are heard", {"dropped": flood})
    buffer = status.get("receive_buffer", {"bytes": 0})
    if 0 < buffer["bytes"] < (wanted := buffer.get("wanted", 0)):
        yield Finding(
            "small-receive-buffer",
            f"the receive buffer has {buffer['bytes']} of {wanted} bytes: HELLOs are lost where hundreds of nodes "
            f"speak at once; as root: sysctl -w net.core.rmem_max={wanted}, then restart discoveryd "
            "(discoveryd install does so for each boot)",
            {"bytes": buffer["bytes"], "wanted": wanted},
            (f"sysctl -w net.core.rmem_max={wanted}",),
        )
    yield from (Finding(*found) for found in part_findings(status))
