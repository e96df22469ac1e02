"""Output formats: each writes peers as text, for both programs and for programs that embed them.

A format is a function of peers, a sequence of objects as a reply holds them (JSON of schema 1), that returns text
without the last line end. It does no I/O. Keys that this version does not know may be there. Nothing in the text moves
a cursor or changes a colour unless the format put it there: names, tags and services are of a stranger's choice, and
are escaped (`printable`, or as JSON in ASCII).

Those for scripts are here: JSON as the daemon writes it, and one value per line. Another format is another module; what
chooses among them (``discoveryctl`` by its options) is the only other place that knows it.
"""

from __future__ import annotations

from discoveryd.query.json_text import dumps, loads

EXPORT_FILES = {
    "prometheus": "prometheus.json", "ansible": "ansible.json", "hosts": "hosts", "dnsmasq": "dnsmasq/peers",
    "ssh": "ssh_config", "known-hosts": "known_hosts", "json": "peers.json", "csv": "peers.csv",
    "zabbix": "zabbix.json", "nagios": "nagios.txt", "template": "peers.txt",
}  # fmt: skip
"""The formats for other programs, of `discoveryd.query.formats.exports`: each with the name of a file of it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any


def printable(text: str) -> str:
    """Escape what could move the cursor, change colours or lie about order."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def endpoint(address: str, port: int) -> str:
    """Return address and port in one, the address of IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def columns(peers: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return the values of columns that ``--only`` knows: sorted, each once. A peer without a name goes by its id.

    Of several columns there is a line for each peer, and for each of its services or tags where these are among them;
    a tab is between two values, and a dash in place of one that a peer does not have.
    """
    found = {line for peer in peers for line in _lines(peer, names)}
    return "\n".join(sorted(found))


def _lines(peer: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    services: list[Any] = [one for one in peer["services"] if one["port"] or "endpoint" not in names]
    tags = [f"{key}={value}" for key, value in peer["tags"].items()]
    several = len(names) > 1
    for service in services if {"service", "endpoint"} & {*names} and (services or not several) else [None]:
        for tag in tags if "tag" in names and (tags or not several) else [None]:
            yield "\t".join(printable(_value(peer, name, service, tag, several)) for name in names)


def _value(
    peer: Mapping[str, Any], name: str, service: Mapping[str, Any] | None, tag: str | None, is_one_of_several: bool
) -> str:
    if name == "tag":
        return tag or "-"
    if name == "service":
        return str(service["name"]) if service else "-"
    if name == "endpoint":
        return endpoint(peer["address"], service["port"]) if service else "-"
    if name == "link" and is_one_of_several:
        return str(peer["link"] or "-")
    return str(peer[name] or peer["id"])


def reply(peers: Sequence[Mapping[str, Any]]) -> str:
    """Return the reply to ``list``, one line of JSON."""
    return dumps({"ok": True, "schema": 1, "peers": list(peers)})


def printable_json(line: bytes) -> str:
    """Return a line of JSON as it came, or, where a terminal would obey something in it, written anew in ASCII."""
    text = line.decode("utf-8", "replace")
    return text if text.isprintable() else dumps(loads(line))
