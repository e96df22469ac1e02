"""The status of a Discovery: the sections of the engine, and those of its threads, sockets and servers."""

from __future__ import annotations

from discoveryd import __version__
from discoveryd.query.status import MetricsStatus, QueryStatus, SendError, Status, engine_status
from discoveryd.runtime.driver import Driver
from discoveryd.runtime.other_prefixes import filtered, outsiders

NO_QUERY: QueryStatus = {
    "connections": 0, "limit": 0, "watchers": 0, "refused": 0, "denied": 0, "error": None, "next_try_s": None,
    "registrations": 0,
}  # fmt: skip
NO_METRICS: MetricsStatus = {"requests": 0, "refused": 0, "error": None, "next_try_s": None}
"""The sections of a node without query socket, or without metrics page."""


def make_status(
    driver: Driver, *, uptime: float, filtered_before: int, query: QueryStatus, metrics: MetricsStatus
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
    size, wanted = network.receive_buffer()
    return {
        **engine,
        "version": __version__,
        "uptime_s": round(uptime, 3),
        "engine_s": round(driver.engine_s, 6),
        "outside": neighbours,
        "rp_filter": filtered((link["name"] for link in engine["links"]), filtered_before),
        "send_errors": send_errors,
        "receive_buffer": {"bytes": size, "wanted": wanted},
        "scan_error": network.scan_error,
        "query": query,
        "metrics": metrics,
    }
