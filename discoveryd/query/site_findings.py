"""Findings about other sites, and the NATS servers that lead to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from discoveryd.query.finding_kind import FindingKind

SITE_FINDING_KINDS: Final[Mapping[str, FindingKind]] = {
    "nats-unreachable": FindingKind(
        "sites", "medium", "proven", "no NATS server can be reached",
        "None of sites.servers takes a connection, or one took it and no longer answers. Nothing is known of other "
        "sites meanwhile, and this network goes on as ever. It is tried again and again, within 3 s each time.",
        "See the error: a server that is down, a wrong host or port under sites.servers, a firewall, a name that does "
        "not resolve.",
        ("site-unreachable",),
    ),
    "nats-auth": FindingKind(
        "sites", "medium", "proven", "a NATS server refuses this node",
        "The server does not know the seed or credentials of sites.credentials, or its permissions forbid a subject "
        "that a node of this site needs.",
        "Compare the public key (nk -inkey FILE -pubout) and the permissions with the configuration of the server: "
        "docs/sites.md has a ready one. Then reload both.",
        ("site-unreachable",),
    ),
    "nats-tls": FindingKind(
        "sites", "medium", "proven", "the certificate of a NATS server is not accepted",
        "The server does not offer TLS although it is named with tls://, or nothing under sites.ca signs its "
        "certificate, or that is for another name, or out of date.",
        "Name the server as its certificate does, and the certificates that sign it under sites.ca; see that the clock "
        "of this machine is right.",
        ("site-unreachable",),
    ),
    "site-unreachable": FindingKind(
        "sites", "medium", "likely", "another site has fallen silent",
        "No gateway of that site has proved for a while that it is there. Its peers are unknown: they may well be up.",
        "Run discoveryctl sites there. On a gateway: does it reach its NATS server, and is that connected to ours?",
    ),
}  # fmt: skip
"""Their kinds."""

SiteFinding = tuple[str, str, Mapping[str, Any], tuple[str, ...], str]
"""Code, text, evidence, remedy and subject."""


def site_findings(status: Mapping[str, Any]) -> Iterator[SiteFinding]:
    """Yield why other sites are not known."""
    sites = status.get("sites")
    if not sites:
        return
    connection = sites["connection"]
    if not connection["connected"] and (trouble := connection["trouble"]):
        text = f"no NATS server is connected: {trouble['server']}: {trouble['error']}"
        evidence = {"error": trouble["error"], "failures": connection["failures"]}
        yield f"nats-{trouble['kind']}", text, evidence, (), trouble["server"]
    if denied := connection["denied"]:
        what = denied[0]["what"]
        text = f"{connection['server'] or 'the NATS server'} refuses what this node says or asks for: {what}"
        yield "nats-auth", text, {"denied": denied}, (), "permissions"
    for site in sites["sites"]:
        if site["state"] == "unreachable":
            silent = "" if site["vouched_s"] is None else f" for {site['vouched_s']:.0f} s"
            text = f"site {site['name']} has been silent{silent}: its {site['unknown']} peers are unknown"
            yield "site-unreachable", text, {"unknown": site["unknown"]}, (), site["name"]
