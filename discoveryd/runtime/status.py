"""The status of a Discovery: the sections of the engine, and those of its threads, sockets and servers.

Also the neighbours with another prefix than ours, and the filter of the kernel that hides them.
"""

from collections.abc import Iterable, Mapping

from discoveryd import __version__
from discoveryd.net.interfaces import has_arp, rp_filter_drops, rp_filter_mode
from discoveryd.net.query_server import QueryServer
from discoveryd.net.transport import Outside
from discoveryd.protocol.addresses import family_of
from discoveryd.protocol.node import Node
from discoveryd.protocol.table.peer import LIVE
from discoveryd.query.engine_status import engine_status
from discoveryd.query.seed_status import SeedState, seed_status
from discoveryd.query.status import MetricsStatus, Outsider, QueryStatus, RpFilter, SendError, Status
from discoveryd.runtime.driver import Driver
from discoveryd.runtime.machine import firewalls

MOST_NAMED = 64
"""Neighbours that are named, and addresses on interfaces without broadcast."""


def make_status(
    driver: Driver, uptime: float, filtered_before: int, seed_states: Mapping[str, SeedState],
    servers: tuple[QueryStatus, MetricsStatus],
) -> Status:  # fmt: skip
    """Return the status at this moment.

    Args:
        driver: with the engine and the transports.
        uptime: seconds since the start.
        filtered_before: datagrams that the reverse path filter had dropped at the start.
        seed_states: what is known of the names of seeds.
        servers: sections of the query socket and of the metrics page.

    Raises:
        RuntimeError: a thread has died.
    """
    network = driver.network
    outside = network.outside()
    engine, neighbours, messages, seeds, targets, spoken = driver.look(
        lambda node, now: (
            engine_status(node, now), outsiders(node, now, outside), driver.messages.status(),
            seed_status(node, seed_states, now), node.outbox.routed.targets, node.parameters.spoken,
        )
    )  # fmt: skip
    send_errors: list[SendError] = [
        {"link": link, "target": target, "error": error}
        for (link, target), error in sorted(network.send_errors().items())
        if link != "-" or target in targets  # no longer a seed: nothing is sent there
    ]
    error_of = {(error["link"], family_of(error["target"])): error["error"] for error in send_errors}
    for link in engine["links"]:
        link["last_error"] = error_of.get((link["name"], family_of(link["address"])))
        link["arp"] = has_arp(link["name"])
    for (reason, name), count in network.drops().items():
        engine["drops"].append({"reason": reason, "link": name, "count": count})
    return {
        **engine,
        "version": __version__,
        "uptime_s": round(uptime, 3),
        "engine_s": round(driver.engine_s, 6),
        "outside": neighbours,
        "families": [{"family": name, "error": network.family_errors.get(name)} for name in spoken],
        "unlinked": [
            {"name": one.name, "address": one.address, "prefix": one.prefix, "reason": one.reason}
            for one in network.unlinked[:MOST_NAMED]
        ],
        "seeds": seeds,
        "rp_filter": filtered((link["name"] for link in engine["links"]), filtered_before),
        "send_errors": send_errors,
        "icmp": [
            {
                "target": error.target, "sender": error.sender, "type": error.type, "code": error.code,
                "count": count, "last_s": round(ago, 1),
            }
            for error, count, ago in network.icmp_errors()
        ],
        "receive_buffer": network.receive_buffer(),
        "scan_error": network.scan_error,
        "flooded": network.is_flooded,
        "firewalls": firewalls(),
        "messages": messages,
        "last_will": network.last_will(),
        "query": servers[0],
        "metrics": servers[1],
        "findings": [],
    }


def summary(driver: Driver, query: QueryServer | None) -> str:
    """Return one line such as ``12 up, 1 suspect, 2 links``."""
    counts, links, is_isolated = driver.look(
        lambda node, now: (node.table.counts(now), len(node.links), node.is_isolated(now))
    )
    parts = [f"{counts['up']} up", *([f"{counts['suspect']} suspect"] if counts["suspect"] else [])]
    parts.append(f"{links} link{'' if links == 1 else 's'}")
    parts += ["isolated"] if is_isolated and links else []
    parts += ["query socket does not listen"] if query and query.error else []
    return ", ".join(parts)


def outsiders(node: Node, now: float, found: Mapping[tuple[str, int], Outside]) -> list[Outsider]:
    """Return the neighbours outside our networks, and the peers within that have another broadcast address.

    Args:
        node: the engine, with the peers.
        now: the time.
        found: the neighbours heard from outside, by address and interface.
    """
    paths = {
        (path.source.link, path.address): path
        for row in (node.table.rows(now) if found else ())
        for path in row.paths
        if row.state_at(now) in LIVE
    }
    outside = [
        (address, link, paths.get((link, address)), False)
        for (address, _), (link, *_) in found.items()
        if not node.limited.is_aside(link, address, now)
    ]
    within = [(path.address, link, path, True) for link in node.links for path in node.limited.others(link, now)]
    chosen = sorted([*outside, *within][:MOST_NAMED], key=lambda one: (one[0], one[1].name))
    return [
        {
            "link": link.name,
            "address": address,
            "ours": f"{link.address}/{link.prefix}",
            "in_our_network": in_our_network,
            "listed": path is not None,
            "two_way": None if path is None else path.two_way,
        }
        for address, link, path, in_our_network in chosen
    ]


def filtered(interfaces: Iterable[str], before: int) -> RpFilter:
    """Return what the kernel's reverse path filter dropped, and on which of our interfaces it is in force.

    Args:
        interfaces: ours.
        before: what it had dropped when we started.
    """
    modes = {name: rp_filter_mode(name) for name in interfaces}
    return {
        "dropped": max(0, rp_filter_drops() - before),
        "links": [{"link": name, "mode": mode} for name, mode in sorted(modes.items()) if mode],
    }
