"""The status of a Discovery: the sections of the engine, and those of its threads, sockets and servers."""

from __future__ import annotations

from discoveryd import __version__
from discoveryd.net.query_server import QueryServer
from discoveryd.query.status import MetricsStatus, QueryStatus, SendError, Status, engine_status
from discoveryd.runtime.driver import Driver
from discoveryd.runtime.other_prefixes import filtered, outsiders


def make_status(
    driver: Driver, uptime: float, filtered_before: int, query: QueryStatus, metrics: MetricsStatus
) -> Status:
    """Return the status at this moment.

    Args:
        driver: with the engine and the transports.
        uptime: seconds since the start.
        filtered_before: datagrams that the reverse path filter had dropped at the start.
        query: section of the query socket.
        metrics: section of the metrics page.

    Raises:
        RuntimeError: a thread has died.
    """
    network = driver.network
    outside = network.outside()
    engine, neighbours, seeds = driver.look(
        lambda node, now: (engine_status(node, now), outsiders(node, now, outside), node.parameters.seeds)
    )
    send_errors: list[SendError] = [
        {"link": link, "target": target, "error": error}
        for (link, target), error in sorted(network.send_errors().items())
        if link != "-" or target in seeds  # no longer a seed: nothing is sent there
    ]
    error_of = {error["link"]: error["error"] for error in send_errors}
    for link in engine["links"]:
        link["last_error"] = error_of.get(link["name"])
    for (reason, name), count in network.drops().items():
        engine["drops"].append({"reason": reason, "link": name, "count": count})
    return {
        **engine,
        "version": __version__,
        "uptime_s": round(uptime, 3),
        "engine_s": round(driver.engine_s, 6),
        "outside": neighbours,
        "rp_filter": filtered((link["name"] for link in engine["links"]), filtered_before),
        "send_errors": send_errors,
        "receive_buffer": network.receive_buffer(),
        "scan_error": network.scan_error,
        "query": query,
        "metrics": metrics,
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
