"""The kinds of findings: for each its code, which is public API, and what it means.

A new kind is an entry here, the function of `discoveryd.query.findings` that yields it, and a test that provokes it;
docs/findings.md is made of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Severity = Literal["high", "medium", "low"]
"""``high``: this node does not work; ``medium``: something is missing, or will be; ``low``: good to know."""
Certainty = Literal["proven", "likely", "possible"]
"""``proven``: nothing else explains the numbers; ``likely``: something else seldom does; ``possible``: look there."""
Area = Literal["interfaces", "sending", "hearing", "groups", "peers", "identity", "machine"]
AREAS: tuple[Area, ...] = ("interfaces", "sending", "hearing", "groups", "peers", "identity", "machine")
"""What is examined, the causes before what follows from them."""


class FindingKind(NamedTuple):
    """What is said of all findings of a kind.

    Attributes:
        area: where it belongs.
        severity: how bad it is.
        certainty: how sure.
        title: a few words.
        meaning: what is seen, and why it follows.
        remedy: what helps, in words.
        hides: codes of findings that follow from it, and are not told beside it.
    """

    area: Area
    severity: Severity
    certainty: Certainty
    title: str
    meaning: str
    remedy: str
    hides: tuple[str, ...] = ()


_DEAF = ("isolated", "nothing-heard")
MISSING = ("peer-unknown", "peer-down")
"""Findings that say no more than that a peer is missing."""

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
    "peers-one-way": FindingKind(
        "peers", "medium", "likely", "peers are heard that do not hear this node",
        "Their HELLOs arrive, and they do not answer PINGs, or say that they hear no HELLO of this node.",
        "Look on their side: a firewall there that drops UDP to hello.port, or a switch between.",
    ),
    "peer-firewall-in": FindingKind(
        "peers", "medium", "proven", "a firewall of a peer drops what comes in there",
        "The peer says that its own broadcasts do not come back to it: the rules of its machine for what comes in drop "
        "UDP to hello.port, so it hears nobody.",
        "On that machine let UDP to hello.port in: discoveryctl doctor there names the command.",
        ("peers-one-way", "peer-deaf", *MISSING),
    ),
    "peer-deaf": FindingKind(
        "peers", "medium", "likely", "a peer hears nobody",
        "The peer says that it hears no other node, though its own broadcasts come back to it: what is sent to it is "
        "lost on the way.",
        "Look at the switch or access point between: the way from here to there is broken, the way back is not.",
        ("peers-one-way",),
    ),
    "hellos-filtered": FindingKind(
        "peers", "medium", "likely", "broadcasts of peers do not arrive",
        "Peers answer PINGs by unicast, but none of their HELLOs arrives: a switch, an access point or a firewall "
        "between drops broadcasts.",
        "Let UDP broadcasts to hello.port through, or name this machine under hello.seeds there.",
    ),
    "lossy-path": FindingKind(
        "peers", "low", "proven", "HELLOs of peers are lost on the way",
        "The numbers in their HELLOs show gaps: at least one in ten is lost.",
        "Look at the Wi-Fi, the cable or the load of that way. Nobody is taken down for it.",
    ),
    "dropped": FindingKind(
        "peers", "medium", "proven", "what a node says is dropped",
        "Datagrams came from its address, and were dropped.",
        "See the reason: discoveryctl status tells what each means, and what to do.",
    ),
    "dropped-there": FindingKind(
        "peers", "medium", "proven", "a peer drops what this node sends",
        "The peer was asked, and says that it drops what comes from the address of this node, and why.",
        "See the reason: it tells what it means, and what to do on which machine.",
        ("peers-one-way", *MISSING),
    ),
    "broadcasts-lost": FindingKind(
        "peers", "medium", "proven", "a node answers, and broadcasts do not pass",
        "The node was asked by unicast, and answered; its HELLOs do not arrive here. It says whether those of this "
        "node arrive there. A switch, an access point or a firewall between drops broadcasts.",
        "Let UDP broadcasts to hello.port through; or name that node under hello.seeds here, then reload.",
        MISSING,
    ),
    "heard-by-others": FindingKind(
        "peers", "medium", "proven", "others hear a peer that this node does not hear",
        "Other peers were asked, and say that they hear it now: that machine is well, and so is its daemon. The way "
        "between it and this node is broken.",
        "Look at what lies between these two alone: their ports of the switch, their access point, a firewall of "
        "either for the other.",
        MISSING,
    ),
    "client-isolation": FindingKind(
        "peers", "medium", "likely", "something keeps two machines apart",
        "Other peers hear it, and nobody answers for its address on the link of this node: an access point that keeps "
        "its clients apart, a switch with isolated ports, or a part of the network with another VLAN.",
        "Turn off client isolation (also: AP isolation, guest network, private VLAN) for these machines.",
        ("heard-by-others", "no-such-machine", *MISSING),
    ),
    "peer-down": FindingKind(
        "peers", "medium", "likely", "a peer fell silent",
        "It was a peer, and nothing of it arrives any more: it is gone, or the way from it to this node is broken.",
        "Look whether it runs; if so, at what lies between.",
    ),
    "peer-left": FindingKind(
        "peers", "low", "proven", "a peer said goodbye",
        "Its daemon was stopped in an orderly way.",
        "Start it again.",
    ),
    "peer-unknown": FindingKind(
        "peers", "medium", "possible", "a node was never heard",
        "Nothing ever came from it that this node remembers.",
        "On that machine: does discoveryd run, and what does discoveryctl doctor say there?",
    ),
    "not-running": FindingKind(
        "peers", "medium", "proven", "no daemon runs there",
        "Its machine refuses UDP to hello.port (ICMP port unreachable): nothing listens there.",
        "Start discoveryd there, or give both the same hello.port.",
        MISSING,
    ),
    "firewall-rejects": FindingKind(
        "peers", "medium", "proven", "a firewall there rejects UDP to hello.port",
        "An answer came that a firewall sends (ICMP administratively prohibited).",
        "On that machine let UDP to hello.port in.",
        MISSING,
    ),
    "port-silent": FindingKind(
        "peers", "medium", "possible", "that machine is there, and nothing of it arrives",
        "Its machine answers for another port. At hello.port something listens, or a firewall there drops it.",
        "On that machine run discoveryctl doctor.",
        MISSING,
    ),
    "no-answer": FindingKind(
        "peers", "medium", "possible", "that machine answers nothing",
        "The kernel remembers its hardware address, so it was there a minute ago; it answers at no port: it is off or "
        "cut off since then, or a firewall there drops everything.",
        "Look whether it runs; on that machine run discoveryctl doctor.",
        MISSING,
    ),
    "no-such-machine": FindingKind(
        "peers", "medium", "likely", "no machine answers for that address",
        "Nobody answers for it on the link (ARP): the machine is off, in another VLAN, or isolated by an access point.",
        "Look at its power, its cable and the VLAN of its port.",
        MISSING,
    ),
    "routed-elsewhere": FindingKind(
        "peers", "medium", "proven", "the routes to a peer lead by another interface",
        "The peer is heard on one interface, and other programs of this machine send to its address by another one, "
        "often that of a VPN that took the network. discoveryd names the interface of each datagram: its own arrive.",
        "See ip route get; take that network out of the routes of the VPN, or give the route by the link a low metric.",
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
        "Several nodes that are up were heard from the same address on the same link.",
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
}  # fmt: skip
