"""The formats for other programs, by name: what ``discoveryctl export`` prints and the daemon keeps in files.

Each is a function of what is listed (`discoveryd.query.formats.names`) and options that returns text without the last
line end. Nothing that a peer chose can be more in the text than a value: no line, option, template or pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from discoveryd.query.formats.hosts import dnsmasq, hosts, known_hosts, ssh
from discoveryd.query.formats.inventory import ansible
from discoveryd.query.formats.monitoring import nagios, prometheus, zabbix
from discoveryd.query.formats.names import DOMAIN, Listed, listed
from discoveryd.query.formats.records import csv_text, json_text
from discoveryd.query.formats.template import template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class ExportOptions(NamedTuple):
    """What a format may be told; each uses what it needs.

    Attributes:
        domain: below which names stand.
        port: of every target, in place of those of services; 0 for these.
        service: the only service that counts, None for all.
        template: of the format ``template``.
        host: the only name that counts, empty for all.
        warning: fewer peers up than that are worth a warning; 0 for none.
        critical: fewer than that are critical; 0 for none.
    """

    domain: str = DOMAIN
    port: int = 0
    service: str | None = None
    template: str = ""
    host: str = ""
    warning: int = 0
    critical: int = 1


EXPORT_FORMATS: Mapping[str, Callable[[Sequence[Listed], ExportOptions], str]] = {
    "prometheus": prometheus, "ansible": ansible, "hosts": hosts, "dnsmasq": dnsmasq, "ssh": ssh,
    "known-hosts": known_hosts, "json": json_text, "csv": csv_text, "zabbix": zabbix, "nagios": nagios,
    "template": template,
}  # fmt: skip


def export_text(
    name: str, peers: Sequence[Mapping[str, Any]], own: Mapping[str, Any] | None, options: ExportOptions
) -> str:
    """Return peers, and this node if it is given, in a format, with the last line end where there is a line."""
    text = EXPORT_FORMATS[name](listed(peers, own), options)
    return f"{text}\n" if text else ""
