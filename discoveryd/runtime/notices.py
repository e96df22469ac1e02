"""Notices: what is worth a log line and is no event of a peer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discoveryd.net.interfaces import compare
from discoveryd.net.query_server import RETRY as QUERY_RETRY
from discoveryd.protocol.link import Link
from discoveryd.protocol.outcome import Drop
from discoveryd.runtime.rescan import RETRY

METRICS_RETRY = 10.0
"""Seconds, `net.metrics_server.RETRY`, which most daemons do not import."""
ISOLATED = "isolated"
CONNECTED = "no longer isolated"
"""Texts that hooks are run for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something worth a log line that is no event of a peer.

    Attributes:
        level: ``debug``, ``info``, ``warning`` or ``critical``, after which the process ends.
        text: what happened, the same words for the same thing.
        fields: with what.
    """

    level: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def of_metrics(error: str, where: tuple[str, int]) -> Notice:
    """Return the notice that the metrics are not served over HTTP, or are served now."""
    texts = "the metrics are served over HTTP", "the metrics are not served over HTTP"
    return _of_listening(texts, error, where, f"metrics.listen: it is tried again each {METRICS_RETRY:g} s")


def of_query(error: str, where: tuple[str, int]) -> Notice:
    """Return the notice that the query socket does not listen, or listens now."""
    texts = "the query socket listens", "the query socket does not listen"
    return _of_listening(texts, error, where, f"query.listen: it is tried again each {QUERY_RETRY:g} s")


def _of_listening(texts: tuple[str, str], error: str, where: tuple[str, int], remedy: str) -> Notice:
    if error:
        return Notice(level="warning", text=texts[1], fields={"why": f"{error}; stop that, or set {remedy}"})
    host, port = where
    return Notice(level="info", text=texts[0], fields={"listen": f"{host}:{port}"})


def of_isolation(*, is_isolated: bool) -> Notice:
    """Return the notice that this node is cut off, or no longer."""
    if not is_isolated:
        return Notice(level="info", text=CONNECTED)
    why = "most peers fell silent together: look at our own cable, switch or Wi-Fi"
    return Notice(level="warning", text=ISOLATED, fields={"why": why})


def of_name(former: str, name: str, fault: str) -> Notice:
    """Return the notice that the machine has another name, or an unsuitable one."""
    fields = {"name": name, **({"former": former} if former else {}), **({"why": fault} if fault else {})}
    text = "the machine has another name" if former else "the machine's name"
    return Notice(level="warning" if fault else "info", text=text, fields=fields)


def of_links(before: Sequence[Link], now: Sequence[Link]) -> Iterator[Notice]:
    """Yield a notice for each link that went or came."""
    gone, come = compare(before, now)
    for text, links in (("link gone", gone), ("link up", come)):
        for link in links:
            fields = {"link": link.name, "address": f"{link.address}/{link.prefix}", "broadcast": link.broadcast}
            yield Notice(level="info", text=text, fields=fields)


def of_no_link(interfaces: Iterable[str]) -> Notice:
    """Return the notice that no interface is usable, with the patterns that choose them."""
    return Notice(level="warning", text="no usable link: waiting for one", fields={"interfaces": ",".join(interfaces)})


def of_no_doorbell(seconds: float) -> Notice:
    """Return the notice that the kernel does not tell of changes of the interfaces."""
    return Notice(
        level="warning", text="no netlink: interfaces are looked at by time alone", fields={"every_s": seconds}
    )


def of_scan(error: str | None) -> Notice:
    """Return the notice that the interfaces cannot be read, or can be read again."""
    if error is None:
        return Notice(level="info", text="interfaces can be read again")
    why = {"error": error, "every_s": RETRY}
    return Notice(level="warning", text="interfaces cannot be read: the links stay as they are", fields=why)


def of_sending(link: str, target: str, error: str | None) -> Notice:
    """Return the notice that sending to a target fails, or works again."""
    where = {"link": link, "target": target}
    if error is None:
        return Notice(level="info", text="sending works again", fields=where)
    return Notice(level="warning", text="sending fails", fields={**where, "error": error})


def of_double(address: str) -> Notice:
    """Return the notice that another machine ran under our boot."""
    why = "cloned with its memory: give one of the two its own id (discoveryd reset-id)"
    fields = {"address": address, "why": why}
    return Notice(level="warning", text="another node had our boot: a new one was drawn", fields=fields)


def of_drop(drop: Drop) -> Notice:
    """Return the notice that datagrams of a source are dropped."""
    fields = {"address": drop.address, "link": drop.link, "reason": drop.reason, "detail": drop.detail}
    return Notice(level="warning", text="datagrams dropped", fields=fields)


def of_flood(limit: float, turned_away: int, failure: str | None) -> Notice:
    """Return the notice that a flood has begun, and why the kernel cannot filter it."""
    fields: dict[str, Any] = {"limit_per_s": limit, "dropped": turned_away}
    fields |= {"unfiltered": failure} if failure else {}
    return Notice(level="warning", text="flood: only known peers are heard", fields=fields)


def of_flood_end(dropped: int) -> Notice:
    """Return the notice that a flood is over, with what the kernel dropped meanwhile."""
    return Notice(level="info", text="flood is over", fields={"dropped": dropped})


def of_death(thread: str, error: BaseException) -> Notice:
    """Return the notice that an exception has ended a thread."""
    return Notice(level="critical", text="thread died", fields={"thread": thread, "error": repr(error)})
