"""Peers as an inventory of Ansible, in the form of an inventory script.

Ansible runs the templates that it finds in the values of an inventory, on the machine that it is started on. So each
text that a peer chose is marked as unsafe, which Ansible then never looks into; what stands unmarked was made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discoveryd.query.formats.names import word
from discoveryd.query.json_text import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from discoveryd.query.formats.exports import ExportOptions
    from discoveryd.query.formats.names import Listed

ALL = "discoveryd"
"""The group of all peers; all others begin with it and an underscore."""
SSH = 22
_KEPT = ("id", "name", "state", "kind", "link", "boot", "addresses", "services", "two_way", "clone", "key", "site")
"""What is told of a peer, each as ``discoveryd_…``; what a daemon does not report is left out."""


def ansible(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return what the script of an inventory prints for ``--list``, or, with a name, for ``--host``."""
    reached = [one for one in found if one.nearby]
    if options.host:
        return dumps(next((_variables(one) for one in reached if one.name == options.host), {}))
    groups: dict[str, dict[str, list[str]]] = {ALL: {"hosts": []}}
    for one in reached:
        for group in dict.fromkeys(_groups(one.peer)):
            groups.setdefault(group, {"hosts": []})["hosts"].append(one.name)
    return dumps({"_meta": {"hostvars": {one.name: _variables(one) for one in reached}}, **groups})


def _variables(one: Listed) -> dict[str, Any]:
    peer = one.peer
    variables: dict[str, Any] = {"ansible_host": one.nearby}
    ports = [service["port"] for service in peer["services"] if service["name"] == "ssh" and service["proto"] == "tcp"]
    if ports and ports[0] not in (0, SSH):
        variables["ansible_port"] = ports[0]
    variables |= {f"discoveryd_{key}": _unsafe(peer[key]) for key in _KEPT if key in peer}
    return variables | {"discoveryd_tags": _unsafe(peer["tags"]), "discoveryd_self": one.is_self}


def _unsafe(value: Any) -> Any:
    """Return a value with each text in it marked. Ansible's reader obeys keys that begin with two underscores."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, dict):
        return {key: _unsafe(inner) for key, inner in value.items() if not key.startswith("__") and _is_inert(key)}
    return [_unsafe(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_inert(key: str) -> bool:
    """Return whether no template is in a key: keys cannot be marked."""
    return not any(sign in key for sign in ("{{", "{%", "{#"))


def _groups(peer: Mapping[str, Any]) -> Iterator[str]:
    yield ALL
    yield f"{ALL}_state_{word(peer['state'])}"
    if peer["link"]:
        yield f"{ALL}_link_{word(peer['link'])}"
    if peer.get("site"):
        yield f"{ALL}_site_{word(str(peer['site']))}"
    for service in peer["services"]:
        yield f"{ALL}_service_{word(service['name'])}"
    for key, value in peer["tags"].items():
        yield f"{ALL}_tag_{word(key)}_{word(value)}" if value else f"{ALL}_tag_{word(key)}"
