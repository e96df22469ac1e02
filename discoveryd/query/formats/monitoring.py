"""Peers for monitoring: Prometheus (file_sd and http_sd), Zabbix (low-level discovery) and Nagios (a check)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from discoveryd.query.formats import endpoint, printable
from discoveryd.query.formats.names import word
from discoveryd.query.formats.table import service_of
from discoveryd.query.json_text import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from discoveryd.query.formats.exports import ExportOptions
    from discoveryd.query.formats.names import Listed

OK, WARNING, CRITICAL = 0, 1, 2
"""What a check of Nagios exits with."""
MOST_NAMED = 8
"""Peers that the line of a check names."""
_META = "__meta_discoveryd_"
_ODD = re.compile("[^A-Za-z0-9 ._:/@,=+-]")
"""Of a value for Zabbix: the rest could begin a macro, end a parameter of a key, or be markup."""


def prometheus(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return target groups for Prometheus, one for each service of a peer, or one for each peer with a given port.

    All labels begin with ``__meta_``: only what a person writes into ``relabel_configs`` decides how something is
    scraped. A target is an address that the peer was heard from.
    """
    groups = [
        dumps({"targets": [target], "labels": _labels(one, service)})
        for one in found
        for target, service in _targets(one, options)
    ]
    return "[\n" + ",\n".join(groups) + "\n]" if groups else "[]"


def _targets(one: Listed, options: ExportOptions) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Yield each target of a peer, with its service unless the port was given."""
    if not one.address:
        return
    if options.port:
        yield endpoint(one.address, options.port), None
        return
    for service in one.peer["services"]:
        if service["port"] and options.service in (None, service["name"]):
            yield endpoint(one.address, service["port"]), service


def _labels(one: Listed, service: Mapping[str, Any] | None) -> dict[str, str]:
    peer = one.peer
    names = dict.fromkeys(offered["name"].replace(",", "_") for offered in peer["services"])
    labels = {
        "name": one.name, "id": peer["id"], "state": peer["state"], "kind": peer["kind"], "address": one.address,
        "link": peer["link"], "boot": peer["boot"], "key": peer["key"] or "", "self": _flag(one.is_self),
        "clone": _flag(peer["clone"]), "services": f",{','.join(names)}," if names else "",
    }  # fmt: skip
    if service is not None:
        labels |= {"service": service["name"], "service_port": str(service["port"]), "service_proto": service["proto"]}
        labels |= _tag_labels("service_tag", service["tags"])
    return {_META + key: str(value) for key, value in (labels | _tag_labels("tag", peer["tags"])).items()}


def _tag_labels(prefix: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of tags; of keys that become one label the first in order counts."""
    labels: dict[str, str] = {}
    for key in sorted(tags):
        if f"{prefix}_{word(key)}" not in labels:
            labels |= {f"{prefix}_{word(key)}": tags[key], f"{prefix}present_{word(key)}": "true"}
    return labels


def _flag(value: object) -> str:
    return "true" if value else "false"


def zabbix(found: Sequence[Listed], _: ExportOptions) -> str:
    """Return rows for low-level discovery, one for each peer; a tag ``role`` is the macro ``{#TAG_ROLE}``."""
    rows = [dumps({f"{{#{key}}}": _plain(value) for key, value in _macros(one)}) for one in found]
    return "[\n" + ",\n".join(rows) + "\n]" if rows else "[]"


def _macros(one: Listed) -> Iterator[tuple[str, str]]:
    peer = one.peer
    for key in sorted(peer["tags"], reverse=True):  # of keys that become one macro the first in order counts
        yield f"TAG_{word(key).upper()}", peer["tags"][key]
    yield "PEER", one.name
    yield "ADDRESS", one.nearby
    yield "SERVICES", ",".join(map(service_of, peer["services"]))
    yield "SELF", str(int(one.is_self))
    for key in ("id", "state", "kind", "link", "boot"):
        yield key.upper(), peer[key]


def _plain(value: str) -> str:
    return _ODD.sub("_", str(value))


def nagios(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return the line of a check: how many peers are up, which are not, and the figures. This node does not count."""
    peers = [one for one in found if not one.is_self]
    up = sum(one.peer["state"] == "up" for one in peers)
    verdict = ("OK", "WARNING", "CRITICAL")[nagios_code(found, options)]
    others = [f"{one.name} {_plain(printable(one.peer['state']))}" for one in peers if one.peer["state"] != "up"]
    named = f" ({_some(others)})" if others else ""
    return f"{verdict} - {up} up{named} | up={up};{_least(options.warning)};{_least(options.critical)};0"


def nagios_code(found: Iterable[Listed], options: ExportOptions) -> int:
    """Return what the check exits with."""
    up = sum(one.peer["state"] == "up" for one in found if not one.is_self)
    if up < options.critical:
        return CRITICAL
    return WARNING if up < options.warning else OK


def _least(count: int) -> str:
    return f"{count}:" if count else ""


def _some(texts: Sequence[str]) -> str:
    more = f", {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(texts[:MOST_NAMED]) + more
