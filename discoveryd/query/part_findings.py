"""Findings about parts of the daemon that do not work: what nobody misses in the table of peers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PartFinding = tuple[str, str, Mapping[str, Any], tuple[str, ...], str]
"""Code, text, evidence, remedy and subject."""


def part_findings(status: Mapping[str, Any]) -> Iterator[PartFinding]:
    """Yield which parts of the daemon do not do their work."""
    yield from _http(status)
    yield from _of_names(status.get("dns", {}))
    if error := status.get("history", {}).get("error"):
        text = f"the history is not written: {error} ({status['history']['path']}); what happens is not remembered"
        yield "history-unwritable", text, {"error": error}, (), ""
    if status.get("last_will", {}).get("witness") == "dead":
        helps = "to have another witness restart discoveryd"
        text = f"the witness was killed: should this daemon die, the others miss its HELLOs first; {helps}"
        yield "no-witness", text, {}, (), ""
    for found in status.get("dropins", ()):
        if found["state"] in ("refused", "failing"):
            name, state = found["name"], found["state"]
            what = f"service {name} is not announced ({state})" if name else "service file is refused"
            text = f"{what}: {found['why']} ({found['file']})"
            yield "service-not-announced", text, {"state": state}, (), found["file"]
    if refused := status.get("hooks", {}).get("refused", 0):
        hooks = f"{refused} hook{'s are' if refused > 1 else ' is'}"
        text = f"{hooks} not run: the log says why, look for 'hook not run'"
        yield "hook-not-run", text, {"refused": refused}, (), ""
    for found in status.get("exports", ()):
        if found["error"]:
            text = f"{found['path']} ({found['format']}) is not written: {found['error']}"
            yield "export-not-written", text, {"error": found["error"]}, (), found["path"]
        elif found["fault"]:
            text = f"the command after a change of {found['path']} failed: {found['fault']}"
            yield "export-command-failed", text, {"failures": found["failures"]}, (), found["path"]


def _http(status: Mapping[str, Any]) -> Iterator[PartFinding]:
    if error := status.get("metrics", {}).get("error"):
        text = f"the metrics are not served over HTTP: {error}; stop that, or set metrics.listen"
        yield "metrics-not-served", text, {"error": error}, (), ""
    if error := status.get("web", {}).get("error"):
        yield "web-not-served", f"the web is not served over HTTP: {error}", {"error": error}, (), ""


def _of_names(dns: Mapping[str, Any]) -> Iterator[PartFinding]:
    """Yield why names are not served by DNS, or not found by the programs of this machine."""
    if error := dns.get("error"):
        yield "dns-not-served", f"names are not served by DNS at {dns['listen']}: {error}", {"error": error}, (), ""
        return
    resolver = dns.get("resolver", {})
    if resolver.get("delegation") and resolver.get("works") is False:
        yield names_not_found(dns["zone"], resolver["delegation"], resolver["error"])


def names_not_found(zone: str, path: str, error: str) -> PartFinding:
    """Return that the resolver of this machine does not find the server of a zone, though a file lets it ask there."""
    name = f"discoveryd.{zone}"
    text = f"the resolver of this machine does not find {name} ({error}), though {path} is there"
    return "names-not-found", text, {"delegation": path, "error": error}, (f"getent hosts {name}",), path
