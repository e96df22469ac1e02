"""The kinds of findings: for each its code, which is public API, and what it means.

A new kind is an entry here, the function of `discoveryd.query.findings` that yields it, and a test that provokes it;
docs/findings.md is made of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from discoveryd.query.finding_kind import MISSING, FindingKind
from discoveryd.query.peer_finding_kinds import PEER_FINDING_KINDS
from discoveryd.query.site_findings import SITE_FINDING_KINDS

_DEAF = ("isolated", "nothing-heard")

FINDING_KINDS: Final[Mapping[str, FindingKind]] = {
    "interfaces-unreadable": FindingKind(
        "interfaces", "high", "proven", "the interfaces cannot be read",
        "The kernel does not tell the daemon which interfaces there are; it goes on with those it knew.",
        "See the error: often a limit of open files, or a sandbox without netlink.",
        ("no-link",),
    ),
    "interface-excluded": FindingKind(
        "interfaces", "high", "proven", "hello.interfaces excludes what others are heard on",
        "No link is in use, and HELLOs came in by an interface that hello.interfaces excludes.",
        "Name that interface under hello.interfaces, then reload.",
        ("no-link", *_DEAF),
    ),
    "no-link": FindingKind(
        "interfaces", "high", "proven", "no usable link",
        "No interface that hello.interfaces allows is up, has an address and can broadcast.",
        "Bring one up, give it an address, or allow it under hello.interfaces; it is used at once. Where there is no "
        "broadcast (WireGuard, point-to-point), name the others under hello.seeds.",
        _DEAF,
    ),
    "family-unspoken": FindingKind(
        "sending", "medium", "proven", "a family of addresses is not spoken",
        "hello.families names it, and this node has no socket for it: as a rule another program has the port.",
        "End the program that has the port, or leave the family out of hello.families.",
    ),
    "own-firewall-out": FindingKind(
        "sending", "high", "proven", "a firewall of this machine forbids sending",
        "The kernel refuses to send HELLOs with EPERM: a rule for what goes out drops or rejects them.",
        "Let UDP to hello.port out.",
        ("sending-failed", *_DEAF),
    ),
    "sending-failed": FindingKind(
        "sending", "medium", "proven", "HELLOs cannot be sent",
        "The kernel refuses to send HELLOs by a link or to a seed, and says why.",
        "See the error: no route, a cable that is out, a table that is full.",
    ),
    "seed-unresolved": FindingKind(
        "sending", "medium", "proven", "the name of a seed does not resolve",
        "The resolver of this machine gives no usable address for a name under hello.seeds. It is asked again and "
        "again; addresses that the name had before stay in use.",
        "See the error: a wrong name, no network yet, a DNS server that is away. Correct it, or write the address.",
    ),
    "seeds-silent": FindingKind(
        "sending", "low", "possible", "seeds do not answer",
        "HELLOs go to addresses under hello.seeds, and no peer is heard there.",
        "See that discoveryd runs there, and that UDP to hello.port passes in both directions; remove seeds that are "
        "gone.",
    ),
    "own-firewall-in": FindingKind(
        "hearing", "high", "proven", "a firewall of this machine drops what comes in",
        "The kernel gives each broadcast also to the machine that sent it, through the rules for what comes in. Of at "
        "least 8 HELLOs in a row none came back: these rules drop or reject UDP to hello.port.",
        "Let UDP to hello.port in.",
        _DEAF,
    ),
    "isolated": FindingKind(
        "hearing", "high", "likely", "this node is cut off",
        "Most peers fell silent together: the fault is more likely here than at all of them.",
        "Look at the cable, the switch port or the Wi-Fi of this machine.",
        ("peers-one-way",),
    ),
    "nothing-heard": FindingKind(
        "hearing", "low", "possible", "no other node was ever heard",
        "HELLOs are sent and come back, but none of another node ever came.",
        "Is another node running on these networks? See what arrives with tcpdump.",
    ),
    "arp-off": FindingKind(
        "hearing", "medium", "proven", "ARP is switched off on an interface",
        "The interface has the flag NOARP, and others are heard there: broadcasts pass, and nobody finds the hardware "
        "address of this machine, nor this machine that of others, so that nothing that is for one machine arrives.",
        "Switch ARP on there.",
        ("peers-one-way",),
    ),
    "rp-filter": FindingKind(
        "hearing", "medium", "proven", "the kernel's reverse path filter drops datagrams",
        "No route leads back to where datagrams came from, and rp_filter drops them: a neighbour with another prefix "
        "is not heard then.",
        "Give all machines of a link one prefix, or a route to the other network by that link, or turn rp_filter off.",
    ),
    "other-prefix": FindingKind(
        "hearing", "medium", "proven", "a neighbour has another network prefix",
        "A node broadcasts on a link, and is not in our network there, or has another broadcast address.",
        "Give both machines the same prefix.",
        MISSING,
    ),
    "other-realm": FindingKind(
        "groups", "low", "proven", "nodes of another realm are near",
        "HELLOs of another hello.realm arrive. Two groups on one network are no fault; a node that is missed is one.",
        "Where they belong together set the same hello.realm, and restart.",
        ("nothing-heard",),
    ),
    "other-version": FindingKind(
        "groups", "medium", "proven", "a node speaks another version of the protocol",
        "HELLOs of another version of the protocol arrive, which cannot be read.",
        "Bring both nodes to the same release.",
        ("nothing-heard",),
    ),
    "no-keys": FindingKind(
        "groups", "medium", "proven", "others seal, and this node has no key",
        "Sealed HELLOs arrive, and this node has no keys.",
        "Copy the key file here, name it under security.keys, then reload.",
        ("nothing-heard",),
    ),
    "unknown-key": FindingKind(
        "groups", "medium", "proven", "a node seals with a key that is not here",
        "HELLOs arrive that are sealed with a key that this node does not have. Normal for minutes while keys change.",
        "Compare the key ids with discoveryctl status on both, and copy the missing key file.",
        ("nothing-heard",),
    ),
    "bad-seal": FindingKind(
        "groups", "medium", "likely", "a seal does not hold",
        "HELLOs arrive that name a key of ours but do not open with it: of another realm, altered on the way, sealed "
        "with another key of that name, or forged.",
        "Compare hello.realm and the key files of both nodes.",
        ("nothing-heard",),
    ),
    "plain-refused": FindingKind(
        "groups", "medium", "proven", "a node does not seal, and security.mode requires it",
        "HELLOs arrive that are not sealed, and security.mode is require.",
        "Give that node the key, or find out whose it is.",
        ("nothing-heard",),
    ),
    "port-translated": FindingKind(
        "groups", "medium", "likely", "HELLOs come from another port",
        "HELLOs come from a port that is not hello.port, as no node sends: a NAT changes ports, or somebody forges.",
        "Let no NAT stand between nodes that broadcast to each other; name each other under hello.seeds over a route.",
    ),
    "clone": FindingKind(
        "identity", "medium", "proven", "two running nodes have one id",
        "Two nodes that run at the same time have the same id, most likely of one disk image.",
        "On one of them: discoveryd reset-id, then restart it.",
    ),
    "cloned-memory": FindingKind(
        "identity", "medium", "proven", "a machine was cloned with its memory",
        "Another node answered under the boot of this one, which drew a new one.",
        "On one of them: discoveryd reset-id, then restart it.",
    ),
    "shared-address": FindingKind(
        "identity", "medium", "proven", "several live nodes have one address",
        "Several nodes that are up were heard from one address on one link, or another machine has an IPv6 one.",
        "Give each its own address, or find the relay or NAT that rewrites the source of their HELLOs.",
    ),
    "table-full": FindingKind(
        "machine", "high", "proven", "the table of peers is full",
        "Newcomers are refused, for the table holds limits.peers live peers.",
        "Raise limits.peers, or find out what forges so many.",
    ),
    "flood": FindingKind(
        "machine", "medium", "proven", "a flood of datagrams",
        "More than limits.datagrams come in each second: only known peers are heard, newcomers seldom.",
        "Find the source of the flood: a loop in the network, or somebody who forges HELLOs.",
    ),
    "small-receive-buffer": FindingKind(
        "machine", "low", "proven", "the receive buffer is small",
        "The kernel grants less than was asked for: HELLOs are lost where hundreds of nodes speak at once.",
        "Raise net.core.rmem_max, as discoveryd install does, then restart.",
    ),
    "metrics-not-served": FindingKind(
        "machine", "medium", "proven", "the metrics are not served over HTTP",
        "The address or port of metrics.listen cannot be had; it is tried again each 10 s.",
        "Stop what holds it, or set metrics.listen.",
    ),
    "web-not-served": FindingKind(
        "machine", "medium", "proven", "the web is not served over HTTP",
        "The address or port of web.listen cannot be had, its token or certificate cannot be read, or a library is "
        "missing; it is tried again each 10 s.",
        "See the error: stop what holds the port, set web.listen, or mend the file that it names.",
    ),
    "dns-not-served": FindingKind(
        "machine", "medium", "proven", "names are not served by DNS",
        "The address or port of dns.listen cannot be had, or the library is missing; it is tried again each 10 s.",
        "See the error: stop what holds it, set dns.listen, or install the library.",
    ),
    "names-not-found": FindingKind(
        "machine", "medium", "proven", "the resolver does not find the names of peers",
        "discoveryd install --dns wrote a file by which the resolver of this machine asks discoveryd, and the name of "
        "the server is not found through it: the resolver was not restarted, asks elsewhere, or is not asked itself.",
        "Restart the resolver. Of systemd-resolved see that /etc/resolv.conf leads to it or /etc/nsswitch.conf names "
        "resolve, of dnsmasq that /etc/resolv.conf has 127.0.0.1; then run discoveryd install --dns again.",
    ),
    "history-unwritable": FindingKind(
        "machine", "medium", "proven", "the history is not written",
        "The file of the history cannot be opened or written; peers are seen all the same, and what happens meanwhile "
        "is not remembered. It is tried again each 10 s. A broken file is set aside, and a new one begun.",
        "See the error: a full disk, a read-only file system, a state directory of another user. Without a history set "
        "history.keep to off.",
    ),
    "no-witness": FindingKind(
        "machine", "low", "proven", "the witness is gone",
        "The process that would tell the others of the death of this daemon was killed.",
        "Restart the daemon to have another.",
    ),
    "service-not-announced": FindingKind(
        "machine", "medium", "proven", "a service is not announced",
        "A file of services.d is refused, or the check that it names fails.",
        "See the file, and what the check says.",
    ),
    "hook-not-run": FindingKind(
        "machine", "medium", "proven", "a hook is not run",
        "A file of hooks.d may be written by others, or cannot be executed.",
        "See the log for: hook not run.",
    ),
    "export-not-written": FindingKind(
        "machine", "medium", "proven", "a file for another program is not written",
        "The system refuses to write a file that the configuration names under export; its readers see an old one.",
        "See the error: leave path out, so that it is in the directory of exports, or let the daemon write there.",
    ),
    "export-command-failed": FindingKind(
        "machine", "medium", "proven", "the command after an export fails",
        "A file changed, and the command that its entry names ended with an error or took too long.",
        "Run the command as the user of the daemon; in the sandbox of the service it may do less.",
    ),
    **PEER_FINDING_KINDS,
    **SITE_FINDING_KINDS,
}  # fmt: skip
