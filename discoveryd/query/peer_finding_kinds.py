"""The kinds of findings about peers; the others are in `finding_kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from discoveryd.query.finding_kind import MISSING, FindingKind

PEER_FINDING_KINDS: Final[Mapping[str, FindingKind]] = {
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
        "Its daemon was stopped in an orderly way; a reason that it gave is told: restart, upgrade, reboot, poweroff.",
        "Start it again, unless it or its machine is about to come back.",
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
    "no-arp": FindingKind(
        "peers", "medium", "likely", "a peer is heard, and its machine does not answer ARP",
        "Its broadcasts arrive, and the kernel finds no hardware address for it: ARP is switched off there (NOARP), a "
        "proxy or a filter between answers wrongly, or it speaks from an address that is not its own.",
        "On that machine: discoveryctl doctor, and ip link show (NOARP); then ip link set INTERFACE arp on.",
        ("peers-one-way", *MISSING),
    ),
    "routed-elsewhere": FindingKind(
        "peers", "medium", "proven", "the routes to a peer lead by another interface",
        "The peer is heard on one interface, and other programs of this machine send to its address by another one, "
        "often that of a VPN that took the network. discoveryd names the interface of each datagram: its own arrive.",
        "See ip route get; take that network out of the routes of the VPN, or give the route by the link a low metric.",
    ),
}  # fmt: skip
